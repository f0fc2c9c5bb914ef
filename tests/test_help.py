"""Every command explains itself, with an example, and without the seconds that torch takes to import."""

import importlib
import subprocess
import sys
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from dgad.methods import SHOWN_BESIDE
from tests.conftest import MAINS


def _commands(command: click.Command, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    yield path
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            yield from _commands(inner, (*path, name))


GROUPS: dict[str, click.Group] = {script: importlib.import_module(m).cli for script, m in MAINS.items()}
COMMANDS = [path for script, group in GROUPS.items() for path in _commands(group, (script,))]


@pytest.mark.parametrize("flag", ["-h", "--help"])
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_has_a_help_with_an_example(command: tuple[str, ...], flag: str) -> None:
    script, *arguments = command
    result = CliRunner().invoke(GROUPS[script], [*arguments, flag])
    assert result.exit_code == 0
    assert "Example" in result.output
    assert f"{' '.join(command)} " in result.output.partition("Example")[2]


def test_the_help_of_evaluate_names_the_rows_it_shows_unasked() -> None:
    shown = " ".join(CliRunner().invoke(GROUPS["dgad"], ["evaluate", "--help"]).output.split())
    rows = ", ".join(("comparer", *SHOWN_BESIDE))
    assert f"[default: comparer:builtin on builtin weights, {rows}]" in shown


@pytest.mark.parametrize("module", MAINS.values())
def test_help_imports_neither_torch_nor_ray(module: str) -> None:
    program = f"import sys, {module}; print(sorted({{'torch', 'timm', 'ray', 'optuna'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
