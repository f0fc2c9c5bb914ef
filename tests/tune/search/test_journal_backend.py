"""The journal's file: one write an event, and nothing lost or torn by a kill."""

import multiprocessing
import os
import pickle
import signal
import time
from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from tune.quiet import quiet_optuna
from tune.search.journal_backend import JournalFile

quiet_optuna()


def _study(path: Path) -> tuple[JournalFile, optuna.Study]:
    file = JournalFile(path)
    sampler = optuna.samplers.RandomSampler(seed=0)
    return file, optuna.create_study(
        storage=JournalStorage(file), study_name="x", sampler=sampler, load_if_exists=True
    )


def _one_trial(study: optuna.Study) -> None:
    trial = study.ask()
    for name in "abc":
        trial.suggest_float(name, 0.0, 1.0)
    trial.report(0.25, step=1)
    study.tell(trial, 0.5)


def _as_optuna_reads(path: Path) -> list[optuna.trial.FrozenTrial]:
    return optuna.load_study(study_name="x", storage=JournalStorage(JournalFileBackend(str(path)))).trials


def test_what_is_written_is_what_optunas_own_file_would_hold(tmp_path: Path) -> None:
    file, study = _study(tmp_path / "x.log")
    with file.event():
        _one_trial(study)
    _one_trial(study)
    trials = _as_optuna_reads(tmp_path / "x.log")
    assert [t.values for t in trials] == [[0.5], [0.5]]
    assert trials == study.trials
    assert trials[0].intermediate_values == {1: 0.25}
    assert _study(tmp_path / "x.log")[1].trials == trials


def test_an_event_is_one_flush_and_nothing_is_read_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, study = _study(tmp_path / "x.log")
    flushes: list[int] = []
    monkeypatch.setattr(os, "fsync", flushes.append)
    monkeypatch.setattr(Path, "read_bytes", lambda path: pytest.fail("read again"))
    with file.event():
        _one_trial(study)
        assert len(study.trials) == 1, "what waits to be written is known already"
        assert flushes == []
    assert len(flushes) == 1
    with file.event(flushed=False):
        _one_trial(study)
    assert len(flushes) == 1
    assert len(_as_optuna_reads(tmp_path / "x.log")) == 2
    assert [p.name for p in tmp_path.iterdir()] == ["x.log"]


def test_an_event_that_fails_keeps_what_had_been_said(tmp_path: Path) -> None:
    file, study = _study(tmp_path / "x.log")
    _one_trial(study)

    def tell_again() -> None:
        with file.event():
            _one_trial(study)
            study.tell(0, 0.5)

    with pytest.raises(ValueError, match="Cannot tell"):
        tell_again()
    assert len(study.trials) == 2
    assert _as_optuna_reads(tmp_path / "x.log") == study.trials
    _one_trial(study)
    assert _as_optuna_reads(tmp_path / "x.log") == study.trials


@pytest.mark.parametrize("torn", [b'{"op_code": 5, "wor', b'{"op_code": 5, "wor\n', b"\0" * 40])
def test_half_a_line_of_a_killed_writer_is_left_out_and_then_cut_off(tmp_path: Path, torn: bytes) -> None:
    path = tmp_path / "x.log"
    _one_trial(_study(path)[1])
    whole = path.read_bytes()
    path.write_bytes(whole + torn)
    _, study = _study(path)
    assert len(study.trials) == 1
    _one_trial(study)
    assert path.read_bytes().startswith(whole + b'{"op_code"')
    assert torn.rstrip(b"\n") not in path.read_bytes()
    assert _as_optuna_reads(path) == study.trials
    assert len(study.trials) == 2


def test_a_line_damaged_in_the_middle_is_told(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    _one_trial(_study(path)[1])
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], b"{\n", *lines[2:]]))
    with pytest.raises(ValueError, match="Expecting"):
        _study(path)


def test_another_program_may_write_between_two_events(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    file, study = _study(path)
    _one_trial(study)
    other = optuna.load_study(study_name="x", storage=JournalStorage(JournalFileBackend(str(path))))
    other.set_user_attr("note", "seen")
    with file.event():
        assert study.user_attrs == {"note": "seen"}
        _one_trial(study)
    other.set_user_attr("note", "again")
    with file.event():
        _one_trial(study)
    assert study.user_attrs == {"note": "again"}
    assert _as_optuna_reads(path) == study.trials == other.trials
    assert len(study.trials) == 3


def test_a_pickled_study_replays_the_file(tmp_path: Path) -> None:
    _, study = _study(tmp_path / "x.log")
    _one_trial(study)
    copied = pickle.loads(pickle.dumps(study))
    assert copied.trials == study.trials
    _one_trial(copied)
    assert len(_as_optuna_reads(tmp_path / "x.log")) == 2


def _write_for_ever(path: Path) -> None:
    file, study = _study(path)
    while True:
        with file.event():
            _one_trial(study)


@pytest.mark.slow
def test_killed_at_any_moment_every_event_that_had_ended_is_there_and_it_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    spawn = multiprocessing.get_context("spawn")
    num_trials = 0
    for pause_s in (0.0, 0.013, 0.101):
        process = spawn.Process(target=_write_for_ever, args=(path,))
        process.start()
        while not path.is_file() or len(_as_optuna_reads(path) if path.stat().st_size else ()) <= num_trials:
            time.sleep(0.01)
        time.sleep(pause_s)
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        trials = _as_optuna_reads(path)
        # Of the last event any first part may be there; of all others, the whole.
        assert all(t.state.is_finished() for t in trials[:-1])
        assert len(trials) > num_trials
        num_trials = len(trials)
    _, study = _study(path)
    _one_trial(study)
    assert len(_as_optuna_reads(path)) == num_trials + 1
