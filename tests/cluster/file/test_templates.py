"""Every template is what Ray or KubeRay takes, and safe, once its places are filled in."""

import copy
import importlib
import importlib.metadata
import re
from pathlib import Path

import pytest
import yaml

import tune.cli
from cluster.checks.cluster_file import check_cluster
from cluster.checks.findings import Finding, TrialDemand
from cluster.checks.kuberay import check_kuberay, read_kuberay_file
from cluster.file.config_file import read_cluster_file
from cluster.file.template_files import TEMPLATES, render_template
from dgad.errors import SettingsError
from dgad.settings import from_dict
from serve.settings import ServeSettings
from tests.cluster.support.cluster_files import filled_template, write

OF_RAY = ["on-prem", "aws-gpu", "gcp-gpu"]
OF_KUBERAY = ["rayjob", "rayservice"]
DEMAND = TrialDemand(cpus=4, gpus=0.5)


def _check(path: Path, name: str, text: str) -> tuple[Finding, ...]:
    file = write(path / f"{name}.yaml", text)
    if name in OF_KUBERAY:
        return check_kuberay(read_kuberay_file(file), DEMAND)
    return check_cluster(read_cluster_file(file), DEMAND)


def test_every_template_is_tested_here_and_lies_in_the_package() -> None:
    folder = Path(tune.cli.__file__).parents[1] / "cluster" / "file" / "templates"
    assert set(TEMPLATES) == {*OF_RAY, *OF_KUBERAY} == {p.stem for p in folder.glob("*.yaml")}


@pytest.mark.parametrize("name", TEMPLATES)
def test_filled_in_nothing_is_wrong_with_it(tmp_path: Path, home: Path, name: str) -> None:
    findings = _check(tmp_path, name, filled_template(name))
    assert {f.severity for f in findings} == {"unverified"}


@pytest.mark.parametrize("name", TEMPLATES)
def test_each_place_that_is_not_filled_in_is_told_once_with_its_line(
    tmp_path: Path, home: Path, name: str
) -> None:
    text = render_template(name)
    places = {
        (number, found)
        for number, line in enumerate(text.splitlines(), 1)
        if not line.lstrip().startswith("#")
        for found in re.findall(r"<[A-Z_]+>", line)
    }
    if name == "rayservice":  # some are inside a text of several lines, told where that begins
        inner = {place for place in places if place[1] in ("<BUNDLE>", "<STORE_URI>")}
        start = next(n for n, line in enumerate(text.splitlines(), 1) if "serveConfigV2" in line)
        places = (places - inner) | {(start, place[1]) for place in inner}
    errors = [f for f in _check(tmp_path, name, text) if f.severity == "error"]
    assert {(f.line, f.message.split()[0]) for f in errors} == places
    assert len(errors) == len(places)


@pytest.mark.parametrize("name", TEMPLATES)
def test_it_names_the_ray_that_is_installed_and_no_lookalike_of_a_placeholder_is_left(name: str) -> None:
    text = render_template(name)
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


def test_the_service_of_a_rayservice_is_one_that_serve_takes() -> None:
    from ray.serve.schema import ServeDeploySchema

    config = yaml.safe_load(yaml.safe_load(filled_template("rayservice"))["spec"]["serveConfigV2"])
    (application,) = ServeDeploySchema.model_validate(config).applications
    module, _, name = application.import_path.partition(":")
    assert callable(getattr(importlib.import_module(module), name))
    settings = from_dict(ServeSettings, application.args)
    assert (settings.host, settings.port) == (config["http_options"]["host"], config["http_options"]["port"])


def test_an_unknown_template() -> None:
    with pytest.raises(SettingsError, match=r"There is no template `on-perm`\. Did you mean `on-prem`\?"):
        render_template("on-perm")
