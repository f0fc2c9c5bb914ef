"""Small networks and batches of the striped surfaces."""

from dgad.generalisation.batches import DomainBatches
from dgad.generalisation.encoder import Classifier, Encoder
from tests.dgad.methods.surfaces import context, source

SOURCES = [source("a", 6), source("b", 9, seed=5), source("c", 12, seed=9)]


def encoder(seed: int = 0) -> Encoder:
    return Encoder(context().features, 16, seed=seed)


def classifier(pair_hidden: int | None = None, seed: int = 1) -> Classifier:
    return Classifier(256, pair_hidden=pair_hidden, seed=seed)


def domain_batches(references: int = 0, seed: int = 0) -> DomainBatches:
    device = context().device
    return DomainBatches(SOURCES, seed=seed, normals=1, abnormals=1, references=references, device=device)
