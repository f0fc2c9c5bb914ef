"""Ray embedded in this process: started for one command, gone with it."""

import contextlib
import dataclasses
import logging
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil

from cluster.private_folder import MAX_SOCKET_PATH_BYTES, hold_private_folder, kill_processes_of
from cluster.tokens import find_token_file, keep_token_private
from dgad.errors import DgadError
from dgad.files import temporary_beside
from dgad.user_dirs import user_cache_folder

_OBJECT_STORE_BYTES = 128 * 1024**2
"""Size of Ray's object store: settings and scores travel through it, images never do."""

_ENVIRONMENT = {
    # An open dashboard or job port is remote code execution: never depend on the default.
    "RAY_AUTH_MODE": "token",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
_INNER_BYTES = len("/r/session_2026-01-01_00-00-00_000000_1234567/sockets/dash_MetricsHead")
"""Of a socket's path below the private folder, the longest there is (Ray 2.60)."""
_FORKSERVER_BYTES = len("/pymp-12345678/listener-12345678")
"""Of the path of a socket that Python's multiprocessing, in Ray's dashboard, makes below TMPDIR."""
_METRICS_FILE = "prom_metrics_service_discovery.json"
_CORE = frozenset({"gcs_server", "raylet"})
"""Without either of these processes Ray does nothing any more, and nobody starts them again."""
_END_S = 3.0
_WATCH_S, _REPEAT_S = 1.0, 5.0


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
    core: Mapping[str, psutil.Process] = dataclasses.field(default_factory=dict)
    """Ray's own processes without which nothing works, by name; none where Ray ran already."""

    @property
    def is_alive(self) -> bool:
        """Whether what was started here still works; Ray itself never tells."""
        return all(map(_is_alive, self.core.values()))

    def check_alive(self) -> None:
        """Raise `LostRayError` where Ray has died under this process."""
        for name, process in self.core.items():
            if not _is_alive(process):
                raise LostRayError(
                    f"Ray's {name} (process {process.pid}) has ended, killed or out of memory, and without"
                    f" it nothing is answered: start again. What Ray said is in {self.logs_folder}."
                )


class LostRayError(DgadError):
    """An embedded Ray has died, by a kill or for want of memory: only another start helps."""


def inspect_machine() -> Machine:
    """Count the CPU cores this process may use, its GPUs and the free memory; starts nothing."""
    return Machine(num_cpus=_usable_cpus(), num_gpus=_visible_gpus(), memory_bytes=_free_memory_bytes())


def prepare_environment() -> None:
    """Guard every Ray that this process starts; to be called before Ray is first imported."""
    os.environ.update(_ENVIRONMENT)


@contextlib.contextmanager
def start_embedded_ray(
    *, num_cpus: int, num_gpus: int = 0, dashboard: bool = True, is_batch_work: bool = True
) -> Iterator[LocalRay]:
    """Start Ray in this process and end it on the way out; a Ray that already runs here is used and left.

    Its sockets and logs lie in a folder that no other user may enter. The dashboard listens on loopback only
    and asks for the token in `token_file`. Workers run at nice +15, Ray's default, or where the work is no
    batch work, at 0: beside two processes that compute in the same terminal or container a service on 2 cores
    scored 8 images a second at +15 and 83 at 0 (docs/lab/log.md). Where it is no batch work, Ray's processes
    also leave SIGTERM to this one: a supervisor sends it to all, and what was begun is to be finished.
    """
    if "ray" in sys.modules and any(os.environ.get(k) != v for k, v in _ENVIRONMENT.items()):
        raise RuntimeError("`cluster.embedded.prepare_environment` must be called before Ray is imported.")
    prepare_environment()
    import ray  # slow, so only where it is needed

    if ray.is_initialized():
        yield _describe(None, num_gpus)
        return
    with hold_private_folder(_INNER_BYTES) as folder:
        keep_token_private()
        on_terminate = signal.getsignal(signal.SIGTERM)
        with _block_sigterm(not is_batch_work), _short_temporary_folder(folder):
            context: Any = ray.init(
                address="local",  # never a cluster that an environment variable happens to name
                num_cpus=num_cpus,
                num_gpus=num_gpus,
                include_dashboard=dashboard,
                dashboard_host="127.0.0.1",
                object_store_memory=_OBJECT_STORE_BYTES,
                log_to_driver=False,
                logging_level=logging.ERROR,
                _temp_dir=str(folder / "r"),  # which Ray itself opens to everyone
                _system_config=None if is_batch_work else {"worker_niceness": 0},
            )
        # Ray puts its own handler there, which exits at once: who has set one before wants theirs.
        if callable(on_terminate) and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, on_terminate)
        running = _describe(context.dashboard_url, num_gpus, context.address_info["session_dir"])
        try:
            with _show_metrics(folder / "r" / _METRICS_FILE):
                yield running
        finally:
            if running.is_alive:
                ray.shutdown()
            else:
                _end_lost_ray(folder)


def _end_lost_ray(folder: Path) -> None:
    """End what is left of a Ray whose core has died: Ray itself would leave some, and wait for the dead."""
    import ray

    kill_processes_of(folder)
    ending = threading.Thread(target=ray.shutdown, daemon=True)
    ending.start()
    ending.join(_END_S)


@contextlib.contextmanager
def raise_when_lost(running: LocalRay) -> Iterator[None]:
    """Raise `LostRayError` in the main thread soon after this Ray has died, whatever it is waiting for.

    Ray itself lets who asks it wait, and ends the process some ten seconds later without a word. Entered from
    another thread it does nothing: signals reach only the main one. The signal is SIGUSR2 (Ray Tune takes
    SIGUSR1 for itself), again every few seconds: what waits may take the error for its own.
    """
    if threading.current_thread() is not threading.main_thread() or not running.core:
        yield
        return
    main = threading.main_thread().ident
    left = threading.Event()

    def interrupt(number: int, frame: object) -> None:
        del number, frame
        running.check_alive()

    def watch() -> None:
        while not left.wait(_WATCH_S):
            if not running.is_alive and main is not None:
                signal.pthread_kill(main, signal.SIGUSR2)
                left.wait(_REPEAT_S)

    before = signal.signal(signal.SIGUSR2, interrupt)
    watching = threading.Thread(target=watch, name="dgad-watch-ray", daemon=True)
    watching.start()
    try:
        yield
    except Exception:
        running.check_alive()  # Ray wraps what is raised under its waits, or fails at what it asks for
        raise
    finally:
        left.set()
        watching.join()
        signal.signal(signal.SIGUSR2, before)


@contextlib.contextmanager
def _show_metrics(file: Path) -> Iterator[None]:
    """Keep a link to the file that tells Prometheus where to ask, at a place that stays the same."""
    cache = user_cache_folder()
    if cache is None:
        yield
        return
    link = cache / _METRICS_FILE
    with contextlib.suppress(OSError):  # a home that cannot be written keeps nobody from their work
        cache.mkdir(parents=True, exist_ok=True)
        made = temporary_beside(link)
        made.symlink_to(file)
        made.replace(link)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            if link.readlink() == file:  # and not that of one that was started later
                link.unlink()


@contextlib.contextmanager
def _block_sigterm(is_blocked: bool) -> Iterator[None]:
    """What is started meanwhile never sees SIGTERM; this process sees afterwards what came."""
    if not is_blocked:
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def _short_temporary_folder(folder: Path) -> Iterator[None]:
    """What is started meanwhile has a TMPDIR that is short enough for sockets in it."""
    before = os.environ.get("TMPDIR")
    if len(os.fsencode(tempfile.gettempdir())) + _FORKSERVER_BYTES <= MAX_SOCKET_PATH_BYTES:
        yield
        return
    inner = folder / "t"
    inner.mkdir(mode=0o700)
    os.environ["TMPDIR"] = str(inner)
    try:
        yield
    finally:
        del os.environ["TMPDIR"]
        if before is not None:
            os.environ["TMPDIR"] = before


def _describe(dashboard_address: str | None, num_gpus: int, session: str | None = None) -> LocalRay:
    import ray

    resources: Mapping[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    return LocalRay(
        dashboard_url=f"http://{dashboard_address}" if dashboard_address else None,
        token_file=str(find_token_file()),
        logs_folder=str(Path(session) / "logs") if session else None,
        num_cpus=int(resources.get("CPU", 0)),
        num_gpus=num_gpus,
        core=_find_core() if session else {},
    )


def _find_core() -> Mapping[str, psutil.Process]:
    children = psutil.Process().children()
    return {child.name(): child for child in children if child.name() in _CORE}


def _is_alive(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


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
