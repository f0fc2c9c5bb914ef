"""`dgad-serve domains|enroll|score` against a server that answers by script."""

import io
import json
import os
import shutil
from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import Run
from tests.serve.support.answers_as_json import DOMAIN, ENROLMENT, THRESHOLD, score, scores
from tests.serve.support.misbehaving import Misbehaving, Say, error

MISSING = error(404, "missing", "There is no domain `belt`.")


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """A folder with two images and a note."""
    folder = tmp_path / "good"
    folder.mkdir()
    for name in ("a.png", "b.png"):
        Image.new("RGB", (8, 8)).save(folder / name)
    (folder / "notes.txt").write_text("not an image")
    return folder


def test_domains_as_a_table_and_as_json(misbehaving: Misbehaving, run: Run) -> None:
    settings = {**DOMAIN["settings"], "note": "[red]line 4\x1b[2J"}
    misbehaving.script = [Say(value={"domains": [{**DOMAIN, "settings": settings}]})]
    done = run("domains", "--url", misbehaving.url, script="dgad-serve")
    assert done.returncode == 0
    assert "belt" in done.stdout
    assert r"[red]line 4\x1b[2J" in done.stdout  # shown as it is, and nothing for the terminal to obey
    done = run("domains", "--url", misbehaving.url, "--json", script="dgad-serve")
    assert json.loads(done.stdout)["domains"][0]["num_references"] == 10
    misbehaving.script = [Say(value={"domains": []})]
    assert "--create" in run("domains", "--url", misbehaving.url, script="dgad-serve").stdout


def test_enroll_makes_the_domain_where_asked_to(
    misbehaving: Misbehaving, run: Run, photographs: Path
) -> None:
    misbehaving.script = [MISSING]
    done = run("enroll", "belt", photographs, "--url", misbehaving.url, script="dgad-serve")
    assert done.returncode == 2
    assert done.stderr == f"Error: There is no domain `belt` at {misbehaving.url}; add --create to make it.\n"
    misbehaving.heard.clear()
    misbehaving.script = [MISSING, Say(status=201, value=DOMAIN), Say(status=201, value=ENROLMENT)]
    options = ("--create", "--false-alarm-rate", "0.1", "--url", misbehaving.url)
    done = run("enroll", "belt", photographs, *options, script="dgad-serve")
    assert done.returncode == 0, done.stderr
    assert done.stdout == (
        "belt: 1 references added; version 4.\nWarning: good.png nearly equals another.\n"
        "At most 10% of normal parts, approximately.\n"
    )
    assert [h.method for h in misbehaving.heard] == ["GET", "PUT", "POST"]
    assert json.loads(misbehaving.heard[1].body) == {
        "false_alarm_rate": 0.1,
        "calibration": "leave_one_out",
        "coreset": None,
        "note": "",
    }
    assert misbehaving.heard[2].body.count(b'filename="') == 2


def test_enroll_makes_no_domain_for_what_cannot_be_sent(
    misbehaving: Misbehaving, run: Run, photographs: Path
) -> None:
    options = ("--create", "--url", misbehaving.url)
    named, damaged = photographs / os.fsdecode(b"n\xff.png"), photographs / "c.png"
    shutil.copy(photographs / "a.png", named)
    done = run("enroll", "belt", photographs, *options, script="dgad-serve")
    assert done.returncode == 2
    assert rf"but `{photographs}/n\xff.png` is not: rename it." in done.stderr
    named.unlink()
    damaged.write_bytes(b"no image")
    done = run("enroll", "belt", photographs, *options, script="dgad-serve")
    assert done.returncode == 2
    assert f"{damaged} is not a JPEG, PNG," in done.stderr
    assert misbehaving.heard == []


def test_enroll_says_so_where_the_service_took_nothing_into_a_new_domain(
    misbehaving: Misbehaving, run: Run, photographs: Path
) -> None:
    refused = Say(status=422, value={"error": {"code": "image_unreadable", "message": "a.png is damaged."}})
    misbehaving.script = [MISSING, Say(status=201, value=DOMAIN), refused]
    done = run("enroll", "belt", photographs, "--create", "--url", misbehaving.url, script="dgad-serve")
    assert done.returncode == 2
    assert done.stderr == ("The domain belt was made, and has no references yet.\nError: a.png is damaged.\n")


def test_enroll_leaves_settings_that_are_not_named(
    misbehaving: Misbehaving, run: Run, photographs: Path
) -> None:
    settings = {"false_alarm_rate": 0.05, "calibration": "split", "coreset": 20, "note": "n"}
    known = Say(value={**DOMAIN, "settings": settings})
    misbehaving.script = [known, Say(status=201, value=ENROLMENT)]
    done = run("enroll", "belt", photographs, "--create", "--url", misbehaving.url, script="dgad-serve")
    assert done.returncode == 0, done.stderr
    assert [h.method for h in misbehaving.heard] == ["GET", "POST"]
    misbehaving.heard.clear()
    misbehaving.script = [known, Say(value=DOMAIN), Say(status=201, value=ENROLMENT)]
    options = ("--coreset", "30", "--url", misbehaving.url, "--json")
    done = run("enroll", "belt", photographs, *options, script="dgad-serve")
    assert json.loads(misbehaving.heard[1].body) == {**settings, "coreset": 30}
    told = json.loads(done.stdout)
    assert (told["version"], told["created"], len(told["added"])) == (4, False, 1)
    misbehaving.heard.clear()
    misbehaving.script = [known, Say(value=DOMAIN), Say(status=201, value=ENROLMENT)]
    done = run("enroll", "belt", photographs, "--bit-depth", "12", *options[2:], script="dgad-serve")
    assert json.loads(misbehaving.heard[1].body) == {**settings, "bit_depth": 12}
    misbehaving.script = [known]
    done = run("enroll", "belt", photographs, "--coreset", "1", "--url", misbehaving.url, script="dgad-serve")
    assert done.returncode == 2
    assert "`coreset` must be at least 2" in done.stderr


def test_score_writes_a_table_and_overlays(
    misbehaving: Misbehaving, run: Run, photographs: Path, tmp_path: Path
) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(buffer, "PNG")
    overlay = buffer.getvalue()
    results = scores(
        score("a.png", value=0.25, overlay=overlay),
        score("b.png", value=7.5, verdict="abnormal", overlay=overlay),
    )
    misbehaving.script = [Say(value=results)]
    options = ("--heatmaps", tmp_path / "out", "--url", misbehaving.url)
    done = run("score", "belt", photographs, *options, script="dgad-serve")
    assert done.returncode == 0, done.stderr
    assert next(line for line in done.stdout.splitlines() if "b.png" in line).count("abnormal") == 1
    assert f"Threshold: 1.500. {THRESHOLD['sentence']}" in done.stdout
    assert {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()} == {
        "a.png": overlay,
        "b.png": overlay,
    }
    done = run("score", "belt", photographs, *options, "--json", script="dgad-serve")
    told = json.loads(done.stdout)["results"]
    assert [r["verdict"] for r in told] == ["normal", "abnormal"]
    assert told[1]["image"].endswith("b.png")
    assert told[1]["heatmap"] == str(tmp_path / "out" / "b.png")
    own = {**score("b.png"), "same_as_reference": "good.png"}
    misbehaving.script = [Say(value=scores(score("a.png"), own))]
    done = run("score", "belt", photographs, *options, script="dgad-serve")
    assert done.returncode == 2
    assert "gives no pixel maps" in done.stderr
    done = run("score", "belt", photographs, *options[2:], script="dgad-serve")
    assert f"Warning: {photographs / 'b.png'} is the reference good.png: compared with itself" in done.stderr
    assert done.stderr.count("Warning") == 1


def test_score_sends_a_bit_depth_and_prints_what_makes_scores_worthless(
    misbehaving: Misbehaving, run: Run, photographs: Path
) -> None:
    answer = {**scores(score("a.png"), score("b.png")), "warnings": ["The request has no value above 4095."]}
    misbehaving.script = [Say(value=answer)]
    options = ("--bit-depth", "12", "--url", misbehaving.url, "--json")
    done = run("score", "belt", photographs, *options, script="dgad-serve")
    assert done.returncode == 0
    assert done.stderr == "Warning: Domain belt: The request has no value above 4095.\n"
    assert len(json.loads(done.stdout)["results"]) == 2
    assert "bit_depth=12" in misbehaving.heard[0].path
    done = run(
        "score", "belt", photographs, "--bit-depth", "40", "--url", misbehaving.url, script="dgad-serve"
    )
    assert done.returncode == 2
    assert "`bit_depth` must be from 8 to 32" in done.stderr


@pytest.mark.parametrize(
    ("say", "code", "told"),
    [
        (MISSING, 2, "Error: There is no domain `belt`."),
        (
            error(401, "unauthorized", "A key is needed."),
            2,
            "Error: A key is needed. Put a key into the environment variable DGAD_API_KEY.",
        ),
        (
            error(500, "internal", "Something of ours broke."),
            1,
            "Failed: Something of ours broke. (request from-service)",
        ),
    ],
)
def test_trouble_is_one_sentence(
    misbehaving: Misbehaving, run: Run, photographs: Path, say: Say, code: int, told: str
) -> None:
    misbehaving.script = [say]
    done = run("score", "belt", photographs, "--url", misbehaving.url, script="dgad-serve")
    assert (done.returncode, done.stdout, done.stderr) == (code, "", told + "\n")


def test_mistakes_before_anything_is_sent(misbehaving: Misbehaving, run: Run, photographs: Path) -> None:
    for arguments, told in (
        (("score", "belt", "nowhere.png"), "No image file or folder nowhere.png"),
        (("score", "Belt!", photographs), "A domain's name must be"),
        (("score", "belt", photographs, "--heatmaps", photographs / "a.png"), "must be a folder"),
        (("domains", "--url", "station:8000"), "`url` must be http(s)://HOST[:PORT]"),
    ):
        url = () if "--url" in arguments else ("--url", misbehaving.url)
        done = run(*arguments, *url, script="dgad-serve")
        assert done.returncode == 2
        assert told in done.stderr
        assert done.stderr.count("\n") == 1
    assert misbehaving.heard == []


def test_a_service_that_is_not_there(run: Run) -> None:
    done = run("domains", "--url", "http://127.0.0.1:1", script="dgad-serve")
    assert done.returncode == 2
    assert done.stderr.startswith("Error: No dgad service answers at http://127.0.0.1:1 (connection refused)")


def test_a_request_that_is_repeated_says_why(misbehaving: Misbehaving, run: Run, photographs: Path) -> None:
    busy = error(503, "unavailable", "No replica answers.", Retry_After="0.1")
    misbehaving.script = [busy, Say(value={"domains": []})]
    done = run("domains", "--url", misbehaving.url, script="dgad-serve")
    assert done.returncode == 0
    (line,) = done.stderr.splitlines()
    assert "No replica answers. (request " in line
    assert "Trying again in " in line
