"""What commands refuse to send to a cluster, before any is asked."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import tune.remote.session
import tune.remote.watch
from cluster.file import config_file
from cluster.hosts import lifecycle
from cluster.ssh import SshAccess
from dgad.errors import ClusterError, SettingsError, UserError
from tests.cluster.support.cluster_files import filled_template, furnish_home, write
from tune.cli import cli


def _invoke(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments)


ADDRESS = ("--address", "http://127.0.0.1:9")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("launch", "--detach"), "--detach is for a study on a cluster: give --cluster FILE too"),
        (("launch", "--down-after"), "--down-after is for a study on a cluster"),
        (
            ("launch", *ADDRESS, "--down-after"),
            "--down-after is for a study on a cluster: give --cluster FILE",
        ),
        (("launch", "--price", "x=1"), "--price is for a study on a cluster"),
        (
            ("launch", "--cluster", "c.yaml", "--detach", "--down-after"),
            "--down-after waits: give one of them",
        ),
        (("launch", *ADDRESS), "--runs runs is a folder of this machine: name a folder that every host"),
        (
            ("launch", *ADDRESS, "--runs", "/r", "--data", "photos"),
            "--data photos is a folder of this machine",
        ),
        (("launch", *ADDRESS, "--runs", "s3://k:secret@b/r"), "--runs s3://b/r was given with credentials"),
        (
            ("launch", *ADDRESS, "--runs", "/r", "--mlflow", "http://k:secret@h"),
            "--mlflow http://h was given with",
        ),
        (("launch", "--runs", "s3://k:secret@b/r"), "s3://b/r cannot be used (it carries credentials"),
        (("status", "x", "--runs", "s3://k:secret@b/r"), "s3://b/r cannot be used (it carries credentials"),
        (("down",), "Which cluster? Give its file"),
        (("down", *ADDRESS), "--address names a Ray that somebody else began: stop it there"),
        (("status", "x", "--cluster", "nowhere.yaml"), "nowhere.yaml cannot be read"),
        (("launch", "--cluster", "nowhere.yaml", "--runs", "/r"), "nowhere.yaml cannot be read"),
    ],
)
def test_what_cannot_be_is_one_sentence_without_a_secret(
    arguments: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAY_AUTH_TOKEN", "t")
    done = _invoke(*arguments)
    assert isinstance(done.exception, UserError), done.output
    assert message in str(done.exception)
    assert "secret" not in str(done.exception) + done.output
    assert list(tmp_path.iterdir()) == []


def test_a_dashboard_that_does_not_answer_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "t")
    done = _invoke("status", "x", *ADDRESS)
    assert isinstance(done.exception, UserError), done.output
    assert "http://127.0.0.1:9" in str(done.exception)


@pytest.fixture
def readings(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Every cluster file that is read and validated, as often as it is."""
    read: list[Path] = []
    real = config_file.load_yaml

    def load_yaml(path: Path) -> object:
        read.append(path)
        return real(path)

    monkeypatch.setattr(config_file, "load_yaml", load_yaml)
    monkeypatch.setenv("RAY_AUTH_TOKEN", "t")
    return read


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "home"
    furnish_home(home)
    monkeypatch.setenv("HOME", str(home))
    return write(tmp_path / "cluster.yaml", filled_template("on-prem"))


def test_launch_reads_the_cluster_file_once(
    readings: list[Path], file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def bring_up(file: object, *, report: object) -> None:
        raise ClusterError("no host here")

    monkeypatch.setattr(tune.remote.session, "bring_up", bring_up)
    done = _invoke("launch", "--cluster", str(file), "--runs", "/r", "--data", "/d")
    assert str(done.exception) == "no host here", done.output
    assert readings == [file]


def test_down_reads_the_cluster_file_once(
    readings: list[Path], file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = lifecycle.Head(
        address="127.0.0.1",
        dashboard_port=8265,
        ssh=SshAccess(user=None, key=None, proxy_command=None, known_hosts=file),
    )
    monkeypatch.setattr(tune.remote.watch, "find_head", lambda file: head)
    monkeypatch.setattr(lifecycle, "find_head", lambda file: None)
    done = _invoke("down", "--cluster", str(file))
    assert isinstance(done.exception, SettingsError)
    assert f"of {file} is not up: `dgad-tune launch --cluster {file}` brings it up." in str(done.exception)
    assert readings == [file]
