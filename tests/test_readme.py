"""The README's commands: one section is run as it stands, every other command at least exists as written."""

import re
import shlex
import shutil
from pathlib import Path

import click
import pytest

import dgad
import dgad.cli
import serve.cli
import tune.cli
from tests.conftest import Run

README = Path(__file__).parents[1] / "README.md"
PROGRAMS = {"dgad": dgad.cli.cli, "dgad-tune": tune.cli.cli, "dgad-serve": serve.cli.cli}


def commands(section: str | None = None) -> list[list[str]]:
    """The command lines in the README's shell blocks, of one section or of all."""
    text = README.read_text()
    if section is not None:
        text = text.split(f"## {section}\n")[1].split("\n## ")[0]
    blocks = re.findall(r"```sh\n(.*?)```", text, flags=re.DOTALL)
    return [
        shlex.split(line, comments=True) for block in blocks for line in block.splitlines() if line.strip()
    ]


@pytest.mark.slow
def test_one_fold_at_a_time_runs_as_it_stands(run: Run) -> None:
    ran = commands("One fold at a time")
    assert len(ran) == 4
    for program, *arguments in ran:
        done = run(*arguments, script=program)
        assert done.returncode == 0, done.stderr


def test_the_python_block_runs_as_it_stands(
    tmp_path: Path, demo_data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    section = README.read_text().split("## In Python\n")[1].split("\n## ")[0]
    (block,) = re.findall(r"```python\n(.*?)```", section, flags=re.DOTALL)
    shutil.copytree(demo_data / "wood" / "train" / "good", tmp_path / "good_parts")
    (tmp_path / "parts").mkdir()
    for kind in (demo_data / "wood" / "test").iterdir():
        shutil.copy(kind / "000.png", tmp_path / "parts" / f"{kind.name}.png")
    monkeypatch.chdir(tmp_path)
    exec(compile(block, str(README), "exec"), {})
    parts = sorted(str(path.relative_to(tmp_path)) for path in (tmp_path / "parts").iterdir())
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == parts
    assert len(list((tmp_path / "out").rglob("*.png"))) == len(parts)
    assert dgad.load_surface("belt-4").references


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_every_command_exists_as_written(command: list[str]) -> None:
    if command[0] == "make":
        targets = re.findall(r"^([\w-]+):", (README.parent / "Makefile").read_text(), flags=re.MULTILINE)
        assert command[1] in targets
        if command[1] != "launch":
            return
        inner = next((a.removeprefix("ARGS=") for a in command if a.startswith("ARGS=")), "")
        command = ["dgad-tune", "launch", *shlex.split(inner)]
    group: click.Command = PROGRAMS[command[0]]
    parent = click.Context(group, info_name=command[0], **group.context_settings)
    arguments = command[1:]
    while isinstance(group, click.Group):
        group = group.commands[arguments.pop(0)]
    group.make_context(command[0], arguments, parent=parent)  # raises for an option that is not there
