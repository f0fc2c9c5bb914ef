"""The service as Ray Serve runs it: an ingress that answers HTTP, scorers, and one keeper of the stores.

`build` is what a Serve config imports; its arguments are `ServeSettings` as plain values.
"""

import inspect
from typing import TYPE_CHECKING, Any

from ray import serve as ray_serve

from dgad.settings import from_dict
from serve.keeper import KeeperReplica
from serve.ray_environment import LOGGING
from serve.replica import ScorerReplica
from serve.settings import ServeSettings

if TYPE_CHECKING:
    from ray.serve import Application
    from starlette.types import ASGIApp

APPLICATION = "dgad"
INGRESS, SCORER, KEEPER = "Ingress", "Scorer", "Keeper"

_MAX_ONGOING = 10_000
"""Serve's own bound on what it hands out; the ingress bounds what waits, and says 429."""
_DRAIN_POLL_S = 0.5
_HEALTH = {"health_check_period_s": 5.0, "health_check_timeout_s": 30.0}


def build(args: dict[str, Any]) -> "Application":
    """The application for these settings; raises `SettingsError` for a wrong one."""
    return application(from_dict(ServeSettings, args))


def application(settings: ServeSettings) -> "Application":
    """Scorers scale between `replicas` and `max_replicas`; there are up to two ingresses; one keeper.

    Rolled out, a new scorer or ingress answers before an old one goes, which first finishes what it has.
    """
    scorer_share, keeper_share = _gpu_shares(settings)
    scorer = ray_serve.deployment(
        ScorerReplica,
        name=SCORER,
        ray_actor_options={"num_cpus": 1, **scorer_share},
        max_ongoing_requests=_MAX_ONGOING,
        graceful_shutdown_timeout_s=settings.request_timeout_s + 10,
        graceful_shutdown_wait_loop_s=_DRAIN_POLL_S,
        logging_config=LOGGING,
        **_scaling(settings),
        **_HEALTH,
        **_surge(),
    )
    keeper = ray_serve.deployment(
        KeeperReplica,
        name=KEEPER,
        num_replicas=1,  # no surge: the old one has ended before the new one begins, so there is one writer
        ray_actor_options={"num_cpus": 0, **keeper_share},
        max_ongoing_requests=_MAX_ONGOING,
        graceful_shutdown_timeout_s=settings.enrolment_timeout_s + 10,
        graceful_shutdown_wait_loop_s=_DRAIN_POLL_S,
        logging_config=LOGGING,
        **_HEALTH,
    )

    def make_ingress() -> "ASGIApp":
        return ingress_app(settings)

    ingress = ray_serve.deployment(
        ray_serve.ingress(make_ingress)(),
        name=INGRESS,
        num_replicas=min(2, settings.replicas),
        ray_actor_options={"num_cpus": 0},
        max_ongoing_requests=_MAX_ONGOING,
        graceful_shutdown_timeout_s=settings.enrolment_timeout_s + 20,
        graceful_shutdown_wait_loop_s=_DRAIN_POLL_S,
        logging_config=LOGGING,
        **_HEALTH,
        **_surge(),
    )
    return ingress.bind(scorer.bind(settings), keeper.bind(settings))


def ingress_app(settings: ServeSettings) -> "ASGIApp":
    """The HTTP application, inside an ingress replica."""
    from serve.app import make_app
    from serve.ray_backend import RayBackend

    name = ray_serve.get_replica_context().app_name
    scorer = ray_serve.get_deployment_handle(SCORER, app_name=name)
    keeper = ray_serve.get_deployment_handle(KEEPER, app_name=name)
    return make_app(settings, RayBackend(settings, scorer, keeper))


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
    return {"max_surge_percent": 25} if "max_surge_percent" in known else {}


def _gpu_shares(settings: ServeSettings) -> tuple[dict[str, float], dict[str, float]]:
    """What a scorer and the keeper ask for: a GPU of its own where there are enough, else a part of one.

    Twice the scorers must find room, since a roll-out has both kinds for a while.
    """
    import ray

    num_gpus = ray.cluster_resources().get("GPU", 0.0) if settings.device != "cpu" else 0.0
    if not num_gpus:
        return {}, {}
    if num_gpus > settings.max_replicas:
        return {"num_gpus": 0.51}, {"num_gpus": 0.2}
    share = int(100 * min(0.5, num_gpus / (2 * settings.max_replicas + 1))) / 100
    return {"num_gpus": share}, {"num_gpus": share}
