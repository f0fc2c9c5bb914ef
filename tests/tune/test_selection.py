"""Selection sees inner scores only, and a record that knows the target is refused."""

import dataclasses
from pathlib import Path

import pytest

from dgad.evaluation.metrics import Metrics
from dgad.records import FitKey, Record
from dgad.report.summary import TrialSummary
from tune.cells import Cell
from tune.ledger import Ledger
from tune.selection import InnerScore, LeakError, mean_score, read_inner_score, select

CELL = Cell(label="comparer", target="t", domains=("a", "b", "c", "t"), num_trials=2)
FIT = FitKey(
    method="comparer",
    settings={},
    features={},
    sources=("a", "b"),
    data_fingerprint="f",
    seed=0,
    code_version="1",
)
RECORD = Record(
    fit=FIT,
    label="comparer",
    role="inner",
    target="c",
    num_references=3,
    status="ok",
    metrics=Metrics(image_auroc=0.75),
)


def _trial(number: int, value: float | None, status: str = "complete") -> TrialSummary:
    return TrialSummary(
        number=number, settings={"n": number}, value=value, inner_scores={}, status=status, duration_s=1.0
    )


def test_the_highest_complete_trial_wins_and_the_earliest_of_equals() -> None:
    chosen = select([_trial(0, 0.5), _trial(1, 0.8), _trial(2, 0.8), _trial(3, None, "failed")])
    assert chosen is not None
    assert (chosen.trial, chosen.settings, chosen.inner_score) == (1, {"n": 1}, 0.8)
    assert select([_trial(0, None, "failed")]) is None


def test_an_inner_score_is_entered_into_the_ledger_and_has_no_target(tmp_path: Path) -> None:
    score = read_inner_score(CELL, RECORD, Ledger(tmp_path))
    assert score == InnerScore(source="c", image_auroc=0.75)
    (entry,) = Ledger(tmp_path).entries()
    assert (entry.cell, entry.purpose, entry.domains) == ("comparer@t", "objective", ("c",))
    assert entry.record_id == RECORD.record_id
    assert not any("target" in f.name for f in dataclasses.fields(InnerScore))


def test_a_record_of_the_target_or_trained_on_it_is_refused_before_it_is_read(tmp_path: Path) -> None:
    scored_on_it = dataclasses.replace(RECORD, target="t")
    trained_on_it = dataclasses.replace(RECORD, fit=dataclasses.replace(FIT, sources=("a", "t")))
    for record in (scored_on_it, trained_on_it):
        with pytest.raises(LeakError, match="must not see record"):
            read_inner_score(CELL, record, Ledger(tmp_path))
    assert Ledger(tmp_path).entries() == ()


def test_sources_with_one_class_are_left_out_of_the_mean() -> None:
    scores = [InnerScore(source="a", image_auroc=0.5), InnerScore(source="b", image_auroc=None)]
    assert mean_score(scores) == 0.5
    assert mean_score(scores[1:]) is None
