"""What can be known of a cluster file before anything starts, and what cannot, as findings with lines."""

import importlib.metadata
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from cluster.checks.findings import Finding, TrialDemand
from cluster.checks.security import check_security
from cluster.file.config_file import ClusterFile
from cluster.file.node_types import NodeType
from dgad.yaml_file import KeyPath, line_at

_PLACEHOLDER = re.compile(r"<[A-Z][A-Z0-9_]*>")
_NAMED_VERSION = re.compile(
    r"\bray(?:\[[\w,\-]*\])?\s*==\s*(\d+(?:\.\d+)+)|rayproject/ray(?:-ml)?:(\d+(?:\.\d+)+)"
)
_SETUP_KEYS = ("setup_commands", "head_setup_commands", "worker_setup_commands")


def check_cluster(file: ClusterFile, demand: TrialDemand) -> tuple[Finding, ...]:
    """Check a cluster file against a trial's demand; the findings, errors first.

    Its schema holds already: the file could not have been read otherwise.
    """
    empty = find_placeholders(file.values, file.lines)
    # A place that is not filled in yet is one mistake, not several.
    lines = {finding.line for finding in empty}
    rest = [
        *check_security(file),
        *_check_trial(file, demand),
        *_check_version(file),
        *_check_mounts(file),
        *_check_ignored(file),
        *_name_unverifiable(file),
    ]
    return sort_findings([*empty, *(f for f in rest if f.line is None or f.line not in lines)])


def has_errors(findings: Sequence[Finding]) -> bool:
    """Whether a cluster of this file must not be started."""
    return any(f.severity == "error" for f in findings)


def sort_findings(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Sort findings: errors, then warnings, then what cannot be verified, each by line."""
    ranks = {"error": 0, "warning": 1, "unverified": 2}
    return tuple(sorted(findings, key=lambda f: (ranks[f.severity], f.line or 0)))


def find_placeholders(values: Any, lines: Mapping[KeyPath, int]) -> tuple[Finding, ...]:
    """Find the placeholders of a template, such as <HEAD_IP>, that are still there; each place once."""
    # A value that came by a YAML alias stands at several paths, but in one line.
    return tuple(dict.fromkeys(_walk_placeholders(values, lines, ())))


def _walk_placeholders(values: Any, lines: Mapping[KeyPath, int], at: KeyPath) -> Iterator[Finding]:
    if isinstance(values, Mapping):
        for key, value in values.items():
            yield from _walk_placeholders(value, lines, (*at, str(key)))
    elif isinstance(values, list):
        for index, value in enumerate(values):
            yield from _walk_placeholders(value, lines, (*at, str(index)))
    # What a merge key (<<) brought has no line of its own, and is told where it stands.
    elif isinstance(values, str) and at in lines:
        for name in _PLACEHOLDER.findall(values):
            message = f"{name} is a placeholder of the template: put in what the comment beside it asks for."
            yield Finding(severity="error", message=message, line=line_at(lines, at))


def check_trial_fits(
    demand: TrialDemand, types: Sequence[NodeType], line_of: Mapping[str, int | None]
) -> Iterator[Finding]:
    """Check whether a trial fits a host of the kinds given, of which the head is one."""
    wanted = {"CPU": float(demand.cpus), "GPU": demand.gpus}
    fitting, unknown = [], []
    for node_type in types:
        offers = {name: node_type.offers(name) for name in wanted}
        if all(offer is not None and offer >= wanted[name] for name, offer in offers.items()):
            fitting.append(node_type)
        elif all(offer is None or offer >= wanted[name] for name, offer in offers.items()):
            unknown.append(node_type)
    if fitting:
        if all(t.is_head for t in fitting) and not unknown and len(types) > 1:
            message = f"A trial of {demand} fits the head alone, so no worker will ever run one."
            yield Finding(severity="warning", message=message, line=line_of[fitting[0].name])
        return
    if unknown:
        names = ", ".join(f"`{t.name}`" for t in unknown)
        message = f"Whether a trial of {demand} fits {names}: the file does not say what they offer."
        yield Finding(severity="unverified", message=message, line=line_of[unknown[0].name])
        return
    largest = max(types, key=lambda t: (t.offers("GPU") or 0.0, t.offers("CPU") or 0.0))
    message = (
        f"No node type can run a trial of {demand}: the largest, `{largest.name}`, offers"
        f" {_amount(largest.offers('CPU'))} CPU and {_amount(largest.offers('GPU'))} GPU. Ask for less"
        " (--cpus-per-trial, --gpus-per-trial), or add a larger node type."
    )
    yield Finding(severity="error", message=message, line=line_of[largest.name])


def check_versions(named: Sequence[tuple[str, int | None]], where: str) -> Iterator[Finding]:
    """Check that each version of Ray that is named, with its line, is the one installed here."""
    installed = importlib.metadata.version("ray")
    for version, line in named:
        if version != installed:
            message = f"The hosts get Ray {version}, but Ray {installed} is installed here: name {installed}."
            yield Finding(severity="error", message=message, line=line)
    if not named:
        message = f"That the hosts have Ray {installed}, as here: no {where} names a version."
        yield Finding(severity="unverified", message=message)


def find_versions(text: str) -> list[str]:
    """Find the versions of Ray that a setup command or the name of an image asks for."""
    return [pip or image for pip, image in _NAMED_VERSION.findall(text)]


def _amount(offer: float | None) -> str:
    return "an unknown number of" if offer is None else f"{offer:g}"


def _check_trial(file: ClusterFile, demand: TrialDemand) -> Iterator[Finding]:
    types = [t for t in file.node_types if t.is_head or t.max_workers > 0]
    key = "provider" if file.provider == "local" else "available_node_types"
    yield from check_trial_fits(demand, types, {t.name: file.line(key, t.name) for t in types})


def _check_version(file: ClusterFile) -> Iterator[Finding]:
    texts = [(str(t), file.line(key, i)) for key in _SETUP_KEYS for i, t in enumerate(file.get(key) or ())]
    for name, node_type in (file.get("available_node_types") or {}).items():
        for index, text in enumerate(node_type.get("worker_setup_commands") or ()):
            texts.append((text, file.line("available_node_types", name, "worker_setup_commands", index)))
        for key, value in (node_type.get("docker") or {}).items():
            texts.append((str(value), file.line("available_node_types", name, "docker", key)))
    for key, value in (file.get("docker") or {}).items():
        texts.append((str(value), file.line("docker", key)))
    # Ray's own default setup installs a nightly build of an old Python.
    if file.provider != "local" and "setup_commands" not in file.values:
        message = "`setup_commands` is missing, and Ray's default installs an unreleased version of Ray."
        yield Finding(severity="error", message=f"{message} Write it out, or `setup_commands: []`.")
    named = [(version, line) for text, line in texts for version in find_versions(text)]
    yield from check_versions(named, "setup command or image")


def _check_mounts(file: ClusterFile) -> Iterator[Finding]:
    token = file.token_mount("head")
    for remote, local in (file.get("file_mounts") or {}).items():
        if token and remote == token[0]:
            continue
        if not Path(str(local)).expanduser().exists():
            message = f"`file_mounts` ships {local} to {remote}, but {local} does not exist here."
            yield Finding(severity="error", message=message, line=file.line("file_mounts", remote))


def _check_ignored(file: ClusterFile) -> Iterator[Finding]:
    if "min_workers" in file.values and file.provider != "local":
        message = "Ray ignores `min_workers` here: write it into a node type below `available_node_types`."
        yield Finding(severity="warning", message=message, line=file.line("min_workers"))


def _name_unverifiable(file: ClusterFile) -> Iterator[Finding]:
    def unverified(message: str, *at: object) -> Finding:
        return Finding(severity="unverified", message=message, line=file.line(*at) if at else None)

    if file.max_workers:
        yield unverified(
            "That every host reaches the data and the runs: several hosts need a shared folder or an object"
            " store for both. `dgad-tune launch` asks each before the first fit."
        )
    if file.get("docker") and (file.container_name or "image" in file.get("docker")):
        yield unverified("That the container image exists and holds what dgad needs.", "docker")
    if file.provider == "local":
        hosts = ", ".join([*filter(None, [file.head_ip]), *file.worker_ips])
        yield unverified(f"That the hosts answer to ssh{f': {hosts}' if hosts else ''}.", "provider")
        return
    yield unverified(
        "That the machine images exist in this region, with a GPU driver where one is needed.",
        "available_node_types",
    )
    yield unverified(
        f"That your account's quota allows {file.max_hosts} hosts of these kinds, and that they can be had.",
        "provider",
    )
