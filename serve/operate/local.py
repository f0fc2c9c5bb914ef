"""`dgad-serve up`: a Ray of its own with the service on it, for as long as this process lives."""

import contextlib
import dataclasses
import os
import signal
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import NoReturn

from cluster.embedded import LocalRay, inspect_machine, start_embedded_ray
from cluster.tokens import Token
from dgad.storage import Storage
from serve.operate.registry import RegisteredService, find_birth, register, unregister
from serve.replicas.config import make_service_config
from serve.replicas.environment import prepare_serve_environment
from serve.replicas.listener import Listener
from serve.settings import ServeSettings

_START_TIMEOUT_S, _DRAIN_TIMEOUT_S = 300.0, 900.0
_WATCH_S = 0.5
Report = Callable[[str], None]


class Stopped(BaseException):  # what is so, not what went wrong
    """SIGTERM or Ctrl-C came."""


@contextlib.contextmanager
def raise_on_signals() -> Iterator[None]:
    """The first SIGTERM or Ctrl-C raises `Stopped` in the main thread; another ends the process at once."""

    def stop(number: int, frame: FrameType | None) -> None:
        del number, frame
        for name in before:
            signal.signal(name, signal.SIG_DFL)
        raise Stopped

    before = {name: signal.signal(name, stop) for name in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class LocalService:
    """A service that runs under this process."""

    registered: RegisteredService
    ray: LocalRay

    def watch(self) -> NoReturn:
        """Wait for a signal, or raise `LostRayError` once there is nothing left that could answer."""
        while True:
            self.ray.check_alive()
            time.sleep(_WATCH_S)


@contextlib.contextmanager
def run_local_service(
    settings: ServeSettings, listener: Listener, *, bundle_id: str, report: Report
) -> Iterator[LocalService]:
    """The service on an embedded Ray, up when it is given, drained on the way out.

    The gates of the ingresses are closed first, so that who still comes is told; then the port is let go of.
    After that there is nothing to finish, and Ray is ended with all that it runs.
    """
    settings = dataclasses.replace(settings, port=listener.port, listener=listener.path)
    prepare_serve_environment()
    here = inspect_machine()
    # What Ray counts, not what it may use: during a roll-out both kinds of scorers find room.
    num_cpus = max(here.num_cpus, 2 * settings.max_replicas + 1)
    if Storage(settings.store).is_open_to_others:
        report(
            f"Other users of this machine may look into the store {settings.store}, where photographs lie:"
            " `chmod 700` keeps them out."
        )
    report("Starting Ray and the service (some 20 s) ...")
    with start_embedded_ray(num_cpus=num_cpus, num_gpus=here.num_gpus, is_batch_work=False) as ray:
        service = _deploy(settings, bundle_id, ray)
        register(service)
        try:
            yield LocalService(registered=service, ray=ray)
        finally:
            if ray.is_alive:
                report(
                    "Draining: what was begun is finished, nothing new is taken. Once more ends it at once."
                )
                listener.drain(_DRAIN_TIMEOUT_S)
            listener.close()
            unregister(settings.port)


def make_url(host: str, port: int) -> str:
    """As a browser on this machine reaches it."""
    if host in ("0.0.0.0", "::"):
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _deploy(settings: ServeSettings, bundle_id: str, ray: LocalRay) -> RegisteredService:
    from serve.operate.serve_api import ServeApi

    assert ray.dashboard_url is not None
    assert ray.logs_folder is not None
    with open(ray.token_file, encoding="utf-8") as file:
        token = Token(value=file.read().strip(), source=ray.token_file)
    api = ServeApi(ray.dashboard_url, token)
    api.deploy(make_service_config(settings, bundle_id=bundle_id))
    api.wait_until_running(after=None, timeout_s=_START_TIMEOUT_S)
    return RegisteredService(
        url=make_url(settings.host, settings.port),
        port=settings.port,
        pid=os.getpid(),
        began=find_birth(os.getpid()) or "unknown",
        dashboard_url=ray.dashboard_url,
        token_file=ray.token_file,
        logs_folder=ray.logs_folder,
        bundle=settings.bundle,
        store=settings.store,
    )
