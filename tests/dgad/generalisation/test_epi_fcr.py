"""The networks of Epi-FCR: which weights each loss reaches, and what it is made of."""

import pytest
import torch
from torch import nn

from dgad.generalisation.batches import embed
from dgad.generalisation.epi_fcr import EpiFcrNetworks, draw_episode
from dgad.generalisation.losses import epi_fcr_loss, summed_cross_entropy
from tests.dgad.generalisation.nets import classifier, domain_batches, encoder

WEIGHTS = {"random_weight": 0.1, "classifier_weight": 0.05, "feature_weight": 2.0}


def networks(pair_hidden: int | None = None) -> EpiFcrNetworks:
    return EpiFcrNetworks(encoder(), classifier(pair_hidden), num_domains=3, pair_hidden=pair_hidden, seed=3)


def has_gradient(module: nn.Module) -> bool:
    return any(p.grad is not None and bool(p.grad.any()) for p in module.parameters())


@pytest.mark.parametrize("pair_hidden", [None, 16])
def test_the_domain_loss_reaches_every_domain_network_and_neither_f_nor_c(pair_hidden: int | None) -> None:
    nets = networks(pair_hidden)
    batches = domain_batches(references=0 if pair_hidden is None else 2).draw()
    nets.domain_loss(batches).backward()
    assert all(has_gradient(m) for m in (*nets.domain_encoders, *nets.domain_classifiers))
    assert not any(has_gradient(m) for m in (nets.encoder, nets.classifier, nets.random_classifier))


@pytest.mark.parametrize("pair_hidden", [None, 16])
def test_the_aggregate_loss_reaches_f_and_c_only(pair_hidden: int | None) -> None:
    nets = networks(pair_hidden)
    batches = domain_batches(references=0 if pair_hidden is None else 2).draw()
    nets.aggregate_loss(batches, val=0, trn=2, **WEIGHTS).backward()
    assert has_gradient(nets.encoder)
    assert has_gradient(nets.classifier)
    untouched = (*nets.domain_encoders, *nets.domain_classifiers, nets.random_classifier)
    assert all(p.grad is None for m in untouched for p in m.parameters())


def test_each_domain_network_sees_its_own_domain_alone() -> None:
    nets = networks()
    batches = domain_batches().draw()
    expected = summed_cross_entropy(
        [
            nets.domain_classifiers[d](nets.domain_encoders[d](batches[d].queries_B3HW), None)
            for d in range(3)
        ],
        [b.labels_B for b in batches],
    )
    torch.testing.assert_close(nets.domain_loss(batches), expected)


def test_the_aggregate_loss_crosses_val_with_the_network_of_trn() -> None:
    nets = networks(16)
    with torch.no_grad():  # so that F_d differs from F
        for parameter in nets.domain_encoders.parameters():
            parameter.mul_(1.05)
    batches = domain_batches(references=2).draw()
    for val, trn in ((0, 1), (2, 1), (2, 0)):
        own = embed(nets.encoder, batches)
        (foreign,) = embed(nets.domain_encoders[trn], [batches[val]])
        expected = epi_fcr_loss(
            [nets.classifier(*e) for e in own],
            [nets.random_classifier(*e) for e in own],
            [b.labels_B for b in batches],
            nets.classifier(*foreign),
            nets.domain_classifiers[trn](*own[val]),
            batches[val].labels_B,
            **WEIGHTS,
        )
        torch.testing.assert_close(nets.aggregate_loss(batches, val=val, trn=trn, **WEIGHTS), expected)


def test_the_warm_up_has_no_episodic_term() -> None:
    nets = networks()
    batches = domain_batches().draw()
    without = nets.aggregate_loss(
        batches, val=0, trn=1, random_weight=0.0, classifier_weight=0.0, feature_weight=0.0
    )
    torch.testing.assert_close(nets.warm_up_loss(batches), without)


def test_domain_encoders_start_as_f_and_every_classifier_is_its_own() -> None:
    nets = networks()
    for copied in nets.domain_encoders:
        for own, other in zip(nets.encoder.parameters(), copied.parameters(), strict=True):
            assert torch.equal(own, other)
            assert own is not other
    heads = [nets.classifier, nets.random_classifier, *nets.domain_classifiers]
    weights = {tuple(next(head.parameters()).flatten().tolist()) for head in heads}
    assert len(weights) == 5


def test_the_two_steps_share_no_weight_and_none_updates_the_random_classifier() -> None:
    nets = networks()
    domain, aggregate = set(nets.domain_parameters()), set(nets.aggregate_parameters())
    random = set(nets.random_classifier.parameters())
    assert not domain & aggregate
    assert not random & (domain | aggregate)
    assert domain | aggregate | random == set(nets.parameters())
    assert not any(p.requires_grad for p in random)


def test_val_and_trn_differ_and_every_pair_comes() -> None:
    generator = torch.Generator().manual_seed(0)
    pairs = {draw_episode(3, generator) for _ in range(100)}
    assert pairs == {(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)}
