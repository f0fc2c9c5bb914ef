"""Procedural sources: distinct, repeatable, usable in episodes, and enough to train on alone."""

import dataclasses

import pytest
import torch

from dgad.comparer.settings import ROBUST
from dgad.methods.comparer import ComparerMethod
from dgad.training import synthetic_sources
from dgad.training.episodes import EpisodeSampler
from dgad.training.source_tiles import cut_sources
from dgad.training.sources import check_sources
from dgad.training.synthetic_sources import _NUM_ABNORMAL, _NUM_NORMAL, draw_sources
from tests.dgad.methods.surfaces import SIZE, context, source

QUICK = dataclasses.replace(
    ROBUST, num_steps=2, num_reference_patches=32, max_memory_patches=64, backbone_mode="frozen"
)


def test_they_are_sources_like_any_other() -> None:
    sources = draw_sources(3, seed=0, image_size_px=SIZE)
    check_sources(sources)
    for drawn in sources:
        assert drawn.images.stack().shape == (_NUM_NORMAL + _NUM_ABNORMAL, 3, SIZE, SIZE)
        assert int(drawn.labels.sum()) == _NUM_ABNORMAL
        assert "/" in drawn.name, "no user's domain is called so"
    photographs = [p for s in sources for p in s.photographs]
    keys = [k for s in sources for k in s.images.keys]
    for values in (photographs, keys, [s.name for s in sources]):
        assert len(set(values)) == len(values)
    cut = cut_sources((*sources, source("a", 6)), SIZE)
    sampler = EpisodeSampler(cut, seed=0, domains_per_step=4, normals=2, abnormals=2, references=3)
    assert all(len(e.references) == 3 and e.labels.tolist() == [0, 0, 1, 1] for e in sampler.draw())


def test_a_seed_decides_them_and_fewer_are_the_first_of_more() -> None:
    four, two, other = (draw_sources(n, seed=s, image_size_px=SIZE) for n, s in ((4, 1), (2, 1), (2, 2)))
    assert [s.images.keys for s in four[:2]] == [s.images.keys for s in two]
    assert not {s.name for s in two} & {s.name for s in other}
    assert draw_sources(0, seed=1, image_size_px=SIZE) == ()


def test_the_same_pixels_come_from_a_fresh_draw() -> None:
    (first,) = draw_sources(1, seed=3, image_size_px=SIZE)
    synthetic_sources._draw.cache_clear()
    (again,) = draw_sources(1, seed=3, image_size_px=SIZE)
    assert first is not again
    assert torch.equal(first.images.stack(), again.images.stack())


def test_a_comparer_trains_on_them_alone_or_beside_a_users() -> None:
    def weights(number: int, user: bool) -> torch.Tensor:
        settings = dataclasses.replace(QUICK, num_synthetic_sources=number)
        method = ComparerMethod(settings, context())
        method.fit([source("a", 6), source("b", 9, seed=5)] if user else [], seed=0)
        return torch.cat([p.detach().flatten() for p in method.comparer.parameters()])

    alone, mixed, without = weights(2, False), weights(2, True), weights(0, True)
    assert torch.isfinite(alone).all()
    assert not torch.equal(alone, mixed)
    assert not torch.equal(mixed, without)


@pytest.mark.parametrize(("steps", "synthetic", "least"), [(2, 0, 1), (2, 3, 0), (0, 0, 0), (0, 3, 0)])
def test_with_them_no_other_source_is_needed(steps: int, synthetic: int, least: int) -> None:
    settings = dataclasses.replace(QUICK, num_steps=steps, num_synthetic_sources=synthetic)
    traits = ComparerMethod.traits_of(settings)
    assert traits.min_sources == least
    assert traits.learns == (steps > 0)
