"""Scores, with regions and heatmaps."""

import asyncio
import functools
import json
import time
from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar

from fastapi import APIRouter, Query, Request, Response

from dgad.domains.region import RegionOfInterest
from dgad.errors import DataError
from serve.api import schemas
from serve.engine.backend import Outcome, ScaleChangedError
from serve.engine.backend import Query as Asked
from serve.http.dependencies import AppState, context_in, state_of, work_while_connected
from serve.http.errors import ApiError
from serve.http.heatmap_png import HeatmapKind, draw, draw_uri
from serve.http.images import Photograph, decode_all, decode_query
from serve.http.multipart import RawFile
from serve.http.openapi import errors, image_bodies
from serve.http.route_rules import RouteRules, declare
from serve.http.routes import BitDepth, DomainName, choose_bit_depth, json_answer
from serve.http.uploads import read_photographs
from serve.http.views import list_range_warnings, render_result, render_threshold

router = APIRouter(prefix="/v1/domains/{domain}/score", tags=["scoring"])
_MAX_HEATMAPS = 16
"""In one request: each may be a picture of 2048 px a side."""
_MAX_SCALE_CHANGES = 20
_HEATMAP_PX = 2048
T = TypeVar("T")


@router.post(
    "",
    response_model=schemas.ScoreAnswer,
    responses={
        200: {
            "description": "A score for each photograph or, for one and `Accept: image/png`, its heatmap over"
            " the photograph, with score, p-value, verdict, version and bundle in headers.",
            "content": {"image/png": {"schema": {"type": "string", "format": "binary"}}},
        },
        **errors(404, 406, 409, 415, 504),
    },
    openapi_extra={"requestBody": image_bodies()},
)
@declare(RouteRules(scope="read", body="images"))
async def score(
    request: Request,
    domain: DomainName,
    heatmap: Annotated[
        HeatmapKind,
        Query(
            description="`overlay`: over the photograph; `png`: the colours alone; `map`: the scores in grey,"
            " a pixel for each cell (`heatmap_scale` tells of which scores). At most 16 photographs."
        ),
    ] = "none",
    heatmap_px: Annotated[
        int,
        Query(
            ge=16,
            le=16384,
            description="Longer side of the heatmap, at most the photograph's own or, of a `map`,"
            " its grid's.",
        ),
    ] = _HEATMAP_PX,
    name: Annotated[
        str | None, Query(max_length=1000, description="File name of a raw body, for people only.")
    ] = None,
    bit_depth: BitDepth = None,
    region: Annotated[
        str | None,
        Query(
            max_length=8192,
            description="Region of interest of this request, as JSON; it counts instead of the domain's.",
            examples=['{"polygons": [[[0.1, 0.1], [0.9, 0.1], [0.9, 0.9]]]}'],
        ),
    ] = None,
) -> Response:
    """Score photographs against the domain's references; nothing of them is kept."""
    started = time.perf_counter()
    service, context = state_of(request), context_in(request)
    wants_png = _wants_png(request)
    kind: HeatmapKind = "overlay" if wants_png and heatmap == "none" else heatmap
    service.decoders.check_is_free(context.client)
    files = await read_photographs(request, service.settings.limits)
    context.num_images = len(files)
    _check_number(len(files), kind, wants_png)
    ask = functools.partial(
        _score,
        service,
        domain,
        files,
        context.client,
        wants_map=kind != "none",
        picture_px=0 if kind in ("none", "map") else heatmap_px,
        bit_depth=bit_depth,
        region=_read_region(region),
    )
    async with service.answer_deadline():
        scale = str((await service.backend.describe())["scale"])
        photographs, outcomes = await work_while_connected(request, _ask_at_either_scale(ask, scale))
    if wants_png:
        picture = await service.workers.run(draw, photographs[0], outcomes[0], kind, heatmap_px)
        return _png_answer(outcomes[0], picture)
    heatmaps = await _draw_heatmaps(service, photographs, outcomes, kind, heatmap_px)
    return json_answer(_answer(domain, photographs, outcomes, heatmaps, started))


async def _ask_at_either_scale(ask: Callable[[str], Awaitable[T]], scale: str) -> T:
    """Decode anew for whichever scorer answers: in a roll-out there are those of two bundles for a while."""
    for _ in range(_MAX_SCALE_CHANGES):
        try:
            return await ask(scale)
        except ScaleChangedError as changed:
            scale = changed.scale
    return await ask(scale)


async def _score(
    service: AppState,
    domain: str,
    files: list[RawFile],
    client: str,
    scale: str,
    *,
    wants_map: bool,
    picture_px: int,
    bit_depth: int | None,
    region: RegionOfInterest | None,
) -> tuple[list[Photograph], list[Outcome]]:
    head = await service.head(domain)
    if not head.references:
        raise ApiError(
            409,
            "no_references",
            f"The domain {domain!r} has no references yet; enrol photographs of normal parts with"
            f" POST /v1/domains/{domain}/references first.",
        )
    depth = choose_bit_depth(domain, head.settings, bit_depth)
    photographs = await _decode(
        service, files, client, head.settings.scale or scale, picture_px=picture_px, bit_depth=depth
    )
    queries = [
        Asked(
            domain=domain,
            sequence=head.sequence,
            image=photograph.image,
            scale=photograph.scale,
            key=photograph.key,
            width_px=photograph.width_px,
            height_px=photograph.height_px,
            wants_map=wants_map,
            region=region,
            bit_depth=photograph.bit_depth,
        )
        for photograph in photographs
    ]
    return photographs, await service.backend.score(queries)


async def _decode(
    service: AppState,
    files: list[RawFile],
    client: str,
    scale: str,
    *,
    picture_px: int,
    bit_depth: int | None,
) -> list[Photograph]:
    allowance = service.make_allowance(files, client)
    return await decode_all(
        decode_query(service.decoders, file, allowance, scale, picture_px=picture_px, bit_depth=bit_depth)
        for file in files
    )


async def _draw_heatmaps(
    service: AppState,
    photographs: list[Photograph],
    outcomes: list[Outcome],
    kind: HeatmapKind,
    max_side_px: int,
) -> list[str | None]:
    if kind == "none":
        return [None] * len(outcomes)
    pairs = zip(photographs, outcomes, strict=True)
    tasks = [
        service.workers.run(draw_uri, photograph, outcome, kind, max_side_px) for photograph, outcome in pairs
    ]
    return await asyncio.gather(*tasks)


def _answer(
    domain: str,
    photographs: list[Photograph],
    outcomes: list[Outcome],
    heatmaps: list[str | None],
    started: float,
) -> schemas.ScoreAnswer:
    last = outcomes[-1]
    threshold, view = last.threshold, render_threshold(last.threshold)
    milliseconds = round((time.perf_counter() - started) * 1e3, 3)
    results = tuple(
        render_result(
            photograph.name,
            outcome,
            view if outcome.threshold == threshold else render_threshold(outcome.threshold),
            heatmap=heatmap,
            milliseconds=milliseconds,
        )
        for photograph, outcome, heatmap in zip(photographs, outcomes, heatmaps, strict=True)
    )
    return schemas.ScoreAnswer(
        domain=domain,
        version=last.version,
        bundle_id=last.bundle_id,
        num_references=last.num_enrolled,
        milliseconds=milliseconds,
        results=results,
        warnings=tuple(list_range_warnings((p.wide for p in photographs), are_queries=True)),
    )


def _png_answer(outcome: Outcome, picture: bytes | None) -> Response:
    if picture is None:
        raise ApiError(
            406, "no_heatmap", "This bundle's method does not localise, so it has no picture; ask for JSON."
        )
    headers = {
        "X-Dgad-Score": repr(outcome.score),
        "X-Dgad-P-Value": "" if outcome.p_value is None else repr(outcome.p_value),
        "X-Dgad-Verdict": outcome.verdict,
        "X-Dgad-Version": str(outcome.version),
        "X-Dgad-Bundle": outcome.bundle_id,
    }
    return Response(picture, media_type="image/png", headers=headers)


def _wants_png(request: Request) -> bool:
    """Whether a picture is preferred to JSON: `image/png` is asked for, and JSON is not."""
    kinds = [part.partition(";")[0].strip().lower() for part in request.headers.get("accept", "").split(",")]
    return "image/png" in kinds and "application/json" not in kinds


def _read_region(text: str | None) -> RegionOfInterest | None:
    if text is None:
        return None
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        raise DataError('`region` must be JSON such as {"polygons": [[[x, y], ...]]}.') from None
    return RegionOfInterest.from_json(values)


def _check_number(num_files: int, kind: HeatmapKind, wants_png: bool) -> None:
    if wants_png and num_files != 1:
        raise ApiError(
            422,
            "invalid_value",
            f"`Accept: image/png` is for one photograph, but {num_files} came; ask for JSON.",
        )
    if kind != "none" and num_files > _MAX_HEATMAPS:
        raise ApiError(
            422,
            "invalid_value",
            f"Heatmaps are drawn for at most {_MAX_HEATMAPS} photographs in one request, but {num_files}"
            " came; send fewer at a time, or heatmap=none.",
        )
