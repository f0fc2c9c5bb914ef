"""The client against the real application: over a stand-in for the model, and over a real small one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from dgad.domains.decoding import decode_image
from dgad.references.domain import DomainSettings
from serve.api.client import Client
from serve.api.transport import KeyRefusedError, NotFoundError, OverloadedError, RefusedError
from serve.engine.backend import BusyError
from serve.engine.in_process import InProcessBackend
from serve.http.app import make_app
from serve.keys import KeyRing
from serve.settings import Limits, ServeSettings
from tests.conftest import Run
from tests.serve.support.fakes import FakeBackend, FakeStore
from tests.serve.support.live import serving
from tests.serve.support.surfaces import photographs


@pytest.fixture(scope="module")
def settings(patch_knn_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> ServeSettings:
    folder = tmp_path_factory.mktemp("service")
    return ServeSettings(bundle=str(patch_knn_bundle), store=str(folder / "references"), device="cpu")


@pytest.fixture(scope="module")
def url(settings: ServeSettings) -> Iterator[str]:
    """A service in this process."""
    backend = InProcessBackend(settings)
    with serving(make_app(settings, backend)) as address:
        yield address
    backend.close()


def test_a_surface_from_creation_to_deletion(url: str) -> None:
    with Client(url) as client:
        assert client.ready().ready
        bundle = client.bundle()
        assert bundle.method == "patch_knn"
        made = client.create("belt", DomainSettings(false_alarm_rate=0.2, note="ä"))
        assert (made.num_references, made.settings.note) == (0, "ä")
        with pytest.raises(RefusedError, match="no references yet") as early:
            client.score("belt", photographs(1))
        assert early.value.status == 409
        files = photographs(6)
        enrolled = client.enroll("belt", [(f"grün {i}.png", data) for i, data in enumerate(files)])
        assert [r.name for r in enrolled.added] == [f"grün {i}.png" for i in range(6)]
        assert enrolled.threshold.num_calibration == 6
        again = client.enroll("belt", files[:2])
        assert again.version == enrolled.version
        assert len(again.already_there) == 2
        first, *_ = client.references("belt").references
        assert client.reference("belt", first.id) == files[0]
        queries = [*photographs(18, seed=1), *photographs(1, defect=True)]
        scores = client.score("belt", queries)
        assert len(scores) == 19
        assert max(scores, key=lambda s: s.score) is scores[-1]
        assert scores[-1].verdict == "abnormal"
        assert scores[-1].bundle_id == bundle.bundle_id
        assert scores[0].p_value is not None
        (drawn,) = client.score("belt", [("a.png", queries[-1])], heatmap="overlay")
        overlay = drawn.heatmap_png()
        assert overlay is not None
        assert decode_image(overlay, "overlay").size == decode_image(queries[-1], "query").size
        client.remove("belt", first.id)
        described = client.describe("belt")
        assert (described.num_references, described.version) == (5, 2)
        assert described.threshold is not None
        assert client.rollback("belt", 1).num_references == 6
        client.purge("belt", first.id)
        versions = client.versions("belt")
        assert versions.versions[0].num_purged == 1
        assert [entry.action for entry in versions.log][-2:] == ["rollback", "purge"]
        assert [domain.name for domain in client.domains()] == ["belt"]
        client.delete("belt")
        assert client.domains() == ()
        with pytest.raises(NotFoundError, match="belt"):
            client.describe("belt")


def test_commands_on_a_service(url: str, run: Run, tmp_path: Path) -> None:
    for folder, files in (("good", photographs(5)), ("parts", photographs(2, defect=True))):
        (tmp_path / folder).mkdir()
        for index, data in enumerate(files):
            (tmp_path / folder / f"{index}.png").write_bytes(data)
    done = run("enroll", "lane", tmp_path / "good", "--create", "--url", url, script="dgad-serve")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("lane: 5 references added; version 1.\n")
    options = ("--heatmaps", tmp_path / "out", "--url", url)
    done = run("score", "lane", tmp_path / "parts", *options, script="dgad-serve")
    assert done.returncode == 0, done.stderr
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["0.png", "1.png"]
    (tmp_path / "parts" / "1.png").write_bytes(b"no image")
    done = run("score", "lane", tmp_path / "parts", "--url", url, script="dgad-serve")
    assert done.returncode == 2
    assert "1.png" in done.stderr
    done = run("score", "nowhere", tmp_path / "good", "--url", url, script="dgad-serve")
    assert done.returncode == 2
    assert "nowhere" in done.stderr


def test_keys_limits_and_overload_over_http(tmp_path: Path) -> None:
    settings = ServeSettings(
        bundle="unread", store=str(tmp_path), limits=Limits(max_files=3, max_image_bytes=100_000)
    )
    ring = KeyRing(settings.store)
    reading, writing = ring.create("screen", "read"), ring.create("line", "write")
    store = FakeStore()
    backend = FakeBackend(store)
    (part,) = photographs(1)
    with serving(make_app(settings, backend, store=store)) as url:
        with pytest.raises(KeyRefusedError, match="DGAD_API_KEY"):
            Client(url).domains()
        writer = Client(url, writing)
        writer.create("belt")
        writer.enroll("belt", [part])
        assert Client(url, reading).score("belt", [part])
        with pytest.raises(KeyRefusedError, match="may only read") as refused:
            Client(url, reading).create("other")
        assert refused.value.status == 403
        assert refused.value.request_id
        with pytest.raises(RefusedError) as many:
            writer.enroll("belt", [part] * 4)
        assert many.value.status == 413
        with pytest.raises(RefusedError) as large:
            writer.score("belt", [("large.png", part + b"x" * 100_000)])
        assert large.value.status == 413
        backend.error = BusyError("Too much waits.")
        with pytest.raises(OverloadedError, match="Too much waits"):
            Client(url, reading, timeout_s=3.0).score("belt", [part])
