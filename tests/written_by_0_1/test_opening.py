"""What version 0.1.0 wrote opens: a bundle, a reference store, a run folder."""

import json
import tarfile
from pathlib import Path

import pytest

from dgad.domains.base import EncodedImage
from dgad.domains.images import load_encoded
from dgad.references.reader import StoreReader
from serve.engine.backend import Outcome, Query
from serve.engine.scorer import SurfaceScorer
from serve.replicas.deployments import build
from tests.conftest import Run
from tests.geometries import squash

SIZE_PX = 32
TOLERANCE = 1e-4
"""Of scores: libraries and processors round differently."""


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """The files of that version; its study names the data where they lie now."""
    folder = tmp_path / "written"
    with tarfile.open(Path(__file__).with_name("files.tar.gz")) as files:
        files.extractall(folder, filter="data")
    for name in ("study.yaml", "summary.json"):
        path = folder / "runs" / "old" / name
        path.write_text(path.read_text().replace("DATA", str(folder / "data")))
    return folder


def score_by_service(written: Path) -> dict[str, float]:
    scorer = SurfaceScorer(written / "runs/old/bundle", str(written / "store"), device="cpu")
    found = {}
    for path in sorted((written / "data/leather/test").rglob("*.png")):
        loaded = load_encoded([EncodedImage(path=path.name, read=path.read_bytes)], squash(SIZE_PX))
        query = Query(
            domain="leather",
            sequence=0,
            image=loaded.images[0].numpy(),
            scale=f"squash {SIZE_PX}",
            key=loaded.keys[0],
            width_px=SIZE_PX,
            height_px=SIZE_PX,
            wants_map=False,
        )
        (answer,) = scorer.score([query])
        assert isinstance(answer, Outcome), answer
        found[str(path.relative_to(written / "data"))] = answer.score
    return found


def test_its_bundle_is_shown_and_scores_alike(written: Path, run: Run) -> None:
    shown = run("bundle", "show", written / "runs/old/bundle", "--json")
    assert shown.returncode == 0, shown.stderr
    assert json.loads(shown.stdout)["bundle_id"] == "3e352751deafd0417151251dbfddff62"
    before = json.loads((written / "cli_scores.json").read_text())["results"]
    images = [written / result["image"] for result in before]
    references = written / "data/leather/train/good"
    done = run(
        "score", "--bundle", written / "runs/old/bundle", "--references", references, *images, "--json"
    )
    assert done.returncode == 0, done.stderr
    now = [result["score"] for result in json.loads(done.stdout)["results"]]
    assert now == pytest.approx([result["score"] for result in before], abs=TOLERANCE)


def test_its_store_is_read_and_scores_alike(written: Path) -> None:
    reader = StoreReader(str(written / "store"))
    assert reader.domains() == ("leather",)
    head = reader.head("leather")
    assert head is not None
    assert (head.version, len(head.references)) == (1, 6)
    before = json.loads((written / "service_scores.json").read_text())
    assert score_by_service(written) == pytest.approx(before, abs=TOLERANCE)


def test_its_study_is_listed_shown_audited_and_reported(written: Path, run: Run) -> None:
    where = ("--runs", written / "runs")
    listed = run("list", *where, "--json", script="dgad-tune")
    assert listed.returncode == 0, listed.stderr
    assert '"old"' in listed.stdout
    status = run("status", "old", *where, "--json", script="dgad-tune")
    assert status.returncode == 0, status.stderr
    assert json.loads(status.stdout)["state"] == "finished"
    audited = run("audit", "old", *where, "--json", script="dgad-tune")
    assert audited.returncode == 0, audited.stderr
    found = json.loads(audited.stdout)
    assert (found["num_entries"], found["num_records"], found["breaches"]) == (74, 27, [])
    reported = run("report", "old", *where, script="dgad-tune")
    assert reported.returncode == 0, reported.stderr
    page = (written / "runs/old/report.html").read_text()
    assert "comparer:untrained" in page
    assert "0.741" in page  # the figure that version printed
    compared = run("compare", "old", "old", *where, script="dgad-tune")
    assert compared.returncode == 0, compared.stderr


def test_its_finished_study_is_shown_again_and_an_unfinished_one_refused(written: Path, run: Run) -> None:
    arguments = ("launch", "--name", "old", "--runs", written / "runs")
    again = run(*arguments, script="dgad-tune")
    assert again.returncode == 0, again.stderr
    assert "0.741" in again.stdout  # the figure that version printed
    (written / "runs/old/summary.json").unlink()
    refused = run(*arguments, script="dgad-tune")
    assert refused.returncode == 2
    assert "was begun with dgad 0.1.0+" in refused.stderr
    assert "Go on with that version, or choose another --name." in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_service_config_names_the_application_as_it_did() -> None:
    from serve import deployments

    assert deployments.build is build


def test_the_client_is_imported_from_where_it_stood() -> None:
    from serve.api.client import Client
    from serve.client import Client as EarlierName

    assert EarlierName is Client
