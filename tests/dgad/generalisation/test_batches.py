"""Batches of every source, and their embeddings."""

import dataclasses

import pytest
import torch

from dgad.errors import DataError
from dgad.generalisation.batches import DomainBatches, embed
from tests.dgad.generalisation.nets import SOURCES, domain_batches, encoder
from tests.dgad.methods.surfaces import context


def test_a_step_has_one_batch_of_every_source_in_their_order() -> None:
    batches = DomainBatches(SOURCES, seed=0, normals=3, abnormals=2, references=2, device=context().device)
    for _ in range(5):
        drawn = batches.draw()
        assert [len(b.queries_B3SS) for b in drawn] == [5, 5, 5]
        for batch, source in zip(drawn, SOURCES, strict=True):
            assert batch.labels_B.tolist() == [0, 0, 0, 1, 1]
            assert batch.references_R3SS.shape == (2, 3, 64, 64)
            for image in batch.queries_B3SS:
                assert any(same_up_to_flips(image, own) for own in source.images.images)


def same_up_to_flips(a: torch.Tensor, b: torch.Tensor) -> bool:
    return any(torch.equal(a.flip(axes), b) for axes in ((), (1,), (2,), (1, 2)))


def test_references_are_normals_of_other_photographs_than_the_queries() -> None:
    crops = dataclasses.replace(SOURCES[0], photographs=("one",) * 4 + ("two",) * 4 + ("bad",) * 6)
    batches = DomainBatches([crops], seed=0, normals=1, abnormals=1, references=8, device=context().device)
    for _ in range(20):
        (batch,) = batches.draw()
        (query,) = [i for i in range(8) if same_up_to_flips(batch.queries_B3SS[0], crops.images.images[i])]
        allowed = range(4, 8) if query < 4 else range(4)
        found = [
            i
            for image in batch.references_R3SS
            for i in range(14)
            if same_up_to_flips(image, crops.images.images[i])
        ]
        assert sorted(found) == list(allowed)


def test_images_are_flipped() -> None:
    batches = domain_batches()
    originals = {image.numpy().tobytes() for source in SOURCES for image in source.images.images}
    drawn = [image for b in batches.draw() for image in b.queries_B3SS]
    assert any(image.numpy().tobytes() not in originals for image in drawn)


def test_a_seed_decides_the_batches() -> None:
    first, again, other = domain_batches(seed=1), domain_batches(seed=1), domain_batches(seed=2)
    for _ in range(3):
        a, b, c = (torch.cat([x.queries_B3SS for x in batches.draw()]) for batches in (first, again, other))
        assert torch.equal(a, b)
        assert not torch.equal(a, c)


def test_unusable_sources_are_refused() -> None:
    with pytest.raises(DataError, match="At least 1 source"):
        DomainBatches([], seed=0, normals=1, abnormals=1, references=0, device=context().device)


def test_embedded_batches_are_what_each_gives_alone() -> None:
    net = encoder()
    batches = domain_batches(references=2).draw()
    for batch, (query, reference) in zip(batches, embed(net, batches), strict=True):
        torch.testing.assert_close(query, net(batch.queries_B3SS))
        assert reference is not None
        torch.testing.assert_close(reference, net(batch.references_R3SS).mean(0))
    assert all(reference is None for _, reference in embed(net, domain_batches().draw()))
