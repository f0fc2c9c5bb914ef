"""Folds never hold the target."""

import pytest

from dgad.errors import DataError
from dgad.folds import Fold, inner_folds, leave_one_out


def test_every_domain_is_the_target_once() -> None:
    folds = leave_one_out(("a", "b", "c"))
    assert [f.target for f in folds] == ["a", "b", "c"]
    assert folds[1].sources == ("a", "c")


def test_inner_folds_never_hold_the_outer_target() -> None:
    for fold in leave_one_out(("a", "b", "c", "d")):
        inner = inner_folds(fold)
        assert {f.target for f in inner} == set(fold.sources)
        for one in inner:
            assert fold.target not in (one.target, *one.sources)
            assert len(one.sources) == 2


def test_a_target_among_its_sources_is_refused() -> None:
    with pytest.raises(DataError, match="`a` is among its own sources"):
        Fold(target="a", sources=("a", "b"))


def test_a_source_named_twice_is_refused() -> None:
    with pytest.raises(DataError, match="once only, but got a, b, a"):
        Fold(target="c", sources=("a", "b", "a"))


def test_too_few_domains() -> None:
    with pytest.raises(DataError, match="at least 2 domains"):
        leave_one_out(("a",))
    with pytest.raises(DataError, match="at least 3 domains, but got 2"):
        inner_folds(Fold(target="a", sources=("b",)))
