"""How far domains lie apart: the Fréchet distance between their images' features (the paper's Table 2)."""

# N, M images, F features

import dataclasses
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from dgad.errors import DataError

Floats = NDArray[np.floating]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class DomainDistances:
    """Every pair's distance, and what it was measured by."""

    domains: tuple[str, ...]
    distances: tuple[tuple[float, ...], ...]
    """Symmetric, zeros on the diagonal; at least 0."""
    num_images: tuple[int, ...]
    """Normal images that were looked at, by domain."""
    num_features: int
    backbone: str

    def mean_to_others(self, domain: str) -> float:
        """Mean over the other domains, without the zero with itself that the paper's Table 2 averages."""
        row = self.distances[self.domains.index(domain)]
        return sum(row) / (len(row) - 1)


def frechet_distance(a_NF: Floats, b_MF: Floats) -> float:
    """|mean a - mean b|^2 + tr(Sa + Sb - 2 (Sa Sb)^(1/2)), at least 0 (Dowson and Landau, 1982).

    Of fewer images than features the covariances are singular; the trace of the root is then still exact:
    the sum of the singular values of A B^T, where A and B are the centred features.
    Raises `DataError` for fewer than two images.
    """
    if len(a_NF) < 2 or len(b_MF) < 2:
        raise DataError(
            f"A distance between domains needs 2 images of each, but got {len(a_NF)} and {len(b_MF)}."
        )
    a, b = a_NF.astype(np.float64), b_MF.astype(np.float64)
    gap = a.mean(0) - b.mean(0)
    centred_a = (a - a.mean(0)) / np.sqrt(len(a) - 1)
    centred_b = (b - b.mean(0)) / np.sqrt(len(b) - 1)
    spread = np.square(centred_a).sum() + np.square(centred_b).sum()
    root = np.linalg.svd(centred_a @ centred_b.T, compute_uv=False).sum()
    return float(max(0.0, gap @ gap + spread - 2 * root))


def domain_distances(features: Mapping[str, Floats], *, backbone: str) -> DomainDistances:
    """Between all pairs of domains, from features (N, F) by domain."""
    domains = tuple(features)
    count = len(domains)
    found = np.zeros((count, count))
    for i in range(count):
        for j in range(i):
            found[i, j] = found[j, i] = frechet_distance(features[domains[i]], features[domains[j]])
    return DomainDistances(
        domains=domains,
        distances=tuple(tuple(row) for row in found.tolist()),
        num_images=tuple(len(features[d]) for d in domains),
        num_features=int(next(iter(features.values())).shape[1]) if features else 0,
        backbone=backbone,
    )
