"""The HTTP application: thin, without Ray; whatever scores stands behind `serve.engine.backend.Backend`."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from fastapi import FastAPI
from starlette.routing import BaseRoute, Mount, Route

from dgad.errors import DgadError, MissingError
from dgad.references.reader import StoreReader
from serve.decoding.pool import DecodePool
from serve.engine.backend import Backend
from serve.engine.freed_memory import FreedMemory
from serve.http.dependencies import AppState
from serve.http.errors import add_error_handlers
from serve.http.held_pixels import HeldPixels
from serve.http.images import Workers
from serve.http.middleware import AccessMiddleware, RequestMetrics
from serve.http.openapi import describe
from serve.http.route_rules import RouteRules, RouteTable, declare
from serve.http.routes import docs, domains, health, page, references, scoring
from serve.keys import KeyRing
from serve.settings import ServeSettings

_FORGET_EVERY_S = 60.0
_PAGE_FOLDER = Path(__file__).parents[1] / "page"


def make_app(
    settings: ServeSettings,
    backend: Backend,
    *,
    metrics: RequestMetrics | None = None,
    store: StoreReader | None = None,
    page_folder: Path = _PAGE_FOLDER,
) -> FastAPI:
    """The application over a backend; `store`: another reading side than that of `settings.store`."""
    service = AppState(
        settings=settings,
        backend=backend,
        store=store or StoreReader(settings.store),
        readers=Workers(max_waiting=settings.max_queued, name="dgad-store"),
        workers=Workers(max_waiting=settings.max_queued, name="dgad-draw"),
        # What waits to be decoded then waits for a scorer, where the backend bounds it again.
        decoders=DecodePool(settings.limits, max_waiting=settings.max_queued),
        held=HeldPixels(on_release=FreedMemory().note_work),
    )

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await service.decoders.start()
        forgetting = asyncio.create_task(_forget_purged(service))
        yield
        forgetting.cancel()
        await service.decoders.aclose()
        service.readers.close()
        service.workers.close()

    app = FastAPI(
        docs_url=None, redoc_url=None, openapi_url="/openapi.json", redirect_slashes=False, lifespan=lifespan
    )
    app.state.service = service
    routers = [module.router for module in (health, domains, references, scoring, docs)]
    for router in routers:
        app.include_router(router)
    page.add_to(app, page_folder)
    routes = [*_own_routes(app), *(route for router in routers for route in router.routes)]
    add_error_handlers(app, routes)
    describe(app)
    app.add_middleware(
        AccessMiddleware,
        settings=settings,
        ring=KeyRing(settings.store, rule=settings.keys),
        routes=RouteTable(routes),
        metrics=metrics,
    )
    return app


async def _forget_purged(service: AppState) -> None:
    """What was purged goes from memory, also where nobody asks for its domain again."""
    while True:
        await asyncio.sleep(_FORGET_EVERY_S)
        service.store.forget()
        for domain, sequence in service.thumbnails.list_domains().items():
            try:
                is_current = (await service.head(domain)).sequence == sequence
            except MissingError:
                is_current = False
            except DgadError:  # out of reach, or busy: another time
                continue
            if not is_current:
                service.thumbnails.forget(domain)


def _own_routes(app: FastAPI) -> list[BaseRoute]:
    """Routes and mounts added to the application itself; included routers list theirs."""
    routes: list[BaseRoute] = [route for route in app.routes if isinstance(route, Route | Mount)]
    for route in routes:
        if (
            isinstance(route, Route) and route.path == app.openapi_url
        ):  # FastAPI adds it, so nobody decorates it
            declare(RouteRules(scope="open"))(route.endpoint)
    return routes
