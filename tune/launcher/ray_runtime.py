"""Where a study's fits run: this machine, or the Ray that this process has been connected to."""

import contextlib
import dataclasses
from collections.abc import Iterator

from cluster.connect import ClusterRay, connect_to_ray
from cluster.embedded import LocalRay, Machine, inspect_machine, raise_when_lost, start_embedded_ray
from dgad.device import resolve_device
from tune.launcher.request import Request
from tune.search.workers import Workers, plan_cluster_workers, plan_workers


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class RayTarget:
    """The Ray that a study runs on: planned and, on a cluster, already connected."""

    workers: Workers
    device: str
    """Torch device of the workers."""
    own_device: str
    """Torch device of this process, which on a cluster may run on a host without a GPU."""
    num_gpus: int
    cluster: ClusterRay | None
    """The Ray that is connected to; None on this machine alone."""

    @contextlib.contextmanager
    def start(self) -> Iterator[LocalRay | ClusterRay]:
        """Start Ray in this process, unless it is a cluster's; ended on leaving.

        Raises `LostRayError` in whoever waits for a Ray of this process that has died.
        """
        if self.cluster is not None:
            yield self.cluster
            return
        num_gpus = self.num_gpus if self.workers.gpus_each else 0
        num_cpus = self.workers.count * self.workers.cpus_each
        with (
            start_embedded_ray(num_cpus=num_cpus, num_gpus=num_gpus) as ray_here,
            raise_when_lost(ray_here),
        ):
            yield ray_here


@contextlib.contextmanager
def prepare_ray(request: Request) -> Iterator[RayTarget]:
    """Plan the Ray that a request names; `SettingsError` where no trial fits it, or no Ray answers."""
    if request.address is None:
        device, offered = resolve_device(request.device), inspect_machine()
        yield RayTarget(
            workers=plan_workers(offered, device.type, request.demand),
            device=str(device),
            own_device=str(device),
            num_gpus=offered.num_gpus,
            cluster=None,
        )
        return
    with connect_to_ray(request.address) as cluster:
        nodes = [
            Machine(num_cpus=n.num_cpus, num_gpus=n.num_gpus, memory_bytes=n.memory_bytes)
            for n in cluster.nodes
            if n.is_alive
        ]
        has_gpus = any(n.num_gpus for n in nodes)
        device_there = request.device if request.device != "auto" else "cuda" if has_gpus else "cpu"
        yield RayTarget(
            workers=plan_cluster_workers(nodes, device_there, request.demand),
            device=device_there,
            own_device=str(resolve_device("auto" if has_gpus else "cpu")),
            num_gpus=sum(n.num_gpus for n in nodes),
            cluster=cluster,
        )
