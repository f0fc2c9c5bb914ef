"""Whether the process answers, whether it is ready, and what scores."""

import asyncio
from typing import Any

from fastapi import APIRouter, Request, Response

from dgad.bundle import read_bundle
from dgad.errors import DgadError
from serve.api import schemas
from serve.engine.backend import Readiness
from serve.http.dependencies import AppState, state_of
from serve.http.openapi import errors
from serve.http.route_rules import RouteRules, declare
from serve.http.routes import json_answer

router = APIRouter()
_READY_WITHIN_S = 5.0


@router.head("/healthz", include_in_schema=False)
@router.get("/healthz", tags=["health"], response_model=schemas.HealthAnswer)
@declare(RouteRules(scope="open", any_host=True))
async def healthz() -> Response:
    """The process answers."""
    return json_answer(schemas.HealthAnswer(status="ok"))


@router.head("/readyz", include_in_schema=False)
@router.get(
    "/readyz",
    tags=["health"],
    response_model=schemas.ReadyAnswer,
    responses={503: {"model": schemas.ReadyAnswer, "description": "Not ready: no scorer answers."}},
)
@declare(RouteRules(scope="open", any_host=True))
async def readyz(request: Request) -> Response:
    """Scores are answered: a scorer has just said so. `can_enroll`: whether changes are made too."""
    try:
        async with asyncio.timeout(_READY_WITHIN_S):
            now = await state_of(request).backend.check_ready()
    except (DgadError, TimeoutError):
        now = Readiness(bundle_id=None, can_enroll=False)
    is_ready = now.bundle_id is not None
    answer = schemas.ReadyAnswer(ready=is_ready, bundle_id=now.bundle_id, can_enroll=now.can_enroll)
    return json_answer(answer, 200 if is_ready else 503)


@router.get("/v1/bundle", tags=["bundle"], response_model=schemas.BundleAnswer, responses=errors(504))
@declare(RouteRules(scope="read"))
async def bundle(request: Request) -> Response:
    """The bundle that scores: its method, what it was trained on, and how well it did."""
    service = state_of(request)
    described = await service.describe_backend()
    if not service.bundle and "created_at" not in described:
        service.bundle.update(await service.readers.run(_of_the_folder, service))
    known = {**service.bundle, **described}
    return json_answer(
        schemas.BundleAnswer(
            bundle_id=str(known["bundle_id"]),
            method=str(known["method"]),
            title=str(known["title"]),
            image_size_px=known.get("image_size_px"),
            scale=known.get("scale"),
            tile_px=known.get("tile_px"),
            device=str(known["device"]),
            created_at=known.get("created_at"),
            training_domains=tuple(known.get("training_domains", ())),
            metrics=dict(known.get("metrics", {})),
        )
    )


def _of_the_folder(service: AppState) -> dict[str, Any]:
    info = read_bundle(service.settings.bundle)
    return {
        "created_at": info.created_at,
        "training_domains": list(info.training_domains),
        "metrics": dict(info.metrics),
    }
