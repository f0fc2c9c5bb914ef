"""The web page: static files, asked for again only when they changed."""

from pathlib import Path

from fastapi import FastAPI
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from serve.http.route_rules import RouteRules, declare


@declare(RouteRules(scope="open"))
class _Files(StaticFiles):
    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers["Cache-Control"] = "no-cache"
        return response


def add_to(app: FastAPI, folder: Path) -> None:
    """`/` and `/static`; without the folder `/` only says where the rest is."""
    index = folder / "index.html"

    @declare(RouteRules(scope="open"))
    async def root() -> Response:
        if not index.is_file():
            return JSONResponse({"service": "dgad", "docs": "/docs", "openapi": "/openapi.json"})
        return FileResponse(index, headers={"Cache-Control": "no-cache"})

    app.add_api_route("/", root, methods=["GET", "HEAD"], include_in_schema=False)
    if folder.is_dir():
        app.mount("/static", _Files(directory=folder), name="static")
