"""Batches of every source, and their embeddings."""

import dataclasses

import torch

from dgad.generalisation.batches import embed
from tests.dgad.generalisation.nets import SOURCES, domain_batches, encoder


def test_a_step_has_one_batch_of_every_source_in_their_order() -> None:
    batches = domain_batches(normals=3, abnormals=2, references=2)
    for _ in range(5):
        drawn = batches.draw()
        assert [len(b.queries_B3HW) for b in drawn] == [5, 5, 5]
        for batch, source in zip(drawn, SOURCES, strict=True):
            assert batch.labels_B.tolist() == [0, 0, 0, 1, 1]
            assert batch.references_R3HW.shape == (2, 3, 64, 64)
            for image in batch.queries_B3HW:
                assert any(same_up_to_flips(image, own) for own in source.tiles.images.images)


def same_up_to_flips(a: torch.Tensor, b: torch.Tensor) -> bool:
    return any(torch.equal(a.flip(axes), b) for axes in ((), (1,), (2,), (1, 2)))


def test_references_are_normals_of_other_photographs_than_the_queries() -> None:
    crops = dataclasses.replace(SOURCES[0], photographs=("one",) * 4 + ("two",) * 4 + ("bad",) * 6)
    batches, images = domain_batches([crops], references=8), crops.tiles.images.images
    for _ in range(20):
        (batch,) = batches.draw()
        (query,) = [i for i in range(8) if same_up_to_flips(batch.queries_B3HW[0], images[i])]
        allowed = range(4, 8) if query < 4 else range(4)
        found = [
            i for image in batch.references_R3HW for i in range(14) if same_up_to_flips(image, images[i])
        ]
        assert sorted(found) == list(allowed)


def test_images_are_flipped() -> None:
    batches = domain_batches()
    originals = {image.numpy().tobytes() for source in SOURCES for image in source.tiles.images.images}
    drawn = [image for b in batches.draw() for image in b.queries_B3HW]
    assert any(image.numpy().tobytes() not in originals for image in drawn)


def test_a_seed_decides_the_batches() -> None:
    first, again, other = domain_batches(seed=1), domain_batches(seed=1), domain_batches(seed=2)
    for _ in range(3):
        a, b, c = (torch.cat([x.queries_B3HW for x in batches.draw()]) for batches in (first, again, other))
        assert torch.equal(a, b)
        assert not torch.equal(a, c)


def test_embedded_batches_are_what_each_gives_alone() -> None:
    net = encoder()
    batches = domain_batches(references=2).draw()
    for batch, (query, reference) in zip(batches, embed(net, batches), strict=True):
        torch.testing.assert_close(query, net(batch.queries_B3HW))
        assert reference is not None
        torch.testing.assert_close(reference, net(batch.references_R3HW).mean(0))
    assert all(reference is None for _, reference in embed(net, domain_batches().draw()))
