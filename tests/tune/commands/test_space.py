"""`dgad-tune space`, and exit codes of a wrong `spaces`, as a user meets them."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.conftest import Run
from tune.cli import cli


def _show(*arguments: str) -> str:
    result = CliRunner().invoke(cli, ["space", *arguments], catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def test_a_space_is_shown_with_conditions_and_presets() -> None:
    lines = [" ".join(line.split()) for line in _show("eisnet").splitlines()]
    assert "jigsaw_weight 0, 0.3, 0.7, 1" in lines
    assert "margin 0.5, 1, 2 triplet_weight is not 0" in lines
    assert lines[-1] == "Presets tried first: default"


def test_as_a_study_file_narrows_it_and_on_its_features(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text("weights: none\nspaces:\n  comparer:\n    num_steps: [0, 60]\n    flips: false\n")
    found = json.loads(_show("comparer", "--study", str(path), "--json"))
    by_name = {p["name"]: p for p in found["parameters"]}
    assert by_name["num_steps"]["choices"] == [0, 60]
    assert by_name["init"]["choices"] == ["difference", "random"]
    assert by_name["learning_rate"]["where"] == "`num_steps` is 60"
    assert found["fixed"] == {"flips": False}
    assert found["presets"] == []


def test_a_method_without_settings_has_nothing_to_show() -> None:
    assert "nothing is searched" in _show("trivial")


@pytest.mark.parametrize(
    ("spaces", "arguments", "message"),
    [
        (
            "{comparer: {init: []}}",
            ("space", "comparer"),
            "study.yaml, line 1: `spaces.comparer.init`",
        ),
        ("{comparer: {width: 64}}", ("space", "comparer"), "line 1: `spaces.comparer` allows what"),
        ("{comparer: {width: 64}}", ("launch", "--dry-run", "--data", "x"), "allows what `comparer` cannot"),
        (
            "{agg: {stride: 16}}",
            ("launch", "--data", "x"),
            "line 1: `spaces.agg` narrows a method that",
        ),
    ],
)
def test_a_wrong_space_is_the_user_s_mistake(
    run: Run, tmp_path: Path, spaces: str, arguments: tuple[str, ...], message: str
) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(f"spaces: {spaces}\n")
    done = run(*arguments, "--study", path, script="dgad-tune")
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
