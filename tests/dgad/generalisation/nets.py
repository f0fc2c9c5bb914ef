"""Small networks and batches of the striped surfaces."""

from collections.abc import Sequence

from torch import Tensor

from dgad.generalisation.batches import DomainBatches
from dgad.generalisation.encoder import Classifier, Encoder
from dgad.training.source_tiles import SourceTiles, cut_sources
from tests.dgad.methods.surfaces import SIZE, context, source

SOURCES = cut_sources([source("a", 6), source("b", 9, seed=5), source("c", 12, seed=9)], SIZE)


def encoder(seed: int = 0) -> Encoder:
    return Encoder(context().features, 16, seed=seed)


def classifier(pair_hidden: int | None = None, seed: int = 1) -> Classifier:
    return Classifier(256, pair_hidden=pair_hidden, seed=seed)


def rank_alike(queries_B3HW: Tensor, references_R3HW: Tensor) -> Tensor:
    """For sources without bags."""
    return queries_B3HW.new_zeros(len(queries_B3HW))


def domain_batches(
    sources: Sequence[SourceTiles] = SOURCES,
    *,
    normals: int = 1,
    abnormals: int = 1,
    references: int = 0,
    seed: int = 0,
) -> DomainBatches:
    return DomainBatches(
        sources,
        seed=seed,
        normals=normals,
        abnormals=abnormals,
        references=references,
        device=context().device,
        rank=rank_alike,
    )
