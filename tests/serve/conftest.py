"""What tests of serving share."""

from collections.abc import Iterator

import pytest

from tests.serve.misbehaving import Misbehaving, misbehaving_server


@pytest.fixture
def misbehaving(monkeypatch: pytest.MonkeyPatch) -> Iterator[Misbehaving]:
    """A server that answers by script, and no key of whoever runs the tests."""
    monkeypatch.delenv("DGAD_API_KEY", raising=False)
    with misbehaving_server() as server:
        yield server
