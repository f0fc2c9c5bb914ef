"""Each check of a Kubernetes file tells a planted fault, with its line; KubeRay takes our templates."""

import os
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from cluster.checks.findings import Finding, TrialDemand
from cluster.checks.kuberay import check_kuberay, is_kuberay, read_kuberay_file
from dgad.errors import SettingsError
from tests.cluster.support.cluster_files import SOUND, filled_template, write
from tests.cluster.support.crd_schema import Schema, admit, crd_schema
from tests.cluster.support.kuberay_schema import SCHEMAS

JOB = filled_template("rayjob")
SERVICE = filled_template("rayservice")


def _check(path: Path, text: str, demand: TrialDemand | None = None) -> tuple[Finding, ...]:
    return check_kuberay(read_kuberay_file(write(path / "job.yaml", text)), demand or TrialDemand())


def _line_of(text: str, part: str) -> int:
    return next(n for n, line in enumerate(text.splitlines(), 1) if part in line)


@pytest.mark.parametrize(
    ("text", "old", "new", "at", "severity", "message"),
    [
        (JOB, "mode: token", "mode: disabled", "authOptions", "error", "Token auth is not on"),
        (SERVICE, "mode: token", "mode: disabled", "authOptions", "error", "Token auth is not on"),
        (
            JOB,
            "            secretName: dgad-ray-token\n",
            "",
            "authOptions",
            "warning",
            "Without a `secretName`",
        ),
        (
            JOB,
            "serviceType: ClusterIP",
            "serviceType: LoadBalancer",
            "serviceType",
            "error",
            "from outside as a LoadBalancer",
        ),
        (
            JOB,
            "serviceType: ClusterIP",
            "enableIngress: true",
            "enableIngress",
            "error",
            "An ingress would open",
        ),
        (JOB, 'value: "0"', 'value: "1"', "headGroupSpec", "error", "would report its usage"),
        (JOB, 'rayVersion: "', 'rayVersion: "1', "rayVersion", "error", "The hosts get Ray 1"),
        (
            JOB,
            "images.example/dgad:1",
            "rayproject/ray:2.9.0-py311",
            "image:",
            "error",
            "The hosts get Ray 2.9.0",
        ),
    ],
)
def test_a_planted_fault_is_the_only_one_told(
    tmp_path: Path, text: str, old: str, new: str, at: str, severity: str, message: str
) -> None:
    assert old in text
    planted = text.replace(old, new, 1)
    found = [f for f in _check(tmp_path, planted) if f.severity != "unverified"]
    assert [(f.severity, f.line) for f in found] == [(severity, _line_of(planted, at))]
    assert message in found[0].message


def test_token_auth_by_hand_for_older_operators(tmp_path: Path) -> None:
    by_hand = """\
                              - {name: RAY_AUTH_MODE, value: token}
                              - {name: RAY_AUTH_TOKEN, valueFrom: {secretKeyRef: {name: t, key: auth_token}}}
"""
    options = "        authOptions:\n            mode: token\n            secretName: dgad-ray-token\n"
    assert options in JOB
    head_only = JOB.replace(options, "").replace('value: "0"\n', 'value: "0"\n' + by_hand)
    assert any("Token auth is not on" in f.message for f in _check(tmp_path, head_only))
    worker = f"- name: ray-worker\n                            env:\n{by_hand}"
    both = head_only.replace("- name: ray-worker\n", worker)
    assert {f.severity for f in _check(tmp_path, both)} == {"unverified"}
    inline = both.replace("valueFrom: {secretKeyRef: {name: t, key: auth_token}}", "value: abc", 1)
    (found,) = [f for f in _check(tmp_path, inline) if f.severity == "error"]
    assert "The token itself stands in this file" in found.message


@pytest.mark.parametrize(
    ("cpus", "gpus", "message"),
    [(8, 1, None), (1, 0.25, None), (9, 0, "`gpu-worker`, offers 8 CPU and 1 GPU"), (1, 2, "`gpu-worker`")],
)
def test_a_trial_must_fit_a_worker(tmp_path: Path, cpus: int, gpus: float, message: str | None) -> None:
    errors = [
        f.message for f in _check(tmp_path, JOB, TrialDemand(cpus=cpus, gpus=gpus)) if f.severity == "error"
    ]
    assert len(errors) == (message is not None)
    assert message is None or message in errors[0]


def test_a_worker_without_limits_offers_what_nobody_knows(tmp_path: Path) -> None:
    before, after = JOB.split("- name: ray-worker")
    worker = "\n".join(line for line in after.splitlines() if "cpu" not in line and "resources" not in line)
    text = before.replace('cpu: "2"', 'cpu: "2000m"') + "- name: ray-worker" + worker
    found = [f for f in _check(tmp_path, text, TrialDemand(cpus=4)) if "trial" in f.message]
    assert [f.severity for f in found] == ["unverified"]


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("apiVersion: v1\nkind: Pod\n", 1, "`apiVersion` must be ray.io/v1, but is 'v1'"),
        ("apiVersion: ray.io/v1\nkind: RayCluster\n", 2, "one of RayJob, RayService, but is 'RayCluster'"),
        ("apiVersion: ray.io/v1\nkind: RayJob\nspec: {}\n", 3, "`spec.rayClusterSpec` is missing"),
        (JOB.replace("containers:", "contaners:", 1), None, "has no `template.spec.containers`"),
        (JOB.replace('cpu: "8"', "cpu: many"), None, "such as 2 or 500m, but is 'many'"),
    ],
)
def test_what_cannot_be_read_is_refused(tmp_path: Path, text: str, line: int | None, message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        _check(tmp_path, text)
    assert message in str(caught.value)
    assert line is None or f", line {line}: " in str(caught.value)


def test_the_two_kinds_of_file_are_told_apart(tmp_path: Path) -> None:
    assert is_kuberay(write(tmp_path / "a.yaml", JOB))
    assert not is_kuberay(write(tmp_path / "b.yaml", SOUND))


CLUSTER = "spec/rayClusterSpec"
CONTAINER = f"{CLUSTER}/headGroupSpec/template/spec/containers/0"
SERVED = "spec/rayClusterConfig"
GONE = object()


def _with(values: Any, path: str, value: object) -> Any:
    *above, last = path.split("/")
    inner = values
    for key in above:
        inner = inner[int(key)] if isinstance(inner, list) else inner[key]
    if value is GONE:
        del inner[last]
    elif isinstance(inner, list):
        inner.append(value)
    else:
        inner[last] = value
    return values


FAULTS: list[tuple[str, str, object]] = [
    # A field that is not known.
    ("rayjob", "spec/entrypont", "x"),
    ("rayjob", f"{CLUSTER}/workerGroupSpecs/0/maxReplica", 4),
    ("rayjob", f"{CONTAINER}/imge", "x"),
    ("rayjob", f"{CONTAINER}/envFrom/0/secretRef/nme", "x"),
    ("rayservice", "spec/rayClusterSpec", {}),
    # Another type.
    ("rayjob", f"{CLUSTER}/headGroupSpec/rayStartParams/num-cpus", 0),
    ("rayjob", f"{CLUSTER}/workerGroupSpecs/0/maxReplicas", "4"),
    ("rayjob", f"{CLUSTER}/workerGroupSpecs/0/maxReplicas", 2**31),
    ("rayjob", f"{CONTAINER}/env/0/value", 0),
    ("rayjob", f"{CONTAINER}/resources/limits/cpu", 0.5),
    ("rayjob", f"{CONTAINER}/resources/limits/memory", "8 Gi"),
    ("rayjob", f"{CONTAINER}/resources/limits/memory", "8Gi\n"),
    ("rayjob", "spec/shutdownAfterJobFinishes", "true"),
    ("rayservice", "spec/serveConfigV2", {"applications": []}),
    ("rayservice", "spec/rayClusterDeletionDelaySeconds", -1),
    ("rayjob", "metadata/name", "My_Study"),
    # Something is missing.
    ("rayjob", f"{CLUSTER}/headGroupSpec", GONE),
    ("rayjob", f"{CLUSTER}/headGroupSpec/template", None),
    ("rayjob", f"{CLUSTER}/workerGroupSpecs/0/groupName", GONE),
    ("rayjob", f"{CONTAINER}/name", GONE),
    ("rayjob", f"{CLUSTER}/headGroupSpec/template/spec/containers", GONE),
    ("rayservice", SERVED, GONE),
    ("rayservice", "spec/upgradeStrategy", {"clusterUpgradeOptions": {"stepSizePercent": 5}}),
    # One of a few, and it is another.
    ("rayjob", f"{CLUSTER}/authOptions/mode", "tokn"),
    ("rayservice", f"{SERVED}/upgradeStrategy", {"type": "Recreat"}),
    ("rayjob", "kind", "RayService"),
    ("rayjob", "apiVersion", "ray.io/v1alpha1"),
    ("rayjob", "spec/managedBy", "kueue"),
    # A key of a list that is a map, twice.
    ("rayjob", f"{CONTAINER}/env/+", {"name": "RAY_USAGE_STATS_ENABLED", "value": "1"}),
]
"""Template, path and value; KubeRay's definitions refuse each."""

COMPLETED: list[tuple[str, str, object]] = [
    ("rayjob", f"{CLUSTER}/workerGroupSpecs/0/minReplicas", GONE),  # has a default
    ("rayjob", f"{CONTAINER}/env", None),
    ("rayjob", f"{CONTAINER}/resources/limits/cpu", 2),
    ("rayjob", f"{CONTAINER}/resources/limits/cpu", ".5"),
    ("rayjob", "spec/deletionStrategy", {"onSuccess": {}, "onFailure": {"policy": "DeleteNone"}}),
]
"""Likewise; what they take, though it looks like a fault."""


def _planted(name: str, path: str, value: object) -> Any:
    return _with(yaml.safe_load(filled_template(name)), path, value)


def _refuses(values: object, schema: Schema) -> bool:
    try:
        admit(values, schema)
    except jsonschema.ValidationError:
        return True
    return False


@pytest.mark.parametrize("name", SCHEMAS)
def test_kuberay_takes_it(name: str) -> None:
    assert not _refuses(yaml.safe_load(filled_template(name)), SCHEMAS[name])


@pytest.mark.parametrize(("name", "path", "value"), FAULTS)
def test_kuberay_does_not_take_a_planted_fault(name: str, path: str, value: object) -> None:
    assert _refuses(_planted(name, path, value), SCHEMAS[name])


@pytest.mark.parametrize(("name", "path", "value"), COMPLETED)
def test_kuberay_takes_what_it_completes(name: str, path: str, value: object) -> None:
    assert not _refuses(_planted(name, path, value), SCHEMAS[name])


CRDS = "DGAD_KUBERAY_CRDS"
"""A folder with KubeRay's resource definitions: ray-operator/config/crd/bases at your operator's version."""


@pytest.mark.skipif(CRDS not in os.environ, reason=f"{CRDS} names no folder with KubeRay's definitions")
@pytest.mark.parametrize("name", SCHEMAS)
def test_the_definitions_of_an_operator_say_the_same(name: str) -> None:
    schema = crd_schema(Path(os.environ[CRDS]) / f"ray.io_{name}s.yaml")
    admit(yaml.safe_load(filled_template(name)), schema)
    for of, path, value in COMPLETED:
        if of == name:
            admit(_planted(name, path, value), schema)
    taken = [fault for fault in FAULTS if fault[0] == name and not _refuses(_planted(*fault), schema)]
    assert taken == []


BOTH = {"jobStatus": "FAILED", "jobDeploymentStatus": "Failed"}
RULE = {"policy": "DeleteSelf", "condition": {"jobStatus": "FAILED"}}


@pytest.mark.parametrize(
    ("strategy", "taken"),
    [
        ({"deletionRules": [RULE]}, True),
        ({"deletionRules": []}, False),
        ({"deletionRules": [{**RULE, "condition": {"ttlSeconds": 3}}]}, False),
        (
            {
                "deletionRules": [
                    {**RULE, "condition": {"jobStatus": "FAILED", "jobDeploymentStatus": "Failed"}}
                ]
            },
            False,
        ),
        ({"onSuccess": {"policy": "DeleteSelf"}}, False),
        ({"onSuccess": {}, "onFailure": {}, "deletionRules": [RULE]}, False),
        ({}, False),
    ],
)
def test_rules_in_cel_that_are_written_out_as_a_schema(strategy: dict[str, Any], taken: bool) -> None:
    values = _planted("rayjob", "spec/deletionStrategy", strategy)
    assert _refuses(values, SCHEMAS["rayjob"]) != taken


@pytest.mark.parametrize(
    ("name", "path", "value"),
    [
        ("rayjob", "spec/submissionMode", "K8sMode"),
        ("rayjob", f"{CLUSTER}/headGroupSpec/serviceType", "ClusterIp"),
        ("rayjob", f"{CLUSTER}/headGroupSpec/template/spec/containers", []),
        ("rayservice", "spec/upgradeStrategy", {"type": "Recreate"}),
    ],
)
def test_what_the_operator_refuses_later_is_told_too(name: str, path: str, value: object) -> None:
    assert _refuses(_planted(name, path, value), SCHEMAS[name])
