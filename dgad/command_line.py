"""What the three command lines share: exit codes, their own words on stdout, progress on a terminal only.

0: done; 2: the user's mistake, told in one sentence; 1: ours; 130: interrupted.
"""

import contextlib
import importlib
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import TextIO

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from dgad.errors import DgadError, DgadWarning, UserError

ProgressCallback = Callable[[str, int, int, float], None]


def run_group(group: click.Group) -> None:
    """Run a click group as a program and leave with the house's exit codes."""
    try:
        with _plain_warnings():
            code = group.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except click.Abort:
        click.echo("Interrupted.", err=True)
        sys.exit(130)
    except UserError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(2)
    except DgadError as error:
        click.echo(f"Failed: {error}", err=True)
        sys.exit(1)
    except BrokenPipeError:
        # The reader has gone (`| head`); nothing more can be told, and Python must not try at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:  # a path of the user's that is not there, not theirs, or on a full disk
        if error.filename is None:
            raise
        reason = error.strerror or type(error).__name__
        click.echo(f"Error: {error.filename} cannot be read or written: {reason}.", err=True)
        sys.exit(2)
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
                click.echo(f"Warning: {message}", err=True)
            else:
                usual(message, category, filename, lineno, file, line)

        warnings.showwarning = show
        yield


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
    console = Console(stderr=True)
    if not (enabled and console.is_terminal):
        yield lambda stage, step, total, loss: None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
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
