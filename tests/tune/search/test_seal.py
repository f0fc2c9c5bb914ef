"""Sealing, and the rows and refits that follow from it."""

import dataclasses
from pathlib import Path

import pytest

from dgad.methods import METHODS
from dgad.report.summary import TrialSummary
from dgad.settings import to_dict
from tune.run_folder.ledger import Ledger, find_leaks
from tune.search.seal import UNTRAINED, list_used_after_seals, seal_selections
from tune.search.selection import LeakError
from tune.spaces.initial_design import is_searched
from tune.study.cells import make_cells
from tune.study.settings import Study, make_study

DOMAINS = ("a", "b", "c")
ROBUST = to_dict(METHODS["comparer"].presets["robust"])


def _trials(value: float, learning_rate: float) -> tuple[TrialSummary, ...]:
    settings = {**ROBUST, "learning_rate": learning_rate}
    return (
        TrialSummary(
            number=0,
            settings=settings,
            value=value,
            values={"image_auroc": value},
            inner_scores={},
            status="complete",
            duration_s=1,
        ),
    )


def test_what_is_sealed_stays_whatever_is_found_later(tmp_path: Path) -> None:
    cells = make_cells(Study(name="x"), DOMAINS, searched=["comparer"])
    first = seal_selections(cells, {c.name: _trials(0.8, 0.001) for c in cells}, Ledger(tmp_path))
    again = seal_selections(cells, {c.name: _trials(0.9, 0.002) for c in cells}, Ledger(tmp_path))
    assert [r.selection for r in again] == [r.selection for r in first]
    entries = Ledger(tmp_path).entries()
    assert len(entries) == len(first)
    assert find_leaks(entries) == ()


def test_beside_each_winner_stand_itself_untrained_and_the_methods_without_training(tmp_path: Path) -> None:
    cells = make_cells(Study(name="x", folds=("a",)), DOMAINS, searched=["comparer"])
    rows = seal_selections(cells, {c.name: _trials(0.8, 0.001) for c in cells}, Ledger(tmp_path))
    assert [r.name for r in rows] == [
        "comparer@a",
        "comparer@deploy",
        "comparer:untrained@a",
        "patch_knn@a",
        "trivial@a",
    ]
    untrained = next(r for r in rows if r.label == UNTRAINED)
    assert untrained.selection is not None
    assert untrained.selection.settings == {**ROBUST, "learning_rate": 0.001, "num_steps": 0}
    assert rows[0].sources == ("b", "c")
    assert rows[1].sources == DOMAINS


def test_on_extra_targets_stand_the_winners_of_deploy(tmp_path: Path) -> None:
    study = Study(name="x", folds=("a",), methods=("trivial", "comparer"), extra_targets="elsewhere")
    cells = make_cells(study, DOMAINS, searched=["comparer"])
    trials = {"comparer@a": _trials(0.8, 0.001), "comparer@deploy": _trials(0.7, 0.002)}
    rows = seal_selections(cells, trials, Ledger(tmp_path), extra_targets=["01", "02"])
    assert [r.name for r in rows if r.target == "01"] == [
        "comparer@01",
        "trivial@01",
        "comparer:untrained@01",
        "patch_knn@01",
    ]
    by_name = {r.name: r for r in rows}
    assert by_name["comparer@01"].selection == by_name["comparer@deploy"].selection
    assert by_name["comparer@02"].sources == DOMAINS
    untrained = by_name["comparer:untrained@01"].selection
    assert untrained is not None
    assert untrained.settings == {**ROBUST, "learning_rate": 0.002, "num_steps": 0}
    assert find_leaks(Ledger(tmp_path).entries()) == ()
    lost = seal_selections(cells, {}, Ledger(tmp_path / "lost"), extra_targets=["01"])
    assert [r.selection for r in lost if r.name == "comparer@01"] == [None]
    assert Ledger(tmp_path / "lost").seal_of("comparer@01") is None


def test_a_searched_peer_is_not_shown_twice(tmp_path: Path) -> None:
    cells = make_cells(Study(name="x", methods=("patch_knn", "trivial")), DOMAINS, searched=[])
    rows = seal_selections(cells, {}, Ledger(tmp_path))
    assert sorted(r.name for r in rows) == sorted(
        f"{label}@{target}" for label in ("patch_knn", "trivial") for target in DOMAINS
    )


def test_a_cell_whose_trials_all_failed_has_no_winner_and_nothing_beside_it_untrained(tmp_path: Path) -> None:
    cells = make_cells(Study(name="x", folds=("a",)), DOMAINS, searched=["comparer"])
    rows = seal_selections(cells, {}, Ledger(tmp_path))
    assert next(r for r in rows if r.name == "comparer@a").selection is None
    assert UNTRAINED not in [r.label for r in rows]
    assert {r.label for r in seal_selections(cells, {}, Ledger(tmp_path))} == {r.label for r in rows}


def test_a_target_is_not_scored_before_its_cell_is_sealed(tmp_path: Path, surfaces: Path) -> None:
    from tests.tune.helpers import run_on
    from tune.search.refit import RefitWorker
    from tune.search.seal import RefitJob, SealedRow
    from tune.search.selection import Selection

    run = run_on(surfaces, tmp_path)
    selection = Selection(settings={}, trial=None, inner_score=None)
    row = SealedRow(label="trivial", target="grid", domains=run.domains, selection=selection)
    with pytest.raises(LeakError, match="not sealed"):
        RefitWorker(run).run(RefitJob(row=row, seed=0, with_examples=False))
    assert not Path(run.records_location).exists()
    ledger = Ledger(run.ledger_location)
    ledger.append("trivial@tile", "seal", detail={"settings": {}})
    ledger.append("trivial@grid", "fit", domains=("tile",), detail={"fit": "f"})
    for sequence in (0, 1, 2):  # another cell's seal, another entry, none
        with pytest.raises(LeakError, match="not sealed"):
            RefitWorker(run).run(
                RefitJob(row=dataclasses.replace(row, seal_sequence=sequence), seed=0, with_examples=False)
            )
    assert not list(Path(run.records_location).glob("*.parquet"))


def test_rows_say_where_they_were_sealed_and_the_ledger_is_listed_once(tmp_path: Path) -> None:
    cells = make_cells(Study(name="x"), DOMAINS, searched=["comparer"])
    trials = {c.name: _trials(0.8, 0.001) for c in cells}
    for _ in range(2):  # sealed now, and sealed before
        ledger = Ledger(tmp_path)
        listed = []
        sizes = ledger._storage.sizes
        ledger._storage.sizes = lambda sizes=sizes, listed=listed: listed.append(1) or sizes()  # type: ignore[method-assign, misc, assignment]
        rows = seal_selections(cells, trials, ledger)
        assert len(listed) <= 2, "for the seals, and to know the first free number"
        for row in rows:
            assert row.seal_sequence is not None
            entry = Ledger(tmp_path).entry(row.seal_sequence)
            assert entry is not None
            assert (entry.cell, entry.purpose) == (row.name, "seal")


def test_a_method_whose_space_is_all_fixed_is_sealed_as_it_was_fixed(tmp_path: Path) -> None:
    fixed = {"neighbourhood": 3, "finest_stride": 8, "num_levels": 1, "reference_norm": "channel"}
    fixed |= {"score_pooling": "max", "density_correction": False}
    study = make_study(
        {"data": "x", "methods": ("patch_knn",), "folds": ("a",), "spaces": {"patch_knn": fixed}}
    )
    assert not is_searched("patch_knn", study.space_settings)
    (cell,) = make_cells(study, DOMAINS, searched=[])
    row = seal_selections((cell,), {}, Ledger(tmp_path))[0]
    assert (row.name, row.protocol) == ("patch_knn@a", "fixed")
    assert row.selection is not None
    default = to_dict(METHODS["patch_knn"].presets["default"])
    assert row.selection.settings == {**default, **fixed}


def test_a_comparer_fixed_to_no_steps_needs_what_its_settings_need() -> None:
    fixed = {"num_steps": 0, "init": "builtin", "score_pooling": "max", "density_correction": True}
    study = make_study({"data": "x", "spaces": {"comparer": fixed}})
    cells = make_cells(study, DOMAINS, searched=[])
    assert {cell.traits.needs_defects for cell in cells} == {False}


def test_what_a_search_used_itself_is_not_done_for_the_winner(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.append("m@deploy", "fit", domains=("a",), detail={"fit": "f"})
    ledger.append("m@a", "seal", detail={"settings": {}})
    assert list_used_after_seals(ledger.entries()) == frozenset()
    ledger.append("m@deploy", "seal", detail={"settings": {}})
    ledger.append("m@deploy", "fit", domains=("a",), detail={"fit": "f"})
    ledger.append("m@a", "outer", domains=("a",), record_id="r")
    assert list_used_after_seals(ledger.entries()) == {("m@deploy", "f"), ("m@a", "r")}
