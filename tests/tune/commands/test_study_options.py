"""Every setting of a study is an option of `launch` by itself."""

import dataclasses
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from dgad.errors import SettingsError
from tests.conftest import Run
from tune.cli import cli
from tune.commands.launch import launch_command
from tune.commands.study_options import WITHOUT_OPTION, add_study_options, read_settings, read_study_fields
from tune.launcher import driver
from tune.launcher.request import Request
from tune.study.settings import Study, make_study

OPTIONS = {p.name: p for p in launch_command.params if isinstance(p, click.Option)}


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Study)])
def test_every_field_has_an_option_with_a_help_or_a_written_reason_for_none(name: str) -> None:
    if name in WITHOUT_OPTION:
        assert name not in OPTIONS
        assert WITHOUT_OPTION[name]
        return
    shown = OPTIONS[name].help
    assert shown
    assert not shown.startswith("  [default")


def test_what_is_read_from_the_source_is_what_the_class_has() -> None:
    hints = typing.get_type_hints(Study)
    fields = dataclasses.fields(Study)
    assert [f.name for f in read_study_fields()] == [f.name for f in fields]
    for read, field in zip(read_study_fields(), fields, strict=True):
        if read.name in WITHOUT_OPTION:
            continue
        assert read.default == (None if field.default is dataclasses.MISSING else field.default)
        hint = hints[read.name]
        assert read.is_list == (typing.get_origin(hint) is tuple)
        inner = typing.get_args(hint)[0] if read.is_list else hint
        assert read.choices == (typing.get_args(inner) if typing.get_origin(inner) is typing.Literal else ())


def _given(*arguments: str) -> Mapping[str, Any]:
    given: dict[str, Any] = {}

    @click.command()
    @add_study_options
    def command(**options: Any) -> None:
        given.update({k: v for k, v in read_settings(options).items() if v is not None})

    assert CliRunner().invoke(command, arguments, catch_exceptions=False).exit_code == 0
    return given


@pytest.mark.parametrize(
    ("arguments", "given"),
    [
        ((), {}),
        (("--sampler", "random"), {"sampler": "random"}),
        (("--early-stopping", "none"), {"early_stopping": "none"}),
        (("--methods", "comparer, trivial"), {"methods": ("comparer", "trivial")}),
        (("--folds", "all"), {"folds": ()}),
        (("--folds", "wood,grid"), {"folds": ("wood", "grid")}),
        (("--reference-counts", "1,5,all"), {"reference_counts": ("1", "5", "all")}),
        (("--scale", "squash 64", "--seed", "0"), {"scale": "squash 64", "seed": 0}),
        (
            ("--search-scale", "fit 64, 0.5", "--search-tile-px", "64,128"),
            {"search_scale": ("fit 64", "0.5"), "search_tile_px": (64, 128)},
        ),
        (
            ("--constraint", "ms_per_image <= 20", "--constraint", "aupro >= 0.5"),
            {"constraints": ("ms_per_image <= 20", "aupro >= 0.5")},
        ),
    ],
)
def test_an_option_gives_the_value_of_its_field(arguments: tuple[str, ...], given: Mapping[str, Any]) -> None:
    assert _given(*arguments) == given
    study = make_study(given)
    assert {name: getattr(study, name) for name in given} == given


def test_a_sampler_of_the_command_line_reaches_the_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = []

    def launch(request: Request, console: object) -> None:
        begun.append(make_study(request.given_study()).sampler)
        raise SystemExit(0)

    monkeypatch.setattr(driver, "launch", launch)
    arguments = ["launch", "--data", "/nowhere", "--runs", str(tmp_path), "--sampler", "random"]
    assert CliRunner().invoke(cli, arguments, catch_exceptions=False).exit_code == 0
    assert begun == ["random"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--sampler", "grid"), "`sampler` must be one of tpe, random, nsga2, but got 'grid'."),
        (("--space", "big"), "`space` must be one of full, demo, but got 'big'."),
        (("--objectives", "speed"), "must be one of image_auroc, pixel_auroc, aupro, ms_per_image, ms_per_"),
    ],
)
def test_an_unknown_value_is_one_sentence(run: Run, arguments: tuple[str, ...], said: str) -> None:
    done = run("launch", *arguments, script="dgad-tune")
    assert done.returncode == 2
    assert done.stdout == ""
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_help_shows_choices_and_defaults() -> None:
    shown = " ".join(CliRunner().invoke(cli, ["launch", "--help"]).output.split())
    assert "--sampler [tpe|random|nsga2]" in shown
    assert "[default: tpe]" in shown
    assert "[default: 8; demo: 3]" in shown


def test_a_list_of_numbers_takes_no_words() -> None:
    with pytest.raises(SettingsError, match="must be whole numbers with commas, but got 'x'"):
        _given("--search-tile-px", "64,x")


def test_the_size_of_earlier_versions_is_told_what_stands_for_it() -> None:
    with pytest.raises(SettingsError, match="--scale 'squash 256' does what it did, and --scale 'fit 256'"):
        _given("--image-size", "256")
