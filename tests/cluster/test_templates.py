"""Every template is what Ray or KubeRay takes, and safe, once its places are filled in."""

import copy
import importlib.metadata
import re
from pathlib import Path

import pytest
import yaml

import tune.cli
from cluster.checks import check_cluster
from cluster.config_file import read_cluster_file
from cluster.findings import Finding, TrialDemand
from cluster.kuberay import check_kuberay, read_kuberay_file
from cluster.template_files import TEMPLATES, template_text
from dgad.errors import SettingsError
from tests.cluster.cluster_files import filled_template, write

OF_RAY = ["on-prem", "aws-gpu", "gcp-gpu"]
OF_KUBERAY = ["rayjob", "rayservice"]
DEMAND = TrialDemand(cpus=4, gpus=0.5)


def _check(path: Path, name: str, text: str) -> tuple[Finding, ...]:
    file = write(path / f"{name}.yaml", text)
    if name in OF_KUBERAY:
        return check_kuberay(read_kuberay_file(file), DEMAND)
    return check_cluster(read_cluster_file(file), DEMAND)


def test_every_template_is_tested_here_and_lies_in_the_package() -> None:
    folder = Path(tune.cli.__file__).parents[1] / "cluster" / "templates"
    assert set(TEMPLATES) == {*OF_RAY, *OF_KUBERAY} == {p.stem for p in folder.glob("*.yaml")}


@pytest.mark.parametrize("name", TEMPLATES)
def test_filled_in_nothing_is_wrong_with_it(tmp_path: Path, home: Path, name: str) -> None:
    findings = _check(tmp_path, name, filled_template(name))
    assert {f.severity for f in findings} == {"unverified"}


@pytest.mark.parametrize("name", TEMPLATES)
def test_each_place_that_is_not_filled_in_is_told_once_with_its_line(
    tmp_path: Path, home: Path, name: str
) -> None:
    text = template_text(name)
    places = {
        (number, match[0])
        for number, line in enumerate(text.splitlines(), 1)
        if not line.lstrip().startswith("#")
        for match in [re.search(r"<[A-Z_]+>", line)]
        if match
    }
    if name == "rayservice":  # its import path is inside a text of several lines, told where that begins
        inner = next(place for place in places if place[1] == "<IMPORT_PATH>")
        start = next(n for n, line in enumerate(text.splitlines(), 1) if "serveConfigV2" in line)
        places = (places - {inner}) | {(start, inner[1])}
    errors = [f for f in _check(tmp_path, name, text) if f.severity == "error"]
    assert {(f.line, f.message.split()[0]) for f in errors} == places
    assert len(errors) == len(places)


@pytest.mark.parametrize("name", TEMPLATES)
def test_it_names_the_ray_that_is_installed_and_no_lookalike_of_a_placeholder_is_left(name: str) -> None:
    text = template_text(name)
    assert importlib.metadata.version("ray") in text
    assert "{{" not in text


@pytest.mark.parametrize("name", OF_RAY)
def test_ray_takes_it(name: str) -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    values = yaml.safe_load(filled_template(name))
    prepared = prepare_config(copy.deepcopy(values))
    validate_config(prepared)
    assert prepared["head_start_ray_commands"] == values["head_start_ray_commands"]


@pytest.mark.parametrize("name", OF_RAY)
def test_jobs_find_the_python_that_dgad_is_installed_in(tmp_path: Path, name: str) -> None:
    file = read_cluster_file(write(tmp_path / "c.yaml", filled_template(name)))
    assert file.interpreter == "~/dgad-env/bin/python"
    assert any("~/dgad-env/bin/pip install" in command for command in file.get("setup_commands"))
    assert file.token_mount("head")
    assert file.token_mount("worker")


@pytest.mark.parametrize("name", ["aws-gpu", "gcp-gpu"])
def test_workers_are_ones_that_can_be_taken_away_and_the_head_is_not(tmp_path: Path, name: str) -> None:
    file = read_cluster_file(write(tmp_path / "c.yaml", filled_template(name)))
    types = file.get("available_node_types")
    spot = {key for key, t in types.items() if re.search("spot|preemptible", str(t["node_config"]))}
    assert spot == {t.name for t in file.node_types if not t.is_head} != set()


def test_the_study_of_a_rayjob_is_launched_by_a_command_that_exists() -> None:
    program, command, *arguments = yaml.safe_load(filled_template("rayjob"))["spec"]["entrypoint"].split()
    assert (program, command) == ("dgad-tune", "launch")
    given = dict(zip(arguments[::2], arguments[1::2], strict=True))
    assert given["--address"] == "auto"
    known = {option for p in tune.cli.cli.commands["launch"].params for option in p.opts}
    assert set(given) <= known


def test_an_unknown_template() -> None:
    with pytest.raises(SettingsError, match=r"There is no template `on-perm`\. Did you mean `on-prem`\?"):
        template_text("on-perm")
