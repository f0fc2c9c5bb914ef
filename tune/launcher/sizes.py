"""How large the photographs of a data set are, by the headers of some of them."""

import contextlib
from collections.abc import Mapping, Sequence

from dgad.domains import Dataset, Domain
from dgad.domains.decoding import image_size
from dgad.errors import UserError
from dgad.features.settings import FeatureSettings

_NUM_SIZES = 32
"""Images of a domain whose headers are read."""

Sizes = Mapping[str, Sequence[tuple[int, int]]]
"""(height, width) of some images, by domain."""


def sample_sizes(dataset: Dataset) -> Sizes:
    """The sizes of images spread over each domain; one that cannot be read has none."""
    return {domain.name: _sample(domain) for domain in dataset.domains.values()}


def find_scaled_sizes(dataset: Dataset, features: FeatureSettings, sizes: Sizes) -> set[tuple[int, int]]:
    """The (height, width) that images of these sizes are looked at, each at its domain's scale."""
    found: set[tuple[int, int]] = set()
    for domain in dataset.domains.values():
        geometry = features.geometry.with_scale(domain.scale)
        found.update(geometry.scaled_size(*size) for size in sizes[domain.name])
    return found


def _sample(domain: Domain) -> list[tuple[int, int]]:
    samples = domain.samples
    count = min(_NUM_SIZES, len(samples))
    found = []
    for i in range(count):
        image = samples[i * len(samples) // count].image
        with contextlib.suppress(UserError):  # the check of all images says what is wrong with it
            found.append(image_size(image.read(), image.path))
    return found
