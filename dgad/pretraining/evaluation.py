"""How well features compare on surfaces of families, and with kinds of defects, never trained on."""

import dataclasses

import numpy as np
import torch

from dgad.domains.image_set import ImageSet
from dgad.domains.procedural import DEFECTS, HELD_OUT_FAMILIES, draw_domain
from dgad.evaluation.scoring import TargetDomain, score_target
from dgad.features.backbone import Backbone
from dgad.features.cache import FeatureCache
from dgad.features.settings import FeatureSettings
from dgad.methods.base import Context
from dgad.methods.patch_knn import PatchKnnMethod, PatchKnnSettings
from dgad.seeds import seed_for

NUM_REFERENCES = 10
_NUM_QUERIES_EACH = 16


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class FeatureQuality:
    """Means over held-out domains of `patch_knn` on the features."""

    image_auroc: float
    pixel_auroc: float


def draw_held_out_targets(
    *, domains_each: int = 2, image_size_px: int = 128, seed: int = 0
) -> tuple[TargetDomain, ...]:
    """Procedural targets of the held-out families, with every kind of defect; `domains_each` a family."""
    targets = []
    for family in HELD_OUT_FAMILIES:
        for number in range(domains_each):
            domain = draw_domain(
                seed_for(seed, "held out", family, str(number)),
                image_size_px=image_size_px,
                num_normal=NUM_REFERENCES + _NUM_QUERIES_EACH,
                num_abnormal=_NUM_QUERIES_EACH,
                families=(family,),
                defects=tuple(DEFECTS),
            )
            ids = tuple(f"{domain.name}/{i}" for i in range(len(domain.labels)))
            references, queries = slice(0, NUM_REFERENCES), slice(NUM_REFERENCES, None)
            targets.append(
                TargetDomain(
                    name=domain.name,
                    normal_ids=ids[references],
                    normals=ImageSet(images=domain.images[references].unbind(0)),
                    query_ids=ids[queries],
                    queries=ImageSet(images=domain.images[queries].unbind(0)),
                    kinds=domain.kinds[queries],
                    labels=domain.labels[queries].numpy(),
                    masks=tuple(m.numpy() for m in domain.masks[queries]),
                )
            )
    return tuple(targets)


def feature_quality(
    backbone: Backbone,
    name: str,
    targets: tuple[TargetDomain, ...],
    device: torch.device,
    *,
    num_levels: int,
) -> FeatureQuality:
    """Score the targets by `patch_knn` on the finest levels of `backbone`, the timm model `name`."""
    settings = PatchKnnSettings(
        finest_stride=backbone.strides[0],  # type: ignore[arg-type]
        num_levels=num_levels,
    )
    context = Context(
        features=FeatureSettings(
            backbone=name, weights="none", scale=f"squash {targets[0].queries.sizes[0][0]}"
        ),
        device=device,
        cache=FeatureCache(max_bytes=0),
    )
    method = PatchKnnMethod(settings, context)
    state = backbone.state_dict()
    method.load_state({name: state[name] for name in method.state()})
    found = [score_target(method, t, num_references=NUM_REFERENCES, seed=0).metrics for t in targets]
    return FeatureQuality(
        image_auroc=float(np.mean([m.image_auroc for m in found])),
        pixel_auroc=float(np.mean([m.pixel_auroc for m in found])),
    )
