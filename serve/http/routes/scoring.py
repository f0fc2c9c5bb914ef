"""Scores, with regions and heatmaps."""

import asyncio
import dataclasses
import functools
import json
import time
from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar

from fastapi import APIRouter, Query, Request, Response

from dgad.domains.region import RegionOfInterest
from dgad.domains.wide_values import WideRange
from dgad.errors import DataError
from serve.api import schemas
from serve.engine.backend import Outcome, ScaleChangedError
from serve.engine.backend import Query as Asked
from serve.http.bodies.multipart import RawFile
from serve.http.bodies.uploads import read_photographs
from serve.http.dependencies import AppState, Deadline, context_in, state_of, work_while_connected
from serve.http.errors import ApiError
from serve.http.heatmap_png import HeatmapKind, draw, draw_uri
from serve.http.held_pixels import expect_bytes, expect_pixels, group
from serve.http.images import Photograph, decode_all, decode_query
from serve.http.openapi import errors, image_bodies
from serve.http.route_rules import RouteRules, declare
from serve.http.routes import BitDepth, DomainName, choose_bit_depth, json_answer
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
        draw=functools.partial(draw if wants_png else draw_uri, kind=kind, max_side_px=heatmap_px),
        wants_map=kind != "none",
        picture_px=0 if kind in ("none", "map") else heatmap_px,
        bit_depth=bit_depth,
        region=_read_region(region),
    )
    async with service.answer_deadline() as deadline:
        scale = str((await service.backend.describe())["scale"])
        scored = await work_while_connected(request, _ask_at_either_scale(ask, deadline, scale))
    if wants_png:
        return _png_answer(scored[0])
    return json_answer(_answer(domain, scored, started))


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class _Scored:
    """What the answer has of one photograph; its pixels are gone."""

    name: str
    wide: WideRange | None
    outcome: Outcome
    heatmap: bytes | str | None


async def _ask_at_either_scale(
    ask: Callable[[Deadline, str], Awaitable[T]], deadline: Deadline, scale: str
) -> T:
    """Decode anew for whichever scorer answers: in a roll-out there are those of two bundles for a while."""
    for _ in range(_MAX_SCALE_CHANGES):
        try:
            return await ask(deadline, scale)
        except ScaleChangedError as changed:
            scale = changed.scale
    return await ask(deadline, scale)


async def _score(
    service: AppState,
    domain: str,
    files: list[RawFile],
    client: str,
    deadline: Deadline,
    scale: str,
    *,
    draw: Callable[[Photograph, Outcome], bytes | str | None],
    wants_map: bool,
    picture_px: int,
    bit_depth: int | None,
    region: RegionOfInterest | None,
) -> list[_Scored]:
    """Score them all together or, of large ones, as many at a time as one ingress may hold of them."""
    head = await service.head(domain)
    if not head.references:
        raise ApiError(
            409,
            "no_references",
            f"The domain {domain!r} has no references yet; enrol photographs of normal parts with"
            f" POST /v1/domains/{domain}/references first.",
        )
    scale = head.settings.scale or scale
    deadline.allow(sum(expect_pixels(file.data, scale) for file in files))
    decode = functools.partial(
        decode_query,
        service.decoders,
        allowance=service.make_allowance(files, client),
        scale=scale,
        picture_px=picture_px,
        bit_depth=choose_bit_depth(domain, head.settings, bit_depth),
    )
    scored: list[_Scored] = []
    for together, num_bytes in group((file, expect_bytes(file.data, scale, picture_px)) for file in files):
        async with service.held.hold(num_bytes) as held:
            photographs = await decode_all(decode(file=file) for file in together)
            held.shrink(sum(photograph.num_bytes for photograph in photographs))
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
            outcomes = await service.backend.score(queries)
            pairs = list(zip(photographs, outcomes, strict=True))
            heatmaps = await asyncio.gather(*(service.workers.run(draw, *pair) for pair in pairs))
            scored += [
                _Scored(
                    name=photograph.name,
                    wide=photograph.wide,
                    outcome=dataclasses.replace(outcome, heat=None),
                    heatmap=heatmap,
                )
                for (photograph, outcome), heatmap in zip(pairs, heatmaps, strict=True)
            ]
            del photographs, queries, outcomes, pairs  # before anybody else holds as much
    return scored


def _answer(domain: str, scored: list[_Scored], started: float) -> schemas.ScoreAnswer:
    last = scored[-1].outcome
    threshold, view = last.threshold, render_threshold(last.threshold)
    milliseconds = round((time.perf_counter() - started) * 1e3, 3)
    results = tuple(
        render_result(
            one.name,
            one.outcome,
            view if one.outcome.threshold == threshold else render_threshold(one.outcome.threshold),
            heatmap=one.heatmap if isinstance(one.heatmap, str) else None,
            milliseconds=milliseconds,
        )
        for one in scored
    )
    return schemas.ScoreAnswer(
        domain=domain,
        version=last.version,
        bundle_id=last.bundle_id,
        num_references=last.num_enrolled,
        milliseconds=milliseconds,
        results=results,
        warnings=tuple(list_range_warnings((one.wide for one in scored), are_queries=True)),
    )


def _png_answer(scored: _Scored) -> Response:
    outcome = scored.outcome
    if scored.heatmap is None:
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
    return Response(scored.heatmap, media_type="image/png", headers=headers)


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
