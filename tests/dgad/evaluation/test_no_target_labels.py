"""No method's scores depend on a label or a mask of the target: they reach the metrics only."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from dgad.domains import Dataset, Domain, open_dataset
from dgad.evaluation.experiment import Evaluation, Result, evaluate
from dgad.features.settings import FeatureSettings
from dgad.folds import Fold
from dgad.methods import METHODS, parse_method
from tests.dgad.methods.shortened import brief


def with_labels_swapped(dataset: Dataset, target: str) -> Dataset:
    """The target's good test images are called defective and the others good; no mask is kept."""
    domain = dataset.domain(target)
    samples = tuple(
        dataclasses.replace(s, kind="hole" if s.kind == "good" else "good", mask=None)
        if s.split == "test"
        else s
        for s in domain.samples
    )
    return dataclasses.replace(
        dataset, domains={**dataset.domains, target: Domain(name=target, samples=samples)}
    )


@pytest.mark.parametrize("name", METHODS)
def test_swapped_labels_of_the_target_change_no_score(name: str, demo_data: Path) -> None:
    evaluation = Evaluation(
        fold=Fold(target="wood", sources=("grid", "leather")),
        labels=(f"{name}:brief",),
        num_references=(3,),
        seeds=(0,),
        features=FeatureSettings(weights="none", scale="squash 64"),
        variants={f"{name}:brief": brief(parse_method(name)[2])},
    )
    dataset = open_dataset(str(demo_data))
    (given,) = evaluate(dataset, evaluation, device=torch.device("cpu"))
    (swapped,) = evaluate(with_labels_swapped(dataset, "wood"), evaluation, device=torch.device("cpu"))
    assert isinstance(given, Result)
    assert isinstance(swapped, Result)
    assert (given.scores.labels == 1 - swapped.scores.labels).all()
    np.testing.assert_array_equal(given.scores.image_scores, swapped.scores.image_scores)
    if given.scores.pixel_maps is not None:
        np.testing.assert_array_equal(given.scores.pixel_maps, swapped.scores.pixel_maps)
