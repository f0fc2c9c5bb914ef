"""What tests of serving share."""

from collections.abc import Iterator

import pytest

from serve.replicas.environment import prepare_serve_environment
from tests.serve.support.misbehaving import Misbehaving, misbehaving_server

prepare_serve_environment()  # before any test imports Ray, which reads it once


@pytest.fixture
def misbehaving(monkeypatch: pytest.MonkeyPatch) -> Iterator[Misbehaving]:
    """A server that answers by script, and no key of whoever runs the tests."""
    monkeypatch.delenv("DGAD_API_KEY", raising=False)
    with misbehaving_server() as server:
        yield server
