"""Epi-FCR: which networks change at which step, its parts, and what it refuses."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dgad.errors import DataError, TrainingError
from dgad.generalisation.epi_fcr import EpiFcrNetworks
from dgad.methods import epi_fcr
from dgad.methods.epi_fcr import EpiFcrMethod, EpiFcrPairMethod, EpiFcrPairSettings, EpiFcrSettings
from tests.dgad.methods.surfaces import context, source

SOURCES = [source("a", 6), source("b", 9, seed=5)]
FEW: dict[str, Any] = {
    "num_steps": 3,
    "num_warmup_steps": 1,
    "normals_per_domain": 1,
    "abnormals_per_domain": 1,
}


class Watched(EpiFcrNetworks):
    """Keeps every network's weights whenever a loss is asked for, in order."""

    last: "Watched"

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.seen: list[tuple[str, dict[str, Tensor]]] = [("start", self.weights())]
        Watched.last = self

    def weights(self) -> dict[str, Tensor]:
        parts: dict[str, nn.Module] = {
            "F": self.encoder,
            "C": self.classifier,
            "F_d": self.domain_encoders,
            "C_d": self.domain_classifiers,
            "C_rand": self.random_classifier,
        }
        return {k: torch.cat([p.detach().flatten() for p in m.parameters()]) for k, m in parts.items()}

    def note(self, name: str) -> None:
        self.seen.append((name, self.weights()))

    def domain_loss(self, *arguments: Any) -> Tensor:
        self.note("domain")
        return super().domain_loss(*arguments)

    def warm_up_loss(self, *arguments: Any) -> Tensor:
        self.note("warm-up")
        return super().warm_up_loss(*arguments)

    def aggregate_loss(self, *arguments: Any, **options: Any) -> Tensor:
        self.note("aggregate")
        return super().aggregate_loss(*arguments, **options)


@pytest.mark.parametrize(
    ("method_type", "settings_type"),
    [(EpiFcrMethod, EpiFcrSettings), (EpiFcrPairMethod, EpiFcrPairSettings)],
)
def test_each_step_changes_its_own_networks_only(
    method_type: Any, settings_type: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(epi_fcr, "EpiFcrNetworks", Watched)
    method_type(settings_type(**FEW), context()).fit(SOURCES, seed=0)
    nets = Watched.last
    nets.note("end")
    names = [name for name, _ in nets.seen]
    assert names == ["start", *["domain", "warm-up"], *["domain", "aggregate"] * 2, "end"]
    for (name, before), (_, after) in zip(nets.seen[1:], nets.seen[2:], strict=False):
        changed = {part for part in before if not torch.equal(before[part], after[part])}
        assert changed == ({"F_d", "C_d"} if name == "domain" else {"F", "C"})
    assert torch.equal(nets.seen[0][1]["C_rand"], nets.seen[-1][1]["C_rand"])


def classifier_weight(**changes: Any) -> Tensor:
    method = EpiFcrMethod(EpiFcrSettings(**(FEW | changes)), context())
    method.fit(SOURCES, seed=0)
    return method.state()["classifier.layers.weight"]


@pytest.mark.parametrize(
    "off",
    [
        {"num_warmup_steps": 0},
        {"num_warmup_steps": 3},
        {"random_weight": 0.0},
        {"classifier_weight": 0.0},
        {"feature_weight": 0.0},
    ],
    ids=str,
)
def test_each_part_changes_training(off: dict[str, Any]) -> None:
    assert not torch.equal(classifier_weight(), classifier_weight(**off))


def test_one_source_is_refused() -> None:
    method = EpiFcrMethod(EpiFcrSettings(**FEW), context())
    with pytest.raises(DataError, match=r"`epi_fcr` needs at least 2 source domains.*but got 1"):
        method.fit(SOURCES[:1], seed=0)


@pytest.mark.parametrize("bad", ["domain_loss", "warm_up_loss", "aggregate_loss"])
def test_a_loss_that_is_not_finite_is_told_and_changes_no_weight(
    bad: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In either step: the message names the method, the step and the settings."""

    class Broken(Watched):
        pass

    original = getattr(Watched, bad)

    def spoilt(self: Watched, *arguments: Any, **options: Any) -> Tensor:
        loss: Tensor = original(self, *arguments, **options)
        return loss * float("nan")

    monkeypatch.setattr(Broken, bad, spoilt)
    monkeypatch.setattr(epi_fcr, "EpiFcrNetworks", Broken)
    step = 2 if bad == "aggregate_loss" else 1
    method = EpiFcrMethod(EpiFcrSettings(**FEW), context())
    with pytest.raises(
        TrainingError, match=rf"epi_fcr: the loss became nan at step {step} of 3.*EpiFcrSettings\("
    ):
        method.fit(SOURCES, seed=0)
    last = Watched.last.seen[-1][1]
    assert all(torch.equal(weights, last[part]) for part, weights in Watched.last.weights().items())
