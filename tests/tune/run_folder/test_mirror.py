"""A study kept at a URI: the working folder, and what others see of it."""

import time
from pathlib import Path

import pytest

from dgad.errors import RecordError
from dgad.storage import Storage
from tests.s3_server import S3Server
from tune.run_folder.ledger import Ledger
from tune.run_folder.mirror import Mirror, list_studies_at, pull


def _study(folder: Path) -> None:
    for name, text in {
        "study.yaml": "name: x\n",
        "run.json": "{}",
        "launch.log": "one\n",
        ".running.json": "{}",
        "optuna/a@b.log": "1\n",
        ".lock": "",
        "ray/session": "not for others",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def test_what_the_driver_writes_is_seen_elsewhere(s3: S3Server, tmp_path: Path) -> None:
    runs = Storage(s3.uri(f"shelf/{tmp_path.name}"))
    store, here, there = runs.child("x"), tmp_path / "here", tmp_path / "there"
    _study(here)
    with Mirror(here, store, report=print) as mirror:
        mirror.push()
        assert list_studies_at(runs) == ("x",)
        store.write("records/r.parquet", b"by a worker")
        Ledger(store.child("ledger").location).append("a@b", "fit", detail={"fit": "f1"})
        runs.child(".shared").write("fits/f1/fit.json", b"{}")
        runs.child(".shared").write("fits/f1/weights.safetensors", b"heavy")
        pull(store, there)
        assert (there / "records" / "r.parquet").read_bytes() == b"by a worker"
        assert (there / ".running.json").is_file()
        assert not (there / "ray").exists()
        assert [p.name for p in (tmp_path / ".shared" / "fits" / "f1").iterdir()] == ["fit.json"]

        (here / "optuna" / "a@b.log").write_text("1\n2\n")
        (here / ".running.json").unlink()
        mirror.push()
        pull(store, there)
        assert (there / "optuna" / "a@b.log").read_text() == "1\n2\n"
        assert not (there / ".running.json").exists()
        mirror.fetch_results()
        assert (here / "records" / "r.parquet").is_file()
        (here / "summary.json").write_text("{}")
    assert store.read("summary.json") == b"{}"  # on leaving


def test_a_working_folder_that_is_ahead_is_not_put_back(s3: S3Server, tmp_path: Path) -> None:
    store, here = Storage(s3.uri(f"shelf/{tmp_path.name}")).child("x"), tmp_path / "here"
    _study(here)
    with Mirror(here, store, report=print):
        pass
    (here / "optuna" / "a@b.log").write_text("1\n2\n3\n")  # and then it was killed
    pull(store, here)
    assert (here / "optuna" / "a@b.log").read_text() == "1\n2\n3\n"


def test_a_storage_that_goes_is_told_and_raised_at_the_end(s3: S3Server, tmp_path: Path) -> None:
    told: list[str] = []
    here = tmp_path / "here"
    _study(here)
    mirror = Mirror(here, Storage(s3.uri("nowhere")), report=told.append, interval_s=0.1).__enter__()
    while not told:
        time.sleep(0.1)
    time.sleep(1)
    with pytest.raises(RecordError, match="check that the place exists"):
        mirror.__exit__()
    assert len(told) == 1
    assert told[0].startswith("The study's copy is behind, and is tried again: nowhere/")
