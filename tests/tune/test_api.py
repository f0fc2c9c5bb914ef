"""Studies from Python, as a notebook runs them."""

import ast
import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import dgad
import tune
from cluster.embedded import LocalRay
from dgad.errors import DataError, RecordError, SettingsError
from tests.dgad.report.synthetic_run import make_run
from tests.tune.conftest import DOMAINS
from tests.tune.launches import SETTINGS, arguments_of, invoke

QUICK: dict[str, Any] = {
    "space": "demo",
    "trials": 2,
    "num_references": 3,
    "scale": "squash 64",
    "methods": ["comparer", "trivial"],
    "weights": "none",
}


@pytest.fixture(scope="module")
def launched(
    surfaces: Path, running_ray: LocalRay, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, tune.StudyResult]:
    """(the runs folder, the result) of a whole study, on the Ray that runs in this process."""
    runs = tmp_path_factory.mktemp("notebook") / "runs"
    return runs, tune.launch(data=surfaces, name="x", runs=runs, show_progress=False, **QUICK)


@pytest.mark.ray
def test_a_study_gives_tables_bundle_and_report(launched: tuple[Path, tune.StudyResult]) -> None:
    runs, result = launched
    assert (result.name, result.folder, result.note) == ("x", runs / "x", "")
    board = result.leaderboard()
    assert board.targets == DOMAINS
    rows = {row["method"]: row for row in board.to_dicts()}
    assert set(rows) == {"comparer", "comparer:untrained", "patch_knn", "trivial"}
    assert all(0 <= rows["comparer"][name] <= 1 for name in (*DOMAINS, "mean", "mean_low", "mean_high"))
    pixels = result.leaderboard("pixel_auroc").to_dicts()
    assert {row["method"] for row in pixels} == set(rows)
    assert result.other_data().rows == ()
    assert result.report is not None
    assert result.report.is_file()
    assert result.bundle is not None
    comparer = dgad.load_comparer(result.bundle, device="cpu")
    assert comparer.geometry.scale == "squash 64"


@pytest.mark.ray
def test_trials_are_a_table(launched: tuple[Path, tune.StudyResult]) -> None:
    _, result = launched
    trials = result.trials().to_dicts()
    assert len(trials) == 2 * (len(DOMAINS) + 1)
    assert {row["status"] for row in trials} <= {"complete", "stopped", "failed"}
    for target in (*DOMAINS, "deploy"):
        own = [row for row in trials if row["target"] == target]
        assert [row["number"] for row in own] == [0, 1]
        assert any(row["is_selected"] for row in own)
    assert any(name.startswith("setting.") for name in trials[0])
    pandas = pytest.importorskip("pandas", reason="pandas comes with Ray")
    assert isinstance(result.trials().to_pandas(), pandas.DataFrame)


@pytest.mark.ray
def test_it_shows_in_a_terminal_and_in_a_notebook(launched: tuple[Path, tune.StudyResult]) -> None:
    _, result = launched
    text, page = repr(result), result._repr_html_()
    for told in (text, page):
        assert "image_auroc on surfaces held out" in told
        assert "Study x: finished." in told
        assert str(result.bundle) in told


@pytest.mark.ray
def test_a_finished_study_is_loaded_and_launched_again_at_once(
    launched: tuple[Path, tune.StudyResult], surfaces: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs, result = launched
    loaded = tune.load_study("x", runs=runs)
    assert (loaded.summary, loaded.note) == (result.summary, "")
    assert loaded.leaderboard().to_dicts() == result.leaderboard().to_dicts()
    assert tune.launch(name="x", runs=runs).summary == result.summary
    with pytest.raises(SettingsError, match=r"other settings .*`trials` is 2 there and 3 here"):
        tune.launch(name="x", runs=runs, trials=3)


@pytest.mark.ray
def test_it_is_the_study_that_the_command_launches(
    launched: tuple[Path, tune.StudyResult], surfaces: Path, tmp_path: Path
) -> None:
    runs, result = launched
    done = invoke(arguments_of(surfaces, runs))
    assert done.exit_code == 0, done.output
    assert "comparer" in done.output
    file = tmp_path / "settings.yaml"
    file.write_text(SETTINGS)
    assert tune.launch(study=file, data=surfaces, name="x", runs=runs).summary == result.summary


@pytest.mark.ray
def test_the_record_of_the_study_says_how_it_was_called(
    launched: tuple[Path, tune.StudyResult], surfaces: Path
) -> None:
    _, result = launched
    assert result.summary.command.startswith("tune.launch(")
    called = ast.parse(result.summary.command, mode="eval").body
    assert isinstance(called, ast.Call)
    told = {k.arg: ast.literal_eval(k.value) for k in called.keywords}
    assert told["data"] == str(surfaces)
    assert {name: told[name] for name in QUICK} == QUICK


@pytest.mark.parametrize(
    ("keywords", "sentence"),
    [
        (
            {"trails": 3},
            r"`launch` has no keyword `trails`\. Did you mean `trials`\? A study has",
        ),
        ({"worker": 3}, r"Did you mean `workers`\?"),
        ({"trials": 0}, "`trials` must be at least 1, but got 0"),
        ({"trials": "many"}, "`trials` must be a whole number"),
        ({"methods": "comprer"}, r"Did you mean `comparer`\?"),
        ({"sampler": "tpee"}, "`sampler` must be one of"),
        ({"name": "Upper Case"}, "`name` must be 1 to 64 of a-z"),
        ({"device": "tpu"}, "`device` must be auto"),
        ({"cache_gib": -1}, "`cache_gib` must be 0"),
    ],
)
def test_mistakes_are_one_sentence(
    surfaces: Path, tmp_path: Path, keywords: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(SettingsError, match=sentence):
        tune.launch(**{"data": surfaces, "runs": tmp_path / "runs", **keywords})
    assert not (tmp_path / "runs").exists()


def test_data_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere"):
        tune.launch(data=tmp_path / "nowhere", runs=tmp_path / "runs")


def test_a_study_is_read_without_ray(tmp_path: Path) -> None:
    records, summary = make_run(tmp_path / "x")
    result = tune.load_study("x", runs=tmp_path)
    assert (result.summary, result.folder, result.note) == (summary, tmp_path / "x", "")
    board = result.leaderboard().to_dicts()
    assert [row["method"] for row in board][:2] == ["comparer", "patch_knn"]
    aurocs = {r.target: r.metrics.image_auroc for r in records if r.label == "comparer"}
    assert {target: board[0][target] for target in aurocs} == aurocs
    assert board[0]["mean"] == pytest.approx(sum(filter(None, aurocs.values())) / len(aurocs))
    assert "pixel_auroc on surfaces held out" in result.leaderboard("pixel_auroc").title
    assert len(result.trials().rows) == sum(len(cell.trials) for cell in summary.cells) > 0
    assert result.report is None
    assert "x" in repr(result)
    assert "<table>" in result._repr_html_()


def test_a_study_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"There is no study `x` in .*: it has none"):
        tune.load_study("x", runs=tmp_path)
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / "study.yaml").write_text("name: begun\n")
    with pytest.raises(RecordError, match="holds no study that has begun"):
        tune.load_study("begun", runs=tmp_path)


def test_its_signature_has_every_setting_of_a_study() -> None:
    parameters = inspect.signature(tune.launch).parameters
    fields = set(tune.Study.__dataclass_fields__) - {"format_version"}
    assert fields <= set(parameters)
    assert parameters["trials"].default == 8
    assert all(p.kind is inspect.Parameter.KEYWORD_ONLY for p in parameters.values())


def test_names_are_told_alike_to_type_checkers_and_python() -> None:
    tree = ast.parse(Path(tune.__file__).read_text())
    told = {
        alias.name: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tune")
        for alias in node.names
    }
    assert told == tune._MODULES
    assert sorted(told) == tune.__all__ == dir(tune)
    modules = {p.stem for p in Path(tune.__file__).parent.iterdir()}
    assert not modules & set(tune.__all__)


def test_importing_it_loads_neither_ray_nor_torch() -> None:
    code = "import sys, tune; print([m for m in ('ray', 'torch', 'numpy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.ray
@pytest.mark.slow
def test_ray_is_gone_after_a_launch_that_started_it(surfaces: Path, tmp_path: Path) -> None:
    code = f"""
import signal
import tune
before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
data, runs = {str(surfaces)!r}, {str(tmp_path / "runs")!r}
result = tune.launch(data=data, name="x", runs=runs, workers=2, **{QUICK!r})
import ray
assert not ray.is_initialized()
assert before == (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM))
print("RESULT", result.bundle)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[-1] == f"RESULT {tmp_path / 'runs' / 'x' / 'bundle'}"
    assert any(line.startswith("Searching") for line in lines)
    assert "\x1b" not in done.stdout
