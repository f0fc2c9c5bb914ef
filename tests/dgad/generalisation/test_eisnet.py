"""The networks of EISNet: what the trained and the averaged encoder see, and what learns."""

from typing import Any

import pytest
import torch
from torch import Tensor

from dgad.generalisation import eisnet
from dgad.generalisation.eisnet import EisnetNetworks
from dgad.generalisation.jigsaw import permutations
from tests.dgad.generalisation.nets import classifier, domain_batches, encoder

USUAL: dict[str, Any] = {
    "identity_probability": 0.9,
    "jigsaw_weight": 0.7,
    "margin": 2.0,
    "num_negatives": 256,
    "triplet_weight": 0.5,
}


def networks(pair_hidden: int | None = None, queue_size: int = 1024) -> EisnetNetworks:
    return EisnetNetworks(encoder(), classifier(pair_hidden), queue_size=queue_size, seed=4)


def test_heads_have_31_puzzles_and_128_dimensions() -> None:
    nets = networks()
    assert nets.jigsaw_head.out_features == 31
    assert nets.metric["head"].out_features == 128


@pytest.mark.parametrize("pair_hidden", [None, 16])
def test_every_trained_weight_gets_a_gradient_and_no_averaged_one(pair_hidden: int | None) -> None:
    nets = networks(pair_hidden)
    nets.loss(domain_batches(references=0 if pair_hidden is None else 2).draw(), **USUAL).backward()
    trained = nets.trained_parameters()
    assert all(p.grad is not None for p in trained)
    assert all(p.grad is None and not p.requires_grad for p in nets.averaged.parameters())
    assert set(trained) | set(nets.averaged.parameters()) == set(nets.parameters())
    assert len(set(trained)) == len(trained)


def test_the_trained_encoder_sees_puzzles_and_the_averaged_one_the_same_images_in_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    nets = networks(16)
    seen: dict[str, Tensor] = {}
    nets.encoder.register_forward_pre_hook(lambda module, inputs: seen.update(trained=inputs[0]))
    nets.averaged["encoder"].register_forward_pre_hook(lambda module, inputs: seen.update(averaged=inputs[0]))
    monkeypatch.setattr(eisnet, "draw_puzzles", lambda count, share, generator: torch.full((count,), 7))
    batches = domain_batches(references=2).draw()
    nets.loss(batches, **USUAL)
    ordered = torch.cat([b.queries_B3HW for b in batches])
    assert torch.equal(seen["averaged"], ordered)
    shuffled = eisnet.shuffle_tiles(ordered, permutations()[[7] * 6])
    trained = seen["trained"].split(4)  # of every domain two queries, then two references
    assert torch.equal(torch.cat([t[:2] for t in trained]), shuffled)
    assert torch.equal(torch.cat([t[2:] for t in trained]), torch.cat([b.references_R3HW for b in batches]))


def test_the_queue_takes_unit_embeddings_of_the_averaged_encoder_before_triplets_are_formed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    nets = networks(queue_size=8)
    lengths = []
    original = eisnet.triplet_loss

    def spied(*arguments: Any, **options: Any) -> Tensor:
        lengths.append(len(arguments[3].labels_Q))
        return original(*arguments, **options)

    monkeypatch.setattr(eisnet, "triplet_loss", spied)
    batches = domain_batches().draw()
    nets.loss(batches, **USUAL)
    expected = nets.averaged["head"](nets.averaged["encoder"](torch.cat([b.queries_B3HW for b in batches])))
    torch.testing.assert_close(nets.queue.embeddings_QE, torch.nn.functional.normalize(expected, dim=1))
    torch.testing.assert_close(nets.queue.embeddings_QE.norm(dim=1), torch.ones(6))
    nets.loss(batches, **USUAL)
    assert lengths == [6, 8]


def test_the_average_starts_as_the_trained_part_and_follows_slowly() -> None:
    nets = networks()
    start = nets.averaged["head"].weight.clone()
    assert torch.equal(start, nets.metric["head"].weight)
    with torch.no_grad():
        nets.metric["head"].weight.add_(1.0)
        next(nets.encoder.parameters()).add_(1.0)
    nets.update_average(0.999)
    torch.testing.assert_close(nets.averaged["head"].weight, start + 0.001, rtol=0, atol=1e-6)
    moved = next(nets.averaged["encoder"].parameters()) - next(encoder().parameters())
    torch.testing.assert_close(moved, torch.full_like(moved, 0.001), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "change",
    [{"jigsaw_weight": 0.0}, {"triplet_weight": 0.0}, {"margin": 0.01}, {"num_negatives": 1}],
    ids=str,
)
def test_each_part_changes_the_loss(change: dict[str, float]) -> None:
    batches = domain_batches().draw()
    assert not torch.equal(networks().loss(batches, **USUAL), networks().loss(batches, **(USUAL | change)))
