"""The fit store: once per content address, whoever is killed meanwhile."""

import dataclasses
import json
import multiprocessing
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor

from dgad.errors import RecordError, TrainingError
from dgad.records import FitKey
from tune.fits.store import FitStore
from tune.run_folder.layout import FIT_FILE, FIT_WEIGHTS_FILE

KEY = FitKey(
    method="comparer",
    settings={"num_steps": 3},
    features={"backbone": "resnet18"},
    sources=("b", "a"),
    data_fingerprint="f",
    seed=0,
    code_version="1",
)


def _slow_fit(folder: Path, log: Path, sleep_s: float) -> None:
    def compute() -> Mapping[str, Tensor]:
        with open(log, "a") as file:
            file.write(f"{os.getpid()}\n")
        time.sleep(sleep_s)
        return {"w": torch.ones(3)}

    FitStore(folder).get(KEY, compute)


def _never() -> Mapping[str, Tensor]:
    raise AssertionError("computed again")


@pytest.mark.slow
def test_two_workers_that_want_one_fit_compute_it_once(tmp_path: Path) -> None:
    log = tmp_path / "log"
    spawn = multiprocessing.get_context("spawn")
    workers = [spawn.Process(target=_slow_fit, args=(tmp_path / "fits", log, 1.0)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [w.exitcode for w in workers] == [0, 0]
    assert len(log.read_text().split()) == 1


def test_a_fit_of_format_version_1_is_refused_with_what_to_do(tmp_path: Path) -> None:
    store = FitStore(tmp_path / "fits")
    store.get(KEY, lambda: {"w": torch.zeros(2)})
    file = tmp_path / "fits" / KEY.id / FIT_FILE
    file.write_text(json.dumps({**json.loads(file.read_text()), "format_version": 1}))
    with pytest.raises(RecordError, match="made by a development version of dgad: delete it, and run the"):
        store.get(KEY, _never)


def test_a_fit_whose_worker_was_killed_is_computed_by_the_next(tmp_path: Path) -> None:
    log = tmp_path / "log"
    worker = multiprocessing.get_context("spawn").Process(
        target=_slow_fit, args=(tmp_path / "fits", log, 600.0)
    )
    worker.start()
    while not log.exists():
        time.sleep(0.05)
    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGKILL)
    worker.join()
    store = FitStore(tmp_path / "fits")
    assert store.ids() == ()
    assert not store.get(KEY, lambda: {"w": torch.zeros(2)}).was_stored
    again = store.get(KEY, _never)
    assert again.was_stored
    assert torch.equal(again.state["w"], torch.zeros(2))
    assert store.ids() == (KEY.id,)


def test_a_failed_fit_is_not_tried_again_but_a_passing_error_is(tmp_path: Path) -> None:
    store = FitStore(tmp_path)

    def diverge() -> Mapping[str, Tensor]:
        raise TrainingError("the loss became nan at step 2")

    def run_out() -> Mapping[str, Tensor]:
        raise RuntimeError("out of memory")

    other = dataclasses.replace(KEY, seed=1)
    with pytest.raises(RuntimeError, match="out of memory"):
        store.get(other, run_out)
    assert not store.get(other, lambda: {}).was_stored
    for compute in (diverge, _never):
        with pytest.raises(TrainingError, match="nan at step 2"):
            store.get(KEY, compute)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        (FIT_WEIGHTS_FILE, b"rubbish"),
        (FIT_FILE, b"{"),
        (FIT_FILE, b"[]"),
        (FIT_FILE, b'{"format_version": null}'),
    ],
)
def test_a_damaged_fit_is_computed_afresh(tmp_path: Path, name: str, data: bytes) -> None:
    store = FitStore(tmp_path)
    store.get(KEY, lambda: {"w": torch.ones(2)})
    (tmp_path / KEY.id / name).write_bytes(data)
    assert not store.get(KEY, lambda: {"w": torch.ones(2)}).was_stored
    assert store.get(KEY, _never).was_stored
