"""How far the study's domains lie apart, for its report."""

import torch

from dgad.domains import open_dataset
from dgad.domains.images import load_images
from dgad.evaluation.frechet import DomainDistances, domain_distances
from dgad.features.pooled import coarsest_backbone, pooled_features
from dgad.seeds import seed_for
from tune.data_cache import local_copy
from tune.run import Run

MAX_IMAGES = 200
"""Normal images of a domain that are looked at, evenly chosen: the rest would move a distance little."""


def distances_of(run: Run, *, device: str) -> DomainDistances | None:
    """Between all pairs of domains, on the study's own backbone; None where a domain has too few normals."""
    study = run.study
    dataset = open_dataset(local_copy(run.data, run.disk_cache), layout=study.layout)
    backbone = coarsest_backbone(
        study.features, seed=seed_for(study.seed, "backbone"), device=torch.device(device)
    )
    features = {}
    for name, domain in dataset.domains.items():
        normals = domain.train_normals
        if len(normals) < 2:
            return None
        step = max(1, -(-len(normals) // MAX_IMAGES))
        images = load_images(normals[::step], study.image_size_px)
        features[name] = pooled_features(backbone, images).numpy()
    return domain_distances(features, backbone=study.features.backbone)
