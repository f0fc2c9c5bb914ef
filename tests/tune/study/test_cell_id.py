"""A cell's name is read back as what it was made of."""

import itertools

import pytest

from dgad.errors import RecordError
from dgad.methods import METHODS
from dgad.report.summary import CellSummary
from tune.study.cell_id import DEPLOY, PROTOCOLS, CellId
from tune.study.cells import Cell

LABELS = [*METHODS, *(f"{name}:{preset}" for name, method in METHODS.items() for preset in method.presets)]
TARGETS = (DEPLOY, "grid", "03", "wood [old]", "line@plant", "a b", "ä", "x@y@z", "[oracle]")


@pytest.mark.parametrize(("protocol", "target"), list(itertools.product(PROTOCOLS, TARGETS)))
def test_what_is_written_is_read_back(protocol, target):
    for label in LABELS:
        cell = CellId(label=label, protocol=protocol, target=target)
        assert CellId.parse(str(cell)) == cell


@pytest.mark.parametrize(
    ("label", "protocol", "target", "text"),
    [
        ("comparer", "nested", "grid", "comparer@grid"),
        ("comparer:paper", "fixed", "grid", "comparer:paper@grid"),
        ("comparer", "oracle", "grid", "comparer [oracle]@grid"),
        ("patch_knn", "source-validation", "deploy", "patch_knn [source-validation]@deploy"),
    ],
)
def test_names_are_those_that_were_written_before(label, protocol, target, text):
    cell = CellId.of(label, protocol, target)
    assert str(cell) == text
    assert cell == CellId.parse(text)
    assert cell.method == label.split(":")[0]
    assert cell.is_deploy == (target == "deploy")
    assert cell.peeks == (protocol == "oracle")


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("num_trials", [0, 3])
def test_a_cell_and_its_row_in_a_summary_have_one_name(protocol, num_trials):
    cell = Cell(label="comparer", target="a", protocol=protocol, domains=("a", "b"), num_trials=num_trials)
    shown = cell.protocol if num_trials else "fixed"
    row = CellSummary(method="comparer", target="a", protocol=shown, selected={}, inner_score=None)
    assert cell.name == f"{row.label}@{row.target}"
    assert cell.id == CellId.of(row.method, row.protocol, row.target)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "comparer",
        "comparer@",
        "@grid",
        "comparer [oracle",
        "comparer [oracle@grid",
        "comparer [best]@grid",
    ],
)
def test_what_names_no_cell_is_refused(text):
    with pytest.raises(RecordError, match="A cell is named METHOD"):
        CellId.parse(text)


def test_nested_is_never_written_out():
    with pytest.raises(RecordError):
        CellId.parse("comparer [nested]@grid")
