"""Serve's REST API when its answers are errors: asked again, or told in a sentence."""

from collections.abc import Iterator

import pytest

from dgad.errors import ClusterError
from serve import serve_api
from serve.serve_api import ServeApi
from serve.service_config import service_config
from serve.settings import ServeSettings
from tests.serve.misbehaving import Misbehaving, Say, misbehaving_server

VERSION = Say(value={"version": "4", "ray_version": "2.60.0", "ray_commit": "", "session_name": ""})
NOTHING_RUNS = Say(value={"applications": {}})
PROXY_REPLACED = Say(
    status=500,
    value=b"Traceback (most recent call last):\n  ...\nray.exceptions.ActorDiedError: The actor died.\n"
    b"The actor never ran - it was cancelled before it started running.",
)
"""What Ray 2.60 answers while its head has no CPU to spare, cut."""


@pytest.fixture
def dashboard(monkeypatch: pytest.MonkeyPatch) -> Iterator[Misbehaving]:
    monkeypatch.setattr(serve_api, "_PAUSE_S", 0.01)
    with misbehaving_server() as server:
        server.script = [VERSION]
        yield server


def _deploy(dashboard: Misbehaving, *answers: Say) -> list[str]:
    """The methods of the requests, from the first that deploys."""
    api = ServeApi(dashboard.url, None)
    asked = len(dashboard.heard)
    dashboard.script[:] = [NOTHING_RUNS, *answers]
    settings = ServeSettings(bundle="bundle", store="store")
    try:
        api.deploy(service_config(settings, bundle_id="b"))
    finally:
        methods = [heard.method for heard in dashboard.heard[asked + 1 :]]
    return methods


def test_a_start_of_serve_that_lost_its_proxy_is_asked_for_again(dashboard: Misbehaving) -> None:
    assert _deploy(dashboard, PROXY_REPLACED, PROXY_REPLACED, Say()) == ["PUT"] * 3
    bodies = [heard.body for heard in dashboard.heard if heard.method == "PUT"]
    assert bodies[0] == bodies[1] == bodies[2]


def test_what_stays_refused_is_told(dashboard: Misbehaving) -> None:
    with pytest.raises(ClusterError, match=r"Serve at http://\S+ refuses: The actor never ran"):
        _deploy(dashboard, PROXY_REPLACED)
    assert [heard.method for heard in dashboard.heard].count("PUT") == serve_api._ATTEMPTS


def test_a_config_that_serve_refuses_is_asked_for_once(dashboard: Misbehaving) -> None:
    with pytest.raises(ClusterError, match="refuses: route_prefix is wrong"):
        _deploy(dashboard, Say(status=400, value=b"ValidationError\nroute_prefix is wrong"))
    assert [heard.method for heard in dashboard.heard].count("PUT") == 1
