"""The `ray start` inside a shell line: its environment, its options, and the Python beside it."""

import dataclasses
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath

from dgad.errors import SettingsError

_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)
_OPERATORS = ";&|()<>\n"
_WRAPPERS = ("exec", "nohup", "env", "sudo", "time", "then", "else", "do", "{", "!")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class StartCommand:
    """A `ray start`, as a shell line of a cluster file spells it."""

    environment: Mapping[str, str]
    """The variables that the same line sets or exports before it."""
    options: Mapping[str, str]
    """Its options by name without dashes; a flag's value is empty."""
    interpreter: str
    """The Python beside its `ray`, as a shell word; `python` where `ray` is found by PATH."""
    line: int | None
    """Line of the file, from 1; None for one of Ray's defaults."""

    @property
    def is_head(self) -> bool:
        """Whether it starts the head of a cluster."""
        return "head" in self.options


def find_start_commands(shell_lines: Iterable[tuple[str, int | None]]) -> tuple[StartCommand, ...]:
    """Find every `ray start` in the shell lines, each given with its line in the file.

    Raises `SettingsError` for a quotation that is not closed.
    """
    return tuple(found for text, line in shell_lines for found in _in_line(text, line))


def _in_line(text: str, line: int | None) -> Iterator[StartCommand]:
    """Each line of a cluster file runs in a shell of its own: nothing is carried from one to the next."""
    exported: dict[str, str] = {}
    environment_folder: str | None = None
    for words in _simple_commands(text, line):
        environment, rest = _leading_assignments(words)
        if not rest:
            exported.update(environment)
        elif rest[0] == "export":
            exported.update(_leading_assignments(rest[1:])[0])
        elif rest[0] in ("source", ".") and len(rest) > 1 and rest[1].endswith("/bin/activate"):
            environment_folder = _from_home(rest[1].removesuffix("/bin/activate"))
        elif PurePosixPath(rest[0]).name == "ray" and "start" in rest[1:2]:
            yield StartCommand(
                environment={**exported, **environment},
                options=_options(rest[2:]),
                interpreter=_python_beside(rest[0], environment_folder),
                line=line,
            )


def _simple_commands(text: str, line: int | None) -> Iterator[list[str]]:
    lexer = shlex.shlex(text.replace("\\\n", " "), posix=True, punctuation_chars=_OPERATORS)
    lexer.whitespace, lexer.whitespace_split, lexer.commenters = " \t\r", True, ""
    words: list[str] = []
    try:
        for token in lexer:
            if set(token) <= set(_OPERATORS):
                if words:
                    yield words
                words = []
            else:
                words.append(token)
    except ValueError as error:
        place = f" in line {line}" if line else ""
        raise SettingsError(f"The shell command{place} cannot be read: {error}.") from error
    if words:
        yield words


def _leading_assignments(words: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """The NAME=VALUE words in front, past wrappers such as `env` and their flags, and what follows."""
    environment: dict[str, str] = {}
    rest = list(words)
    wrapped = False
    while rest:
        match = _ASSIGNMENT.fullmatch(rest[0])
        if match:
            environment[match[1]] = match[2]
        elif rest[0] in _WRAPPERS:
            wrapped = True
        elif not (wrapped and rest[0].startswith("-")):
            break
        rest.pop(0)
    return environment, rest


def _options(words: Sequence[str]) -> dict[str, str]:
    options: dict[str, str] = {}
    for index, word in enumerate(words):
        if not word.startswith("--"):
            continue
        name, equals, value = word[2:].partition("=")
        following = words[index + 1] if index + 1 < len(words) else ""
        options[name] = value if equals or following.startswith("-") else following
    return options


def _python_beside(executable: str, environment_folder: str | None) -> str:
    if "/" in executable:
        return _from_home(str(PurePosixPath(executable).parent / "python"))
    return f"{environment_folder}/bin/python" if environment_folder else "python"


def _from_home(path: str) -> str:
    """A relative path as ssh sees it; a job runs elsewhere."""
    return path if path.startswith(("/", "~", "$")) else f"~/{path.removeprefix('./')}"
