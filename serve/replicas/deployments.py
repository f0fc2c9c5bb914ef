"""The service as Ray Serve runs it: an ingress that answers HTTP, scorers, and one writer of the stores.

`build` is what a Serve config imports; its arguments are `ServeSettings` as plain values.
"""

import asyncio
import dataclasses
import inspect
from typing import TYPE_CHECKING, Any

from ray import serve as ray_serve

from dgad.settings import from_dict
from serve.engine.bundle import fetch_bundle
from serve.logs import log_to_worker
from serve.replicas.config import INGRESS, IS_DRAINING
from serve.replicas.drain_gate import GATE
from serve.replicas.environment import LOGGING
from serve.replicas.http_server import HttpServer
from serve.replicas.listener import receive_socket
from serve.replicas.scorer_replica import ScorerReplica
from serve.replicas.writer_replica import WriterReplica
from serve.settings import ServeSettings

if TYPE_CHECKING:
    from ray.serve import Application
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

SCORER, WRITER = "Scorer", "Keeper"

_MAX_ONGOING = 10_000
"""Serve's own bound on what it hands out; the ingress bounds what waits, and says 429."""
_COMMON: dict[str, Any] = {
    "max_ongoing_requests": _MAX_ONGOING,
    "graceful_shutdown_wait_loop_s": 0.5,
    # Serve replaces a replica that has not answered three times, so one that hangs after some 20 s.
    "health_check_period_s": 2.0,
    "health_check_timeout_s": 6.0,
    "logging_config": LOGGING,
}


def build(args: dict[str, Any]) -> "Application":
    """The application for these settings; raises `SettingsError` for a wrong one."""
    return make_application(from_dict(ServeSettings, args))


def make_application(settings: ServeSettings) -> "Application":
    """Scorers scale between `replicas` and `max_replicas`; there are up to two ingresses; one writer.

    Rolled out, a new scorer or ingress answers before an old one goes, which first finishes what it has.
    """
    scorer_share, writer_share = _gpu_shares(settings)
    scorer = _deployment(
        ScorerReplica,
        name=SCORER,
        # Half of what it uses, so that in a roll-out, when there are twice as many, all find room.
        ray_actor_options={"num_cpus": 0.5, **scorer_share},
        graceful_shutdown_timeout_s=settings.max_scoring_s + 10,
        **_scaling(settings),
        **_surge(),
    )
    writer = _deployment(
        WriterReplica,
        name=WRITER,
        num_replicas=1,  # no surge: the old one has ended before the new one begins, so there is one writer
        ray_actor_options={"num_cpus": 0, **writer_share},
        graceful_shutdown_timeout_s=settings.enrolment_timeout_s + 10,
    )

    ingress = _deployment(
        ListeningIngress if settings.listener else _behind_proxies(settings),
        name=INGRESS,
        num_replicas=min(2, settings.replicas),
        ray_actor_options={"num_cpus": 0},
        graceful_shutdown_timeout_s=settings.enrolment_timeout_s + 20,
        **_surge(),
    )
    bound: Application = ingress.bind(settings, scorer.bind(settings), writer.bind(settings))
    return bound


class IngressReplica:
    """What Serve asks of an ingress beside HTTP: to close its gate, by a changed `user_config`."""

    def __init__(self, settings: ServeSettings, scorer: Any, writer: Any) -> None:
        del scorer, writer  # bound, so that Serve deploys them; the application asks for them by name
        self._settings = settings
        log_to_worker()

    async def reconfigure(self, config: dict[str, Any]) -> None:
        """Returns when all are out; the longest write may take that long."""
        if config.get(IS_DRAINING):
            await GATE.close(self._settings.enrolment_timeout_s + 10)
        else:
            GATE.open()


class ListeningIngress(IngressReplica):
    """One that answers HTTP by itself.

    Serve's proxy would hand it a body in pieces, each by a call of an actor (docs/lab/log.md).
    """

    def __init__(self, settings: ServeSettings, scorer: Any, writer: Any) -> None:
        super().__init__(settings, scorer, writer)
        self._handed = receive_socket(settings.listener)
        self._server = HttpServer(make_ingress_app(settings), self._handed.listening, settings.limits)
        self._draining: asyncio.Task[None] | None = None

    async def reconfigure(self, config: dict[str, Any]) -> None:
        """The first one, before Serve calls it running, makes it listen."""
        await self._server.start()
        if self._draining is None:
            self._draining = asyncio.create_task(self._drain_when_told())
        await super().reconfigure(config)

    async def _drain_when_told(self) -> None:
        """By the process that listens, which needs neither Ray's dashboard nor Serve's controller for it."""
        if await self._handed.wait_for_drain():
            await GATE.close(self._settings.enrolment_timeout_s + 10)
            self._handed.confirm_drained()
            await self._server.stop()
            self._handed.door.close()

    async def check_health(self) -> None:
        """Raises where Serve should replace this replica."""
        if not self._server.is_serving:
            raise RuntimeError("The HTTP server has ended.")

    async def __del__(self) -> None:
        """Serve's way to end a replica: it awaits this."""
        await self._server.stop()


def make_ingress_app(settings: ServeSettings) -> "ASGIApp":
    """The HTTP application behind the gate, inside an ingress replica."""
    settings = dataclasses.replace(settings, bundle=str(fetch_bundle(settings.bundle)))
    from serve.http.app import make_app
    from serve.replicas.backend import RayBackend
    from serve.replicas.metrics import ServiceMetrics

    context = ray_serve.get_replica_context()
    name = context.app_name
    metrics = ServiceMetrics(
        replica=context.replica_id.unique_id, has_domain_labels=settings.has_domain_labels
    )
    scorer = ray_serve.get_deployment_handle(SCORER, app_name=name)
    writer = ray_serve.get_deployment_handle(WRITER, app_name=name)
    return GATE.wrap(make_app(settings, RayBackend(settings, scorer, writer, metrics), metrics=metrics))


def _behind_proxies(settings: ServeSettings) -> Any:
    def make_ingress() -> "ASGIApp":
        return _one_request_id(make_ingress_app(settings))

    return ray_serve.ingress(make_ingress)(IngressReplica)


def _one_request_id(app: "ASGIApp") -> "ASGIApp":
    """Without the application's own header where Serve's proxy adds the same one."""

    async def answer(scope: "Scope", receive: "Receive", send: "Send") -> None:
        given = dict(scope.get("headers", ())).get(b"x-request-id")

        async def send_once(message: "Message") -> None:
            if message["type"] == "http.response.start":
                kept = [pair for pair in message.get("headers", ()) if pair != (b"x-request-id", given)]
                message = {**message, "headers": kept}
            await send(message)

        await app(scope, receive, send_once)

    return answer


def _deployment(replica: Any, **options: Any) -> Any:
    return ray_serve.deployment(replica, **_COMMON, **options)


def _scaling(settings: ServeSettings) -> dict[str, Any]:
    if settings.max_replicas == settings.replicas:
        return {"num_replicas": settings.replicas}
    # An ingress has at most two calls out for every scorer that there may be, each a whole batch: with
    # more than one and a half on a scorer, all the time, there is work for another.
    scaling = {
        "min_replicas": settings.replicas,
        "max_replicas": settings.max_replicas,
        "target_ongoing_requests": 1.5,
        "upscale_delay_s": 10.0,
        "downscale_delay_s": 300.0,
    }
    return {"autoscaling_config": scaling}


def _surge() -> dict[str, Any]:
    # Since Ray 2.60; before, a deployment of one replica stops while its successor starts, and requests wait.
    known = inspect.signature(ray_serve.deployment).parameters
    return {"max_surge_percent": 100} if "max_surge_percent" in known else {}


def _gpu_shares(settings: ServeSettings) -> tuple[dict[str, float], dict[str, float]]:
    """What a scorer and the writer ask for: a GPU of its own where there are enough, else a part of one.

    Twice the scorers must find room, since a roll-out has both kinds for a while.
    """
    import ray

    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    num_gpus = resources.get("GPU", 0.0) if settings.device != "cpu" else 0.0
    if not num_gpus:
        return {}, {}
    if num_gpus > settings.max_replicas:
        return {"num_gpus": 0.51}, {"num_gpus": 0.2}
    share = int(100 * min(0.5, num_gpus / (2 * settings.max_replicas + 1))) / 100
    return {"num_gpus": share}, {"num_gpus": share}
