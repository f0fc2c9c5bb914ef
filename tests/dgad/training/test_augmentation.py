"""Training images are varied by whole mirrors."""

import torch

from dgad.training.augmentation import random_flips


def test_flips_mirror_whole_images() -> None:
    images = torch.arange(2 * 3 * 4 * 4, dtype=torch.uint8).view(2, 3, 4, 4)
    seen = set()
    for seed in range(30):
        flipped = random_flips(images, torch.Generator().manual_seed(seed))
        for before, after in zip(images, flipped, strict=True):
            variants = [before, before.flip(1), before.flip(2), before.flip(1, 2)]
            (which,) = [i for i, v in enumerate(variants) if torch.equal(v, after)]
            seen.add(which)
    assert seen == {0, 1, 2, 3}
