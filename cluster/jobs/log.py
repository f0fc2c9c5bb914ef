"""The log of a job: one websocket on it, read from ordinary code; and standard output told from the rest."""

import asyncio
import contextlib
import shlex
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

_IDLE_S = 15.0


class Tail:
    """Reader of a log that grows: text from its start as it comes, None whenever nothing came for a while.

    A tunnel whose far end died is silent rather than closed, so whoever reads must look at the job on None.
    """

    def __init__(self, runner: asyncio.Runner, client: Any, submission_id: str) -> None:
        self._runner = runner
        self._stream = client.tail_job_logs(submission_id)
        self._waiting: asyncio.Task[str | None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._runner.run(self._close())

    def __iter__(self) -> Iterator[str | None]:
        while True:
            if self._waiting is None:
                self._waiting = self._runner.get_loop().create_task(self._next())
            if not self._runner.run(_is_done(self._waiting)):
                yield None
                continue
            text, self._waiting = self._waiting.result(), None
            if text is None:
                return
            yield text

    async def _next(self) -> str | None:
        text: str | None = await anext(self._stream, None)
        return text

    async def _close(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await self._waiting
        await self._stream.aclose()


async def _is_done(task: "asyncio.Task[Any]") -> bool:
    done, _ = await asyncio.wait({task}, timeout=_IDLE_S)
    return bool(done)


def mark_output(entrypoint: str, mark: str) -> str:
    """Wrap a command so that its standard output lies between two marks, its standard error after them.

    Ray keeps both in one log, with lines of its own; the marks are put together only when they are printed,
    since that log also shows the command.
    """
    half, other = mark[:8], mark[8:]
    say = f"printf '\\n%s%s\\n' {half} {other}"
    inner = shlex.quote(entrypoint)
    return f'e=$(mktemp) && {say}; sh -c {inner} 2>"$e"; r=$?; {say}; cat "$e"; rm -f "$e"; exit $r'


def split_output(log: str, mark: str, submission_id: str, command: str) -> tuple[str, str]:
    """Split a log into standard output and error; all is the latter where the command never began."""
    # Ray writes this without flushing, so it lands anywhere in what the command prints.
    log = log.replace(f"Running entrypoint for job {submission_id}: {command}\n", "", 1)
    _, begun, rest = log.partition(f"\n{mark}\n")
    output, ended, errors = rest.partition(f"\n{mark}\n")
    return (output, errors) if begun and ended else ("", rest if begun else log)
