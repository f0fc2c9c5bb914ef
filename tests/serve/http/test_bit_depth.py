"""Photographs of more than 8 bits a channel: the domain's bit depth, the request's, and what is told."""

import io
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image

from tests.serve.support.http import Served, code_of, served


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("service")) as running:
        yield running


def photograph(level: int, bits: int = 12) -> bytes:
    """A 16-bit PNG whose values reach the end of fewer bits."""
    pixels = np.full((48, 64), level, dtype=np.uint16)
    pixels[0, 0] = 2**bits - 1
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def post(service: Served, path: str, data: bytes, **params: int):
    return service.ask("POST", f"/v1/domains/{path}", data=data, params=params)


def brightness(service: Served) -> float:
    """Of what the backend was asked to score."""
    return float(service.backend.queries[-1].image.mean())


def test_without_a_bit_depth_enrolment_and_scores_warn(service: Served) -> None:
    service.ask("PUT", "/v1/domains/dark")
    told = post(service, "dark/references", photograph(2048))
    assert told.status_code == 201
    assert any("4095 of 65535" in w and "bit depth to 12" in w for w in told.json()["warnings"])
    scored = post(service, "dark/score", photograph(2048))
    assert scored.status_code == 200
    assert "look like values of 12 bits" in scored.json()["warnings"][0]
    assert brightness(service) < 10
    full = post(service, "dark/score", photograph(40_000, 16))
    assert full.json()["warnings"] == []


def test_the_domains_bit_depth_holds_for_references_queries_and_thumbnails(service: Served) -> None:
    made = service.ask("PUT", "/v1/domains/stated", json={"bit_depth": 12})
    assert made.json()["settings"]["bit_depth"] == 12
    told = post(service, "stated/references", photograph(2048)).json()
    assert not any("bits" in w for w in told["warnings"])
    scored = post(service, "stated/score", photograph(2048))
    assert scored.json()["warnings"] == []
    assert 125 < brightness(service) < 131
    path = f"/v1/domains/stated/references/{told['added'][0]['id']}"
    small = service.ask("GET", path, params={"thumbnail": 48})
    assert 120 < np.asarray(Image.open(io.BytesIO(small.content))).mean() < 136
    above = post(service, "stated/score", photograph(2048, 14))
    assert (above.status_code, code_of(above)) == (422, "image_unreadable")
    assert "holds the value 16383" in above.text
    assert post(service, "stated/score", photograph(2048), bit_depth=12).status_code == 200
    for where in ("score", "references"):
        other = post(service, f"stated/{where}", photograph(2048), bit_depth=14)
        assert other.status_code == 409
        assert "has a bit depth of 12, but the request says 14" in other.text


def test_a_request_may_say_it_where_the_domain_does_not(service: Served) -> None:
    service.ask("PUT", "/v1/domains/asked", json={"note": "line 3"})
    told = post(service, "asked/references", photograph(2048), bit_depth=12)
    assert told.status_code == 201
    kept = service.ask("GET", "/v1/domains/asked").json()["settings"]
    assert (kept["bit_depth"], kept["note"]) == (12, "line 3")  # or they could not be read again
    service.domain("eight")
    refused = post(service, "eight/references", photograph(2048), bit_depth=12)
    assert refused.status_code == 409
    assert "PUT /v1/domains/eight" in refused.text
    assert post(service, "eight/score", photograph(2048), bit_depth=12).json()["warnings"] == []
    assert 125 < brightness(service) < 131


@pytest.mark.parametrize("wrong", [7, 33])
def test_a_bit_depth_out_of_range_is_refused(service: Served, wrong: int) -> None:
    service.domain(f"range-{wrong}", num_references=1)
    assert service.ask("PUT", f"/v1/domains/range-{wrong}", json={"bit_depth": wrong}).status_code == 422
    asked = post(service, f"range-{wrong}/score", photograph(2048), bit_depth=wrong)
    assert asked.status_code == 422
    assert "bit_depth" in asked.text


def test_several_pages_are_refused(service: Served) -> None:
    service.domain("pages", num_references=1)
    buffer = io.BytesIO()
    page = Image.new("L", (64, 48))
    page.save(buffer, "TIFF", save_all=True, append_images=[page])
    for where in ("score", "references"):
        refused = post(service, f"pages/{where}", buffer.getvalue())
        assert (refused.status_code, code_of(refused)) == (422, "image_unreadable")
        assert "has 2 pages" in refused.text
