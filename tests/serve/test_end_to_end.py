"""The application over a real bundle, store and scorer, in one process: what a line engineer does."""

import base64
import concurrent.futures
import contextlib
import io
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from PIL import Image

from dgad.bundle import read_bundle
from serve.engine.in_process import InProcessBackend
from serve.http.app import make_app
from serve.settings import Limits, ServeSettings
from tests.serve.support.http import code_of
from tests.serve.support.live import serving
from tests.serve.support.surfaces import HEIGHT_PX, WIDTH_PX, bundled, photographs


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("service")
    bundled(folder / "bundle", "patch_knn")
    return folder


@pytest.fixture(scope="module")
def url(folder: Path) -> Iterator[str]:
    settings = ServeSettings(
        bundle=str(folder / "bundle"),
        store=str(folder / "store"),
        device="cpu",
        limits=Limits(max_references=12),
    )
    with (
        contextlib.closing(InProcessBackend(settings)) as backend,
        serving(make_app(settings, backend)) as url,
    ):
        yield url


def form(files: list[bytes]) -> list[tuple[str, tuple[str, bytes]]]:
    return [("files", (f"part-{i}.png", data)) for i, data in enumerate(files)]


def test_a_surface_is_enrolled_scored_extended_and_taken_back(url: str, folder: Path) -> None:
    session = requests.Session()
    domain = f"{url}/v1/domains/carpet"
    assert session.put(domain, json={"note": "Monday"}).status_code == 201
    enrolled = session.post(f"{domain}/references", files=form(photographs(6)))
    assert enrolled.status_code == 201, enrolled.text
    threshold = enrolled.json()["threshold"]
    assert (threshold["num_calibration"], threshold["guarantee"]) == (6, "approximate")
    assert threshold["lowest_rate"] == pytest.approx(1 / 7)

    normal, abnormal = photographs(1, seed=50)[0], photographs(1, defect=True, seed=51)[0]
    answer = session.post(f"{domain}/score?heatmap=overlay", files=form([normal, abnormal]))
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert told["bundle_id"] == read_bundle(folder / "bundle").bundle_id
    assert (told["version"], told["num_references"]) == (1, 6)
    fine, bad = told["results"]
    assert bad["score"] > fine["score"]
    assert bad["verdict"] == "abnormal"
    assert bad["p_value"] == pytest.approx(1 / 7)
    for result in (fine, bad):
        png = base64.b64decode(result["heatmap"].partition(",")[2])
        assert Image.open(io.BytesIO(png)).size == (WIDTH_PX, HEIGHT_PX)
    for region in bad["regions"]:
        assert 0 <= region["x"] < region["x"] + region["width"] <= WIDTH_PX
        assert 0 <= region["y"] < region["y"] + region["height"] <= HEIGHT_PX

    more = session.post(f"{domain}/references", files=form(photographs(2, seed=9)))
    assert more.json()["version"] == 2
    assert session.post(f"{domain}/score", data=normal).json()["version"] == 2
    back = session.post(f"{domain}/rollback", json={"version": 1})
    assert (back.json()["version"], back.json()["num_references"]) == (1, 6)
    again = session.post(f"{domain}/score", data=normal).json()["results"][0]
    assert again["score"] == pytest.approx(fine["score"], rel=1e-5)
    log = session.get(f"{domain}/versions").json()["log"]
    assert [entry["action"] for entry in log] == ["create", "enroll", "enroll", "rollback"]
    told_back = session.get(f"{domain}/references/{enrolled.json()['added'][0]['id']}")
    assert told_back.content == photographs(6)[0]
    assert session.delete(domain).status_code == 204
    assert session.get(domain).status_code == 404


def test_near_duplicates_are_warned_about(url: str) -> None:
    domain = f"{url}/v1/domains/alike"
    requests.put(domain)
    (png,) = photographs(1)
    jpeg = io.BytesIO()
    Image.open(io.BytesIO(png)).save(jpeg, "JPEG", quality=92)
    answer = requests.post(f"{domain}/references", files=form([png, jpeg.getvalue()])).json()
    assert answer["added"][1]["near_duplicate_of"] == answer["added"][0]["id"]
    assert any("nearly equal" in warning for warning in answer["warnings"])


def test_more_references_than_a_domain_may_have_are_refused_whole(url: str) -> None:
    domain = f"{url}/v1/domains/full"
    requests.put(domain)
    answer = requests.post(f"{domain}/references", files=form(photographs(13)))
    assert (answer.status_code, code_of(answer)) == (409, "conflict")
    assert requests.get(f"{domain}/references").json()["references"] == []


def test_many_clients_and_domains_at_once_get_the_answers_of_one(url: str) -> None:
    for period in (8, 16):
        requests.put(f"{url}/v1/domains/p{period}")
        made = requests.post(f"{url}/v1/domains/p{period}/references", files=form(photographs(3, period)))
        assert made.status_code == 201
    queries = {8: photographs(4, 8, seed=70), 16: photographs(4, 16, seed=71)}
    asked = [(period, data) for period, files in queries.items() for data in files]

    def ask(query: tuple[int, bytes]) -> float:
        answer = requests.post(f"{url}/v1/domains/p{query[0]}/score", data=query[1])
        assert answer.status_code == 200, answer.text
        return float(answer.json()["results"][0]["score"])

    alone = [ask(query) for query in asked]
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        together = list(threads.map(ask, asked * 3))
    assert together == pytest.approx(alone * 3, rel=1e-4)
