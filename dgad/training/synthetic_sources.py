"""Procedural domains as sources: as many as wanted, with nothing to photograph and nothing to label."""

import functools
import hashlib

from dgad.domains.image_set import ImageSet
from dgad.domains.procedural import draw_domain
from dgad.seeds import seed_for
from dgad.training.sources import SourceDomain

_NUM_NORMAL = 12
_NUM_ABNORMAL = 6
"""Images of each domain: more than any episode takes."""
_NUM_KEPT = 64


def draw_sources(count: int, *, seed: int, image_size_px: int) -> tuple[SourceDomain, ...]:
    """`count` procedural domains; fewer with the same seed are the first of them."""
    return tuple(_draw(seed_for(seed, str(number)), image_size_px) for number in range(count))


@functools.lru_cache(maxsize=_NUM_KEPT)  # every fit of a search asks for the same ones
def _draw(seed: int, image_size_px: int) -> SourceDomain:
    drawn = draw_domain(seed, image_size_px=image_size_px, num_normal=_NUM_NORMAL, num_abnormal=_NUM_ABNORMAL)
    # With a slash: a user's domain is a folder, and none is called so.
    name = f"procedural/{drawn.name}"
    keys = tuple(f"{hashlib.sha256(i.numpy().tobytes()).hexdigest()}-{image_size_px}" for i in drawn.images)
    return SourceDomain(
        name=name,
        images=ImageSet(images=drawn.images.unbind(0), keys=keys),
        labels=drawn.labels,
        photographs=tuple(f"{name}/{number}" for number in range(len(keys))),
    )
