"""Exit codes: whose mistake it was."""

import subprocess
import sys

import click
import pytest

from dgad.command_line import reserve_stdout, run_group
from dgad.errors import TrainingError, UserError


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (UserError("Name another."), 2, "Error: Name another.\n"),
        (TrainingError("It broke off."), 1, "Failed: It broke off.\n"),
        (
            PermissionError(13, "Permission denied", "/a/b"),
            2,
            "Error: /a/b cannot be read or written: Permission denied; make it accessible, or name another"
            " place.\n",
        ),
        (KeyboardInterrupt(), 130, "\nInterrupted.\n"),
    ],
)
def test_an_error_is_one_sentence_with_its_exit_code(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    code: int,
    told: str,
) -> None:
    @click.group(invoke_without_command=True)
    def group() -> None:
        raise error

    monkeypatch.setattr("sys.argv", ["program"])
    with pytest.raises(SystemExit) as ended:
        run_group(group)
    assert ended.value.code == code
    assert capsys.readouterr().err == told


def test_an_error_of_ours_that_names_no_file_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    @click.group(invoke_without_command=True)
    def group() -> None:
        raise OSError("no file is to blame")

    monkeypatch.setattr("sys.argv", ["program"])
    with pytest.raises(OSError, match="no file is to blame"):
        run_group(group)


def test_what_others_print_goes_to_stderr_and_afterwards_to_stdout_again(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with reserve_stdout() as stdout:
        print("a library's words")
        click.echo("ours", file=stdout)
    print("later")
    assert capsys.readouterr() == ("ours\nlater\n", "a library's words\n")


@pytest.mark.parametrize("module", ["dgad.cli", "tune.cli", "serve.cli"])
def test_a_program_runs_as_a_module_too(module: str) -> None:
    done = subprocess.run([sys.executable, "-m", module, "nonsense"], capture_output=True, text=True)
    assert (done.returncode, "No such command 'nonsense'" in done.stderr) == (2, True)
