"""Every endpoint, against a real server."""

import base64
import hashlib
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.serve.support.fakes import BUNDLE_ID
from tests.serve.support.http import Served, code_of, served
from tests.serve.support.malformed_images import MEDIA_TYPES, valid


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    page = tmp_path_factory.mktemp("page")
    (page / "index.html").write_text("<!doctype html><title>dgad</title>")
    (page / "app.js").write_text("'use strict';")
    with served(tmp_path_factory.mktemp("service"), page=page) as running:
        yield running


def test_a_domain_is_made_told_changed_listed_and_deleted(service: Served) -> None:
    made = service.ask("PUT", "/v1/domains/made", json={"false_alarm_rate": 0.05, "note": "line 3"})
    assert made.status_code == 201
    told = made.json()
    assert told["name"] == "made"
    assert told["settings"] == {
        "false_alarm_rate": 0.05,
        "calibration": "leave_one_out",
        "coreset": None,
        "note": "line 3",
        "bit_depth": None,
        "scale": None,
        "region": None,
    }
    assert (told["version"], told["num_references"], told["threshold"]) == (0, 0, None)
    assert told["thumbnail"] is None
    assert told["recent"] == {"num_scores": 0, "is_drifting": False, "reason": ""}
    assert told["bundle_id"] == BUNDLE_ID
    assert service.ask("GET", "/v1/domains/made").json() == told

    changed = service.ask("PUT", "/v1/domains/made")
    assert changed.status_code == 200
    assert changed.json()["settings"]["false_alarm_rate"] is None
    assert changed.json()["created_at"] == told["created_at"]

    listed = {d["name"]: d for d in service.ask("GET", "/v1/domains").json()["domains"]}
    assert listed["made"]["settings"] == changed.json()["settings"]
    assert listed["made"]["recent"] is None

    gone = service.ask("DELETE", "/v1/domains/made")
    assert (gone.status_code, gone.content) == (204, b"")
    assert code_of(service.ask("GET", "/v1/domains/made")) == "not_found"
    assert service.ask("DELETE", "/v1/domains/made").status_code == 404


def test_references_come_as_a_form_or_raw_and_are_told_back_byte_by_byte(service: Served) -> None:
    service.domain("enrolled", num_references=0)
    path = "/v1/domains/enrolled/references"
    files = {kind: valid(kind, 7) for kind in MEDIA_TYPES}
    form = [("any name", (f"a/b/{kind}.x", data, "image/x")) for kind, data in files.items()]
    answer = service.ask("POST", path, files=form)
    assert answer.status_code == 201
    enrolled = answer.json()
    assert [r["name"] for r in enrolled["added"]] == [f"{kind}.x" for kind in files]
    assert [r["id"] for r in enrolled["added"]] == [hashlib.sha256(d).hexdigest() for d in files.values()]
    assert {(r["width_px"], r["height_px"]) for r in enrolled["added"]} == {(64, 48)}
    assert (enrolled["version"], enrolled["repeated"], enrolled["already_there"]) == (1, False, [])
    assert enrolled["threshold"]["num_calibration"] == 4
    assert enrolled["threshold"]["sentence"].endswith(".")
    assert enrolled["milliseconds"] > 0

    raw = service.ask("POST", f"{path}?name=..%2Fone.png", data=valid("PNG", 8))
    assert raw.status_code == 201
    assert [r["name"] for r in raw.json()["added"]] == ["one.png"]
    assert raw.json()["version"] == 2

    listed = service.ask("GET", path).json()
    assert listed["version"] == 2
    assert [r["name"] for r in listed["references"]] == [*(f"{kind}.x" for kind in files), "one.png"]
    for reference, (kind, data) in zip(listed["references"], files.items(), strict=False):
        told = service.ask("GET", f"{path}/{reference['id']}")
        assert told.content == data
        assert told.headers["content-type"] == MEDIA_TYPES[kind]
        assert told.headers["cache-control"] == "no-store"


def test_the_same_photographs_again_are_no_new_version(service: Served) -> None:
    (first, second) = service.domain("again")
    answer = service.ask("POST", "/v1/domains/again/references", data=valid("PNG", 0))
    assert answer.status_code == 200
    assert answer.json()["already_there"] == [first]
    assert answer.json()["added"] == []
    assert answer.json()["version"] == 1
    assert second != first


def test_a_retry_with_its_key_does_nothing_twice(service: Served) -> None:
    service.domain("retried", num_references=0)
    path, key = "/v1/domains/retried/references", {"Idempotency-Key": "order-66"}
    first = service.ask("POST", path, data=valid("PNG", 1), headers=key)
    again = service.ask("POST", path, data=valid("PNG", 1), headers=key)
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json()["repeated"] is True
    assert again.json()["added"] == first.json()["added"]
    other = service.ask("POST", path, data=valid("PNG", 2), headers=key)
    assert (other.status_code, code_of(other)) == (409, "conflict")


def test_thumbnails_are_small_upright_jpegs(service: Served) -> None:
    service.domain("small", num_references=0)
    wide = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    Image.new("RGB", (80, 40), "white").save(wide, "JPEG", exif=exif)
    answer = service.ask("POST", "/v1/domains/small/references", data=wide.getvalue())
    (reference,) = answer.json()["added"]
    assert (reference["width_px"], reference["height_px"]) == (40, 80)
    path = f"/v1/domains/small/references/{reference['id']}?thumbnail=32"
    for _ in range(2):  # the second is from memory
        small = service.ask("GET", path)
        assert small.headers["content-type"] == "image/jpeg"
        assert Image.open(io.BytesIO(small.content)).size == (16, 32)
    told = service.ask("GET", "/v1/domains/small").json()["thumbnail"]
    assert service.ask("GET", told).status_code == 200
    assert service.ask("GET", path.replace("=32", "=8")).status_code == 422


def test_what_was_purged_is_gone_from_versions_and_thumbnails_alike(service: Served) -> None:
    first, second, third = service.domain("purged", num_references=3)
    path = "/v1/domains/purged/references"
    assert service.ask("GET", f"{path}/{first}?thumbnail=32").status_code == 200
    removed = service.ask("DELETE", f"{path}/{second}")
    assert (removed.status_code, removed.json()["num_references"]) == (200, 2)
    assert service.ask("GET", f"{path}/{second}").status_code == 200  # an older version has it
    assert service.ask("DELETE", f"{path}/{first}?purge=true").json()["num_references"] == 1
    for query in ("", "?thumbnail=32"):
        assert code_of(service.ask("GET", f"{path}/{first}{query}")) == "not_found"
    told = service.ask("GET", "/v1/domains/purged/versions").json()
    assert told["current"] == 3
    assert [(v["num_references"], v["num_purged"], v["is_current"]) for v in told["versions"]] == [
        (2, 1, False),
        (1, 1, False),
        (1, 0, True),
    ]
    assert told["versions"][0]["references"] == [second, third]
    assert [entry["action"] for entry in told["log"]] == ["create", "enroll", "remove", "purge"]
    assert {entry["by"] for entry in told["log"]} == {"local"}


def test_an_older_version_is_made_current_again(service: Served) -> None:
    service.domain("back")
    service.ask("POST", "/v1/domains/back/references", data=valid("PNG", 9))
    answer = service.ask("POST", "/v1/domains/back/rollback", json={"version": 1})
    assert answer.status_code == 200
    assert (answer.json()["version"], answer.json()["num_references"]) == (1, 2)
    missing = service.ask("POST", "/v1/domains/back/rollback", json={"version": 9})
    assert (missing.status_code, code_of(missing)) == (404, "not_found")


def test_photographs_are_scored_one_raw_or_many_as_a_form(service: Served) -> None:
    service.domain("scored")
    raw = service.ask(
        "POST", "/v1/domains/scored/score", data=valid("PNG", 5), headers={"Content-Type": "image/png"}
    )
    assert raw.status_code == 200
    told = raw.json()
    assert (told["domain"], told["version"], told["bundle_id"]) == ("scored", 1, BUNDLE_ID)
    assert told["num_references"] == 2
    (result,) = told["results"]
    assert result["name"] == "photograph"
    assert result["verdict"] == "normal"
    assert result["p_value"] == 0.5
    assert result["levels"] == [result["score"], result["score"] / 2]
    assert result["regions"] == [{"x": 1, "y": 2, "width": 3, "height": 4, "score": result["score"]}]
    assert result["heatmap"] is None
    assert result["threshold"]["guarantee"] == "approximate"
    (query,) = service.backend.queries
    assert (query.width_px, query.height_px, query.image.shape) == (64, 48, (3, 64, 64))
    assert query.key == f"{hashlib.sha256(valid('PNG', 5)).hexdigest()}-64"
    assert query.sequence == service.store.head("scored").sequence

    files = [("f", ("a.png", valid("PNG", 1))), ("f", ("b.jpg", valid("JPEG", 2)))]
    many = service.ask("POST", "/v1/domains/scored/score", files=files)
    assert [r["name"] for r in many.json()["results"]] == ["a.png", "b.jpg"]


@pytest.mark.parametrize("kind", ["overlay", "png"])
def test_heatmaps_have_the_size_of_the_photograph(service: Served, kind: str) -> None:
    if "heat" not in service.store.domains():
        service.domain("heat")
    answer = service.ask("POST", f"/v1/domains/heat/score?heatmap={kind}", data=valid("PNG", 5, (90, 40)))
    uri = answer.json()["results"][0]["heatmap"]
    picture = Image.open(io.BytesIO(base64.b64decode(uri.removeprefix("data:image/png;base64,"))))
    assert (picture.size, picture.format) == ((90, 40), "PNG")


def test_a_map_has_a_grey_value_for_each_cell_and_tells_of_which_score(service: Served) -> None:
    service.domain("cells")
    answer = service.ask("POST", "/v1/domains/cells/score?heatmap=map", data=valid("PNG", 5, (90, 40)))
    result = answer.json()["results"][0]
    _, _, data = result["heatmap"].partition("base64,")
    picture = Image.open(io.BytesIO(base64.b64decode(data)))
    scale = result["heatmap_scale"]
    scores = scale["low"] + np.asarray(picture) / 255 * (scale["high"] - scale["low"])
    assert picture.mode == "L"
    # The score of the service in the test is the mean of its map.
    assert scores.mean() == pytest.approx(result["score"], abs=0.5)
    assert scores.std() > 1


def test_a_picture_alone_carries_the_score_in_its_headers(service: Served) -> None:
    service.domain("picture")
    headers = {"Accept": "image/png"}
    answer = service.ask("POST", "/v1/domains/picture/score", data=valid("PNG", 5), headers=headers)
    assert answer.headers["content-type"] == "image/png"
    assert Image.open(io.BytesIO(answer.content)).size == (64, 48)
    assert float(answer.headers["x-dgad-score"]) > 0
    assert answer.headers["x-dgad-p-value"] == "0.5"
    assert answer.headers["x-dgad-verdict"] == "normal"
    assert answer.headers["x-dgad-version"] == "1"
    assert answer.headers["x-dgad-bundle"] == BUNDLE_ID

    files = [("f", ("a.png", valid("PNG", 1)))] * 2
    assert service.ask("POST", "/v1/domains/picture/score", files=files, headers=headers).status_code == 422
    service.backend.has_maps = False
    try:
        none = service.ask("POST", "/v1/domains/picture/score", data=valid("PNG", 5), headers=headers)
        assert (none.status_code, code_of(none)) == (406, "no_heatmap")
        told = service.ask("POST", "/v1/domains/picture/score?heatmap=png", data=valid("PNG", 5))
        assert told.json()["results"][0]["heatmap"] is None
    finally:
        service.backend.has_maps = True


def test_nothing_can_be_scored_before_anything_is_enrolled(service: Served) -> None:
    service.domain("empty", num_references=0)
    answer = service.ask("POST", "/v1/domains/empty/score", data=valid("PNG"))
    assert (answer.status_code, code_of(answer)) == (409, "no_references")
    for path in ("score", "references"):
        answer = service.ask("POST", f"/v1/domains/nowhere/{path}", data=valid("PNG"))
        assert (answer.status_code, code_of(answer)) == (404, "not_found")


def test_health_readiness_and_what_scores(service: Served) -> None:
    assert service.ask("GET", "/healthz").json() == {"status": "ok"}
    assert service.ask("HEAD", "/healthz").status_code == 200
    ready = {"ready": True, "bundle_id": BUNDLE_ID, "can_enroll": True}
    assert service.ask("GET", "/readyz").json() == ready
    told = service.ask("GET", "/v1/bundle").json()
    assert (told["bundle_id"], told["method"], told["image_size_px"]) == (BUNDLE_ID, "patch_knn", 64)
    assert told["training_domains"] == ["grid", "wood"]


def test_the_page_its_files_and_the_description_ask_no_other_site(service: Served) -> None:
    page = service.ask("GET", "/")
    assert page.text.startswith("<!doctype html>")
    assert page.headers["content-security-policy"].startswith(
        "default-src 'self'; img-src 'self' data: blob:;"
    )
    assert service.ask("GET", "/static/app.js").text == "'use strict';"
    assert service.ask("GET", "/static/..%2f..%2fsecrets").status_code == 404
    docs = service.ask("GET", "/docs")
    assert "/v1/domains/{domain}/score" in docs.text
    assert "//" not in docs.text.replace("http://127.0.0.1:8000", "")
    assert "<script" not in docs.text
    assert "style=" not in docs.text  # its policy would not let it
    assert service.ask("GET", "/docs/style.css").headers["content-type"].startswith("text/css")


def test_without_a_page_folder_the_rest_works(tmp_path: Path) -> None:
    with served(tmp_path) as bare:
        assert bare.ask("GET", "/").json()["docs"] == "/docs"
        assert code_of(bare.ask("GET", "/static/app.js")) == "not_found"
        assert bare.ask("GET", "/v1/domains").json() == {"domains": []}


def test_the_description_names_every_schema_error_and_key(service: Served) -> None:
    document = service.ask("GET", "/openapi.json").json()
    assert set(document["paths"]) == {
        "/healthz",
        "/readyz",
        "/v1/bundle",
        "/v1/domains",
        "/v1/domains/{domain}",
        "/v1/domains/{domain}/versions",
        "/v1/domains/{domain}/region",
        "/v1/domains/{domain}/rollback",
        "/v1/domains/{domain}/references",
        "/v1/domains/{domain}/references/{reference_id}",
        "/v1/domains/{domain}/score",
    }
    score = document["paths"]["/v1/domains/{domain}/score"]["post"]
    assert set(score["requestBody"]["content"]) == {
        *MEDIA_TYPES.values(),
        "application/octet-stream",
        "multipart/form-data",
    }
    assert {"200", "401", "403", "404", "409", "413", "415", "422", "429", "503", "504"} <= set(
        score["responses"]
    )
    assert set(score["responses"]["200"]["content"]) == {"application/json", "image/png"}
    assert score["security"] == [{"key": []}, {}]
    error = score["responses"]["413"]["content"]["application/json"]
    assert error["example"]["error"]["code"] == "too_large"
    for operations in document["paths"].values():
        for operation in operations.values():
            assert operation["description"]
