"""`Client`: the HTTP service from Python.

    with Client("http://127.0.0.1:8000") as client:
        client.create("belt-4")
        client.enroll("belt-4", ["good/1.png", "good/2.png"])
        for score in client.score("belt-4", ["part.png"]):
            print(score.name, score.verdict, score.score)

The API key is read from DGAD_API_KEY. Every call may be repeated safely (an enrolment carries an idempotency
key), so lost connections, killed servers and "busy" are tried again until the call's deadline.
"""

import json
import mimetypes
import os
import uuid
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, TypeVar
from urllib.parse import quote

from dgad.domains.decoding import read_file
from dgad.domains.domain_file import RegionLike, read_region
from dgad.domains.headers import read_size
from dgad.domains.wide_values import check_bit_depth
from dgad.errors import DataWarning, SettingsError
from dgad.names import check_utf8
from dgad.references.domain import DomainSettings, check_domain_name
from dgad.settings import require, to_dict
from serve.api import schemas
from serve.api.answer_reader import read_answer
from serve.api.transport import ClientError, NotFoundError, Transport
from serve.settings import SCORING_S_PER_MEGAPIXEL

DEFAULT_URL = "http://127.0.0.1:8000"
_KEY_VARIABLE = "DGAD_API_KEY"
_MAX_SCORED_FILES = 16
"""In one request: what a scorer takes as one batch."""
MAX_ENROLLED_FILES = 256
"""In one request, and so in one version: what a service takes unless it is told otherwise."""
_MAX_BATCH_BYTES = 128 * 2**20
"""Half of what a service takes, for the multipart frame and for other settings."""

_MAX_EXTRA_S = 600.0
"""What a service gives a request at most unless it is told otherwise."""

Photograph = str | Path | bytes | tuple[str, bytes]
"""A file, the bytes of one, or (name, bytes)."""
Heatmap = Literal["none", "png", "overlay", "map"]
A = TypeVar("A", bound=schemas.Answer)


class Client:
    """One service; raises `serve.api.transport.ClientError` and its children. One thread at a time."""

    def __init__(
        self,
        url: str = DEFAULT_URL,
        key: str | None = None,
        *,
        timeout_s: float = 120.0,
        enrolment_timeout_s: float = 900.0,
        attempt_timeout_s: float = 40.0,
        retries: int = 8,
        on_retry: Callable[[ClientError, float], None] = lambda trouble, pause_s: None,
    ) -> None:
        """`key` is DGAD_API_KEY where it is not given.

        `timeout_s` is for one call with all its tries, `attempt_timeout_s` for one try of it; an enrolment
        has one time for both, since it may rightly take minutes. A score has more of both for each megapixel
        of its photographs, as it has at the service. `on_retry` hears of every try that failed
        and is repeated, and of the pause before the next.
        """
        self._timeout_s = timeout_s
        self._attempt_timeout_s = attempt_timeout_s
        self._enrolment_timeout_s = enrolment_timeout_s
        self._transport = Transport(
            url,
            key if key is not None else os.environ.get(_KEY_VARIABLE) or None,
            retries=retries,
            attempt_timeout_s=attempt_timeout_s,
            on_retry=on_retry,
        )

    @property
    def url(self) -> str:
        """Where the service is."""
        return self._transport.url

    def __repr__(self) -> str:
        return f"Client({self.url!r})"

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def ready(self) -> schemas.ReadyAnswer:
        """Whether the service scores already; raises only where nothing schemas."""
        content = self._content("GET", "/readyz", accepts=(503,))
        return self._read(schemas.ReadyAnswer, content)

    def bundle(self) -> schemas.BundleAnswer:
        """Ask which bundle the service scores with."""
        return self._read(schemas.BundleAnswer, self._content("GET", "/v1/bundle"))

    def domains(self) -> tuple[schemas.DomainAnswer, ...]:
        """All domains, without their thresholds."""
        value = self._transport.json("GET", "/v1/domains", timeout_s=self._timeout_s)
        listed = value.get("domains") if isinstance(value, dict) else None
        if not isinstance(listed, list):
            raise self._transport.unexpected(None, "it must have `domains`")
        return tuple(self._read(schemas.DomainAnswer, json.dumps(domain)) for domain in listed)

    def create(self, domain: str, settings: DomainSettings | None = None) -> schemas.DomainAnswer:
        """Make the domain; one that is there gets these settings."""
        body = to_dict(settings or DomainSettings())
        region = body.pop("region")
        for name in ("bit_depth", "scale"):  # an older service knows no such settings
            if body[name] is None:
                del body[name]
        answer = self._read(schemas.DomainAnswer, self._content("PUT", _path(domain), json=body))
        return answer if region is None else self.set_region(domain, region)

    def set_region(self, domain: str, region: RegionLike | None) -> schemas.DomainAnswer:
        """Look at a part of the domain's photographs only, as a new version; None: at all of them again."""
        path = _path(domain, "region")
        if region is None:
            return self._read(schemas.DomainAnswer, self._content("DELETE", path))
        content = self._content("PUT", path, json=read_region(region).to_json())
        return self._read(schemas.DomainAnswer, content)

    def describe(self, domain: str) -> schemas.DomainAnswer:
        """The domain with its threshold and the watch over its last scores."""
        return self._read(schemas.DomainAnswer, self._content("GET", _path(domain)))

    def delete(self, domain: str) -> None:
        """Remove the domain and every photograph of it."""
        self._request_removal("DELETE", _path(domain))

    def references(self, domain: str) -> schemas.ReferencesAnswer:
        """The photographs of the current version."""
        return self._read(schemas.ReferencesAnswer, self._content("GET", _path(domain, "references")))

    def reference(self, domain: str, reference_id: str) -> bytes:
        """One photograph as it was enrolled."""
        path = _path(domain, "references", reference_id)
        return self._transport.call("GET", path, timeout_s=self._timeout_s).content

    def enroll(
        self, domain: str, photographs: Sequence[Photograph], *, bit_depth: int | None = None
    ) -> schemas.EnrolmentAnswer:
        """Add photographs of normal parts, all as one new version; the domain must be there.

        A `bit_depth` becomes the domain's, where it states none and has no references yet.
        """
        content = self._content(
            "POST",
            _path(domain, "references"),
            timeout_s=self._enrolment_timeout_s,
            attempt_timeout_s=self._enrolment_timeout_s,
            headers={"Idempotency-Key": uuid.uuid4().hex},
            params=_depth(bit_depth),
            files=_files(photographs),
        )
        return self._read(schemas.EnrolmentAnswer, content)

    def remove(self, domain: str, reference_id: str) -> None:
        """Take one reference out of the current version; older versions keep it."""
        self._request_removal("DELETE", _path(domain, "references", reference_id))

    def purge(self, domain: str, reference_id: str) -> None:
        """Remove one photograph from every version, for good."""
        self._request_removal("DELETE", _path(domain, "references", reference_id), params={"purge": "true"})

    def versions(self, domain: str) -> schemas.VersionsAnswer:
        """Every version, and the log of changes."""
        return self._read(schemas.VersionsAnswer, self._content("GET", _path(domain, "versions")))

    def rollback(self, domain: str, version: int) -> schemas.DomainAnswer:
        """Make an older version current."""
        content = self._content("POST", _path(domain, "rollback"), json={"version": version})
        return self._read(schemas.DomainAnswer, content)

    def score(
        self,
        domain: str,
        photographs: Sequence[Photograph],
        *,
        heatmap: Heatmap = "none",
        heatmap_px: int | None = None,
        bit_depth: int | None = None,
        region: RegionLike | None = None,
    ) -> tuple[schemas.ResultAnswer, ...]:
        """Scores in the order of the photographs, however many requests that takes.

        Issues a `DataWarning` for the first thing that the service says makes them worthless.
        """
        return tuple(
            self.scores(
                domain,
                photographs,
                heatmap=heatmap,
                heatmap_px=heatmap_px,
                bit_depth=bit_depth,
                region=region,
            )
        )

    def scores(
        self,
        domain: str,
        photographs: Sequence[Photograph],
        *,
        heatmap: Heatmap = "none",
        heatmap_px: int | None = None,
        bit_depth: int | None = None,
        region: RegionLike | None = None,
    ) -> Iterator[schemas.ResultAnswer]:
        """The same, each as soon as it is there."""
        is_warned = False
        params: dict[str, Any] = {"heatmap": heatmap, **_depth(bit_depth)}
        if heatmap_px is not None:
            params["heatmap_px"] = heatmap_px
        if region is not None:
            params["region"] = json.dumps(read_region(region).to_json())
        for batch in batches(photographs, max_files=_MAX_SCORED_FILES):
            files = _files(batch)
            extra_s = _extra_s(data for _, (_, data, _) in files)
            content = self._content(
                "POST",
                _path(domain, "score"),
                timeout_s=self._timeout_s + extra_s,
                attempt_timeout_s=self._attempt_timeout_s + extra_s,
                params=params,
                files=files,
            )
            answer = self._read(schemas.ScoreAnswer, content)
            if answer.warnings and not is_warned:
                is_warned = True
                warnings.warn(f"Domain {domain}: {' '.join(answer.warnings)}", DataWarning, stacklevel=2)
            if len(answer.results) != len(batch):
                raise self._transport.unexpected(
                    None, f"{len(answer.results)} results for {len(batch)} photographs"
                )
            yield from answer.results

    def _content(self, method: str, path: str, **options: Any) -> bytes:
        options.setdefault("timeout_s", self._timeout_s)
        return self._transport.call(method, path, **options).content

    def _request_removal(self, method: str, path: str, **options: Any) -> None:
        """Remove something; that it is gone at a second try means that the first one did it."""
        try:
            self._transport.call(method, path, timeout_s=self._timeout_s, **options)
        except NotFoundError:
            if self._transport.num_retried == 0:
                raise

    def _read(self, kind: type[A], content: bytes | str) -> A:
        try:
            return read_answer(kind, content)
        except SettingsError as error:
            raise self._transport.unexpected(None, str(error).rstrip(".")) from None


def batches(photographs: Sequence[Photograph], *, max_files: int) -> Iterator[Sequence[Photograph]]:
    """Pieces of at most `max_files` and `_MAX_BATCH_BYTES`, never empty."""
    piece: list[Photograph] = []
    num_bytes = 0
    for photograph in photographs:
        size = _num_bytes(photograph)
        if piece and (len(piece) == max_files or num_bytes + size > _MAX_BATCH_BYTES):
            yield piece
            piece, num_bytes = [], 0
        piece.append(photograph)
        num_bytes += size
    if piece:
        yield piece


def _num_bytes(photograph: Photograph) -> int:
    if isinstance(photograph, bytes):
        return len(photograph)
    if isinstance(photograph, tuple):
        return len(photograph[1])
    return os.path.getsize(photograph)


def _files(photographs: Sequence[Photograph]) -> list[tuple[str, tuple[str, bytes, str]]]:
    """The parts of a multipart body; files are read now, so that every try sends the same bytes."""
    if not photographs:
        raise SettingsError("`photographs` must be at least one, but there are none.")
    parts = []
    for index, photograph in enumerate(photographs):
        if isinstance(photograph, bytes):
            name, data = f"image-{index}", photograph
        elif isinstance(photograph, tuple):
            name, data = photograph
            check_utf8([name])
        else:
            check_utf8([photograph])
            name, data = Path(photograph).name, read_file(str(photograph))
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        parts.append(("files", (name, data, kind)))
    return parts


def _extra_s(photographs: Iterable[bytes]) -> float:
    """What scoring them may take beside a request's usual time, if none of them is looked at smaller."""
    num_pixels = sum(width * height for width, height in map(read_size, photographs))
    return min(SCORING_S_PER_MEGAPIXEL * num_pixels / 1e6, _MAX_EXTRA_S)


def _depth(bit_depth: int | None) -> dict[str, int]:
    check_bit_depth(bit_depth)
    return {} if bit_depth is None else {"bit_depth": bit_depth}


def _path(domain: str, *more: str) -> str:
    """An address below the domain; nothing that somebody calls a name reaches another one."""
    check_domain_name(domain)
    for part in more:
        require(part not in ("", ".", ".."), "reference_id", "64 hex digits", part)
    return "/".join(("/v1/domains", *(quote(part, safe="") for part in (domain, *more))))
