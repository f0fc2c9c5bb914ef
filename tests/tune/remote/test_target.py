"""What commands refuse to send to a cluster, before any is asked."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from dgad.errors import SettingsError, UserError
from tune.cli import cli
from tune.remote.target import place_of


def _invoke(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments)


def test_a_place_is_a_file_or_a_dashboard_and_names_itself_again() -> None:
    file = place_of(Path("cluster.yaml"), None, None)
    url = place_of(None, "http://127.0.0.1:8265", "python3.11")
    assert file is not None
    assert file.option == "--cluster cluster.yaml"
    assert url is not None
    assert url.option == "--address http://127.0.0.1:8265"
    assert place_of(None, None, None) is None


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((Path("c.yaml"), "http://x", None), "name two clusters"),
        ((None, None, "python"), "--python is for a cluster"),
        ((None, "10.0.0.1:6379", None), "must be the URL of a Ray dashboard.*got '10.0.0.1:6379'"),
    ],
)
def test_a_place_that_is_none_is_refused(
    given: tuple[Path | None, str | None, str | None], message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        place_of(*given)


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
