"""The second stage: a comparer on the finished backbone, learnt from the same endless episodes.

The exact masks give every patch a label, so pair logits are trained patch by patch (a dense Eq. 2) and
by the objective of the backbone, which asks for order within a domain.
"""

import dataclasses
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from dgad.comparer.model import Comparer, patches
from dgad.comparer.settings import ComparerSettings
from dgad.features.backbone import Backbone
from dgad.features.memory.nearest import usual_distances
from dgad.pretraining.objective import COVERED, covered_share, level_loss
from dgad.pretraining.settings import PretrainSettings
from dgad.pretraining.stream import Episodes
from dgad.pretraining.trainer import feature_maps
from dgad.seeds import seed_for
from dgad.training.loop import one_cycle, train, trainable


def train_comparer(
    backbone: Backbone,
    structure: ComparerSettings,
    settings: PretrainSettings,
    drawn: Iterator[Episodes],
    *,
    progress: Callable[[str, int, int, float], None],
) -> Comparer:
    """A comparer of that structure, trained for `settings.comparer_steps` on frozen features."""
    device = next(backbone.parameters()).device
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_for(settings.seed, "comparer"))
        start = dataclasses.replace(structure, init="difference")
        channels = [backbone.channels[backbone.strides.index(s)] for s in structure.strides]
        comparer = Comparer(channels, start).to(device)
    train(
        torch.optim.AdamW(
            trainable(comparer.parameters()),
            lr=settings.comparer_learning_rate,
            weight_decay=settings.weight_decay,
        ),
        lambda: step_loss(comparer, backbone, next(drawn)),
        what="comparer",
        settings=settings,
        num_steps=settings.comparer_steps,
        schedule=one_cycle(settings.comparer_steps),
        clip_norm=settings.clip_norm,
        anchor_weight=settings.comparer_anchor_weight,
        progress=progress,
    )
    return comparer


def step_loss(comparer: Comparer, backbone: Backbone, drawn: Episodes) -> Tensor:
    """Mean over the step's domains and the pyramid's levels; distances are corrected as in scoring."""
    num_domains, num_images = drawn.images.shape[:2]
    num_queries = len(drawn.labels)
    with torch.no_grad():
        every = feature_maps(backbone, drawn.images.flatten(0, 1))
    # The backbone may reach further than the comparer looks.
    maps = [every[backbone.strides.index(s)] for s in comparer.settings.strides]
    losses = []
    for i in range(num_domains):
        own = [m[i * num_images : (i + 1) * num_images] for m in maps]
        references = [m[num_queries:] for m in own]
        statistics = comparer.statistics(references)
        for query, reference in zip(
            comparer.embed([m[:num_queries] for m in own], statistics),
            comparer.embed(references, statistics),
            strict=True,
        ):
            pool_KC = patches(reference).flatten(0, 1)
            usual_K = None
            if comparer.settings.density_correction:
                owner_K = torch.arange(len(pool_KC), device=pool_KC.device) // (
                    len(pool_KC) // len(reference)
                )
                usual_K = usual_distances(pool_KC.detach(), owner_K)
            logit_BP = comparer.patch_logits(
                patches(query), comparer.head.project_reference(pool_KC[None]), usual_K=usual_K
            )
            logit_Bhw = logit_BP.view(num_queries, *query.shape[-2:])
            ranked = level_loss(logit_Bhw, drawn.masks[i], drawn.labels)
            losses.append(ranked.patch + ranked.image + _dense_loss(logit_Bhw, drawn.masks[i]))
    return torch.stack(losses).mean()


def _dense_loss(logit_Bhw: Tensor, mask_BSS: Tensor) -> Tensor:
    """Cross-entropy of every clear patch with its label, both classes weighing alike; scalar >= 0."""
    share = covered_share(mask_BSS, logit_Bhw)
    defect, normal = share >= COVERED, share == 0
    parts = [F.softplus(logit_Bhw[normal]).mean()]
    if defect.any():
        parts.append(F.softplus(-logit_Bhw[defect]).mean())
    return torch.stack(parts).sum()
