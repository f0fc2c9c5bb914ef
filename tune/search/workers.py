"""How many workers a search gets, and what each of them may use."""

import dataclasses
from collections.abc import Sequence

from cluster.embedded import Machine
from dgad.errors import SettingsError
from dgad.settings import require

WORKER_BYTES = 1536 * 1024**2
"""Memory that a worker takes with torch, timm and its data, besides its feature cache."""
_WORKERS_PER_GPU = 4
_MAX_CACHE_BYTES = 2 * 1024**3


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Demand:
    """What a user asks for; None leaves it to the plan."""

    workers: int | None = None
    cpus_per_trial: int | None = None
    gpus_per_trial: float | None = None
    """A fraction, or a whole number."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Workers:
    """What runs side by side."""

    count: int
    threads_each: int
    gpus_each: float
    cache_bytes_each: int
    cpus_each: int = 1
    """Cores that Ray sets aside for each."""
    memory_bytes_each: int = 0
    """Memory that Ray sets aside for each; 0 on one machine, whose memory `count` has been fitted to."""
    is_elastic: bool = False
    """As many as Ray finds room for: nodes may join, and `count` is what there is at the start."""

    @property
    def ray_resources(self) -> dict[str, float]:
        """What Ray sets aside for each, in Ray's names."""
        wanted = {"CPU": self.cpus_each, "GPU": self.gpus_each, "memory": self.memory_bytes_each}
        return {name: value for name, value in wanted.items() if value}


def plan_workers(machine: Machine, device: str, demand: Demand) -> Workers:
    """One worker per core, as many as memory holds; on CUDA a few per GPU; what is asked for goes first.

    Raises `SettingsError` where a trial would fit nowhere, and so wait for ever.
    """
    on_gpu = device.startswith("cuda") and machine.num_gpus > 0
    _check_demand(machine, demand, on_gpu=on_gpu)
    cpus_each, gpus_each, wanted = demand.cpus_per_trial, demand.gpus_per_trial, demand.workers
    by_cpu = machine.num_cpus // (cpus_each or 1)
    by_memory = max(1, machine.memory_bytes // WORKER_BYTES)
    count = wanted or max(1, min(by_cpu, by_memory))
    if cpus_each is not None:
        count = min(count, by_cpu)
    if on_gpu and gpus_each:
        count = min(count, _num_fitting(machine.num_gpus, gpus_each))
    elif on_gpu and wanted is None:
        count = min(count, _WORKERS_PER_GPU * machine.num_gpus)
    # Half of what is left stays free: data and training come out of it too.
    spare_bytes = max(0, machine.memory_bytes - count * WORKER_BYTES) // 2
    return Workers(
        count=count,
        threads_each=cpus_each or max(1, machine.num_cpus // count),
        gpus_each=(gpus_each or min(1.0, machine.num_gpus / count)) if on_gpu else 0.0,
        cache_bytes_each=min(_MAX_CACHE_BYTES, max(64 * 1024**2, spare_bytes // count)),
        cpus_each=cpus_each or 1,
    )


def plan_cluster_workers(nodes: Sequence[Machine], device: str, demand: Demand) -> Workers:
    """Every node planned like one machine; `count` is what all of them hold together at the moment.

    Each worker is given what the narrowest of the nodes that can hold one gives it, so that any may run it,
    and Ray sets memory aside for it, since a node may have many cores and little memory.
    Raises `SettingsError` where a trial would fit none of them.
    """
    on_gpu = device.startswith("cuda")
    offering = [n for n in nodes if n.num_cpus > 0 and (n.num_gpus > 0 or not on_gpu)]
    require(bool(offering), "device", "cpu on a cluster without GPUs, or auto", device)
    alone = dataclasses.replace(demand, workers=None)
    plans = []
    refusals = []
    for node in offering:
        try:
            plans.append(plan_workers(node, device, alone))
        except SettingsError as error:
            refusals.append(error)
    if not plans:
        raise SettingsError(f"No node of the cluster holds a trial: {refusals[0]}")
    if demand.workers is not None:
        require(demand.workers >= 1, "workers", "at least 1", demand.workers)
    return Workers(
        count=demand.workers or sum(p.count for p in plans),
        threads_each=min(p.threads_each for p in plans),
        cpus_each=demand.cpus_per_trial or min(p.threads_each for p in plans),
        gpus_each=max(p.gpus_each for p in plans),
        cache_bytes_each=min(p.cache_bytes_each for p in plans),
        memory_bytes_each=WORKER_BYTES,
        is_elastic=demand.workers is None,
    )


def _check_demand(machine: Machine, demand: Demand, *, on_gpu: bool) -> None:
    """Raise `SettingsError` unless one trial fits this machine."""
    if demand.workers is not None:
        require(demand.workers >= 1, "workers", "at least 1", demand.workers)
    cpus, gpus = demand.cpus_per_trial, demand.gpus_per_trial
    if cpus is not None:
        require(cpus >= 1, "cpus_per_trial", "at least 1", cpus)
        require(
            cpus <= machine.num_cpus,
            "cpus_per_trial",
            f"at most {machine.num_cpus}, the cores of this machine, or no trial would ever start",
            cpus,
        )
    if gpus is None:
        return
    require(gpus >= 0 and (gpus <= 1 or gpus == int(gpus)), "gpus_per_trial", "0 to 1, or whole", gpus)
    have = machine.num_gpus if on_gpu else 0
    require(
        gpus <= have,
        "gpus_per_trial",
        f"at most {have}, the GPUs that this run has, or no trial would ever start",
        gpus,
    )
    require(gpus > 0 or not on_gpu, "gpus_per_trial", "above 0 on CUDA (--device cpu uses none)", gpus)


def _num_fitting(num_gpus: int, gpus_each: float) -> int:
    """Trials that GPUs hold; a fraction never spans two of them."""
    # The smallest share that Ray deals is 1e-4: without it 1/3 would not fit three times.
    return num_gpus * int(1 / gpus_each + 1e-4) if gpus_each <= 1 else num_gpus // int(gpus_each)
