"""Errors: each has its status and code, one shape, and nothing of our insides."""

import dataclasses
import logging
import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest

from dgad.errors import (
    ConflictError,
    DgadError,
    GoneStoreError,
    ImageError,
    MissingError,
    RecordError,
    SettingsError,
    StoreError,
    UnwritableStoreError,
)
from serve.engine.backend import (
    BusyError,
    Readiness,
    ScaleChangedError,
    TimedOutError,
    TooLargeError,
    UnavailableError,
)
from tests.serve.support.http import SMALL, Served, code_of, served
from tests.serve.support.malformed_images import valid


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("service")) as running:
        running.domain("d")
        yield running


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (MissingError("There is none."), 404, "not_found"),
        (ConflictError("There is one."), 409, "conflict"),
        (ImageError("a.png is damaged."), 422, "image_unreadable"),
        (SettingsError("`x` must be 1."), 422, "invalid_value"),
        (BusyError("Wait."), 429, "busy"),
        (UnavailableError("No scorer."), 503, "unavailable"),
        (TooLargeError("More than 5 bytes."), 413, "too_large"),
        (TimedOutError("Too late."), 504, "timed_out"),
    ],
)
def test_what_the_backend_raises_is_answered_with_its_sentence(
    service: Served, error: DgadError, status: int, code: str
) -> None:
    service.backend.error = error
    answer = service.ask("POST", "/v1/domains/d/score", data=valid("PNG"))
    assert (answer.status_code, code_of(answer)) == (status, code)
    assert answer.json()["error"]["message"] == str(error)
    assert ("retry-after" in answer.headers) == (status in (429, 503))


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (StoreError("/secret/place is damaged"), 503, "storage_unavailable"),
        (RecordError("/secret/place cannot be reached"), 503, "storage_unavailable"),
        (RuntimeError("/secret/place"), 500, "internal"),
    ],
)
def test_trouble_of_ours_goes_to_the_log_and_not_into_the_answer(
    service: Served, error: Exception, status: int, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    service.backend.error = error
    with caplog.at_level(logging.ERROR, logger="dgad.serve"):
        answer = service.ask("POST", "/v1/domains/d/score", data=valid("PNG"))
    assert (answer.status_code, code_of(answer)) == (status, code)
    assert "secret" not in answer.text
    told = [record for record in caplog.records if record.name == "dgad.serve"]
    assert "secret" in caplog.text
    assert told[0].fields["request_id"] == answer.headers["x-request-id"]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            UnwritableStoreError("/secret/place cannot be written", reason="No space left on device"),
            "could not be written to the store (No space left on device); try again when it can.",
        ),
        (UnwritableStoreError("/secret/place cannot be written"), "could not be written to the store; try"),
        (GoneStoreError("/secret/place has been removed"), "The store of this service is gone"),
    ],
)
def test_a_store_that_takes_nothing_says_why_and_that_it_is_about_writing(
    service: Served, error: StoreError, told: str
) -> None:
    service.backend.error = pickle.loads(pickle.dumps(error))  # as it comes from the writer's replica
    answer = service.ask("POST", "/v1/domains/d/score", data=valid("PNG"))
    assert (answer.status_code, code_of(answer)) == (503, "storage_unavailable")
    assert told in answer.json()["error"]["message"]
    assert "secret" not in answer.text


def test_a_scorer_that_hangs_is_a_504(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import asyncio

    async def hang(queries: object) -> object:
        await asyncio.sleep(60)
        return queries

    with served(tmp_path, request_timeout_s=0.5) as service:
        service.domain("d")
        monkeypatch.setattr(service.backend, "score", hang)
        answer = service.ask("POST", "/v1/domains/d/score", data=valid("PNG"))
    assert (answer.status_code, code_of(answer)) == (504, "timed_out")


def test_large_photographs_have_longer_and_who_waits_in_vain_learns_how_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import asyncio

    limits = dataclasses.replace(SMALL, scoring_s_per_megapixel=1.5)
    with served(tmp_path, limits=limits, request_timeout_s=0.5) as service:
        service.domain("d")
        assert service.ask("PUT", "/v1/domains/d", json={"scale": "squash 1024"}).status_code == 200
        scored = service.backend.score

        async def slow(queries: list) -> object:  # type: ignore[type-arg]
            await asyncio.sleep(0.8)
            return await scored(queries)

        async def hang(queries: object) -> None:
            await asyncio.sleep(60)

        monkeypatch.setattr(service.backend, "score", slow)
        assert service.ask("POST", "/v1/domains/d/score", data=valid("PNG")).status_code == 200
        monkeypatch.setattr(service.backend, "score", hang)
        answer = service.ask("POST", "/v1/domains/d/score", data=valid("PNG"))
    assert (answer.status_code, code_of(answer)) == (504, "timed_out")
    told = answer.json()["error"]["message"]
    assert "within 2 s, which 1.0 megapixels are given" in told
    assert "smaller `scale`" in told


def test_a_change_that_hangs_is_a_504_that_says_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import asyncio

    async def hang(*_: object, **__: object) -> None:
        await asyncio.sleep(60)

    with served(tmp_path, enrolment_timeout_s=0.5) as service:
        service.ask("PUT", "/v1/domains/d")
        monkeypatch.setattr(service.backend, "write", hang)
        answer = service.ask("POST", "/v1/domains/d/references", data=valid("PNG"))
    assert (answer.status_code, code_of(answer)) == (504, "timed_out")
    assert "same Idempotency-Key" in answer.json()["error"]["message"]


def test_a_request_has_one_deadline_for_all_that_it_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import asyncio

    with served(tmp_path, request_timeout_s=1.5) as service:
        service.domain("d")
        about, scored = service.backend.describe, service.backend.score

        async def slow_about() -> object:
            await asyncio.sleep(1.0)
            return await about()

        async def slow_score(queries: list) -> object:  # type: ignore[type-arg]
            await asyncio.sleep(1.0)
            return await scored(queries)

        monkeypatch.setattr(service.backend, "describe", slow_about)
        monkeypatch.setattr(service.backend, "score", slow_score)
        answer = service.ask("POST", "/v1/domains/d/score", data=valid("PNG"))
    assert (answer.status_code, code_of(answer)) == (504, "timed_out")
    assert "within 1.5 s" in answer.json()["error"]["message"]


def test_a_new_bundle_of_another_scale_costs_no_answer(
    service: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.backend.error = None
    scored, sizes = service.backend.score, []

    async def changed(queries: list) -> object:  # type: ignore[type-arg]
        sizes.append(queries[0].image.shape)
        if len(sizes) <= 3:  # of scorers of both bundles now one is met, now another
            raise ScaleChangedError("squash 32" if len(sizes) % 2 else "squash 64")
        return await scored(queries)

    monkeypatch.setattr(service.backend, "score", changed)
    answer = service.ask("POST", "/v1/domains/d/score", data=valid("PNG"))
    assert answer.status_code == 200
    assert sizes == [(3, 64, 64), (3, 32, 32)] * 2


def test_not_ready_while_no_scorer_answers(service: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    async def stay_away() -> object:
        raise UnavailableError("No scorer answers.")

    dead = {"ready": False, "bundle_id": None, "can_enroll": True}
    service.backend.readiness = Readiness(bundle_id=None, can_enroll=True)
    answer = service.ask("GET", "/readyz")
    assert (answer.status_code, answer.json()) == (503, dead)
    service.backend.readiness = Readiness(bundle_id="b", can_enroll=False)
    answer = service.ask("GET", "/readyz")
    assert (answer.status_code, answer.json()) == (
        200,
        {"ready": True, "bundle_id": "b", "can_enroll": False},
    )
    monkeypatch.setattr(service.backend, "check_ready", stay_away)
    answer = service.ask("GET", "/readyz")
    assert (answer.status_code, answer.json()) == (503, {**dead, "can_enroll": False})
    monkeypatch.setattr(service.backend, "describe", stay_away)
    assert service.ask("GET", "/healthz").status_code == 200
    assert code_of(service.ask("GET", "/v1/domains")) == "unavailable"


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("GET", "/v1/domains/", 404, "not_found"),
        ("GET", "/v1/domains/..%2f..%2fkeys.json", 404, "not_found"),
        ("PATCH", "/v1/domains/d", 405, "method_not_allowed"),
        ("GET", "/v1/domains/UPPER", 422, "invalid_value"),
        ("GET", f"/v1/domains/{'a' * 65}", 422, "invalid_value"),
        ("GET", "/v1/domains/d/references/short", 422, "invalid_value"),
        ("GET", f"/v1/domains/d/references/{'0' * 64}", 404, "not_found"),
        ("GET", f"/v1/domains/d/references/{'0' * 64}?thumbnail=1e9", 422, "invalid_value"),
        ("DELETE", f"/v1/domains/d/references/{'0' * 64}?purge=maybe", 422, "invalid_value"),
        ("POST", "/v1/domains/d/score?heatmap=gif", 422, "invalid_value"),
    ],
)
def test_paths_methods_and_queries_that_there_are_not(
    service: Served, method: str, path: str, status: int, code: str
) -> None:
    answer = service.ask(method, path)
    assert (answer.status_code, code_of(answer)) == (status, code)
    if status == 405:
        assert answer.headers["allow"] == "DELETE, GET, PUT"


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ('{"false_alarm_rate": NaN}', "false_alarm_rate"),
        ('{"false_alarm_rate": 1}', "false_alarm_rate"),
        ('{"false_alarm_rate": "0.1"}', "false_alarm_rate"),
        ('{"coreset": 1}', "coreset"),
        ('{"coreset": 2.5}', "coreset"),
        ('{"calibration": "magic"}', "calibration"),
        ('{"note": "\\ud800"}', "note"),
        ('{"colour": "red"}', "colour"),
        ("[]", "body"),
        ("{", "body"),
    ],
)
def test_settings_that_cannot_be_are_refused_by_name(service: Served, body: str, where: str) -> None:
    answer = service.ask("PUT", "/v1/domains/new", data=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, code_of(answer)) == (422, "invalid_value")
    assert where in answer.json()["error"]["message"]
    assert service.ask("GET", "/v1/domains/new").status_code == 404
