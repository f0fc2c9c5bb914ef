"""File names and other people's texts, where they leave the process."""

import ast
from pathlib import Path

import pytest
from rich.table import Table

from dgad.command_line import PlainConsole
from dgad.errors import DataError
from dgad.names import check_utf8, make_lines_printable, make_printable

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("part[x] é 表面.png", "part[x] é 表面.png"),
        ("a\x1b[2Jb", r"a\x1b[2Jb"),
        ("a\nb\tc", r"a\nb\tc"),
        ("n\udcff.png", r"n\xff.png"),  # as Python reads the byte
        ("\ud800", r"\ud800"),
        ("gnp.\u202egnp", r"gnp.\u202egnp"),  # shown the other way round
    ],
)
def test_what_a_terminal_would_obey_or_nobody_could_read_is_escaped(text: str, shown: str) -> None:
    assert make_printable(text) == shown
    shown.encode()


def test_lines_stay_lines() -> None:
    assert make_lines_printable("one\n\ttwo\x07") == "one\n\ttwo\\x07"


def test_a_name_that_is_not_utf8_is_told_by_its_bytes() -> None:
    check_utf8(["a/é.png", Path("b")])
    with pytest.raises(DataError, match=r"but `a/n\\xff.png` is not: rename it"):
        check_utf8(["a/é.png", "a/n\udcff.png"])


NAMES = ("part[x].png", "part[/x].png", "[bold]", ":heart:.png", "\\[x]", "[link=http://a]b[/link]")


@pytest.mark.parametrize("name", NAMES)
def test_a_console_prints_names_as_they_are(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    table = Table(title=name)
    table.add_column(name)
    table.add_row(f"{name}\x1b[31m")
    console = PlainConsole(pipe_width=100)
    console.print(table)
    console.print(f"{name}\x1b[31m")
    console.print(name, style="red")
    told = capsys.readouterr().out
    assert told.count(name) == 5
    assert told.count(r"\x1b[31m") == 2
    assert "\x1b" not in told


def _calls(package: str) -> list[tuple[Path, ast.Call, str]]:
    """Every call in the sources of a package, with the last name of what is called."""
    found = []
    for file in sorted((ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                called = node.func
                name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
                found.append((file.relative_to(ROOT), node, name))
    return found


@pytest.mark.parametrize("package", ["dgad", "tune", "serve", "cluster"])
def test_no_text_is_ever_read_as_markup(package: str) -> None:
    for file, call, name in _calls(package):
        place = f"{file}, line {call.lineno}"
        assert name not in ("Console", "get_console", "from_markup", "print_markdown"), (
            f"{place}: PlainConsole"
        )
        options = {k.arg: k.value for k in call.keywords}
        if name == "TextColumn":  # of a progress bar
            assert isinstance(given := options.get("markup"), ast.Constant), place
            assert given.value is False, place
        if "markup" in options:
            assert getattr(options["markup"], "value", True) is False, place
