"""The options that name a Ray, and the way to its dashboard."""

import dataclasses
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from cluster.target import ClusterTarget, add_cluster_options, connect_to_dashboard, resolve_target
from dgad.errors import SettingsError
from tests.cluster.support.cluster_files import filled_template, write


@click.command()
@add_cluster_options()
def command(*, target: ClusterTarget | None) -> None:
    click.echo(target and [str(v) for v in dataclasses.astuple(target)])


@pytest.mark.parametrize(
    ("arguments", "given"),
    [
        ([], ""),
        (["--cluster", "c.yaml"], "['c.yaml', 'None', 'None']"),
        (["--address", "https://head:8265"], "['None', 'https://head:8265', 'None']"),
        (["--cluster", "c.yaml", "--python", "py"], "['c.yaml', 'None', 'py']"),
    ],
)
def test_the_command_gets_what_was_given(arguments: list[str], given: str) -> None:
    assert CliRunner().invoke(command, arguments).output == f"{given}\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--cluster", "c.yaml", "--address", "http://head:8265"], "name two clusters"),
        (["--address", "head:6379"], "must be the URL of a Ray dashboard.*got 'head:6379'"),
        (["--python", "py"], "--python is for a cluster"),
    ],
)
def test_what_names_no_one_ray_is_refused(arguments: list[str], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        CliRunner().invoke(command, arguments, catch_exceptions=False)


def test_a_target_is_a_file_or_a_dashboard_and_names_itself_again() -> None:
    file = resolve_target(Path("cluster.yaml"), None, None)
    url = resolve_target(None, "http://127.0.0.1:8265", "python3.11")
    assert file is not None
    assert file.option == "--cluster cluster.yaml"
    assert url is not None
    assert url.option == "--address http://127.0.0.1:8265"
    assert resolve_target(None, None, None) is None


def test_a_dashboard_at_an_address_is_asked_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "t")
    target = ClusterTarget(address="http://head:8265/")
    with connect_to_dashboard(target, how_to_start="") as there:
        assert (there.url, there.python) == ("http://head:8265", "python")
        assert there.token is not None
        assert there.token.value == "t"
    with connect_to_dashboard(dataclasses.replace(target, python="py"), how_to_start="") as there:
        assert there.python == "py"


def test_a_cluster_that_is_down_is_told_with_the_callers_way_to_start_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "t")
    file = write(tmp_path / "cluster.yaml", filled_template("on-prem"))
    target = ClusterTarget(file=file)
    asked = []

    def find_head(read: object) -> None:
        asked.append(read)

    with (
        pytest.raises(SettingsError, match=f"of {file} is not up: start it."),
        connect_to_dashboard(target, how_to_start="start it.", find_head=find_head),
    ):
        pass
    assert asked == [target.cluster_file]
