"""`dgad evaluate` as a user calls it."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dgad.evaluation.experiment import Evaluation
from dgad.features.builtin import Builtin
from tests.conftest import Run

QUICK = """\
features: {scale: squash 64}
methods:
  comparer:quick: {preset: robust, num_steps: 2, num_reference_patches: 32}
"""


def test_json_has_every_key_and_null_where_a_metric_does_not_apply(
    run: Run, demo_data: Path, tmp_path: Path
) -> None:
    (tmp_path / "settings.yaml").write_text(QUICK)
    data = tmp_path / "data"
    shutil.copytree(demo_data, data)
    shutil.rmtree(data / "wood" / "ground_truth")
    done = run(
        *("evaluate", "--data", data, "--target", "wood", "--sources", "grid,leather"),
        *("--num-references", "50%", "--settings", "settings.yaml", "--seeds", 2, "--json"),
        *("--method", "comparer:quick,patch_knn,trivial"),
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    rows = json.loads(done.stdout)["results"]
    assert [(r["method"], r["seed"]) for r in rows] == [
        (m, s) for s in (0, 1) for m in ("comparer:quick", "patch_knn", "trivial")
    ]
    for row in rows:
        assert row["sources"] == ["grid", "leather"]
        assert row["num_references"] == 6
        assert row["pixel_auroc"] is None
        assert row["aupro"] is None
        assert 0 <= row["image_auroc_low"] <= row["image_auroc"] <= row["image_auroc_high"] <= 1
        assert row["ms_per_image"] > 0


def test_the_table_has_the_rows_that_stand_beside_a_comparer(run: Run, demo_data: Path) -> None:
    done = run(
        "evaluate", "--data", demo_data, "--target", "wood", "--scale", "squash 64", "--num-references", 4,
        "--method", "comparer:untrained,patch_knn,trivial",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for word in ("comparer:untrained", "patch_knn", "trivial", "image AUROC", "AUPRO", "target wood"):
        assert word in done.stdout
    assert "\x1b" not in done.stdout + done.stderr, "no control codes in a pipe"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--target", "wod"], "No domain `wod`"),
        (["--target", "wood", "--sources", "wood,grid"], "`wood` is among its own sources"),
        (["--target", "wood", "--sources", "grid,silk"], "No domain `silk`"),
        (["--target", "wood", "--sources", "grid,grid"], "Each source may be named once only"),
        (["--target", "wood", "--method", "comparr"], "`method` must be one of "),
        (["--target", "wood", "--num-references", "0"], "`num_references` must be at least 1"),
        (["--target", "wood", "--num-references", "13"], "at most 12, the train normals of domain `wood`"),
        (["--target", "wood", "--num-references", "some"], "a whole number, a percentage"),
        (["--target", "wood", "--scale", "squash 100"], "`scale` must be `squash N` with N a multiple of 32"),
        (["--target", "wood", "--weights", "no.safetensors"], "There is no weights file no.safetensors"),
        (["--target", "wood", "--backbone", "resnet19"], "Did you mean"),
        (["--target", "wood", "--device", "tpu"], "`device` must be auto, cpu, cuda"),
        (["--target", "wood", "--settings", "absent.yaml"], "absent.yaml cannot be read"),
        (["--target", "wood", "--num-references", "1,x"], "a whole number, a percentage"),
        (
            ["--target", "wood", "--num-references", "1,2,13"],
            "at most 12, the train normals of domain `wood`",
        ),
        (["--target", "wood", "--seeds", "0"], "`seeds` must be at least 1"),
        (["--target", "wood", "--seed", "-1"], "`seed` must be at least 0"),
        (["--target", "wood", "--frobnicate"], "No such option"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistakes_get_one_sentence_and_exit_2(
    run: Run, demo_data: Path, arguments: list[str], message: str
) -> None:
    done = run("evaluate", "--data", demo_data, *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "features:\n  scales: native\n",
            "line 2: unknown setting `scales` of features. Did you mean `scale`?",
        ),
        ("feature: {}\n", "settings.yaml, line 1: unknown key `feature`. Did you mean `features`?"),
        (
            "methods:\n  comparer:\n    hed: mlp\n",
            "settings.yaml, line 2: methods.comparer: unknown setting `hed`",
        ),
        ("methods:\n  comparer: {head: tree}\n", "`methods.comparer.head` must be one of mlp, distance"),
        ("methods:\n  comparer: {preset: papr}\n", "has the presets robust, paper"),
        ("methods:\n  comparer: 3\n", "line 2: `methods.comparer` must be a mapping, but got 3"),
        ("methods:\n  1: {}\n", "line 2: `method` must be one of agg"),
        ("a: [\n", "not valid YAML"),
        ("- 1\n", "must hold a mapping"),
        ("methods: {}\nmethods: {}\n", "line 2: `methods` stands here twice"),
    ],
)
def test_a_wrong_settings_file_names_its_line(
    run: Run, demo_data: Path, tmp_path: Path, text: str, message: str
) -> None:
    (tmp_path / "settings.yaml").write_text(text)
    done = run("evaluate", "--data", demo_data, "--target", "wood", "--settings", "settings.yaml")
    assert done.returncode == 2
    assert message in done.stderr


def test_sources_without_defects_and_folders_that_are_no_data_set(
    run: Run, demo_data: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    shutil.copytree(demo_data, data)
    for kind in (data / "grid" / "test").iterdir():
        if kind.name != "good":
            shutil.rmtree(kind)
    done = run("evaluate", "--data", data, "--target", "wood")
    assert done.returncode == 2
    assert "Source `grid` has no defects" in done.stderr
    (tmp_path / "empty").mkdir()
    done = run("evaluate", "--data", tmp_path / "empty", "--target", "wood")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert str(tmp_path / "empty") in done.stderr


def test_a_single_domain_is_enough_for_what_needs_no_sources(
    run: Run, demo_data: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    shutil.copytree(demo_data / "wood", data / "wood")
    arguments = (
        "evaluate",
        "--data",
        data,
        "--target",
        "wood",
        "--scale",
        "squash 64",
        "--num-references",
        4,
    )
    done = run(*arguments, "--method", "comparer:untrained,patch_knn,trivial", "--json")
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)["results"]
    assert [r["method"] for r in rows] == ["comparer:untrained", "patch_knn", "trivial"]
    assert all(r["sources"] == [] and r["image_auroc"] is not None for r in rows)
    refused = run(*arguments, "--method", "patch_knn,comparer")
    assert refused.returncode == 2
    assert "`comparer` needs at least 1 source domain(s) to learn from, but got 0" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_no_sources_can_be_asked_for_and_the_builtin_comparer_needs_none(
    run: Run, demo_data: Path, builtin_weights: Builtin
) -> None:
    arguments = ("evaluate", "--data", demo_data, "--target", "wood", "--scale", "squash 64")
    arguments += ("--num-references", 4, "--sources", "", "--method", "comparer:builtin")
    done = run(*arguments, "--weights", "builtin")
    assert done.returncode == 0, done.stderr
    assert "sources none" in done.stdout
    refused = run(*arguments, "--weights", "none")
    assert refused.returncode == 2
    assert "`weights` must be builtin, but got 'none'" in refused.stderr


def test_the_installed_script_ends_a_mistake_without_a_traceback(demo_data: Path) -> None:
    program = Path(sys.executable).with_name("dgad")
    done = subprocess.run(
        [program, "evaluate", "--data", demo_data, "--target", "silk"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("Error: No domain `silk`")


@pytest.mark.parametrize(("weights", "first"), [("builtin", "comparer:builtin"), ("none", "comparer")])
def test_the_shipped_comparer_stands_first_where_it_can_be_had(
    run: Run, demo_data: Path, monkeypatch: pytest.MonkeyPatch, weights: str, first: str
) -> None:
    asked: list[tuple[str, ...]] = []

    def evaluate(dataset: object, evaluation: Evaluation, **options: object) -> list[object]:
        asked.append(evaluation.labels)
        return []

    monkeypatch.setattr("dgad.api.evaluation.run_evaluation", evaluate)
    assert run("evaluate", "--data", demo_data, "--target", "wood", "--weights", weights).returncode == 0
    assert asked[0][0] == first
    assert asked[0][-2:] == ("patch_knn", "trivial")


def test_several_numbers_of_references_give_curves(run: Run, demo_data: Path) -> None:
    arguments = ("evaluate", "--data", demo_data, "--target", "wood", "--scale", "squash 64", "--seeds", 2)
    wanted = ("--method", "patch_knn,trivial", "--num-references", "1,4,all")
    done = run(*arguments, *wanted, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert len(found["results"]) == 2 * 2 * 3
    points = found["curves"]["image_auroc"]
    assert [(p["label"], p["num_references"], p["num_seeds"]) for p in points] == [
        (label, n, 2) for label in ("patch_knn", "trivial") for n in (1, 4, 12)
    ]
    own = [r["image_auroc"] for r in found["results"] if (r["method"], r["num_references"]) == ("trivial", 4)]
    (point,) = [p for p in points if (p["label"], p["num_references"]) == ("trivial", 4)]
    assert point["mean"] == pytest.approx(sum(own) / 2)
    assert point["standard_error"] == pytest.approx(abs(own[0] - own[1]) / 2)
    table = run(*arguments, *wanted)
    assert "by number of references, mean ± standard error over 2 seeds" in table.stdout
