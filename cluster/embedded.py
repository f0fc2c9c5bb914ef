"""Ray embedded in this process: started for one command, gone with it."""

import contextlib
import dataclasses
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

_OBJECT_STORE_BYTES = 128 * 1024**2
"""Size of Ray's object store: settings and scores travel through it, images never do."""

_ENVIRONMENT = {
    # An open dashboard or job port is remote code execution: never depend on the default.
    "RAY_AUTH_MODE": "token",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """The cores, GPUs and memory that this machine offers."""

    num_cpus: int
    num_gpus: int
    memory_bytes: int
    """RAM that is free at the moment of asking."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class LocalRay:
    """A Ray that runs in this process, and where to look into it."""

    dashboard_url: str | None
    """URL of the dashboard; None where it was switched off, or Ray ran already."""
    token_file: str
    """File of the token that the dashboard asks for."""
    logs_folder: str | None
    """Folder that every process of it logs to; None where Ray ran already."""
    num_cpus: int
    num_gpus: int


def inspect_machine() -> Machine:
    """Count the CPU cores this process may use, its GPUs and the free memory; starts nothing."""
    return Machine(num_cpus=_usable_cpus(), num_gpus=_visible_gpus(), memory_bytes=_free_memory_bytes())


def prepare_environment() -> None:
    """Guard every Ray that this process starts; to be called before Ray is first imported."""
    os.environ.update(_ENVIRONMENT)


@contextlib.contextmanager
def start_embedded_ray(
    *,
    num_cpus: int,
    num_gpus: int = 0,
    dashboard: bool = True,
    temporary_folder: Path | None = None,
    is_batch_work: bool = True,
) -> Iterator[LocalRay]:
    """Start Ray in this process and end it on the way out; a Ray that already runs here is used and left.

    The dashboard listens on loopback only and asks for the token in `token_file`. Workers run at nice +15,
    Ray's default, or where the work is no batch work, at 0: beside two processes that compute in the same
    terminal or container a service on 2 cores scored 8 images a second at +15 and 83 at 0 (docs/lab/log.md).
    """
    if "ray" in sys.modules and any(os.environ.get(k) != v for k, v in _ENVIRONMENT.items()):
        raise RuntimeError("`cluster.embedded.prepare_environment` must be called before Ray is imported.")
    prepare_environment()
    import ray  # slow, so only where it is needed

    if ray.is_initialized():
        yield _describe(None, num_gpus)
        return
    on_terminate = signal.getsignal(signal.SIGTERM)
    context: Any = ray.init(
        address="local",  # never a cluster that an environment variable happens to name
        num_cpus=num_cpus,
        num_gpus=num_gpus,
        include_dashboard=dashboard,
        dashboard_host="127.0.0.1",
        object_store_memory=_OBJECT_STORE_BYTES,
        log_to_driver=False,
        logging_level=logging.ERROR,
        _temp_dir=str(temporary_folder) if temporary_folder else None,
        _system_config=None if is_batch_work else {"worker_niceness": 0},
    )
    # Ray puts its own handler there, which exits at once: who has set one before wants theirs.
    if callable(on_terminate) and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, on_terminate)
    try:
        yield _describe(context.dashboard_url, num_gpus, context.address_info["session_dir"])
    finally:
        ray.shutdown()


def _describe(dashboard_address: str | None, num_gpus: int, session: str | None = None) -> LocalRay:
    import ray

    resources: Mapping[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    return LocalRay(
        dashboard_url=f"http://{dashboard_address}" if dashboard_address else None,
        token_file=os.environ.get("RAY_AUTH_TOKEN_PATH", str(Path.home() / ".ray" / "auth_token")),
        logs_folder=str(Path(session) / "logs") if session else None,
        num_cpus=int(resources.get("CPU", 0)),
        num_gpus=num_gpus,
    )


def _usable_cpus() -> int:
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:  # a container's quota, cgroup v2: "MAX PERIOD" in microseconds
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return max(1, min(allowed, int(quota) // int(period)))
    except (OSError, ValueError):
        return max(1, allowed)


def _visible_gpus() -> int:
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return len([d for d in visible.split(",") if d.strip() not in ("", "-1")])
    import torch

    return torch.cuda.device_count()


def _free_memory_bytes() -> int:
    try:
        fields = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        return int(fields["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):  # macOS: what is there, since what is free is not told
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
