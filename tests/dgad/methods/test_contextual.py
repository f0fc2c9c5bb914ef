"""`contextual` as a method: what it starts as, and that it draws its own surfaces."""

import dataclasses

import torch

from dgad.contextual.settings import ContextualSettings
from dgad.methods.contextual import ContextualMethod
from dgad.methods.patch_knn import PatchKnnMethod, PatchKnnSettings
from tests.dgad.methods.shortened import short
from tests.dgad.methods.surfaces import context, surface

FEW = {"num_levels": 2, "max_memory_patches": 5000}


def test_without_training_its_scores_are_the_nearest_neighbours():
    references, queries = surface(4, 6, defect=False, seed=0), surface(3, 6, defect=True, seed=1)
    method = ContextualMethod(ContextualSettings(num_steps=0, **FEW), context())  # type: ignore[arg-type]
    method.fit((), seed=0)
    settings = PatchKnnSettings(density_correction=False, top_fraction=0.03, max_memory_patches=5000)
    nearest = PatchKnnMethod(settings, context())
    nearest.load_state({k.removeprefix("backbone."): v for k, v in method.state().items() if "backbone" in k})
    enrolled = method.enroll(references)
    distances = nearest.score(queries, nearest.enroll(references)).image
    location, deviation = enrolled.tensors["map0.location"], enrolled.tensors["map0.deviation"]
    expected = (distances - location) / deviation
    torch.testing.assert_close(method.score(queries, enrolled).image, expected, rtol=1e-3, atol=1e-3)


def test_a_fit_tells_how_many_surfaces_it_has_drawn_and_how_many_steps_it_took():
    told: list[tuple[str, int, int]] = []
    plain = dataclasses.replace(
        context(), progress=lambda stage, step, total, loss: told.append((stage, step, total))
    )
    method = ContextualMethod(short(ContextualSettings()), plain)
    before = method.state()
    method.fit((), seed=3)
    assert told == [("surfaces", 1, 1), ("contextual", 1, 2), ("contextual", 2, 2)]
    assert any(not torch.equal(v, before[k]) for k, v in method.state().items() if k.startswith("decoder"))
