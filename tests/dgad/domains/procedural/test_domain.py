"""Whole procedural domains: repeatable, varied, and with masks that say where a defect is."""

import pytest
import torch

from dgad.domains.procedural import (
    DEFECTS,
    FAMILIES,
    HELD_OUT_DEFECTS,
    HELD_OUT_FAMILIES,
    TRAINING_DEFECTS,
    TRAINING_FAMILIES,
    draw_domain,
)
from dgad.domains.procedural.domain import _MIN_DEFECT_SHARE
from dgad.errors import SettingsError


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_draws_alike_but_not_equal_images(family: str) -> None:
    for seed in range(3):
        domain = draw_domain(seed, image_size_px=64, num_normal=4, num_abnormal=0, families=[family])
        images = domain.images.float()
        assert domain.images.shape == (4, 3, 64, 64)
        assert domain.images.dtype == torch.uint8
        assert domain.name.startswith(family)
        assert images.std((1, 2, 3)).min() > 0.5, "an image without any texture"
        assert not torch.equal(images[0], images[1])
        # Images of one domain resemble each other in tone more than two domains do.
        assert images.mean((1, 2, 3)).std() < 40
        assert not domain.masks.any()
        assert domain.kinds == ("good",) * 4


@pytest.mark.parametrize("defect", DEFECTS)
def test_every_defect_shows_where_its_mask_says_and_nowhere_else(defect: str) -> None:
    for seed in range(4):
        domain = draw_domain(
            seed, image_size_px=64, num_normal=0, num_abnormal=2, families=["blotches"], defects=[defect]
        )
        twin = draw_domain(seed, image_size_px=64, num_normal=2, num_abnormal=0, families=["blotches"])
        # The same seed draws the same flawless images, so the difference is the defect (and rounding).
        change = (domain.images.int() - twin.images.int()).abs().amax(1).float()
        share = domain.masks.float().mean((1, 2))
        assert domain.labels.tolist() == [1, 1]
        assert (share >= _MIN_DEFECT_SHARE).all(), "a defect that nobody can see"
        assert share.max() < 0.9
        inside, outside = change[domain.masks].mean(), change[~domain.masks].mean()
        assert inside > 3
        assert inside > 3 * outside


def test_a_domain_depends_on_its_seed_alone() -> None:
    first, again, other = (draw_domain(s, image_size_px=64, num_normal=2, num_abnormal=2) for s in (5, 5, 6))
    assert torch.equal(first.images, again.images)
    assert torch.equal(first.masks, again.masks)
    assert first.kinds == again.kinds
    assert not torch.equal(first.images, other.images)


def test_what_is_held_out_is_never_drawn_for_training() -> None:
    assert set(TRAINING_FAMILIES) | set(HELD_OUT_FAMILIES) == set(FAMILIES)
    assert not set(TRAINING_FAMILIES) & set(HELD_OUT_FAMILIES)
    assert set(TRAINING_DEFECTS) | set(HELD_OUT_DEFECTS) == set(DEFECTS)
    assert not set(TRAINING_DEFECTS) & set(HELD_OUT_DEFECTS)
    drawn = [draw_domain(s, image_size_px=32, num_normal=1, num_abnormal=2) for s in range(40)]
    families = {d.name.rpartition("-")[0] for d in drawn}
    kinds = {k for d in drawn for k in d.kinds} - {"good"}
    assert len(families) > 8
    assert len(kinds) > 7
    assert families <= set(TRAINING_FAMILIES)
    assert kinds <= set(TRAINING_DEFECTS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_size_px": 20}, "image_size_px.*multiple of 8"),
        ({"num_normal": -1}, "num_normal.*0 or more"),
        ({"families": ["nothing"]}, "families.*'nothing'"),
        ({"defects": ["nothing"]}, "defects.*'nothing'"),
    ],
)
def test_what_cannot_be_drawn_is_told(change: dict[str, object], message: str) -> None:
    arguments: dict[str, object] = {"image_size_px": 64, "num_normal": 1, "num_abnormal": 1, **change}
    with pytest.raises(SettingsError, match=message):
        draw_domain(0, **arguments)  # type: ignore[arg-type]
