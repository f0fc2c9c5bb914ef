"""Serve's REST API when its answers are errors: asked again, or told in a sentence."""

from collections.abc import Iterator

import pytest

from dgad.errors import ClusterError
from serve.operate import serve_api
from serve.operate.serve_api import ServeApi
from serve.replicas.config import make_service_config
from serve.settings import ServeSettings
from tests.serve.support.misbehaving import Misbehaving, Say, misbehaving_server

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


def _deploy(dashboard: Misbehaving, *answers: Say) -> list[bytes]:
    """What was sent to be deployed, once a try."""
    api = ServeApi(dashboard.url, None)
    dashboard.script[:] = [NOTHING_RUNS, *answers]
    api.deploy(make_service_config(ServeSettings(bundle="bundle", store="store"), bundle_id="b"))
    return _sent(dashboard)


def _sent(dashboard: Misbehaving) -> list[bytes]:
    return [heard.body for heard in dashboard.heard if heard.method == "PUT"]


def test_a_start_of_serve_that_lost_its_proxy_is_asked_for_again(dashboard: Misbehaving) -> None:
    first, *others = _deploy(dashboard, PROXY_REPLACED, PROXY_REPLACED, Say())
    assert others == [first] * 2


def test_what_stays_refused_is_told(dashboard: Misbehaving) -> None:
    with pytest.raises(ClusterError, match=r"Serve at http://\S+ refuses: The actor never ran"):
        _deploy(dashboard, PROXY_REPLACED)
    assert len(_sent(dashboard)) == 4


def test_a_config_that_serve_refuses_is_asked_for_once(dashboard: Misbehaving) -> None:
    with pytest.raises(ClusterError, match="refuses: route_prefix is wrong"):
        _deploy(dashboard, Say(status=400, value=b"ValidationError\nroute_prefix is wrong"))
    assert len(_sent(dashboard)) == 1
