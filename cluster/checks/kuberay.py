"""A RayJob or RayService for Kubernetes: who may reach its cluster, and whether a trial fits.

The schema is the operator's own: `kubectl apply --dry-run=server` checks it where it holds.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cluster.checks.cluster_file import (
    check_trial_fits,
    check_versions,
    find_placeholders,
    find_versions,
    sort_findings,
)
from cluster.checks.findings import Finding, TrialDemand
from cluster.file.node_types import NodeType
from dgad.errors import SettingsError
from dgad.yaml_file import KeyPath, line_at, load_yaml

_CLUSTER_KEYS = {"RayJob": "rayClusterSpec", "RayService": "rayClusterConfig"}
"""The key below `spec` where each kind of resource keeps its cluster."""
_SECRET_SINCE = "KubeRay 1.6"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class KubeRayFile:
    """A RayJob or RayService, as its file has it."""

    path: Path
    values: Mapping[str, Any]
    lines: Mapping[KeyPath, int]

    @property
    def kind(self) -> str:
        """The kind of the resource: RayJob or RayService."""
        return str(self.values["kind"])

    @property
    def cluster_path(self) -> tuple[str, str]:
        """The keys that lead to the cluster's specification."""
        return "spec", _CLUSTER_KEYS[self.kind]

    @property
    def cluster(self) -> Mapping[str, Any]:
        """The specification of the Ray cluster that the resource starts."""
        found: Mapping[str, Any] = self.values["spec"][_CLUSTER_KEYS[self.kind]]
        return found

    @property
    def groups(self) -> tuple[tuple[KeyPath, Mapping[str, Any]], ...]:
        """The key path and the values of the head's group and of each group of workers."""
        workers = self.cluster.get("workerGroupSpecs") or ()
        return (
            ((*self.cluster_path, "headGroupSpec"), self.cluster["headGroupSpec"]),
            *(((*self.cluster_path, "workerGroupSpecs", str(i)), group) for i, group in enumerate(workers)),
        )

    def line(self, *path: object) -> int:
        """The line of what stands at the path, or nearest above it."""
        return line_at(self.lines, path)


def is_kuberay(path: Path) -> bool:
    """Whether the file is meant for Kubernetes rather than for Ray's cluster launcher."""
    return "apiVersion" in load_yaml(path)[0]


def read_kuberay_file(path: Path) -> KubeRayFile:
    """Read the RayJob or RayService at `path`.

    Raises `SettingsError` "FILE, line N: ..." where it is another resource, or has no cluster of its own.
    """
    values, lines = load_yaml(path)

    def refuse(sentence: str, *at: str) -> SettingsError:
        return SettingsError(f"{path}, line {line_at(lines, at)}: {sentence}")

    version, kind = values.get("apiVersion"), values.get("kind")
    if version != "ray.io/v1":
        raise refuse(f"`apiVersion` must be ray.io/v1, but is {version!r}.", "apiVersion")
    if kind not in _CLUSTER_KEYS:
        raise refuse(f"`kind` must be one of {', '.join(_CLUSTER_KEYS)}, but is {kind!r}.", "kind")
    file = KubeRayFile(path=path, values=values, lines=lines)
    at: tuple[str, ...] = ()
    inner: Any = values
    for key in (*file.cluster_path, "headGroupSpec"):
        if not isinstance(inner, Mapping) or not isinstance(inner.get(key), Mapping):
            raise refuse(f"`{'.'.join((*at, key))}` is missing, or no mapping.", *at, key)
        at, inner = (*at, key), inner[key]
    for where, group in file.groups:
        if not _containers(group):
            raise refuse(f"`{'.'.join(where)}` has no `template.spec.containers`.", *where)
    return file


def check_kuberay(file: KubeRayFile, demand: TrialDemand) -> tuple[Finding, ...]:
    """Check a file for Kubernetes against a trial's demand; the findings, errors first."""
    empty = find_placeholders(file.values, file.lines)
    lines = {finding.line for finding in empty}
    rest = [
        *_check_token(file),
        *_check_reach(file),
        *_check_usage(file),
        *_check_versions(file),
        *_name_unverifiable(file),
    ]
    if file.kind == "RayJob":
        rest += _check_trial(file, demand)
    return sort_findings([*empty, *(f for f in rest if f.line is None or f.line not in lines)])


def _containers(group: Mapping[str, Any]) -> list[dict[str, Any]]:
    pod = (group.get("template") or {}).get("spec") or {}
    return [c for c in pod.get("containers") or () if isinstance(c, dict)]


def _environment(container: Mapping[str, Any]) -> dict[str, str | None]:
    """The variables that the file sets; None for one that comes from elsewhere, such as a Secret."""
    return {str(e.get("name")): e.get("value") for e in container.get("env") or () if isinstance(e, dict)}


def _check_token(file: KubeRayFile) -> Iterator[Finding]:
    options = file.cluster.get("authOptions") or {}
    # The first container of a pod is Ray's.
    by_hand = [_environment(_containers(group)[0]) for _, group in file.groups]
    if options.get("mode") != "token" and not all(
        e.get("RAY_AUTH_MODE") == "token" and "RAY_AUTH_TOKEN" in e for e in by_hand
    ):
        message = (
            f"Token auth is not on, and whoever reaches the cluster could run code on it: write `authOptions:"
            f" {{mode: token, secretName: NAME}}` below `{'.'.join(file.cluster_path)}`"
            f" ({_SECRET_SINCE} or newer)."
        )
        yield Finding(severity="error", message=message, line=file.line(*file.cluster_path, "authOptions"))
    elif options.get("mode") == "token" and not options.get("secretName"):
        message = (
            "Without a `secretName` the operator makes a new token for each cluster: you read it from the"
            " Secret of the cluster's name."
        )
        yield Finding(severity="warning", message=message, line=file.line(*file.cluster_path, "authOptions"))
    for (where, _), environment in zip(file.groups, by_hand, strict=True):
        if environment.get("RAY_AUTH_TOKEN"):
            message = (
                "The token itself stands in this file: take it from a Secret (`valueFrom.secretKeyRef`)."
            )
            yield Finding(severity="error", message=message, line=file.line(*where))


def _check_reach(file: KubeRayFile) -> Iterator[Finding]:
    at, head = file.groups[0]
    service = head.get("serviceType", "ClusterIP")
    if service != "ClusterIP":
        message = (
            f"The dashboard would be reachable from outside as a {service}: write `serviceType: ClusterIP`"
            " and reach it by `kubectl port-forward`."
        )
        yield Finding(severity="error", message=message, line=file.line(*at, "serviceType"))
    if head.get("enableIngress"):
        message = "An ingress would open the dashboard to the outside: take `enableIngress` out."
        yield Finding(severity="error", message=message, line=file.line(*at, "enableIngress"))


def _check_usage(file: KubeRayFile) -> Iterator[Finding]:
    at, head = file.groups[0]
    parameters = head.get("rayStartParams") or {}
    off = _environment(_containers(head)[0]).get("RAY_USAGE_STATS_ENABLED") == "0"
    if not off and str(parameters.get("disable-usage-stats", "")).lower() != "true":
        message = (
            'The head would report its usage to Ray\'s makers: set RAY_USAGE_STATS_ENABLED to "0" in `env` of'
            " its container."
        )
        yield Finding(severity="error", message=message, line=file.line(*at))


def _check_versions(file: KubeRayFile) -> Iterator[Finding]:
    named = []
    if "rayVersion" in file.cluster:
        named.append((str(file.cluster["rayVersion"]), file.line(*file.cluster_path, "rayVersion")))
    elif file.cluster.get("authOptions"):
        message = (
            "With `authOptions` the operator wants a `rayVersion` of 2.52.0 or newer, and there is none."
        )
        yield Finding(severity="error", message=message, line=file.line(*file.cluster_path))
    for where, group in file.groups:
        at = (*where, "template", "spec", "containers", "0", "image")
        image = str(_containers(group)[0].get("image", ""))
        named += [(version, file.line(*at)) for version in find_versions(image)]
    yield from check_versions(named, "`rayVersion` or image")


def _check_trial(file: KubeRayFile, demand: TrialDemand) -> Iterator[Finding]:
    types = {}
    for index, (where, group) in enumerate(file.groups):
        name = "head" if index == 0 else str(group.get("groupName", index))
        most = int(group.get("maxReplicas", group.get("replicas", 0)))
        if index and not most:
            continue
        types[name] = (
            NodeType(
                name=name,
                resources=_offered(group),
                detects_rest=False,
                min_workers=int(group.get("minReplicas", 0)),
                max_workers=0 if index == 0 else most,
                is_head=index == 0,
            ),
            file.line(*where),
        )
    yield from check_trial_fits(
        demand, [t for t, _ in types.values()], {n: line for n, (_, line) in types.items()}
    )


def _offered(group: Mapping[str, Any]) -> dict[str, float] | None:
    """What Ray takes a pod for: its start parameters, else its container's limits; None without either."""
    parameters = group.get("rayStartParams") or {}
    resources = _containers(group)[0].get("resources") or {}
    limits = {**(resources.get("requests") or {}), **(resources.get("limits") or {})}
    cpus = parameters.get("num-cpus", limits.get("cpu"))
    if cpus is None:
        return None
    gpus = sum(_quantity(v) for k, v in limits.items() if str(k).endswith("/gpu"))
    return {"CPU": _quantity(cpus), "GPU": float(parameters.get("num-gpus", gpus))}


def _quantity(given: object) -> float:
    """Of Kubernetes: 2, "2" or "2000m"."""
    text = str(given)
    try:
        return float(text.removesuffix("m")) / (1000 if text.endswith("m") else 1)
    except ValueError:
        raise SettingsError(
            f"A number of CPUs or GPUs must be such as 2 or 500m, but is {given!r}."
        ) from None


def _name_unverifiable(file: KubeRayFile) -> Iterator[Finding]:
    unverified = (
        (
            "That your operator's schema accepts the file: `kubectl apply --dry-run=server -f"
            f" {file.path}` asks it.",
            ("apiVersion",),
        ),
        (
            "That the Secrets and volumes it names exist, and that every pod reaches the data and the runs.",
            file.cluster_path,
        ),
        (
            "That the image exists and holds dgad, and that the cluster has room for its pods.",
            file.cluster_path,
        ),
    )
    for message, at in unverified:
        yield Finding(severity="unverified", message=message, line=file.line(*at))
