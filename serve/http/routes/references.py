"""References: enrolled, listed, looked at, removed, purged."""

import dataclasses
import time
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response

from dgad.domains.decoding import DecodeLimits
from dgad.errors import ConflictError
from dgad.references.domain import Enrolment, Upload
from serve.api import schemas
from serve.engine.backend import Threshold
from serve.engine.writes import CreateDomain, Enroll, RemoveReference
from serve.http.bodies.multipart import RawFile
from serve.http.bodies.polyglots import image_type
from serve.http.bodies.uploads import IMAGE_TYPES, idempotency_key, read_photographs
from serve.http.dependencies import AppState, context_in, state_of
from serve.http.images import decode_all, decode_upload
from serve.http.openapi import errors, image_bodies
from serve.http.route_rules import RouteRules, declare
from serve.http.routes import BitDepth, DomainName, ReferenceId, choose_bit_depth, json_answer
from serve.http.routes.domains import describe_domain
from serve.http.thumbnails import thumbnail as made_thumbnail
from serve.http.views import list_enrolment_warnings, render_reference, render_threshold

router = APIRouter(prefix="/v1/domains/{domain}/references", tags=["references"])
_ENDINGS = {"image/jpeg": "jpg", "image/png": "png", "image/bmp": "bmp", "image/tiff": "tif"}
_NO_THRESHOLD = Threshold(
    value=None,
    false_alarm_rate=None,
    lowest_rate=None,
    guarantee="none",
    scheme="none",
    num_compared=0,
    num_calibration=0,
)


@router.get("", response_model=schemas.ReferencesAnswer, responses=errors(404))
@declare(RouteRules(scope="read"))
async def list_references(request: Request, domain: DomainName) -> Response:
    """The references of the current version, in the order of enrolment."""
    head = await state_of(request).head(domain)
    references = tuple(render_reference(reference) for reference in head.references)
    return json_answer(schemas.ReferencesAnswer(version=head.version, references=references))


@router.post(
    "",
    status_code=201,
    response_model=schemas.EnrolmentAnswer,
    responses={
        200: {
            "model": schemas.EnrolmentAnswer,
            "description": "Nothing was new, or the same request had been carried out before.",
        },
        **errors(404, 409, 415, 504),
    },
    openapi_extra={"requestBody": image_bodies()},
)
@declare(RouteRules(scope="write", body="images"))
async def enroll(
    request: Request,
    domain: DomainName,
    idempotency: Annotated[
        str | None,
        Header(
            alias="Idempotency-Key",
            pattern=r"^[\x21-\x7e]{1,255}$",
            description="A retry with the same key does nothing twice.",
        ),
    ] = None,
    name: Annotated[
        str | None, Query(max_length=1000, description="File name of a raw body, for people only.")
    ] = None,
    bit_depth: BitDepth = None,
) -> Response:
    """Enrol photographs of normal parts, all of them or, where one is refused, none: one new version.

    A `bit_depth` becomes the domain's, where it states none and has no references yet.
    """
    started = time.perf_counter()
    service, context = state_of(request), context_in(request)
    key = idempotency_key(request.headers)
    head = await service.head(domain)
    depth = choose_bit_depth(domain, head.settings, bit_depth)
    if depth != head.settings.bit_depth and head.references:
        raise ConflictError(
            f"Domain {domain!r} has references that are read without a bit depth: set it for all of them, in"
            f" the domain's settings (PUT /v1/domains/{domain})."
        )
    service.decoders.check_is_free(context.client)
    files = await read_photographs(request, service.settings.limits)
    context.num_images = len(files)
    async with service.change_deadline():
        uploads = await _decode(service, files, context.client, depth)
        if depth != head.settings.bit_depth:
            settings = dataclasses.replace(head.settings, bit_depth=depth)
            await service.backend.write(CreateDomain(domain=domain, settings=settings, author=context.author))
        enrolment = await service.backend.write(
            Enroll(domain=domain, uploads=uploads, author=context.author, idempotency_key=key)
        )
        async with service.answer_deadline():
            threshold = await service.backend.threshold(domain, enrolment.sequence) or _NO_THRESHOLD
    answer = schemas.EnrolmentAnswer(
        domain=domain,
        version=enrolment.version,
        added=tuple(render_reference(reference) for reference in enrolment.added),
        already_there=enrolment.already_there,
        repeated=enrolment.is_repeated,
        threshold=render_threshold(threshold),
        warnings=tuple(list_enrolment_warnings(enrolment.added, threshold, [u.wide for u in uploads])),
        milliseconds=round((time.perf_counter() - started) * 1e3, 3),
    )
    return json_answer(answer, 201 if _is_new(enrolment) else 200)


@router.get(
    "/{reference_id}",
    response_class=Response,
    responses={
        200: {
            "description": "The photograph as it was enrolled or, as a thumbnail, a small JPEG.",
            "content": {
                kind: {"schema": {"type": "string", "format": "binary"}}
                for kind in (*IMAGE_TYPES, "application/octet-stream")
            },
        },
        **errors(404),
    },
)
@declare(RouteRules(scope="read"))
async def get_reference(
    request: Request,
    domain: DomainName,
    reference_id: ReferenceId,
    thumbnail: Annotated[
        int | None, Query(ge=16, le=512, description="Longest side of a small JPEG, px.")
    ] = None,
) -> Response:
    """One photograph, of any version that was not purged."""
    service = state_of(request)
    head = await service.head(domain)
    if thumbnail is None:
        data = await service.readers.run(service.store.image, domain, reference_id)
        return _image(data, reference_id)
    side_px = thumbnail
    kept = service.thumbnails.get(domain, head.sequence, reference_id, side_px)
    if kept is None:
        service.workers.check_is_free()
        depth = head.settings.bit_depth
        kept = await service.workers.run(_make_thumbnail, service, domain, reference_id, side_px, depth)
        service.thumbnails.put(domain, head.sequence, reference_id, side_px, kept)
    return _image(kept, f"{reference_id}-{side_px}")


@router.delete("/{reference_id}", response_model=schemas.DomainAnswer, responses=errors(404, 409, 504))
@declare(RouteRules(scope="write"))
async def remove_reference(
    request: Request,
    domain: DomainName,
    reference_id: ReferenceId,
    purge: Annotated[bool, Query(description="Remove it from every version, for good.")] = False,
) -> Response:
    """Take one photograph out of the current version or, with `purge`, out of every one for good."""
    service = state_of(request)
    await service.head(domain)
    async with service.change_deadline():
        change = await service.backend.write(
            RemoveReference(
                domain=domain, reference_id=reference_id, purge=purge, author=context_in(request).author
            )
        )
        answer = await describe_domain(service, domain, change)
    return json_answer(answer)


async def _decode(
    service: AppState, files: list[RawFile], client: str, bit_depth: int | None
) -> list[Upload]:
    allowance = service.make_allowance(files, client)
    return await decode_all(
        decode_upload(service.decoders, file, allowance, bit_depth=bit_depth) for file in files
    )


def _is_new(enrolment: Enrolment) -> bool:
    return bool(enrolment.added) and not enrolment.is_repeated


def _make_thumbnail(
    service: AppState, domain: str, reference_id: str, side_px: int, bit_depth: int | None
) -> bytes:
    limits = service.settings.limits
    bounds = DecodeLimits(
        max_bytes=limits.max_image_bytes, max_pixels=limits.max_pixels, was_accepted_before=True
    )
    data = service.store.image(domain, reference_id)
    return made_thumbnail(data, side_px, limits=bounds, bit_depth=bit_depth)


def _image(data: bytes, stem: str) -> Response:
    kind = image_type(data)
    name = f"{stem}.{_ENDINGS.get(kind, 'bin')}"
    return Response(data, media_type=kind, headers={"Content-Disposition": f'inline; filename="{name}"'})
