"""A served application over the store and backend in memory, and photographs for it."""

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path

import requests

from serve.http.app import make_app
from serve.http.middleware import RequestMetrics
from serve.keys import KeyRing
from serve.settings import Limits, ServeSettings
from tests.serve.support.fakes import FakeBackend, FakeStore
from tests.serve.support.live import serving
from tests.serve.support.malformed_images import valid

SMALL = Limits(
    max_body_bytes=200_000, max_image_bytes=60_000, max_pixels=10_000, max_files=4, max_header_bytes=8192
)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Served:
    """What a test asks, and what stands behind it."""

    url: str
    store: FakeStore
    backend: FakeBackend
    ring: KeyRing
    folder: Path

    def ask(self, method: str, path: str, **options: object) -> requests.Response:
        """One request; ours, so that nothing of the environment takes part."""
        session = requests.Session()
        session.trust_env = False
        return session.request(method, self.url + path, timeout=30, **options)  # type: ignore[arg-type]

    def domain(self, name: str, *, num_references: int = 2) -> list[str]:
        """A new domain with references; their ids."""
        assert self.ask("PUT", f"/v1/domains/{name}").status_code == 201
        if not num_references:
            return []
        files = [("files", (f"{i}.png", valid("PNG", i))) for i in range(num_references)]
        answer = self.ask("POST", f"/v1/domains/{name}/references", files=files)
        assert answer.status_code == 201, answer.text
        return [reference["id"] for reference in answer.json()["added"]]


@contextlib.contextmanager
def served(
    folder: Path,
    *,
    host: str = "127.0.0.1",
    limits: Limits = SMALL,
    metrics: RequestMetrics | None = None,
    page: Path | None = None,
    **settings: float | str,
) -> Iterator[Served]:
    """As if it listened at `host`; it listens on loopback anyway."""
    store = FakeStore()
    backend = FakeBackend(store)
    chosen = ServeSettings(
        bundle=str(folder / "bundle"),
        store=str(folder / "store"),
        host=host,
        limits=limits,
        **settings,  # type: ignore[arg-type]
    )
    app = make_app(chosen, backend, metrics=metrics, store=store, page_folder=page or folder / "no page")
    with serving(app) as url:
        yield Served(url=url, store=store, backend=backend, ring=KeyRing(folder / "store"), folder=folder)


def code_of(answer: requests.Response) -> str:
    """The code of an error, whose shape is looked at on the way."""
    assert answer.headers["content-type"] == "application/json"
    error = answer.json()["error"]
    assert set(error) == {"code", "message", "request_id"}
    assert error["request_id"] == answer.headers["x-request-id"]
    assert "Traceback" not in answer.text
    return str(error["code"])
