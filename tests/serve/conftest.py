"""What tests of serving share."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from serve.replicas.environment import prepare_serve_environment
from tests.serve.support.misbehaving import Misbehaving, misbehaving_server

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.serve.support.page import Served

prepare_serve_environment()  # before any test imports Ray, which reads it once


@pytest.fixture(scope="session")
def patch_knn_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of a method with a backbone; tests leave it as it is."""
    from tests.serve.support.surfaces import bundled

    return bundled(tmp_path_factory.mktemp("bundles") / "patch_knn")


@pytest.fixture(scope="session")
def trivial_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of the quickest method; tests leave it as it is."""
    from tests.serve.support.surfaces import bundled

    return bundled(tmp_path_factory.mktemp("bundles") / "trivial", "trivial")


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """A real Chromium."""
    from tests.serve.support.browser import chromium

    with chromium() as launched:
        yield launched


@pytest.fixture(scope="module")
def served(patch_knn_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator["Served"]:
    """The service whose page is looked at."""
    from tests.serve.support.page import service_of

    with service_of(patch_knn_bundle, tmp_path_factory.mktemp("page") / "store") as running:
        yield running


@pytest.fixture
def misbehaving(monkeypatch: pytest.MonkeyPatch) -> Iterator[Misbehaving]:
    """A server that answers by script, and no key of whoever runs the tests."""
    monkeypatch.delenv("DGAD_API_KEY", raising=False)
    with misbehaving_server() as server:
        yield server
