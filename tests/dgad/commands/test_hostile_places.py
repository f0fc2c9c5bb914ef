"""Names and places that a command cannot use: one sentence and an exit code, and nothing left behind."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from dgad.cli import cli
from dgad.command_line import run_group
from tests.conftest import Run

NOT_UTF8 = os.fsdecode(b"n\xff.png")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two domains of one image each."""
    for name in ("gr[id]", "[/tile]"):
        for place in ("train/good", "test/good", "test/[red]"):
            folder = tmp_path / "data" / name.replace("/", "") / place
            folder.mkdir(parents=True)
            Image.effect_noise((64, 64), 60).save(folder / "a[x].png")
    return tmp_path / "data"


@pytest.mark.parametrize(
    "arguments",
    [
        ("domains", "synthesize", "new", "--domains", "wood", "--size", "64"),
        ("domains", "pack", "data", "new"),
        ("domains", "pack", "data", "deep/new"),
    ],
)
def test_a_full_disk_is_told_with_the_place_and_nothing_stays(
    run: Run, data: Path, tmp_path: Path, full_disk: None, arguments: tuple[str, ...]
) -> None:
    before = sorted(p.name for p in tmp_path.iterdir())
    done = run(*arguments)
    new = next(a for a in arguments if a.endswith("new"))
    told = f"{new} cannot be read or written: File too large; allow larger files there (`ulimit -f`).\n"
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("Error: ")
    assert done.stderr.endswith(told)
    assert sorted(p.name for p in tmp_path.iterdir() if p.name != "deep") == before
    assert not list(tmp_path.glob("deep/.*"))


@pytest.mark.parametrize("output", ["/dev/full", "a reader that has gone"])
@pytest.mark.parametrize("more", [(), ("--json",)])
def test_a_standard_output_that_takes_nothing_is_one_sentence(
    data: Path, output: str, more: tuple[str, ...]
) -> None:
    command = [sys.executable, "-c", "from dgad.cli import main; main()", "domains", "check", str(data)]
    if output.startswith("/"):
        where = os.open(output, os.O_WRONLY)
    else:
        reader, where = os.pipe()
        os.close(reader)
    done = subprocess.run([*command, *more], stdout=where, stderr=subprocess.PIPE, text=True, check=False)
    os.close(where)
    assert "Traceback" not in done.stderr
    if output.startswith("/"):
        assert done.stderr == "Error: The standard output cannot be written: No space left on device.\n"
        assert done.returncode == 2
    else:
        assert (done.stderr, done.returncode) == ("", 1)


def test_names_are_printed_as_they_are(run: Run, data: Path) -> None:
    shutil.copy(data / "gr[id]" / "train" / "good" / "a[x].png", data / "gr[id]" / "a[x] \x1b[2J.png")
    done = run("domains", "check", data)
    for name in ("gr[id]", "[tile]", "[red] 1", f"{data}/gr[id]"):
        assert name in done.stdout
    assert "\x1b" not in done.stdout


def test_a_name_that_is_not_utf8_is_refused_by_name(run: Run, data: Path) -> None:
    good = data / "gr[id]" / "train" / "good"
    (good / "a[x].png").rename(good / NOT_UTF8)
    for arguments in (("domains", "check", data), ("domains", "pack", data, "new")):
        done = run(*arguments)
        assert done.returncode == 2
        told = rf"but `{good}/n\xff.png` is not: rename it."
        assert done.stderr == f"Error: A name must be UTF-8 to be printed, sent or kept, {told}\n"
    assert not Path("new").exists()


def test_an_argument_that_is_not_utf8_is_refused(run: Run) -> None:
    done = run("domains", "check", NOT_UTF8)
    assert done.returncode == 2
    assert done.stderr.startswith(
        r"Error: An argument must be UTF-8, but `n\xff.png` is not: rename the file,"
    )


def test_whatever_else_holds_such_a_name_is_told_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        NOT_UTF8.encode()

    monkeypatch.setattr("sys.argv", ["dgad"])
    monkeypatch.setattr(cli, "main", lambda **_: fail())
    with pytest.raises(SystemExit) as ended:
        run_group(cli)
    assert ended.value.code == 2
    assert capsys.readouterr().err == "Error: `n\\xff.png` holds a name that is not UTF-8: rename it.\n"
