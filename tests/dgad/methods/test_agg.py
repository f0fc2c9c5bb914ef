"""AGG: its loss, and a loss that is not finite."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from dgad.errors import TrainingError
from dgad.generalisation.batches import DomainBatches
from dgad.methods.agg import AggMethod, AggSettings
from dgad.training.source_tiles import cut_sources
from tests.dgad.generalisation.nets import domain_batches
from tests.dgad.methods.surfaces import SIZE, context, source

SOURCES = cut_sources([source("a", 6), source("b", 9, seed=5)], SIZE)


def batches() -> DomainBatches:
    return domain_batches(SOURCES, normals=2)


def test_the_loss_is_the_sum_of_the_domains_cross_entropies() -> None:
    method = AggMethod(AggSettings(num_steps=1), context())
    expected = sum(
        F.cross_entropy(method.classifier(method.encoder(b.queries_B3HW), None), b.labels_B)
        for b in batches().draw()
    )
    torch.testing.assert_close(method._step_loss(batches()), expected)


@pytest.mark.parametrize(
    "change", [{"weight_decay": 0.5}, {"learning_rate": 1e-4}, {"normals_per_domain": 1}], ids=str
)
def test_each_setting_changes_training(change: dict[str, Any]) -> None:
    states = []
    for changes in ({}, change):
        method = AggMethod(AggSettings(**({"num_steps": 2} | changes)), context())
        method.fit([source("a", 6), source("b", 9, seed=5)], seed=0)
        states.append(method.state()["classifier.layers.weight"])
    assert not torch.equal(*states)


def test_a_loss_that_is_not_finite_names_method_step_and_settings() -> None:
    method = AggMethod(AggSettings(num_steps=8, learning_rate=1e30), context())
    with pytest.raises(TrainingError, match=r"agg: the loss became \S+ at step \d of 8.*AggSettings\("):
        method.fit([source("a", 6), source("b", 9, seed=5)], seed=0)
