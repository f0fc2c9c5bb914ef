"""One fold for several methods: one fit for every number of references, and rows that do not sink others."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

from dgad.comparer.settings import PRESETS
from dgad.domains import open_dataset
from dgad.evaluation.experiment import Evaluation, Failure, Result, evaluate, find_applicable
from dgad.features.settings import FeatureSettings
from dgad.folds import Fold
from dgad.methods.patch_knn import PatchKnnMethod

FEATURES = FeatureSettings(weights="none", scale="squash 64")


def evaluation(labels: tuple[str, ...], **changes: Any) -> Evaluation:
    values: dict[str, Any] = {
        "fold": Fold(target="wood", sources=("grid", "leather")),
        "labels": labels,
        "num_references": (2,),
        "seeds": (0,),
        "features": FEATURES,
    }
    return Evaluation(**values | changes)


def test_a_fit_is_made_once_and_enrolled_for_every_number_of_references(
    demo_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fits, enrolments = [], []
    fit, enroll = PatchKnnMethod.fit, PatchKnnMethod.enroll
    # The constructor draws a backbone too, so that a method is usable before it is fitted: seed 0.
    monkeypatch.setattr(
        PatchKnnMethod, "fit", lambda self, s, *, seed: (fits.append(seed), fit(self, s, seed=seed))
    )
    monkeypatch.setattr(
        PatchKnnMethod, "enroll", lambda self, r: (enrolments.append(len(r)), enroll(self, r))[1]
    )
    wanted = evaluation(("patch_knn",), num_references=(1, 3, "25%", "all"), seeds=(4, 5))
    results = list(evaluate(open_dataset(str(demo_data)), wanted, device=torch.device("cpu")))
    assert [f for f in fits if f] == [4, 5]
    assert enrolments == [1, 3, 12] * 2, "25% of 12 is 3 again"
    smaller, larger = results[0], results[1]
    assert isinstance(smaller, Result)
    assert isinstance(larger, Result)
    assert set(smaller.scores.reference_ids) < set(larger.scores.reference_ids)


def test_a_training_that_breaks_off_takes_no_other_row_with_it(demo_data: Path) -> None:
    broken = dataclasses.replace(
        PRESETS["robust"], num_steps=60, learning_rate=1e30, clip_norm=1e30, num_reference_patches=32
    )
    wanted = evaluation(("comparer:broken", "trivial"), variants={"comparer:broken": broken})
    first, second = evaluate(open_dataset(str(demo_data)), wanted, device=torch.device("cpu"))
    assert isinstance(first, Failure)
    assert first.label == "comparer:broken"
    assert "the loss became" in first.message
    assert isinstance(second, Result)


def test_what_cannot_be_had_is_told_from_what_can(demo_data: Path) -> None:
    wanted = evaluation(("comparer", "comparer:builtin", "patch_knn"), fold=Fold(target="wood", sources=()))
    labels, reasons = find_applicable(open_dataset(str(demo_data)), wanted)
    assert labels == ("patch_knn",)
    assert "needs at least 1 source domain" in reasons["comparer"]
    assert "`weights` must be builtin" in reasons["comparer:builtin"]
