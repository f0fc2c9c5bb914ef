"""`dgad.evaluate` and its table, beside the command that prints the same."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

import dgad
from dgad.errors import DataError, SettingsError, TrainingError
from dgad.methods.trivial import TrivialMethod
from tests.conftest import Run

SMALL = dgad.FeatureSettings(weights="none", scale="squash 32")
TIMES = ("ms_per_image", "fit_s", "enroll_s", "ms_per_megapixel")


def without_times(text: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(text)
    for row in told["results"]:
        for name in TIMES:
            assert row.pop(name) >= 0
    return told


@pytest.fixture(scope="module")
def table(demo_data: Path) -> dgad.EvaluationTable:
    """Two methods, two seeds, two numbers of references."""
    return dgad.evaluate(
        demo_data,
        target="wood",
        methods=("trivial", "patch_knn"),
        num_references=(2, "50%"),
        num_seeds=2,
        features=SMALL,
        device="cpu",
    )


def test_its_json_is_what_the_command_prints(table: dgad.EvaluationTable, demo_data: Path, run: Run) -> None:
    done = run(
        "evaluate", "--data", demo_data, "--target", "wood", "--method", "trivial,patch_knn",
        "--num-references", "2,50%", "--seeds", 2, "--weights", "none", "--scale", "squash 32", "--json",
        "--device", "cpu",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert without_times(done.stdout) == without_times(table.to_json())
    assert list(json.loads(done.stdout)["results"][0]) == list(json.loads(table.to_json())["results"][0])


def test_rows_are_typed(table: dgad.EvaluationTable) -> None:
    assert len(table.rows) == 2 * 2 * 2
    first = table.rows[0]
    assert isinstance(first, dgad.EvaluationRow)
    assert (first.method, first.target, first.sources) == ("trivial", "wood", ("grid", "leather", "marble"))
    assert (first.num_references, first.seed, first.num_queries) == (2, 0, 8)
    assert first.image_auroc is not None
    assert 0 <= first.image_auroc <= 1
    assert {point.num_references for point in table.curves()["image_auroc"]} == {2, 6}


def test_it_becomes_a_data_frame(table: dgad.EvaluationTable) -> None:
    pytest.importorskip("pandas", reason="pandas comes with Ray, not with dgad")
    frame = table.to_pandas()
    assert list(frame.columns) == list(table.to_dicts()[0])
    means = frame.groupby("method")["image_auroc"].mean()
    own = [r.image_auroc for r in table.rows if r.method == "trivial" and r.image_auroc is not None]
    assert means["trivial"] == pytest.approx(sum(own) / 4)


def test_without_pandas_it_says_so(table: dgad.EvaluationTable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(SettingsError, match="needs pandas, which is not installed: `pip install pandas`"):
        table.to_pandas()


def test_it_shows_in_a_terminal_and_in_a_notebook(table: dgad.EvaluationTable) -> None:
    lines = repr(table).splitlines()
    assert lines[0] == "target wood · sources grid, leather, marble"
    assert lines[1].split()[:2] == ["method", "num_references"]
    assert len(lines) == 2 + len(table.rows)
    page = table._repr_html_()
    assert page.count("<tr>") == 1 + len(table.rows)
    assert "target wood" in page


def test_text_is_escaped_in_a_notebook(demo_data: Path) -> None:
    hostile = dgad.EvaluationTable(target="<b>", sources=(), rows=(), not_applicable={"a": "<script>"})
    assert "<script>" not in hostile._repr_html_()
    assert "&lt;b&gt;" in hostile._repr_html_()
    assert repr(hostile) == "target <b> · sources none\na: not applicable: <script>"


def test_a_data_set_that_is_open_is_not_opened_again(demo_data: Path) -> None:
    dataset = dgad.open_dataset(demo_data)
    found = dgad.evaluate(
        dataset, target="wood", sources=(), methods="trivial", num_references=2, features=SMALL
    )
    assert [row.sources for row in found.rows] == [()]
    assert found.title == "target wood · sources none"


def test_settings_are_those_of_the_file(demo_data: Path, tmp_path: Path) -> None:
    settings = {
        "features": {"weights": "none", "image_size_px": 32},
        "methods": {"patch_knn:coarse": {"num_levels": 1, "finest_stride": 8}},
    }
    file = tmp_path / "settings.yaml"
    file.write_text(json.dumps(settings))
    by_mapping, by_file = (
        dgad.evaluate(
            demo_data, target="wood", methods=("patch_knn:coarse",), num_references=2, settings=given
        )
        for given in (settings, file)
    )
    assert without_times(by_mapping.to_json()) == without_times(by_file.to_json())
    assert by_mapping.rows[0].method == "patch_knn:coarse"


def test_a_method_that_cannot_be_had_on_these_features_is_told(demo_data: Path) -> None:
    tokens = {"methods": {"patch_knn:tokens": {"preset": "anomalydino"}}}
    with pytest.raises(SettingsError, match="token"):
        dgad.evaluate(
            demo_data, target="wood", methods=("patch_knn:tokens",), settings=tokens, features=SMALL
        )


@pytest.mark.parametrize(
    ("keywords", "sentence"),
    [
        ({"target": "wod"}, r"No domain `wod` .* Did you mean `wood`\?"),
        ({"sources": ("wood",)}, "among its own sources"),
        ({"methods": ("comprer",)}, r"Did you mean `comparer`\?"),
        ({"methods": ()}, "`methods` must name at least one method"),
        ({"num_references": 99}, "`num_references` must be at most 12"),
        ({"num_references": "many"}, "`num_references` must be a whole number"),
        ({"seed": -1}, "`seed` must be at least 0"),
        ({"num_seeds": 0}, "`seeds` must be at least 1"),
        ({"settings": {"featurs": {}}}, r"unknown key `featurs`\. Did you mean `features`\?"),
        ({"settings": {"features": {"scales": 32}}}, r"unknown setting `scales`\. Did you mean"),
        ({"device": "tpu"}, "`device` must be auto"),
    ],
)
def test_mistakes_are_one_sentence(demo_data: Path, keywords: dict[str, Any], sentence: str) -> None:
    given: dict[str, Any] = {"target": "wood", "methods": ("trivial",), "num_references": 2, **keywords}
    with pytest.raises((SettingsError, DataError), match=sentence):
        dgad.evaluate(demo_data, **given)


def test_a_training_that_breaks_off_takes_no_other_row(
    demo_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: TrivialMethod, sources: object, *, seed: int) -> None:
        raise TrainingError("The loss is nan.")

    monkeypatch.setattr(TrivialMethod, "fit", broken)
    found = dgad.evaluate(
        demo_data, target="wood", methods=("trivial", "patch_knn"), num_references=2, features=SMALL
    )
    assert [row.method for row in found.rows] == ["patch_knn"]
    assert [(f.label, f.message) for f in found.failed] == [("trivial", "The loss is nan.")]
    assert "trivial, seed 0: failed: The loss is nan." in repr(found)
    assert json.loads(found.to_json())["failed"][0]["label"] == "trivial"
