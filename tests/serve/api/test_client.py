"""The client against a server that misbehaves: what it sends again, when it gives up, and what it says."""

import dataclasses
import io
import re
import socket
from pathlib import Path

import pytest
from PIL import Image

from dgad.errors import SettingsError, UserError
from dgad.references.domain import DomainSettings
from serve.api.client import Client, batches
from serve.api.transport import (
    ClientError,
    DeadlineError,
    FailedError,
    KeyRefusedError,
    NotFoundError,
    OverloadedError,
    RefusedError,
    UnexpectedAnswerError,
    UnreachableServiceError,
)
from tests.serve.support.answers_as_json import DOMAIN, ENROLMENT, score, scores
from tests.serve.support.misbehaving import Misbehaving, Say, error

DOMAINS = Say(value={"domains": [DOMAIN]})
RESET = Say(is_reset=True)
KEY = "dgad_" + "k" * 43


def test_domains_are_typed_and_new_fields_passed_over(misbehaving: Misbehaving) -> None:
    misbehaving.script = [DOMAINS]
    (domain,) = Client(misbehaving.url).domains()
    assert (domain.name, domain.version, domain.num_references) == ("belt", 3, 10)
    assert domain.settings == DomainSettings()
    assert domain.threshold is None
    assert domain.recent is None


def test_busy_is_waited_for_as_long_as_the_service_asks(misbehaving: Misbehaving) -> None:
    misbehaving.script = [error(429, "busy", "Too many wait.", Retry_After="1"), DOMAINS]
    assert Client(misbehaving.url).domains()
    first, second = misbehaving.heard
    assert 1.0 <= second.at - first.at < 10
    assert first.headers["X-Request-Id"] == second.headers["X-Request-Id"]


@pytest.mark.parametrize(
    "trouble",
    [
        RESET,
        error(503, "unavailable", "No scorer answers."),
        Say(status=503, value=b"no healthy replica"),
        Say(status=500, value=b"Internal Server Error"),
        Say(status=502, value=b"<html>Bad Gateway"),
        Say(status=504, value=b"upstream"),
    ],
    ids=["reset", "503", "503 of a proxy", "500 of a proxy", "502", "504"],
)
def test_an_enrolment_is_sent_again_under_the_same_key(misbehaving: Misbehaving, trouble: Say) -> None:
    misbehaving.script = [trouble, trouble, Say(status=201, value=ENROLMENT)]
    answer = Client(misbehaving.url).enroll("belt", [("good.png", b"bytes")])
    assert answer.version == 4
    assert answer.added[0].name == "good.png"
    assert len(misbehaving.heard) == 3
    assert len({h.headers["Idempotency-Key"] for h in misbehaving.heard}) == 1
    assert len({h.body for h in misbehaving.heard}) == 1
    Client(misbehaving.url).enroll("belt", [("good.png", b"bytes")])
    assert misbehaving.heard[-1].headers["Idempotency-Key"] != misbehaving.heard[0].headers["Idempotency-Key"]


def test_a_failure_that_the_service_explains_is_final(misbehaving: Misbehaving) -> None:
    misbehaving.script = [error(500, "internal", "Something of ours broke.")]
    with pytest.raises(FailedError, match=r"Something of ours broke. \(request from-service\)") as caught:
        Client(misbehaving.url).score("belt", [b"x"])
    assert len(misbehaving.heard) == 1
    assert (caught.value.status, caught.value.code) == (500, "internal")
    assert not isinstance(caught.value, UserError)


@pytest.mark.parametrize(
    ("say", "kind"),
    [
        (error(404, "missing", "There is no domain `belt`."), NotFoundError),
        (error(409, "conflict", "No references yet: enrol some first."), RefusedError),
        (error(422, "image_unreadable", "a.png is damaged."), RefusedError),
        (error(403, "forbidden", "The key `x` may only read."), KeyRefusedError),
        (Say(status=307, headers={"Location": "http://example.com/"}), RefusedError),
    ],
    ids=lambda value: str(getattr(value, "status", "")),
)
def test_a_refusal_is_final_and_says_what_the_service_said(
    misbehaving: Misbehaving, say: Say, kind: type[ClientError]
) -> None:
    misbehaving.script = [say]
    with pytest.raises(kind) as caught:
        Client(misbehaving.url).score("belt", [b"x"])
    assert len(misbehaving.heard) == 1
    assert isinstance(caught.value, UserError)
    assert caught.value.status == say.status
    assert caught.value.request_id == "from-service"
    if say.value:
        assert str(caught.value) == say.value["error"]["message"]


def test_large_photographs_are_waited_for_longer(misbehaving: Misbehaving) -> None:
    file = io.BytesIO()
    Image.new("L", (600, 500)).save(file, "PNG")
    refusal = error(409, "conflict", "No references yet.")
    misbehaving.script = [dataclasses.replace(refusal, after_s=1.0)]
    client = Client(misbehaving.url, timeout_s=0.4, attempt_timeout_s=0.2)
    with pytest.raises(DeadlineError):
        client.score("belt", [b"no image"])
    with pytest.raises(RefusedError, match="No references yet"):  # three seconds more for .3 megapixels
        client.score("belt", [file.getvalue()])


def test_the_deadline_holds_over_all_tries(misbehaving: Misbehaving) -> None:
    misbehaving.script = [Say(value={"domains": []}, after_s=60.0)]
    client = Client(misbehaving.url, timeout_s=2.0, attempt_timeout_s=0.2)
    with pytest.raises(DeadlineError, match="did not answer in time"):
        client.domains()
    assert len(misbehaving.heard) >= 2
    misbehaving.script = [error(503, "unavailable", "No scorer.", Retry_After="5")]
    with pytest.raises(OverloadedError, match="No scorer"):
        client.domains()


def test_an_answer_that_stalls_is_asked_for_again(misbehaving: Misbehaving) -> None:
    misbehaving.script = [Say(value={"domains": []}, after_s=60.0), DOMAINS]
    assert Client(misbehaving.url, attempt_timeout_s=0.3).domains()
    assert len(misbehaving.heard) == 2


def test_nothing_there_is_told_soon_and_once_it_answered_waited_for(misbehaving: Misbehaving) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        nobody = Client(f"http://127.0.0.1:{port}")
        with pytest.raises(UnreachableServiceError, match=r"No dgad service answers at .*refused"):
            nobody.domains()
    assert 0 < nobody._transport.num_retried < 4
    client = Client(misbehaving.url)
    misbehaving.script = [DOMAINS, RESET, RESET, RESET, RESET, DOMAINS]
    client.domains()
    assert client.domains()
    assert len(misbehaving.heard) == 6


def test_gone_at_a_second_try_is_gone_by_the_first(misbehaving: Misbehaving) -> None:
    missing = error(404, "missing", "There is no domain `belt`.")
    misbehaving.script = [RESET, missing]
    Client(misbehaving.url).delete("belt")
    Client(misbehaving.url, retries=0)
    misbehaving.script = [missing]
    with pytest.raises(NotFoundError):
        Client(misbehaving.url).purge("belt", "ab" * 32)
    assert misbehaving.heard[-1].path.endswith("?purge=true")


def test_the_key_goes_to_the_service_and_nowhere_else(
    misbehaving: Misbehaving, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # requests would put a password of ~/.netrc in the key's place
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("DGAD_API_KEY", KEY)
    misbehaving.script = [error(401, "unauthorized", "The key is not known.")]
    client = Client(misbehaving.url)
    with pytest.raises(KeyRefusedError) as caught:
        client.domains()
    assert misbehaving.heard[0].headers["Authorization"] == f"Bearer {KEY}"
    assert KEY not in f"{client!r} {caught.value!r} {caught.value.__dict__}"
    monkeypatch.delenv("DGAD_API_KEY")
    with pytest.raises(KeyRefusedError, match="DGAD_API_KEY"):
        Client(misbehaving.url).domains()
    assert "Authorization" not in misbehaving.heard[-1].headers
    with pytest.raises(SettingsError) as refused:
        Client(misbehaving.url, KEY + "\nX-Other: 1")
    assert KEY not in str(refused.value)


def test_many_photographs_are_several_requests_in_order(misbehaving: Misbehaving, tmp_path: Path) -> None:
    files = []
    for index in range(18):
        files.append(tmp_path / f"{index}.png")
        files[-1].write_bytes(b"%d" % index)
    first = scores(*(score(f"{i}.png", value=i) for i in range(16)))
    misbehaving.script = [
        Say(value=first),
        Say(value=scores(score("16.png"), score("17.png", overlay=b"PNG"))),
    ]
    found = Client(misbehaving.url).score("belt", files, heatmap="overlay")
    assert [f.name for f in found] == [f"{i}.png" for i in range(18)]
    assert found[3].score == 3.0
    assert found[0].regions[0].height == 4
    assert found[0].heatmap_png() is None
    assert found[17].heatmap_png() == b"PNG"
    assert [h.path for h in misbehaving.heard] == ["/v1/domains/belt/score?heatmap=overlay"] * 2
    assert re.findall(rb'filename="([^"]*)"', misbehaving.heard[1].body) == [b"16.png", b"17.png"]
    assert b"Content-Type: image/png" in misbehaving.heard[1].body


def test_batches_keep_to_files_and_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serve.api.client._MAX_BATCH_BYTES", 10)
    pieces = list(batches([b"x" * n for n in (4, 4, 4, 20, 1, 1, 1)], max_files=2))
    assert [[len(x) for x in piece] for piece in pieces] == [[4, 4], [4], [20], [1, 1], [1]]


@pytest.mark.parametrize("value", [{"domains": [{"name": "belt"}]}, {"other": 1}, b"<html>hello</html>"])
def test_what_is_no_dgad_service_is_called_that(misbehaving: Misbehaving, value: object) -> None:
    misbehaving.script = [Say(value=value)]
    with pytest.raises(UnexpectedAnswerError, match="must be a dgad service"):
        Client(misbehaving.url).domains()


def test_a_404_without_our_words_is_another_service(misbehaving: Misbehaving) -> None:
    misbehaving.script = [Say(status=404, value={"detail": "Not Found"})]
    with pytest.raises(NotFoundError, match="is no dgad service"):
        Client(misbehaving.url).domains()


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://x", "http://me:secret@host:1", ""])
def test_what_is_no_address_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Client(url)
    assert "secret" not in str(caught.value)


def test_no_name_reaches_another_address(misbehaving: Misbehaving) -> None:
    for name in ("..", "a/b", "", "A"):
        with pytest.raises(SettingsError):
            Client(misbehaving.url).describe(name)
    with pytest.raises(SettingsError):
        Client(misbehaving.url).remove("belt", "..")
    assert misbehaving.heard == []


def test_not_ready_is_an_answer(misbehaving: Misbehaving) -> None:
    misbehaving.script = [
        Say(status=503, value={"ready": False, "bundle_id": None}),
        Say(value={"ready": True}),
    ]
    assert not Client(misbehaving.url).ready().ready
    assert Client(misbehaving.url).ready().ready
