"""How many workers a search gets, and what each of them may use."""

import dataclasses

from cluster.local import Machine
from dgad.settings import require

WORKER_BYTES = 1536 * 1024**2
"""Memory that a worker takes with torch, timm and its data, besides its feature cache."""
WORKERS_PER_GPU = 4
MAX_CACHE_BYTES = 2 * 1024**3


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Workers:
    """What runs side by side."""

    count: int
    threads_each: int
    gpus_each: float
    cache_bytes_each: int


def plan_workers(machine: Machine, device: str, wanted: int | None) -> Workers:
    """One worker per core, as many as memory holds; on CUDA a few per GPU. `wanted` overrides the count."""
    if wanted is not None:
        require(wanted >= 1, "workers", "at least 1", wanted)
    on_gpu = device.startswith("cuda") and machine.num_gpus > 0
    by_memory = max(1, machine.memory_bytes // WORKER_BYTES)
    count = wanted or max(1, min(machine.num_cpus, by_memory))
    if on_gpu and wanted is None:
        count = min(count, WORKERS_PER_GPU * machine.num_gpus)
    # Half of what is left stays free: data and training come out of it too.
    spare_bytes = max(0, machine.memory_bytes - count * WORKER_BYTES) // 2
    return Workers(
        count=count,
        threads_each=max(1, machine.num_cpus // count),
        gpus_each=min(1.0, machine.num_gpus / count) if on_gpu else 0.0,
        cache_bytes_each=min(MAX_CACHE_BYTES, max(64 * 1024**2, spare_bytes // count)),
    )
