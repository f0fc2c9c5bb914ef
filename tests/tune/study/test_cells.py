"""The matrix of cells and the folds that judge them."""

import itertools

import pytest

from dgad.errors import DataError
from tune.study.cell_id import DEPLOY
from tune.study.cells import Cell, check_domains, make_cells
from tune.study.settings import Study

DOMAINS = ("a", "b", "c", "d")


def _cells(study: Study, domains: tuple[str, ...] = DOMAINS) -> tuple[Cell, ...]:
    return make_cells(study, domains, searched=["comparer"])


def test_every_method_meets_every_target_and_the_first_comparer_is_deployed() -> None:
    study = Study(name="x", methods=("patch_knn", "comparer:paper", "comparer"))
    cells = _cells(study)
    outer = [(c.label, c.target) for c in cells if c.target != DEPLOY]
    assert outer == list(itertools.product(study.methods, DOMAINS))
    assert [c.name for c in cells if c.target == DEPLOY] == ["comparer:paper@deploy"]


def test_only_asked_for_folds_become_cells_and_fixed_methods_get_no_trials() -> None:
    cells = _cells(Study(name="x", methods=("comparer", "patch_knn"), folds=("b",), trials=5))
    assert [(c.name, c.num_trials) for c in cells] == [
        ("comparer@b", 5),
        ("patch_knn@b", 0),
        ("comparer@deploy", 5),
    ]


def test_no_fold_of_a_cell_holds_its_target() -> None:
    for cell in _cells(Study(name="x")):
        held_out = {f.target for f in cell.folds}
        assert held_out == set(cell.sources)
        for fold in cell.folds:
            assert cell.target not in (*fold.sources, fold.target)
            assert set(fold.sources) == set(cell.sources) - {fold.target}


def test_two_cells_share_the_fit_without_both_targets_but_never_at_the_same_step() -> None:
    cells = [c for c in _cells(Study(name="x")) if c.target != DEPLOY]
    for one, other in itertools.combinations(cells, 2):
        shared = {f.sources for f in one.folds} & {f.sources for f in other.folds}
        assert shared == {tuple(d for d in DOMAINS if d not in (one.target, other.target))}
    for step in range(3):
        assert len({c.folds[step].sources for c in cells[:2]}) == 2


def test_fewer_than_three_domains_are_refused() -> None:
    with pytest.raises(DataError, match=r"at least 3 domains, but the data has 2.*source-validation"):
        check_domains(("a", "b"))
    check_domains(("a", "b"), ("source-validation", "oracle"))
    with pytest.raises(DataError, match="needs another domain as its source"):
        check_domains(("a",), ("oracle",))
    check_domains(("a", "b", "c"))


def test_a_domain_with_the_name_of_the_deploy_cell_is_refused() -> None:
    with pytest.raises(DataError, match="cannot be called `deploy`"):
        check_domains(("a", "b", "deploy"))


def test_every_protocol_has_cells_of_its_own_and_fixed_methods_have_one() -> None:
    study = Study(
        name="x",
        methods=("comparer", "trivial"),
        folds=("b",),
        protocol=("nested", "source-validation", "oracle"),
    )
    assert [c.name for c in _cells(study)] == [
        "comparer@b",
        "trivial@b",
        "comparer [source-validation]@b",
        "comparer [oracle]@b",
        "comparer@deploy",
    ]


def test_source_validation_judges_by_sources_and_an_oracle_by_its_target_alone() -> None:
    study = Study(name="x", folds=("b",), protocol=("source-validation", "oracle"))
    validation, oracle, deploy = _cells(study)
    assert {f.target for f in validation.folds} == {"a", "c", "d"}
    assert {(f.sources, f.split) for f in validation.folds} == {(("a", "c", "d"), "half")}
    assert [(f.target, f.sources, f.split) for f in oracle.folds] == [("b", ("a", "c", "d"), "all")]
    assert deploy.protocol == "source-validation"
    assert {(f.sources, f.split) for f in deploy.folds} == {(DOMAINS, "half")}
    by_oracle = _cells(Study(name="x", protocol=("oracle",)))[-1]
    assert (by_oracle.target, by_oracle.protocol) == (DEPLOY, "nested")
