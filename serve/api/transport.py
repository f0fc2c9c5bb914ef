"""One HTTP request of the client: sent again where that is safe, given up at a deadline, its errors a tree.

Not urllib3's `Retry`, though its reading of Retry-After is used: it knows no deadline over all tries, and
it cannot tell a 500 that the service explains (final) from one of a proxy whose worker was killed.
"""

import json
import random
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.auth import AuthBase
from urllib3.exceptions import HTTPError
from urllib3.exceptions import InvalidHeader as BadRetryAfter
from urllib3.util import Retry

from dgad.errors import DgadError, UserError
from dgad.settings import require

_MAX_PAUSE_S = 10.0
_FIRST_PAUSE_S = 0.2
_FIRST_RETRIES = 2
_CONNECT_TIMEOUT_S = 5.0
_LONGEST_TEXT = 300
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


class ClientError(DgadError):
    """A request that was not carried out; `code` is the service's, or `unreachable`, `deadline`, ..."""

    def __init__(self, message: str, *, code: str, status: int | None, request_id: str) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.status = status
        """HTTP status; None where no answer came."""
        self.request_id = request_id
        """What the service's log has it under."""


class RefusedError(ClientError, UserError):
    """The service refuses the request as it is: a 4xx that asking again does not mend."""


class NotFoundError(RefusedError):
    """No such domain, version, reference or address: 404."""


class KeyRefusedError(RefusedError):
    """No key, an unknown one, or one that may not write: 401, 403."""


class UnreachableServiceError(ClientError, UserError):
    """Nothing answers at the address, whatever is tried until the deadline."""


class OverloadedError(ClientError):
    """The service is too busy (429) or not available (503) until the deadline."""


class DeadlineError(ClientError):
    """No answer in time."""


class FailedError(ClientError):
    """The service failed: 5xx."""


class UnexpectedAnswerError(ClientError, UserError):
    """What answers is no dgad service, or one of another version."""


class _Bearer(AuthBase):
    """The key of one service. As `auth`, or requests would put a password of ~/.netrc in its place."""

    def __init__(self, key: str | None) -> None:
        self._key = key

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._key is not None:
            request.headers["Authorization"] = f"Bearer {self._key}"
        return request


class Transport:
    """Keeps connections to one service; not to be shared by threads."""

    def __init__(
        self,
        url: str,
        key: str | None,
        *,
        retries: int,
        attempt_timeout_s: float,
        sleep: Callable[[float], None] = time.sleep,
        on_retry: Callable[[ClientError, float], None] = lambda trouble, pause_s: None,
    ) -> None:
        """`on_retry` hears why a request is sent again, and after how long a pause.

        Raises `SettingsError` for what is no address, or a key with characters that no key has.
        """
        parts = urlsplit(url)
        is_url = parts.scheme in ("http", "https") and bool(parts.hostname) and not parts.username
        require(is_url, "url", "http(s)://HOST[:PORT] without a password", _without_password(url))
        if key is not None and not (key.isascii() and key.isprintable() and " " not in key and key):
            require(False, "DGAD_API_KEY", "one printable word", f"{len(key)} characters that are not")
        self.url = url.rstrip("/")
        self._auth = _Bearer(key)
        self._has_key = key is not None
        self._retries = retries
        self._attempt_timeout_s = attempt_timeout_s
        self._sleep = sleep
        self._on_retry = on_retry
        self._session = requests.Session()
        self._is_loopback = parts.hostname in _LOOPBACK
        self._has_answered = False
        self.num_retried = 0
        """Tries beyond the first of the last call."""

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def call(
        self,
        method: str,
        path: str,
        *,
        timeout_s: float,
        attempt_timeout_s: float | None = None,
        headers: Mapping[str, str] | None = None,
        accepts: tuple[int, ...] = (),
        **body: Any,
    ) -> requests.Response:
        """The answer, of status 2xx or in `accepts`; every call here must be safe to repeat.

        `body`: `params`, `json`, `files` as `requests` takes them. Raises a `ClientError`.
        """
        deadline = time.monotonic() + timeout_s
        attempt_s = attempt_timeout_s or self._attempt_timeout_s
        request_id = uuid.uuid4().hex
        sent = {"X-Request-Id": request_id, **(headers or {})}
        # Prepared once: the same bytes, and the same keys, at every try.
        prepared = self._session.prepare_request(
            requests.Request(method, self.url + path, headers=sent, auth=self._auth, **body)
        )
        self.num_retried = 0
        while True:
            answer: requests.Response | None = None
            trouble: ClientError
            remaining_s = deadline - time.monotonic()
            try:
                answer = self._send(prepared, min(attempt_s, max(remaining_s, 0.001)))
            except (requests.RequestException, HTTPError) as error:
                trouble = self._no_answer(error, request_id)
            else:
                self._has_answered = True
                if 200 <= answer.status_code < 300 or answer.status_code in accepts:
                    return answer
                trouble = self._make_refusal(answer, request_id)
                if not _may_pass(answer):
                    raise trouble
            pause_s = _pause_s(self.num_retried, answer)
            # Where nothing has ever answered, a wrong address is likelier than a restart.
            retries = self._retries if self._has_answered else min(self._retries, _FIRST_RETRIES)
            if self.num_retried >= retries or time.monotonic() + pause_s >= deadline:
                raise trouble
            if self._has_answered:  # else it is told a moment later, as the end of it
                self._on_retry(trouble, pause_s)
            self._sleep(pause_s)
            self.num_retried += 1

    def json(self, method: str, path: str, **options: Any) -> Any:
        """The JSON of the answer."""
        answer = self.call(method, path, **options)
        try:
            return answer.json()
        except ValueError:
            raise self.unexpected(answer, "it is not JSON") from None

    def unexpected(self, answer: requests.Response | None, reason: str) -> UnexpectedAnswerError:
        """For an answer that cannot be read."""
        return UnexpectedAnswerError(
            f"{self.url} must be a dgad service of this version, but its answer cannot be read: {reason}."
            " Check --url, and update whichever is older.",
            code="unexpected_answer",
            status=None if answer is None else answer.status_code,
            request_id="" if answer is None else answer.headers.get("X-Request-Id", ""),
        )

    def _send(self, prepared: requests.PreparedRequest, timeout_s: float) -> requests.Response:
        settings = self._session.merge_environment_settings(prepared.url, {}, None, None, None)
        if self._is_loopback:  # a proxy is for the way out, and could not reach this machine's own ports
            settings["proxies"] = {}
        timeouts = (min(timeout_s, _CONNECT_TIMEOUT_S), timeout_s)
        # Whoever is sent elsewhere by an answer would carry the key there.
        return self._session.send(prepared, timeout=timeouts, allow_redirects=False, **settings)

    def _no_answer(self, error: Exception, request_id: str) -> ClientError:
        if isinstance(error, requests.exceptions.SSLError):
            return UnreachableServiceError(
                f"{self.url} cannot be trusted: its certificate does not hold. Name the authority's file in"
                " REQUESTS_CA_BUNDLE.",
                code="certificate",
                status=None,
                request_id=request_id,
            )
        if isinstance(error, requests.ReadTimeout):
            return DeadlineError(
                f"{self.url} did not answer in time; ask again, or fewer at once (request {request_id}).",
                code="deadline",
                status=None,
                request_id=request_id,
            )
        return UnreachableServiceError(
            f"No dgad service answers at {self.url} ({_explain(error)}); start one with `dgad-serve up`,"
            " or name another with --url.",
            code="unreachable",
            status=None,
            request_id=request_id,
        )

    def _make_refusal(self, answer: requests.Response, request_id: str) -> ClientError:
        status = answer.status_code
        told = _read_error(answer)
        code = str(told.get("code") or f"http_{status}")
        said = _end_sentence(str(told.get("message") or f"{self.url} answers {status} {answer.reason}"))
        kind: type[ClientError] = FailedError
        if status in (401, 403):
            kind = KeyRefusedError
            if status == 401 and not self._has_key:
                said += " Put a key into the environment variable DGAD_API_KEY."
        elif status == 404:
            kind = NotFoundError
            if not told:
                said = f"{self.url} answers 404 and is no dgad service; check --url."
        elif status in (429, 503):
            kind = OverloadedError
        elif status == 504:
            kind = DeadlineError
        elif 300 <= status < 500:
            kind = RefusedError
        if status >= 500:
            said += f" (request {answer.headers.get('X-Request-Id', request_id)})"
        return kind(said, code=code, status=status, request_id=answer.headers.get("X-Request-Id", request_id))


def _may_pass(answer: requests.Response) -> bool:
    """Whether the same request may be answered another time."""
    if answer.status_code == 500:
        # One of a proxy whose worker was killed: ours explains itself, and is final.
        return not _read_error(answer)
    return answer.status_code in (429, 502, 503, 504)


def _pause_s(num_before: int, answer: requests.Response | None) -> float:
    """What the service asks for, else twice as long each time; never the same for all clients."""
    asked = None if answer is None else answer.headers.get("Retry-After")
    if asked:
        try:
            return min(Retry().parse_retry_after(asked), _MAX_PAUSE_S) * random.uniform(1.0, 1.1)
        except BadRetryAfter:
            pass
    return float(min(_FIRST_PAUSE_S * 2**num_before, _MAX_PAUSE_S)) * random.uniform(0.5, 1.0)


def _read_error(answer: requests.Response) -> Mapping[str, Any]:
    """The `error` of one of our answers; empty where something else answered."""
    try:
        value = json.loads(answer.content)
    except ValueError:
        return {}
    error = value.get("error") if isinstance(value, dict) else None
    return error if isinstance(error, dict) else {}


def _end_sentence(text: str) -> str:
    """Somebody else's text on one line, of bounded length, without control characters."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= _LONGEST_TEXT else line[:_LONGEST_TEXT] + "..."


def _explain(error: Exception) -> str:
    """The innermost reason: requests wraps urllib3's, which wraps the system's."""
    seen: BaseException = error
    while (inner := seen.__cause__ or seen.__context__) is not None:
        seen = inner
    reason = getattr(seen, "strerror", None) or type(seen).__name__
    return _end_sentence(str(reason)).lower()


def _without_password(url: str) -> str:
    return url if "@" not in url else "..." + url[url.rindex("@") :]
