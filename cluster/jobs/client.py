"""Ray's own client of the Jobs API, with bounded waits and errors of one sentence.

What Ray 2.60 does by itself, and this mends: `RAY_ADDRESS` and `RAY_API_SERVER_ADDRESS` override the given
URL (and the token would go there); requests have no time limit; a proxy in the environment also gets what
is meant for a tunnel on loopback; errors of the log's websocket show the `Authorization` header.
"""

import contextlib
import importlib.metadata
import logging
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from cluster.embedded import prepare_environment
from cluster.loopback import is_loopback
from cluster.tokens import Token
from dgad.errors import ClusterError, SettingsError, UnreachableError

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

_CONNECT_TIMEOUT_S = 10.0
_ANSWER_TIMEOUT_S = 120.0
"""Bound on an answer: a package of code is stored before Ray gives one."""

_OVERRIDES = ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS")
_TALKATIVE = (
    "ray.dashboard.modules.dashboard_sdk",
    "ray.dashboard.modules.job.sdk",
    "ray._private.runtime_env.packaging",
)
_NO_PROXY: dict[str, None] = {"http": None, "https": None, "all": None}


def connect_job_client(url: str, token: Token | None) -> "JobSubmissionClient":
    """Make Ray's client for the dashboard at `url`; it has answered once, or `ClusterError` is raised."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise SettingsError(f"The address of a dashboard must be http://HOST:PORT, but got {url!r}.")
    prepare_environment()
    with translate_errors(url, token):
        from ray.job_submission import JobSubmissionClient

        proxies = _NO_PROXY if is_loopback(parts.hostname) else None

        class Client(JobSubmissionClient):
            def _do_request(self, method: str, endpoint: str, **options: Any) -> Any:
                options.setdefault("timeout", (_CONNECT_TIMEOUT_S, _ANSWER_TIMEOUT_S))
                return super()._do_request(method, endpoint, proxies=proxies, **options)

            def ray_version(self) -> str:
                return str(self._do_request("GET", "/api/version").json()["ray_version"])

        for name in _TALKATIVE:  # each sets its own level when it is imported
            logging.getLogger(name).setLevel(logging.ERROR)
        with _without(_OVERRIDES):
            return Client(url.rstrip("/"), headers={"Authorization": token.authorization} if token else {})


@contextlib.contextmanager
def translate_errors(url: str, token: Token | None) -> Iterator[None]:
    """Turn what Ray, requests and aiohttp raise into `ClusterError`: `UnreachableError` without an answer.

    Never chained: aiohttp's errors carry the request with its token.
    """
    import aiohttp
    import requests
    from ray.exceptions import AuthenticationError

    try:
        yield
    except ClusterError:
        raise
    except AuthenticationError:
        raise _refused(url, token) from None
    except aiohttp.WSServerHandshakeError as error:
        if error.status in (401, 403):
            raise _refused(url, token) from None
        raise ClusterError(f"The log cannot be followed at {url}: it answers {error.status}.") from None
    except requests.exceptions.JSONDecodeError:
        raise _something_else(url) from None
    except (requests.exceptions.RequestException, aiohttp.ClientError, OSError) as error:
        raise UnreachableError(
            f"No answer from a Ray dashboard at {url} ({type(error).__name__}): is the cluster up, and the "
            "tunnel to it?"
        ) from None
    except (RuntimeError, ValueError) as error:  # Ray's answers, often a whole traceback
        if "Version check returned 404" in str(error):
            raise _something_else(url) from None
        if "WebSocket" in str(error):
            raise UnreachableError(f"The connection to {url} broke off.") from None
        raise ClusterError(f"Ray at {url} refuses: {find_last_line(str(error))}") from None


def check_version(url: str, version: str) -> str:
    """Return the cluster's version of Ray, or raise `ClusterError` where the code would not run on it."""
    from packaging.requirements import Requirement

    for needed in map(Requirement, importlib.metadata.requires("dgad") or ()):
        if needed.name == "ray" and not needed.specifier.contains(version, prereleases=True):
            raise ClusterError(
                f"Ray {version} runs at {url}, and dgad needs ray{needed.specifier} there; "
                f"{importlib.metadata.version('ray')} is here."
            )
    return version


def find_last_line(text: str) -> str:
    """The last line of a text that holds anything: of a traceback, what went wrong."""
    lines = [line.strip() for line in text.splitlines() if line.strip(" ^.")]
    return lines[-1] if lines else "no reason given."


def _refused(url: str, token: Token | None) -> ClusterError:
    if token is None:
        return ClusterError(
            f"Ray at {url} asks for a token, and there is none here: put the cluster's into RAY_AUTH_TOKEN, "
            "a file named by RAY_AUTH_TOKEN_PATH, or ~/.ray/auth_token."
        )
    return ClusterError(
        f"Ray at {url} does not take the token from {token.source}: it must be the one that the cluster was "
        "started with (~/.ray/auth_token on its head, unless its file_mounts say otherwise)."
    )


def _something_else(url: str) -> ClusterError:
    return ClusterError(f"What answers at {url} is no Ray dashboard: check host and port.")


@contextlib.contextmanager
def _without(names: tuple[str, ...]) -> Iterator[None]:
    kept = {name: os.environ.pop(name) for name in names if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(kept)
