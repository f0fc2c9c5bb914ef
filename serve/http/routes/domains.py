"""Domains: made, listed, changed, taken back to an older version, deleted."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Body, Request, Response

from dgad.domains.region import RegionOfInterest
from dgad.errors import MissingError
from dgad.references.domain import Change, DomainSettings
from serve.api import schemas
from serve.engine.writes import CreateDomain, DeleteDomain, Rollback, SetRegion
from serve.http.dependencies import AppState, context_in, state_of
from serve.http.openapi import errors
from serve.http.route_rules import RouteRules, declare
from serve.http.routes import DomainName, json_answer
from serve.http.views import render_domain

router = APIRouter(prefix="/v1/domains", tags=["domains"])


@router.get("", response_model=schemas.DomainsAnswer, responses=errors(504))
@declare(RouteRules(scope="read"))
async def list_domains(request: Request) -> Response:
    """All domains by name, without what takes time to find out (`threshold`, `recent`)."""
    service = state_of(request)
    described = await service.describe_backend()

    def read() -> tuple[schemas.DomainAnswer, ...]:
        found = []
        for name in service.store.domains():
            try:
                change = service.store.head(name)
            except MissingError:  # deleted since it was listed
                continue
            found.append(render_domain(name, change, str(described["bundle_id"])))
        return tuple(found)

    return json_answer(schemas.DomainsAnswer(domains=await service.readers.run(read)))


@router.put(
    "/{domain}",
    response_model=schemas.DomainAnswer,
    responses={
        201: {"model": schemas.DomainAnswer, "description": "Made."},
        **errors(409, 504),
        200: {"description": "It was there; it has these settings now."},
    },
)
@declare(RouteRules(scope="write"))
async def put_domain(
    request: Request, domain: DomainName, settings: Annotated[schemas.SettingsBody | None, Body()] = None
) -> Response:
    """Make a domain or, where it is there, give it these settings."""
    service = state_of(request)
    wanted = DomainSettings(**(settings or schemas.SettingsBody()).model_dump())
    try:
        await service.head(domain)
        was_there = True
    except MissingError:
        was_there = False
    async with service.change_deadline():
        change = await service.backend.write(
            CreateDomain(domain=domain, settings=wanted, author=context_in(request).author)
        )
        answer = await describe_domain(service, domain, change)
    return json_answer(answer, 200 if was_there else 201)


@router.get("/{domain}", response_model=schemas.DomainAnswer, responses=errors(404, 504))
@declare(RouteRules(scope="read"))
async def get_domain(request: Request, domain: DomainName) -> Response:
    """One domain, with its threshold and how its last scores lie in its calibration."""
    service = state_of(request)
    return json_answer(await describe_domain(service, domain, await service.head(domain)))


@router.delete("/{domain}", status_code=204, response_class=Response, responses=errors(404, 409, 504))
@declare(RouteRules(scope="write"))
async def delete_domain(request: Request, domain: DomainName) -> Response:
    """Remove a domain with all its photographs; its log stays."""
    service = state_of(request)
    await service.head(domain)
    async with service.change_deadline():
        await service.backend.write(DeleteDomain(domain=domain, author=context_in(request).author))
    return Response(status_code=204)


@router.get("/{domain}/versions", response_model=schemas.VersionsAnswer, responses=errors(404, 504))
@declare(RouteRules(scope="read"))
async def list_versions(request: Request, domain: DomainName) -> Response:
    """Every version of the references, and the log of what was done to the domain."""
    service = state_of(request)
    head = await service.head(domain)
    versions = await service.readers.run(service.store.versions, domain)
    log = await service.readers.run(service.store.log, domain)
    return json_answer(
        schemas.VersionsAnswer(
            current=head.version,
            versions=tuple(
                schemas.VersionAnswer(
                    number=version.number,
                    created_at=version.created_at,
                    by=version.author,
                    num_references=len(version.references),
                    num_purged=version.num_purged,
                    is_current=version.is_current,
                    references=tuple(reference.id for reference in version.references),
                )
                for version in versions
            ),
            log=tuple(
                schemas.LogAnswer(
                    sequence=change.sequence,
                    action=change.action,
                    at=change.made_at,
                    by=change.author,
                    version=change.version,
                    about=dict(change.details),
                )
                for change in log
            ),
        )
    )


@router.post("/{domain}/rollback", response_model=schemas.DomainAnswer, responses=errors(404, 409, 504))
@declare(RouteRules(scope="write"))
async def rollback(request: Request, domain: DomainName, wanted: schemas.RollbackBody) -> Response:
    """Make an older version of the references current again."""
    service = state_of(request)
    await service.head(domain)
    async with service.change_deadline():
        change = await service.backend.write(
            Rollback(domain=domain, version=wanted.version, author=context_in(request).author)
        )
        answer = await describe_domain(service, domain, change)
    return json_answer(answer)


@router.put("/{domain}/region", response_model=schemas.DomainAnswer, responses=errors(404, 409, 504))
@declare(RouteRules(scope="write"))
async def put_region(request: Request, domain: DomainName, region: schemas.RegionBody) -> Response:
    """Look at a part of the photographs only, as a new version; the threshold is made anew."""
    wanted = RegionOfInterest.from_json(region.model_dump(exclude_none=True))
    return await _set_region(request, domain, wanted)


@router.delete("/{domain}/region", response_model=schemas.DomainAnswer, responses=errors(404, 409, 504))
@declare(RouteRules(scope="write"))
async def delete_region(request: Request, domain: DomainName) -> Response:
    """Look at all of the photographs again, as a new version."""
    return await _set_region(request, domain, None)


async def _set_region(request: Request, domain: str, region: RegionOfInterest | None) -> Response:
    service = state_of(request)
    await service.head(domain)
    wanted = None if region is None else region.to_json()
    async with service.change_deadline():
        change = await service.backend.write(
            SetRegion(domain=domain, region=wanted, author=context_in(request).author)
        )
        answer = await describe_domain(service, domain, change)
    return json_answer(answer)


async def describe_domain(service: AppState, domain: str, change: Change) -> schemas.DomainAnswer:
    """The domain after a change, with all that is told of it."""
    async with service.answer_deadline():
        described, threshold, recent = await asyncio.gather(
            service.backend.describe(),
            service.backend.threshold(domain, change.sequence),
            service.backend.recent(domain),
        )
    return render_domain(domain, change, str(described["bundle_id"]), threshold=threshold, recent=recent)
