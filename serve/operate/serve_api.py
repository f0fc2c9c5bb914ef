"""Serve on a running Ray, through the REST API of its dashboard: deploy, look, delete."""

import dataclasses
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cluster.jobs.client import connect_job_client, find_last_line, translate_errors
from cluster.tokens import Token
from dgad.errors import ClusterError, SettingsError
from dgad.settings import from_dict
from serve.replicas.config import APPLICATION, BUNDLE_ID_VARIABLE, make_service_config
from serve.settings import ServeSettings

_PATH = "/api/serve/applications/"
_POLL_S = 0.5
_FAILED = ("DEPLOY_FAILED", "UNHEALTHY")
_ATTEMPTS, _PAUSE_S = 4, 3.0
"""On a head with no CPU to spare Serve's controller replaces a proxy that has not answered within 5 s, and
the request that started Serve fails with it (500), though Serve has started. Every request here says how
things shall be, so it can be made again."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ServiceState:
    """The state of the service as Serve reports it."""

    status: str
    """RUNNING, DEPLOYING, DEPLOY_FAILED, DELETING, ...."""
    message: str
    settings: ServeSettings
    bundle_id: str
    working_dir: str | None
    deployed_at: float
    """Seconds since 1970 by the head's clock."""
    replicas: Mapping[str, Mapping[str, int]]
    """How many replicas of each deployment are in which state."""


class ServeApi:
    """Serve behind one dashboard; raises `ClusterError` (`UnreachableError` without an answer)."""

    def __init__(self, url: str, token: Token | None) -> None:
        self.url = url
        self._token = token
        self._client: Any = connect_job_client(url, token)

    def state(self) -> ServiceState | None:
        """The service as it is now, or None where none is deployed."""
        return _state(self._applications().get(APPLICATION))

    def deploy(self, config: Mapping[str, Any]) -> None:
        """Deploy the config's application, beside what else Serve runs there; returns at once.

        Raises `ClusterError` where another application has the same route.
        """
        others = self._list_others()
        prefix = config["applications"][0]["route_prefix"]
        for other in others:
            if other.get("route_prefix", "/") == prefix:
                raise ClusterError(
                    f"Serve at {self.url} runs the application `{other['name']}` at {prefix} already: delete"
                    " it there first."
                )
        self._request("PUT", {**config, "applications": [*config["applications"], *others]})

    def drain(self, timeout_s: float) -> None:
        """Let no request in any more (503), and wait until all that are in have been answered."""
        state = self.state()
        if state is None or state.status != "RUNNING":
            return
        config = make_service_config(
            state.settings, bundle_id=state.bundle_id, working_dir=state.working_dir, is_draining=True
        )
        self.deploy(config)
        self.wait_until_running(after=state.deployed_at, timeout_s=timeout_s)

    def delete(self) -> None:
        """Take the service down; what else Serve runs stays."""
        others = self._list_others()
        if others:
            self._request("PUT", {"applications": others})
        else:
            self._request("DELETE")

    def upload(self, folder: Path) -> str:
        """URI of a package with the folder's content, which every node can use as `working_dir`."""
        environment = {"working_dir": str(folder)}
        with translate_errors(self.url, self._token):
            self._client._upload_working_dir_if_needed(environment)
        return environment["working_dir"]

    def wait_until_running(
        self, *, after: float | None, timeout_s: float, report: Callable[[str], None] = lambda text: None
    ) -> ServiceState:
        """The service once it runs, deployed later than `after`; `ClusterError` where it does not come up."""
        deadline = time.monotonic() + timeout_s
        told = ""
        while True:
            state = self.state()
            is_new = state is not None and (after is None or state.deployed_at > after)
            if state is not None and is_new:
                if state.status == "RUNNING":
                    return state
                if state.status in _FAILED:
                    raise ClusterError(f"The service did not come up: {_explain(state.message)}")
                if (progress := _progress(state)) != told:
                    report(progress)
                    told = progress
            if time.monotonic() > deadline:
                now = f"{state.status}: {_explain(state.message)}" if state else "nothing is deployed"
                raise ClusterError(f"The service is not up after {timeout_s:g} s ({now}).")
            time.sleep(_POLL_S)

    def _list_others(self) -> list[dict[str, Any]]:
        """The configs of the applications that are not ours."""
        others = []
        for name, details in self._applications().items():
            if name == APPLICATION or details["status"] in ("DELETING", "NOT_STARTED"):
                continue
            if not details.get("deployed_app_config"):
                raise ClusterError(
                    f"Serve at {self.url} runs `{name}`, which was deployed from Python and cannot be kept"
                    " beside a config: deploy it from a config, or use another cluster."
                )
            others.append(dict(details["deployed_app_config"]))
        return others

    def _applications(self) -> dict[str, Any]:
        return dict(self._request("GET").json().get("applications") or {})

    def _request(self, method: str, config: Mapping[str, Any] | None = None) -> Any:
        for attempt in range(1, _ATTEMPTS + 1):
            with translate_errors(self.url, self._token):
                response = self._client._do_request(method, _PATH, json_data=config)
            if response.status_code < 500 or attempt == _ATTEMPTS:
                break
            time.sleep(_PAUSE_S)
        if response.status_code != 200:
            raise ClusterError(f"Serve at {self.url} refuses: {find_last_line(response.text)}")
        return response


def _state(details: Mapping[str, Any] | None) -> ServiceState | None:
    if not details or not details.get("deployed_app_config"):
        return None
    config = details["deployed_app_config"]
    try:
        settings = from_dict(ServeSettings, config.get("args") or {})
    except SettingsError as error:
        raise ClusterError(f"The service was deployed by another version of dgad: {error}") from None
    runtime_env = config.get("runtime_env") or {}
    replicas: dict[str, dict[str, int]] = {}
    for name, deployment in (details.get("deployments") or {}).items():
        counts = replicas.setdefault(name, {})
        for replica in deployment.get("replicas") or ():
            counts[replica["state"]] = counts.get(replica["state"], 0) + 1
    messages = [details.get("message") or ""]
    messages += [d.get("message") or "" for d in (details.get("deployments") or {}).values()]
    return ServiceState(
        status=str(details["status"]),
        message="\n".join(m for m in messages if m),
        settings=settings,
        bundle_id=str((runtime_env.get("env_vars") or {}).get(BUNDLE_ID_VARIABLE, "")),
        working_dir=runtime_env.get("working_dir"),
        deployed_at=float(details.get("last_deployed_time_s") or 0.0),
        replicas=replicas,
    )


def _progress(state: ServiceState) -> str:
    parts = [
        f"{name} {'/'.join(f'{count} {what.lower()}' for what, count in counts.items()) or 'none yet'}"
        for name, counts in sorted(state.replicas.items())
    ]
    return ", ".join(parts)


def _explain(message: str) -> str:
    """Of a traceback, what went wrong."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    errors = [line for line in lines if "Error: " in line or "Exception: " in line]
    return (errors or lines or ["no reason given"])[-1]
