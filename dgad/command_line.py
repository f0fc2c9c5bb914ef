"""What the three command lines share: exit codes, consoles, their own words on stdout, progress bars.

0: done; 2: the user's mistake, told in one sentence; 1: ours; 130: interrupted.
"""

import contextlib
import errno
import importlib
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from typing import Any, NoReturn, TextIO

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from dgad.errors import DgadError, DgadWarning, UserError
from dgad.names import is_utf8, make_lines_printable, make_printable

ProgressCallback = Callable[[str, int, int, float], None]


_REMEDIES = {
    errno.ENOSPC: "make room there",
    errno.EDQUOT: "make room there, or ask for a larger quota",
    errno.EFBIG: "allow larger files there (`ulimit -f`)",
    errno.EROFS: "name another place",
    errno.EACCES: "make it accessible, or name another place",
    errno.EPERM: "make it accessible, or name another place",
    errno.ENAMETOOLONG: "shorten its name",
    errno.EMFILE: "allow more open files (`ulimit -n`)",
}
"""What to do about an error of the system that is nobody's fault in the code."""


def run_group(group: click.Group) -> None:
    """Run a click group as a program and leave with the house's exit codes."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a name that the terminal's encoding lacks is no reason to fail
            stream.reconfigure(errors="backslashreplace")
    try:
        _check_arguments(sys.argv[1:])
        with _plain_warnings():
            code = group.main(standalone_mode=False)
        if sys.stdout is not None:
            sys.stdout.flush()  # what the disk or the reader refuses is told here, not at the very end
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except click.Abort:
        click.echo("Interrupted.", err=True)
        sys.exit(130)
    except UserError as error:
        _leave(f"Error: {error}", 2)
    except DgadError as error:
        _leave(f"Failed: {error}", 1)
    except BrokenPipeError:
        # The reader has gone (`| head`): nothing more can be told, and Python must not try at exit.
        _drop_stdout()
        sys.exit(1)  # as click and rich leave then
    except OSError as error:  # a path of the user's that is not there, not theirs, or on a full disk
        _leave(_explain(error), 2)
    except UnicodeEncodeError as error:
        if is_utf8(str(error.object)):
            raise
        _leave(f"Error: `{error.object[:200]}` holds a name that is not UTF-8: rename it.", 2)
    sys.exit(code if isinstance(code, int) else 0)


@contextlib.contextmanager
def _plain_warnings() -> Iterator[None]:
    """Print our own warnings as a sentence on standard error, each time; Python's way is for programmers."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", DgadWarning)
        usual = warnings.showwarning

        def show(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: TextIO | None = None,
            line: str | None = None,
        ) -> None:
            if issubclass(category, DgadWarning):
                click.echo(f"Warning: {make_lines_printable(str(message))}", err=True)
            else:
                usual(message, category, filename, lineno, file, line)

        warnings.showwarning = show
        yield


def _check_arguments(arguments: Sequence[str]) -> None:
    for argument in arguments:
        if not is_utf8(argument):
            raise UserError(
                f"An argument must be UTF-8, but `{make_printable(argument)}` is not: rename the file, or"
                " name the folder that it lies in."
            )


def _explain(error: OSError) -> str:
    """One sentence for an error of the system; it is raised again where it names no file and no remedy."""
    if _is_of_output(error):
        _drop_stdout()
        return f"Error: The standard output cannot be written: {error.strerror or error}."
    remedy = _REMEDIES.get(error.errno or 0)
    if error.filename is None and remedy is None:
        raise error
    reason = os.strerror(error.errno) if remedy and error.errno else error.strerror or type(error).__name__
    name = "A file" if error.filename is None else os.fsdecode(error.filename)
    return f"Error: {name} cannot be read or written: {reason}{f'; {remedy}' if remedy else ''}."


def _is_of_output(error: OSError) -> bool:
    """Whether it came from printing: the system names no file there."""
    frames = list(traceback.walk_tb(error.__traceback__))
    last = frames[-1][0].f_globals.get("__name__", "") if frames else ""
    return error.filename is None and (last == __name__ or last.partition(".")[0] in ("click", "rich"))


def _drop_stdout() -> None:
    """Python must not try once more at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _leave(told: str, code: int) -> NoReturn:
    # Where standard error is full or closed too, the exit code must do.
    with contextlib.suppress(OSError, ValueError):
        click.echo(make_lines_printable(told), err=True)
    sys.exit(code)


class PlainConsole(Console):
    """A console to which every text is data: `[x]`, `:heart:` and control codes are shown as such."""

    def __init__(self, *, pipe_width: int | None = None, **options: Any) -> None:
        """`pipe_width`: columns where it is no terminal, since rich assumes 80 and would cut names."""
        super().__init__(markup=False, emoji=False, highlight=False, **options)
        if pipe_width is not None and not self.is_terminal:
            self.width = pipe_width

    def render_str(self, text: str, **options: Any) -> Text:
        """Render a text as it stands, what a terminal would obey by its escape."""
        return super().render_str(make_lines_printable(text), **options)


class LazyCommands(MutableMapping[str, click.Command]):
    """The commands of a click group, each imported when it is first asked for: the others cost nothing."""

    def __init__(self, places: Mapping[str, str]) -> None:
        """Name where each command is found, as `package.module:attribute`, by the name users call it by."""
        self._places = dict(places)
        self._loaded: dict[str, click.Command] = {}

    def __getitem__(self, name: str) -> click.Command:
        if name not in self._loaded:
            module, _, attribute = self._places[name].partition(":")
            self._loaded[name] = getattr(importlib.import_module(module), attribute)
        return self._loaded[name]

    def __setitem__(self, name: str, command: click.Command) -> None:
        self._loaded[name] = command

    def __delitem__(self, name: str) -> None:
        self._places.pop(name, None)
        self._loaded.pop(name, None)

    def __iter__(self) -> Iterator[str]:
        return iter(self._places | self._loaded)

    def __len__(self) -> int:
        return len(self._places | self._loaded)


@contextlib.contextmanager
def reserve_stdout() -> Iterator[TextIO]:
    """The standard output, for the caller's words alone: what others print meanwhile goes to standard error.

    Ray tells of workers that died on its driver's standard output, from a thread of its own.
    """
    stdout = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):
        yield stdout


@contextlib.contextmanager
def show_progress_bars(*, enabled: bool = True) -> Iterator[ProgressCallback]:
    """A callback (stage, step, total, loss) that draws a bar per stage on a terminal, nothing in a pipe."""
    console = PlainConsole(stderr=True)
    if not (enabled and console.is_terminal):
        yield lambda stage, step, total, loss: None
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}", markup=False),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bars:
        tasks: dict[str, TaskID] = {}

        def show(stage: str, step: int, total: int, loss: float) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total, note="")
            note = f"loss {loss:.3f}" if loss == loss else ""
            bars.update(tasks[stage], completed=step, total=total, note=note)

        yield show
