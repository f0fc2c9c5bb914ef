"""Selection sees inner scores only, and a record that knows the target is refused."""

import dataclasses
from pathlib import Path

import pytest

from dgad.evaluation.metrics import Metrics
from dgad.records import FitKey, Record
from dgad.report.summary import TrialSummary
from tune.run_folder.ledger import Ledger
from tune.search.selection import (
    InnerScore,
    LeakError,
    average_values,
    explain_no_winner,
    find_front,
    read_inner_score,
    select,
)
from tune.study.cells import Cell
from tune.study.objectives import parse_constraint

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


AUROC = ("image_auroc",)


def _trial(number: int, value: float | None, status: str = "complete", ms: float = 10.0) -> TrialSummary:
    return TrialSummary(
        number=number,
        settings={"n": number},
        value=value,
        values={} if value is None else {"image_auroc": value, "ms_per_image": ms},
        inner_scores={},
        status=status,
        duration_s=1.0,
    )


def test_the_highest_complete_trial_wins_and_the_earliest_of_equals() -> None:
    chosen = select([_trial(0, 0.5), _trial(1, 0.8), _trial(2, 0.8), _trial(3, None, "failed")], AUROC)
    assert chosen is not None
    assert (chosen.trial, chosen.settings, chosen.inner_score) == (1, {"n": 1}, 0.8)
    assert select([_trial(0, None, "failed")], AUROC) is None


def test_a_winner_keeps_to_every_bound_and_the_next_objective_decides_between_equals() -> None:
    trials = [_trial(0, 0.9, ms=30), _trial(1, 0.8, ms=15), _trial(2, 0.8, ms=12), _trial(3, 0.7, ms=5)]
    bounds = [parse_constraint("ms_per_image <= 20")]
    both = ("image_auroc", "ms_per_image")
    chosen = select(trials, both, bounds)
    assert chosen is not None
    assert chosen.trial == 2
    assert find_front(trials, both, bounds) == (2, 3)
    assert find_front(trials, both, []) == (0, 2, 3)
    assert find_front(trials, AUROC, bounds) == ()
    strict = [parse_constraint("ms_per_image <= 1")]
    assert select(trials, both, strict) is None
    assert explain_no_winner(trials, strict) == (
        "no configuration keeps to ms_per_image <= 1 (the nearest has 5)"
    )
    assert explain_no_winner([_trial(0, None, "failed")], strict) == "every trial of the cell failed"


def test_an_inner_score_is_entered_into_the_ledger_and_has_no_target(tmp_path: Path) -> None:
    score = read_inner_score(CELL, RECORD, Ledger(tmp_path), AUROC)
    assert score == InnerScore(source="c", values={"image_auroc": 0.75})
    (entry,) = Ledger(tmp_path).entries()
    assert (entry.cell, entry.purpose, entry.domains) == ("comparer@t", "objective", ("c",))
    assert entry.record_id == RECORD.record_id
    assert not any("target" in f.name for f in dataclasses.fields(InnerScore))


def test_a_record_of_the_target_or_trained_on_it_is_refused_before_it_is_read(tmp_path: Path) -> None:
    scored_on_it = dataclasses.replace(RECORD, target="t")
    trained_on_it = dataclasses.replace(RECORD, fit=dataclasses.replace(FIT, sources=("a", "t")))
    for record in (scored_on_it, trained_on_it):
        with pytest.raises(LeakError, match="must not see record"):
            read_inner_score(CELL, record, Ledger(tmp_path), AUROC)
    assert Ledger(tmp_path).entries() == ()


def test_an_oracle_sees_its_target_but_nothing_trained_on_it(tmp_path: Path) -> None:
    oracle = dataclasses.replace(CELL, protocol="oracle")
    scored_on_it = dataclasses.replace(RECORD, target="t")
    read_inner_score(oracle, scored_on_it, Ledger(tmp_path), AUROC)
    (entry,) = Ledger(tmp_path).entries()
    assert entry.cell == "comparer [oracle]@t"
    trained_on_it = dataclasses.replace(scored_on_it, fit=dataclasses.replace(FIT, sources=("a", "t")))
    with pytest.raises(LeakError, match="must not see record"):
        read_inner_score(oracle, trained_on_it, Ledger(tmp_path), AUROC)


def test_images_that_trained_a_fit_never_judge_it(tmp_path: Path) -> None:
    cell = dataclasses.replace(CELL, protocol="source-validation")
    on_a_source = dataclasses.replace(RECORD, target="a")
    with pytest.raises(LeakError, match="trained on the images that it scores"):
        read_inner_score(cell, on_a_source, Ledger(tmp_path), AUROC)
    held_back = dataclasses.replace(on_a_source, fit=dataclasses.replace(FIT, split="half"))
    assert read_inner_score(cell, held_back, Ledger(tmp_path), AUROC).source == "a"


def test_sources_with_one_class_are_left_out_of_the_mean() -> None:
    scores = [
        InnerScore(source="a", values={"image_auroc": 0.5}),
        InnerScore(source="b", values={"image_auroc": None}),
    ]
    assert average_values(scores, AUROC) == {"image_auroc": 0.5}
    assert average_values(scores[1:], AUROC) == {}
