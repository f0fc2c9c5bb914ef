"""Networks as one flat state, and back."""

import pytest
import torch
from torch import nn

from dgad.errors import DataError
from dgad.training.weights import collect_state, load_into


def test_a_state_is_a_copy_that_loads_again() -> None:
    parts = {"a": nn.Linear(2, 3), "b": nn.Linear(3, 1)}
    state = collect_state(parts)
    assert set(state) == {"a.weight", "a.bias", "b.weight", "b.bias"}
    before = state["a.weight"].clone()
    nn.init.zeros_(parts["a"].weight)
    assert torch.equal(state["a.weight"], before)
    load_into(parts, state, method="agg")
    assert torch.equal(parts["a"].weight, before)
    assert set(collect_state({"": parts["b"]})) == {"weight", "bias"}


def test_what_does_not_fit_is_refused_by_the_methods_name() -> None:
    state = collect_state({"a": nn.Linear(2, 3)})
    with pytest.raises(DataError, match="do not fit the settings of `agg`"):
        load_into({"a": nn.Linear(2, 4)}, state, method="agg")
    with pytest.raises(DataError, match="do not fit the settings of `agg`"):
        load_into({"a": nn.Linear(2, 3), "b": nn.Linear(1, 1)}, state, method="agg")
