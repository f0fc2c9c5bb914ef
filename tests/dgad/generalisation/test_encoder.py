"""Embeddings, the classifier with and without references, and what does not learn."""

import pytest
import torch

from dgad.features.backbone import Backbone
from dgad.generalisation.encoder import anomaly_logit, without_learning
from tests.dgad.generalisation.nets import classifier, encoder
from tests.dgad.methods.surfaces import context, surface


def test_an_embedding_is_the_mean_of_the_backbones_map() -> None:
    images = surface(3, 12, defect=False, seed=0).stack()
    backbone = Backbone(context().features, (16,), seed=0)
    (map_NChw,) = backbone(images)
    assert encoder().channels == 256
    torch.testing.assert_close(encoder()(images), map_NChw.mean(dim=(-2, -1)))
    torch.testing.assert_close(encoder().pooled(map_NChw), map_NChw.mean(dim=(-2, -1)))


def test_standardised_embeddings_have_mean_0_and_one_scale_for_all_channels() -> None:
    net = encoder()
    images = torch.cat([surface(9, period, defect=False, seed=0).stack() for period in (6, 12)])
    before = net(images)
    net.standardise([images], batch_size=4)
    after = net(images)
    torch.testing.assert_close(after.mean(0), torch.zeros(256), rtol=0, atol=1e-4)
    torch.testing.assert_close(after.square().mean(), torch.ones(()), rtol=1e-4, atol=0)
    centred = before - before.mean(0)
    torch.testing.assert_close(after * net.scale, centred, rtol=1e-3, atol=1e-5)
    for module in (net, encoder()):  # saved and loaded with the weights
        module.load_state_dict(net.state_dict())
        torch.testing.assert_close(module(images), after)


def test_standardising_equal_images_is_finite() -> None:
    net = encoder()
    net.standardise([torch.zeros(3, 3, 64, 64, dtype=torch.uint8)])
    assert torch.isfinite(net(torch.zeros(1, 3, 64, 64, dtype=torch.uint8))).all()


def test_the_encoder_stays_in_eval_mode_and_learns_all_the_same() -> None:
    trained = encoder().train()
    assert not any(m.training for m in trained.backbone.modules())
    trained(surface(2, 12, defect=False, seed=0).stack()).sum().backward()
    assert all(p.grad is not None for p in trained.parameters())


def test_without_references_the_classifier_is_linear() -> None:
    net = classifier()
    assert net.layers.weight.shape == (2, 256)
    assert net(torch.zeros(3, 256), None).shape == (3, 2)


def test_with_references_their_mean_changes_the_order_of_queries() -> None:
    net = classifier(pair_hidden=64)
    queries = torch.randn(40, 256, generator=torch.Generator().manual_seed(0))
    near, far = queries[0], -3 * queries[0]
    order_near = anomaly_logit(net(queries, near)).argsort()
    order_far = anomaly_logit(net(queries, far)).argsort()
    assert not torch.equal(order_near, order_far)


def test_the_anomaly_logit_is_abnormal_minus_normal() -> None:
    logits = torch.tensor([[1.0, 3.0], [2.0, -1.0]])
    assert anomaly_logit(logits).tolist() == [2.0, -3.0]


def test_a_seed_decides_the_classifier_and_leaves_the_global_generator_alone() -> None:
    before = torch.random.get_rng_state()
    first, again, other = classifier(seed=1), classifier(seed=1), classifier(seed=2)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(first.layers.weight, again.layers.weight)
    assert not torch.equal(first.layers.weight, other.layers.weight)


@pytest.mark.parametrize("pair_hidden", [None, 16])
def test_without_learning_the_gradient_reaches_embeddings_only(pair_hidden: int | None) -> None:
    net = classifier(pair_hidden)
    query = torch.randn(4, 256, generator=torch.Generator().manual_seed(0)).requires_grad_()
    reference = None if pair_hidden is None else torch.ones(256, requires_grad=True)
    fixed = without_learning(net, query, reference)
    assert torch.equal(fixed, net(query, reference))
    fixed.sum().backward()
    assert all(p.grad is None for p in net.parameters())
    assert query.grad is not None
    assert query.grad.abs().sum() > 0
