"""Regions of interest and heatmaps of a wanted size, over HTTP, by client and by command line."""

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import requests
from click.testing import CliRunner
from PIL import Image

from dgad.domains.region import RegionOfInterest
from dgad.errors import DataError
from serve.api.client import Client, Heatmap
from serve.api.transport import RefusedError
from serve.cli import cli
from tests.serve.support.page import Served, bad, good, service_of

LEFT = {"polygons": [[[0.0, 0.0], [0.5, 0.0], [0.5, 1.0], [0.0, 1.0]]]}


@pytest.fixture(scope="module")
def service(patch_knn_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with service_of(patch_knn_bundle, tmp_path_factory.mktemp("regions") / "store") as running:
        running.enrolled("carpet", [data for _, data in good(4)])
        yield running


@pytest.fixture
def client(service: Served) -> Iterator[Client]:
    with Client(service.url) as made:
        yield made


def test_a_region_is_put_told_and_removed_each_as_a_version(service: Served, client: Client) -> None:
    before = client.describe("carpet")
    put = client.set_region("carpet", LEFT)
    assert (put.region, put.version) == (LEFT, before.version + 1)
    assert service.get("/v1/domains/carpet").json()["region"] == LEFT
    assert put.threshold != before.threshold, "it is made anew"
    cleared = client.set_region("carpet", None)
    assert (cleared.region, cleared.version) == (None, before.version + 2)
    assert client.rollback("carpet", put.version).region == LEFT
    client.rollback("carpet", before.version)


def test_a_requests_own_region_and_a_wanted_heatmap(client: Client) -> None:
    (_, photograph) = bad(1)[0]
    (whole,) = client.score("carpet", [("b.png", photograph)], heatmap="map")
    (half,) = client.score("carpet", [("b.png", photograph)], heatmap="map", heatmap_px=16, region=LEFT)
    pngs = [base64.b64decode(r.heatmap.partition(",")[2]) for r in (whole, half)]
    maps = [np.asarray(Image.open(io.BytesIO(png))) for png in pngs]
    assert maps[0].ndim == 2
    assert max(maps[1].shape[:2]) == 16
    alpha = maps[1][..., 1]
    assert alpha[:, :7].all(), "grey and clear: what lies outside is not scored"
    assert not alpha[:, 9:].any()
    (overlay,) = client.score("carpet", [("b.png", photograph)], heatmap="overlay", heatmap_px=40)
    assert Image.open(io.BytesIO(overlay.heatmap_png() or b"")).size == (40, 20)


@pytest.mark.parametrize("heatmap", ["overlay", "png"])
def test_heatmaps_are_drawn_where_the_region_is(client: Client, heatmap: Heatmap) -> None:
    (drawn,) = client.score("carpet", [bad(1)[0]], heatmap=heatmap, region=LEFT)
    assert Image.open(io.BytesIO(drawn.heatmap_png() or b"")).size == (128, 64)
    assert all(region.x < 66 for region in drawn.regions)


def test_a_mask_must_be_of_the_photographs_shape(client: Client) -> None:
    wide = np.zeros((40, 80), np.bool_)
    wide[:, :40] = True
    before = client.describe("carpet").version
    assert client.set_region("carpet", RegionOfInterest.from_mask(wide)).version > before
    square = RegionOfInterest.from_mask(np.ones((50, 50), np.bool_))
    with pytest.raises(RefusedError, match="another shape"):
        client.set_region("carpet", square)
    with pytest.raises(RefusedError, match="another shape"):
        client.score("carpet", [bad(1)[0]], region=square)
    client.rollback("carpet", before)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({}, "polygons"),
        ({"polygons": [[[0, 0], [1, 1]]]}, "at least 3 corners"),
        ({"polygons": [[[0, 0], [1, 1], [0, 2]]]}, "0 to 1"),
        ({"polygons": [[[0, 0], [0, 0], [0, 0]]]}, "covers nothing"),
        ({"mask_png": "?"}, "base64"),
        ({"circle": 1}, "circle"),
        ({"polygons": [[[0, 0], [1, 0], [float("nan"), 1]]]}, ""),
        ({"polygons": [[[0, 0], [1, 0], [1, 1]]] * 100}, ""),
    ],
)
def test_what_is_no_region_is_refused_with_a_reason(service: Served, body: object, told: str) -> None:
    answer = requests.put(
        f"{service.url}/v1/domains/carpet/region",
        data=json.dumps(body),
        headers={"Content-Type": "application/json"},
        timeout=60,
    )
    assert answer.status_code == 422
    assert told in answer.text
    asked = requests.post(
        f"{service.url}/v1/domains/carpet/score",
        params={"region": json.dumps(body)},
        data=bad(1)[0][1],
        headers={"Content-Type": "image/png"},
        timeout=60,
    )
    assert asked.status_code == 422


def test_the_command_line_sets_and_clears_it(service: Served, tmp_path: Path) -> None:
    file = tmp_path / "left.json"
    file.write_text(json.dumps(LEFT))
    run = CliRunner().invoke
    done = run(cli, ["region", "carpet", str(file), "--url", service.url, "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.output)["region"] == LEFT
    assert "all of every" in run(cli, ["region", "carpet", "--clear", "--url", service.url]).output
    for wrong in ([], [str(file), "--clear"]):
        refused = run(cli, ["region", "carpet", *wrong, "--url", service.url])
        assert "either the FILE" in str(refused.exception)
    file.write_text('{"polygons": [[[0, 0]]]}')
    assert isinstance(run(cli, ["region", "carpet", str(file), "--url", service.url]).exception, DataError)
