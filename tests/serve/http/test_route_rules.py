"""Scope and body bound of a route are what it declares, whatever its path looks like."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from fastapi import APIRouter, FastAPI, Request, Response

from serve.http.app import make_app
from serve.http.middleware import AccessMiddleware
from serve.http.route_rules import RouteRules, RouteTable, declare
from serve.http.routes import health
from serve.keys import KeyRing
from serve.settings import ServeSettings
from tests.serve.support.fakes import FakeBackend, FakeStore
from tests.serve.support.http import SMALL
from tests.serve.support.live import serving


def settings_in(folder: Path) -> ServeSettings:
    return ServeSettings(
        bundle=str(folder / "bundle"), store=str(folder / "store"), host="0.0.0.0", limits=SMALL
    )


@contextlib.contextmanager
def served_route(folder: Path, path: str, rules: RouteRules) -> Iterator[tuple[str, KeyRing]]:
    """A route of its own behind the middleware; it answers with the size of the body."""
    router = APIRouter()

    @router.post(path)
    @declare(rules)
    async def endpoint(request: Request) -> Response:
        return Response(str(len(await request.body())))

    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    app.include_router(router)
    ring = KeyRing(folder / "store")
    app.add_middleware(
        AccessMiddleware, settings=settings_in(folder), ring=ring, routes=RouteTable(router.routes)
    )
    with serving(app) as url:
        yield url, ring


def post(url: str, token: str, num_bytes: int) -> requests.Response:
    headers = {"Authorization": f"Bearer {token}"}
    return requests.post(url, data=b"x" * num_bytes, headers=headers, timeout=30)


@pytest.mark.parametrize("path", ["/v1/score", "/v1/references", "/v1/anything"])
def test_the_declared_scope_and_bound_hold_whatever_the_path_ends_with(tmp_path: Path, path: str) -> None:
    with served_route(tmp_path, path, RouteRules(scope="write")) as (url, ring):
        reader, writer = ring.create("reader", "read"), ring.create("writer", "write")
        assert post(url + path, reader, 10).status_code == 403
        assert post(url + path, writer, 10).status_code == 200
        assert post(url + path, writer, 70_000).status_code == 413


@pytest.mark.parametrize("path", ["/v1/reviews", "/v1/domains"])
def test_a_route_may_take_photographs_with_a_read_key_under_any_name(tmp_path: Path, path: str) -> None:
    with served_route(tmp_path, path, RouteRules(scope="read", body="images")) as (url, ring):
        reader = ring.create("reader", "read")
        assert post(url + path, reader, 70_000).text == "70000"
        assert post(url + path, reader, SMALL.max_body_bytes + 1).status_code == 413


def test_a_route_without_a_declaration_is_refused_when_the_application_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    router = APIRouter()

    @router.put("/v1/forgotten")
    async def forgotten() -> None:
        """Declares nothing."""

    store = FakeStore()
    monkeypatch.setattr(health.router, "routes", [*health.router.routes, *router.routes])
    with pytest.raises(TypeError, match=r"The route PUT /v1/forgotten must declare who may use it"):
        make_app(settings_in(tmp_path), FakeBackend(store), store=store)  # type: ignore[arg-type]
