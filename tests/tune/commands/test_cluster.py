"""`dgad-tune cluster`: a template is written once, and a file's faults end in exit code 2."""

import json
from pathlib import Path

import pytest

from cluster.file.template_files import TEMPLATES
from tests.cluster.support.cluster_files import filled_template, write
from tests.conftest import Run


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_is_written_and_its_empty_places_are_errors(
    run: Run, tmp_path: Path, home: Path, name: str
) -> None:
    path = tmp_path / "mine.yaml"
    done = run("cluster", "init", name, "--output", str(path), script="dgad-tune")
    assert done.returncode == 0
    assert f"dgad-tune cluster check {path}" in done.stdout
    checked = run("cluster", "check", str(path), script="dgad-tune")
    assert checked.returncode == 2
    assert "is a placeholder of the template" in checked.stdout


def test_a_file_that_is_there_is_kept(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "on-prem.yaml", "mine")
    done = run("cluster", "init", "on-prem", script="dgad-tune")
    assert done.returncode == 2
    assert "on-prem.yaml exists already" in done.stderr
    assert (tmp_path / "on-prem.yaml").read_text() == "mine"


def test_an_unknown_template_lists_the_known(run: Run) -> None:
    done = run("cluster", "init", "azure", script="dgad-tune")
    assert done.returncode == 2
    assert "Choose one of on-prem, aws-gpu, gcp-gpu, rayjob, rayservice." in done.stderr


def test_a_sound_file_exits_0_and_names_what_is_unverified(run: Run, tmp_path: Path, home: Path) -> None:
    path = write(tmp_path / "c.yaml", filled_template("aws-gpu"))
    done = run("cluster", "check", str(path), "--gpus-per-trial", "0.5", script="dgad-tune")
    assert done.returncode == 0
    assert f"{path}: no error, no warning, 3 things that only the started cluster can tell." in done.stdout
    too_large = run("cluster", "check", str(path), "--gpus-per-trial", "2", script="dgad-tune")
    assert too_large.returncode == 2
    assert "the largest, `gpu-worker`, offers 8 CPU and 1 GPU" in too_large.stdout


def test_findings_as_json(run: Run, tmp_path: Path, home: Path) -> None:
    text = filled_template("on-prem").replace("--disable-usage-stats", "")
    path = write(tmp_path / "c.yaml", text)
    done = run("cluster", "check", str(path), "--json", script="dgad-tune")
    assert done.returncode == 2
    told = json.loads(done.stdout)
    assert (told["file"], told["ok"]) == (str(path), False)
    assert [set(f) for f in told["findings"]] == [{"severity", "message", "line"}] * len(told["findings"])
    (error,) = [f for f in told["findings"] if f["severity"] == "error"]
    assert text.splitlines()[error["line"] - 1].strip() == "- >-"


@pytest.mark.parametrize(
    ("text", "message"),
    [("cluster_name: a\n", "line 1: the key `provider` is missing"), ("a: [\n", "not valid YAML")],
)
def test_what_is_no_cluster_file_is_told_in_one_sentence(
    run: Run, tmp_path: Path, text: str, message: str
) -> None:
    done = run("cluster", "check", str(write(tmp_path / "c.yaml", text)), script="dgad-tune")
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_demand_that_no_trial_can_have(run: Run, tmp_path: Path) -> None:
    done = run("cluster", "check", "c.yaml", "--gpus-per-trial", "1.5", script="dgad-tune")
    assert done.returncode == 2
    assert "`gpus_per_trial` must be 0 to 1, or a whole number, but got 1.5" in done.stderr
