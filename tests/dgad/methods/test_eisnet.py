"""EISNet: its parts change training, the average follows every step, the rate falls at 60%."""

from typing import Any

import pytest
import torch
from torch import Tensor

from dgad.errors import TrainingError
from dgad.generalisation.eisnet import EisnetNetworks
from dgad.methods import eisnet
from dgad.methods.eisnet import EisnetMethod, EisnetSettings
from tests.dgad.methods.surfaces import context, source

SOURCES = [source("a", 6), source("b", 9, seed=5)]
FEW: dict[str, Any] = {
    "num_steps": 4,
    "normals_per_domain": 2,
    "abnormals_per_domain": 2,
    "identity_probability": 0.5,
}


def first_layer(**changes: Any) -> Tensor:
    method = EisnetMethod(EisnetSettings(**(FEW | changes)), context())
    method.fit(SOURCES, seed=0)
    return next(v for k, v in method.state().items() if k.startswith("encoder.") and v.ndim == 4)


@pytest.mark.parametrize(
    "change",
    [
        {"jigsaw_weight": 0.0},
        {"triplet_weight": 0.0},
        {"identity_probability": 1.0},
        {"margin": 0.5},
        {"num_negatives": 1},
        {"queue_size": 8},
        {"ema_decay": 0.0},
    ],
    ids=str,
)
def test_each_part_changes_training(change: dict[str, Any]) -> None:
    assert not torch.equal(first_layer(), first_layer(**change))


def test_the_average_follows_once_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    decays = []
    monkeypatch.setattr(EisnetNetworks, "update_average", lambda self, decay: decays.append(decay))
    first_layer()
    assert decays == [0.999] * 4


def test_the_rate_is_a_tenth_from_60_percent_of_the_steps_on(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}
    monkeypatch.setattr(eisnet, "train", lambda *arguments, **options: seen.update(options))
    EisnetMethod(EisnetSettings(num_steps=10), context()).fit(SOURCES, seed=0)
    assert [seen["schedule"](step) for step in range(10)] == [1.0] * 6 + [0.1] * 4


def test_a_loss_that_is_not_finite_names_method_step_and_settings() -> None:
    method = EisnetMethod(EisnetSettings(num_steps=8, learning_rate=1e30), context())
    with pytest.raises(TrainingError, match=r"eisnet: the loss became \S+ at step \d of 8.*EisnetSettings\("):
        method.fit(SOURCES, seed=0)
