"""`/docs`: the OpenAPI document as one plain page that asks no other site for anything."""

import html
import json
from collections.abc import Iterator, Mapping
from typing import Any

from fastapi import APIRouter, Request, Response

from serve.http.route_rules import RouteRules, declare

router = APIRouter(include_in_schema=False)

_STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 0 auto; padding: 1rem; }
h2 { margin-top: 2.5rem; } pre { overflow: auto; padding: .6rem;
  border: 1px solid #8886; border-radius: 6px; }
code, pre { font: 14px/1.45 ui-monospace, monospace; } article { margin: 1.5rem 0; }
h3 code { font-size: 1rem; } 
td, th { padding: .15rem .8rem .15rem 0; text-align: left; vertical-align: top; }
summary { cursor: pointer; } .method { font-weight: 700; }
"""


@router.get("/docs")
@declare(RouteRules(scope="open"))
async def docs(request: Request) -> Response:
    """Every operation with its parameters, bodies and answers."""
    document = request.app.openapi()
    return Response("".join(_page(document)), media_type="text/html; charset=utf-8")


@router.get("/docs/style.css")
@declare(RouteRules(scope="open"))
async def style() -> Response:
    """Of the page above."""
    return Response(_STYLE, media_type="text/css")


def _page(document: Mapping[str, Any]) -> Iterator[str]:
    info = document["info"]
    yield (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>dgad API</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<link rel="stylesheet" href="docs/style.css"></head><body>'
        f"<h1>dgad {_escape(info['version'])}: HTTP API</h1>"
    )
    for paragraph in info["description"].split("\n\n"):
        yield f"<p>{_escape(paragraph)}</p>"
    yield '<p>The whole description for programs: <a href="openapi.json">openapi.json</a>.</p>'
    tag = ""
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if operation["tags"][0] != tag:
                tag = operation["tags"][0]
                yield f"<h2>{_escape(tag)}</h2>"
            yield from _operation(path, method, operation, document)
    yield "</body></html>"


def _operation(
    path: str, method: str, operation: Mapping[str, Any], document: Mapping[str, Any]
) -> Iterator[str]:
    yield f'<article><h3><code><span class="method">{method.upper()}</span> {_escape(path)}</code></h3>'
    yield f"<p>{_escape(operation.get('description', ''))}</p>"
    if parameters := operation.get("parameters"):
        yield "<table>"
        for parameter in parameters:
            said = parameter.get("description", "")
            yield f"<tr><td><code>{_escape(parameter['name'])}</code></td><td>{_escape(said)}</td></tr>"
        yield "</table>"
    if body := operation.get("requestBody"):
        kinds = ", ".join(body["content"])
        yield f"<p>Body: {_escape(body.get('description', ''))} <code>{_escape(kinds)}</code></p>"
    yield f"<pre>{_escape(_curl(path, method, operation))}</pre>"
    for status, answer in operation["responses"].items():
        yield f"<details><summary>{_escape(status)}: {_escape(answer['description'])}</summary>"
        for kind, content in answer.get("content", {}).items():
            shown = content.get("example", _resolve(content.get("schema", {}), document))
            yield f"<p><code>{_escape(kind)}</code></p><pre>{_escape(json.dumps(shown, indent=1))}</pre>"
        yield "</details>"
    yield "</article>"


def _curl(path: str, method: str, operation: Mapping[str, Any]) -> str:
    filled = path.replace("{domain}", "carpet").replace("{reference_id}", "ID")
    body = operation.get("requestBody", {}).get("content", {})
    options = ""
    if "multipart/form-data" in body:
        options = " -F files=@part-001.jpg -F files=@part-002.jpg"
    elif "application/json" in body:
        given = '{"version": 1}' if path.endswith("rollback") else '{"false_alarm_rate": 0.05}'
        options = f" -H 'Content-Type: application/json' -d '{given}'"
    verb = "" if method == "get" or (method == "post" and options) else f" -X {method.upper()}"
    return f"curl -H 'Authorization: Bearer KEY'{verb} http://127.0.0.1:8000{filled}{options}"


def _resolve(schema: Mapping[str, Any], document: Mapping[str, Any]) -> Any:
    """The schema with its references one level deep put in."""
    name = str(schema.get("$ref", "")).rpartition("/")[2]
    return document["components"]["schemas"].get(name, schema)


def _escape(value: object) -> str:
    return html.escape(str(value))
