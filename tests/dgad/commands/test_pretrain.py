"""`dgad pretrain` as a user calls it, from nothing to weights that a comparer starts from."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dgad.comparer.model import Comparer
from dgad.comparer.settings import BUILTIN
from dgad.comparer.start import shipped_settings
from dgad.features.builtin import read_builtin
from dgad.pretraining.evaluation import draw_held_out_targets
from dgad.settings import to_dict
from tests.conftest import Run

RECIPE = """\
strides: [4, 8, 16]
image_size_px: 64
domains_per_step: 2
references: 1
normals: 1
abnormals: 1
comparer_steps: 2
"""


@pytest.fixture
def few_targets(monkeypatch: pytest.MonkeyPatch) -> None:
    """One small surface to look at instead of ten."""
    few = draw_held_out_targets(domains_each=1, image_size_px=64)[:1]
    monkeypatch.setattr("dgad.pretraining.run.draw_held_out_targets", lambda: few)


@pytest.mark.usefixtures("few_targets")
def test_weights_are_made_from_nothing_and_the_same_call_goes_on(run: Run, tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    call = ("pretrain", "made", "--settings", "recipe.yaml", "--workers", 0, "--evaluate-every", 1000)
    first = run(*call, "--steps", 2)
    assert first.returncode == 0, first.stderr
    assert "Step 2: loss" in first.stdout
    assert "Weights: made/weights" in first.stdout
    second = run(*call, "--steps", 3)
    assert second.returncode == 0, second.stderr
    assert "Going on from step 2" in second.stdout
    log = [json.loads(line) for line in (tmp_path / "made/log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in log] == [2, 3]
    made = read_builtin(tmp_path / "made/weights")
    assert made.info.strides == (4, 8, 16)
    assert made.info.origin["steps"] == 3
    assert made.info.origin["images"] == 3 * 2 * 3
    assert made.info.comparer == to_dict(BUILTIN)
    channels = [64, 128]  # of the levels that the comparer looks at, and no further
    Comparer(channels, shipped_settings(made.info)).load_state_dict(dict(made.comparer))
    card = (tmp_path / "made/weights/MODEL_CARD.md").read_text()
    assert "No photograph" in card
    other = run(*call, "--steps", 4, "--seed", 1)
    assert other.returncode == 2
    assert "`seed` is 0 there and 1 here" in other.stderr


@pytest.mark.usefixtures("few_targets")
def test_no_line_is_logged_before_there_is_a_checkpoint_to_go_on_from(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    there = []
    monkeypatch.setattr(
        "dgad.pretraining.run._log",
        lambda folder, *rest: there.append((folder / "checkpoint.safetensors").exists()),
    )
    call = ("pretrain", "made", "--settings", "recipe.yaml", "--workers", 0)
    assert run(*call, "--steps", 2, "--evaluate-every", 1).returncode == 0
    assert there == [True, True]


@pytest.mark.slow
def test_a_killed_run_goes_on_from_its_last_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    script = (
        "import dgad.pretraining.run as r; r._SAVE_EVERY_S = 0.0\n"
        "few = r.draw_held_out_targets(domains_each=1, image_size_px=64)[:1]\n"
        "r.draw_held_out_targets = lambda: few\n"
        "from dgad.cli import main; import sys; sys.argv[0] = 'dgad'; main()"
    )
    call = [sys.executable, "-c", script, "pretrain", "made", "--settings", "recipe.yaml", "--workers", "0"]
    killed = subprocess.Popen([*call, "--steps", "100000"], cwd=tmp_path)
    checkpoint = tmp_path / "made/checkpoint.safetensors"
    deadline = time.monotonic() + 400
    while not checkpoint.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(0.5)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    kept = checkpoint.read_bytes()
    assert kept
    done = subprocess.run(
        [*call, "--steps", "1"], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Going on from step" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--steps", 0), "`steps` must be at least 1"),
        (("--backbone", "resnet1800"), "`backbone` must be the name of a timm model"),
        (("--settings", "recipe.yaml"), "recipe.yaml: unknown setting `stride`"),
        (("--workers", -1), "`workers` must be at least 0"),
    ],
)
def test_a_mistake_is_one_sentence_and_leaves_nothing(
    run: Run, tmp_path: Path, arguments: tuple[object, ...], message: str
) -> None:
    (tmp_path / "recipe.yaml").write_text("stride: 4\n")
    done = run("pretrain", "made", *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "made").exists()


def test_a_folder_of_something_else_is_left_alone(run: Run, tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    (tmp_path / "made/letter.txt").write_text("dear")
    done = run("pretrain", "made", "--steps", 1)
    assert done.returncode == 2
    assert "holds something else than a pretraining run" in done.stderr
    assert [p.name for p in (tmp_path / "made").iterdir()] == ["letter.txt"]
