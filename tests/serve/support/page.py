"""The page's service, and photographs to drop on it."""

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path

import requests

from serve.engine.in_process import InProcessBackend
from serve.http.app import make_app
from serve.settings import ServeSettings
from tests.serve.support.live import serving
from tests.serve.support.surfaces import photographs


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Served:
    """A running service."""

    url: str
    store: Path

    def enrolled(self, domain: str, *batches: list[bytes]) -> None:
        """Make a domain with one version a batch, without the page."""
        url = f"{self.url}/v1/domains/{domain}"
        requests.put(url, timeout=60).raise_for_status()
        for batch in batches:
            files = [("files", (f"good {i}.png", data)) for i, data in enumerate(batch)]
            requests.post(f"{url}/references", files=files, timeout=60).raise_for_status()

    def get(self, path: str) -> requests.Response:
        return requests.get(f"{self.url}{path}", timeout=60)


@contextlib.contextmanager
def service_of(bundle: Path, store: Path) -> Iterator[Served]:
    """The real service with its page, in this process."""
    settings = ServeSettings(bundle=str(bundle), store=str(store), device="cpu")
    backend = InProcessBackend(settings)
    with serving(make_app(settings, backend)) as url:
        yield Served(url=url, store=store)
    backend.close()


def good(count: int, seed: int = 0) -> list[tuple[str, bytes]]:
    """Named photographs of normal parts."""
    return [(f"good {i}.png", data) for i, data in enumerate(photographs(count, seed=seed))]


def bad(count: int, seed: int = 50) -> list[tuple[str, bytes]]:
    """Named photographs of parts with a defect."""
    return [(f"bad {i}.png", data) for i, data in enumerate(photographs(count, defect=True, seed=seed))]
