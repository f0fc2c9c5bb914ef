"""How far the study's domains lie apart, for its report."""

import torch

from dgad.domains.images import load_images
from dgad.evaluation.frechet import DomainDistances, domain_distances
from dgad.features.pooled import coarsest_backbone, pooled_features
from dgad.seeds import seed_for
from tune.fits.run import Run
from tune.study.data import open_data

_MAX_IMAGES = 200
"""Normal images of each domain that are looked at: more would move a distance little."""


def measure_distances(run: Run, *, device: str) -> DomainDistances | None:
    """Between all pairs of the study's domains, on its own backbone; None where a domain has one normal only.

    Of every domain as many images: a distance of fewer is larger, and the order would tell of counts.
    """
    study = run.study
    dataset = open_data(study, run.data, run.disk_cache).dataset
    normals = {name: dataset.domain(name).train_normals for name in run.domains}
    count = min(_MAX_IMAGES, *map(len, normals.values()))
    if count < 2:
        return None
    backbone = coarsest_backbone(
        study.features, seed=seed_for(study.seed, "backbone"), device=torch.device(device)
    )
    features = {}
    for name, samples in normals.items():
        chosen = [samples[i * len(samples) // count] for i in range(count)]
        features[name] = pooled_features(backbone, load_images(chosen, study.features.geometry)).numpy()
    return domain_distances(features, backbone=study.features.backbone)
