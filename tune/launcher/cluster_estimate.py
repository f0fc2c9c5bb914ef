"""`launch --cluster FILE --dry-run`: which nodes, how many trials side by side, how long, at what price."""

import dataclasses
from collections.abc import Sequence

from cluster.embedded import Machine
from cluster.file.config_file import ClusterFile
from cluster.file.node_types import NodeType
from dgad.errors import SettingsError
from dgad.settings import did_you_mean
from tune.launcher.estimate import START_S
from tune.search.workers import WORKER_BYTES, Demand, plan_workers


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class NodePlan:
    """The hosts of one kind, as many as the cluster file allows."""

    name: str
    count: int
    trials_each: int | None
    """Side by side on one of them; None where the file does not say what it offers."""
    price: float | None
    """Price of one such host for an hour; None where none was given."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ClusterPlan:
    """The hosts, time and price that a study would take on a cluster at its full size."""

    nodes: tuple[NodePlan, ...]
    workers: int
    estimate_s: float
    """At the speed of this machine's cores; a node whose offer is not told counts as one worker."""

    @property
    def price(self) -> float | None:
        """The price of all nodes for the whole time; None where that of one is missing."""
        if any(n.price is None for n in self.nodes):
            return None
        return sum(n.count * (n.price or 0.0) for n in self.nodes) * self.estimate_s / 3600


def plan_cluster(file: ClusterFile, demand: Demand, prices: Sequence[str], *, work_s: float) -> ClusterPlan:
    """Plan a study on the cluster of `file`; `work_s` is its work in seconds, all on one worker.

    Raises `SettingsError` for a price that is none, or of a kind of node that the file does not have.
    """
    types = file.node_types
    by_name = _prices(prices, [t.name for t in types])
    nodes = tuple(
        NodePlan(
            name=kind.name,
            count=1 if kind.is_head else kind.max_workers,
            trials_each=_trials_each(kind, demand),
            price=by_name.get(kind.name),
        )
        for kind in types
    )
    workers = sum(n.count * (1 if n.trials_each is None else n.trials_each) for n in nodes)
    workers = min(workers, demand.workers or workers)
    return ClusterPlan(nodes=nodes, workers=workers, estimate_s=START_S + work_s / max(1, workers))


def _trials_each(kind: NodeType, demand: Demand) -> int | None:
    cpus, gpus = kind.offers("CPU"), kind.offers("GPU")
    if cpus is None:
        return None
    alone = dataclasses.replace(demand, workers=None)
    memory = (kind.resources or {}).get("memory", cpus * WORKER_BYTES)
    machine = Machine(num_cpus=int(cpus), num_gpus=int(gpus or 0), memory_bytes=int(memory))
    try:
        return plan_workers(machine, "cuda" if machine.num_gpus else "cpu", alone).count if cpus else 0
    except SettingsError:
        return 0


def _prices(given: Sequence[str], names: Sequence[str]) -> dict[str, float]:
    found = {}
    for text in given:
        name, equals, price = text.partition("=")
        try:
            found[name] = float(price)
        except ValueError:
            raise SettingsError(
                f"--price must be TYPE=PRICE, such as {names[0]}=1.20, but got {text!r}."
            ) from None
        if not equals or not found[name] >= 0:
            raise SettingsError(f"--price must be TYPE=PRICE, such as {names[0]}=1.20, but got {text!r}.")
        if name not in names:
            raise SettingsError(
                f"--price names `{name}`, but the cluster file has the node types {', '.join(names)}."
                f"{did_you_mean(name, names)}"
            )
    return found


def describe_cluster_plan(plan: ClusterPlan) -> list[tuple[str, str]]:
    """The plan as (name, text) rows of a table."""
    lines = []
    for node in plan.nodes:
        each = (
            "what each offers is seen once it is up"
            if node.trials_each is None
            else f"{node.trials_each} trials each"
        )
        lines.append((f"node {node.name}", f"{node.count} at most, {each}"))
    hours = plan.estimate_s / 3600
    lines.append(
        ("on the cluster", f"about {hours:.1f} h on {plan.workers} workers, at this machine's speed")
    )
    if plan.price is not None:
        lines.append(("cost", f"about {plan.price:.2f}, in the unit of the prices given"))
    return lines
