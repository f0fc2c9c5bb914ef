"""The options that name a Ray."""

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from cluster.target import cluster_options
from dgad.errors import SettingsError


@click.command()
@cluster_options
def command(*, cluster_file: Path | None, address: str | None) -> None:
    click.echo(f"{cluster_file} {address}")


@pytest.mark.parametrize(
    ("arguments", "given"),
    [
        ([], "None None"),
        (["--cluster", "c.yaml"], "c.yaml None"),
        (["--address", "https://head:8265"], "None https://head:8265"),
    ],
)
def test_the_command_gets_what_was_given(arguments: list[str], given: str) -> None:
    assert CliRunner().invoke(command, arguments).output == f"{given}\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--cluster", "c.yaml", "--address", "http://head:8265"], "name two clusters"),
        (["--address", "head:6379"], "must be the URL of a Ray dashboard"),
    ],
)
def test_what_names_no_one_ray_is_refused(arguments: list[str], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        CliRunner().invoke(command, arguments, catch_exceptions=False)
