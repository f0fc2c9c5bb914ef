"""The network's parts against plain float64 transcriptions of the paper's equations."""

import dataclasses

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from dgad.comparer.model import (
    Comparer,
    gaussian_smooth,
    patches,
    pool_patches,
    reference_statistics,
    sample_patches,
)
from dgad.comparer.objective import EpisodeMaps, episode_loss
from dgad.comparer.settings import PAPER, ROBUST, ComparerSettings


def maps(count: int, sizes: tuple[int, ...], seed: int, channels: int = 6) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(count, channels, s, s, generator=generator, dtype=torch.float64) for s in sizes]


def comparer(settings: ComparerSettings, num_levels: int, seed: int = 0) -> Comparer:
    torch.manual_seed(seed)
    return Comparer([6] * num_levels, settings).double()


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def naive_scores(model: Comparer, query_PC: np.ndarray, reference_KC: np.ndarray) -> np.ndarray:
    """Eq. 1 as printed: every pair concatenated, through the MLP, maximum over references; logits."""
    head = model.head
    weight_HC = np.concatenate(
        [head.query_weight_HC.detach().numpy(), head.reference_weight_HC.detach().numpy()], axis=1
    )
    scores = []
    for query in query_PC:
        pair_KC = np.concatenate([np.broadcast_to(query, reference_KC.shape), reference_KC], axis=1)
        hidden = np.maximum(pair_KC @ weight_HC.T + head.hidden_bias_H.detach().numpy(), 0)
        scores.append((hidden @ head.output_H.detach().numpy() + head.bias.item()).max())
    return np.array(scores)


def naive_loss(
    model: Comparer, query: list[torch.Tensor], reference: list[torch.Tensor], labels: list[int]
) -> float:
    """Eq. 2 + 3 + 4 by loops, as the paper prints them (means over queries, mean over patch pairs)."""
    total = 0.0
    for query_map, reference_map in zip(query, reference, strict=True):
        query_BPC = patches(query_map).detach().numpy()
        reference_KC = patches(reference_map).detach().numpy().reshape(-1, query_BPC.shape[2])
        latent = model.attention.latent.weight.detach().numpy()
        right = reference_KC @ latent.T
        right /= np.linalg.norm(right, axis=1, keepdims=True)
        for query_PC, y in zip(query_BPC, labels, strict=True):
            logit = naive_scores(model, query_PC, reference_KC)
            s = sigmoid(logit)
            total -= (y * np.log(s.max()) + (1 - y) * np.log(1 - s.max())) / len(labels)
            left = query_PC @ latent.T
            left /= np.linalg.norm(left, axis=1, keepdims=True)
            a_jk = (1 + left @ right.T) / 2
            total -= (y * np.log(1 - a_jk.min()) + (1 - y) * np.log(a_jk.min())) / len(labels)
            a = a_jk.max(1)
            pairs = [(u, v) for u in range(len(a)) for v in range(u)]
            rank = sum(
                model.settings.ranking_weight
                * (np.exp(abs(a[u] - a[v])) - 1)
                * max(0.0, 1 + np.sign(a[u] - a[v]) * (s[u] - s[v]))
                for u, v in pairs
            )
            total += rank / len(pairs) / len(labels)
    return total


def test_the_paper_presets_loss_is_eq_2_3_and_4() -> None:
    settings = dataclasses.replace(PAPER, width=6, hidden=8, attention_width=5, ranking_weight=0.7)
    model = comparer(settings, 2)
    query, reference = maps(4, (4, 2), seed=1), maps(2, (4, 2), seed=2)
    labels = [0, 0, 1, 1]
    seen = EpisodeMaps(queries=query, references=reference)
    parts = episode_loss(
        model,
        seen,
        torch.tensor(labels),
        torch.Generator().manual_seed(0),
    )
    own = (parts.classification + settings.attention_weight * parts.attention + parts.ranking).item()
    identity = model.statistics(reference)
    expected = naive_loss(model, model.embed(query, identity), model.embed(reference, identity), labels)
    assert own == pytest.approx(expected, rel=1e-9)


def test_every_part_reaches_the_weights_and_a_part_with_weight_0_is_off() -> None:
    query, reference, labels = maps(4, (4,), seed=1), maps(2, (4,), seed=2), torch.tensor([0, 0, 1, 1])
    seen = EpisodeMaps(queries=query, references=reference)
    grads = {}
    for name, change in {
        "classification": {"attention_weight": 0.0, "ranking_weight": 0.0},
        "attention": {"attention_weight": 1.0, "ranking_weight": 0.0},
        "ranking": {"attention_weight": 0.0, "ranking_weight": 1.0},
    }.items():
        settings = dataclasses.replace(PAPER, width=6, num_levels=1, hidden=8, attention_width=5, **change)
        model = comparer(settings, 1)
        parts = episode_loss(model, seen, labels, torch.Generator().manual_seed(0))
        (parts.classification + parts.attention + parts.ranking).backward()
        head, latent = model.head.query_weight_HC.grad, model.attention.latent.weight.grad
        grads[name] = (head, latent)
    base_head, base_latent = grads["classification"]
    assert base_latent is None
    assert grads["attention"][1].abs().sum() > 0
    assert not torch.allclose(grads["ranking"][0], base_head)
    assert grads["ranking"][1] is None, "no gradient flows to the attention through the ranking weight"


@pytest.mark.parametrize("pooling", ["patches", "image_mean"])
@pytest.mark.parametrize("aggregation", ["max", "min"])
def test_reference_pooling(pooling: str, aggregation: str) -> None:
    settings = dataclasses.replace(
        ROBUST, width=6, hidden=8, reference_pooling=pooling, aggregation=aggregation
    )
    model = comparer(settings, 1)
    query_BPC = patches(maps(2, (3,), seed=3)[0])
    reference_RPC = patches(maps(3, (2,), seed=4)[0])
    pools = model.head.project_reference(model.draw_pools(reference_RPC, 10**6, torch.Generator()))
    own = model.patch_logits(query_BPC, pools).detach().numpy()
    pair = model.head(query_BPC[:, :, None, None], reference_RPC[None, None]).detach().numpy()
    reduce = {"max": np.max, "min": np.min}[aggregation]
    if pooling == "patches":
        expected = reduce(pair.reshape(2, 9, -1), axis=2)
    else:
        expected = reduce(pair, axis=3).mean(2)
    np.testing.assert_allclose(own, expected, rtol=1e-9)


def test_adding_a_reference_never_lowers_a_maximum_nor_raises_a_minimum() -> None:
    query_BPC, reference_RPC = patches(maps(2, (3,), seed=3)[0]), patches(maps(4, (2,), seed=4)[0])
    for aggregation, sign in (("max", 1), ("min", -1)):
        model = comparer(dataclasses.replace(ROBUST, width=6, hidden=8, aggregation=aggregation), 1)
        few, more = (
            model.patch_logits(query_BPC, model.head.project_reference(reference_RPC[:n].flatten(0, 1)[None]))
            for n in (3, 4)
        )
        assert (sign * (more - few) >= 0).all()


def test_reference_statistics_are_a_mean_per_channel_and_one_scalar() -> None:
    (map_RChw,) = maps(3, (4,), seed=5)
    level = reference_statistics(map_RChw)
    values = map_RChw.numpy()
    mean = values.mean((0, 2, 3))
    np.testing.assert_allclose(level.mean_C.numpy(), mean)
    np.testing.assert_allclose(level.std.item(), np.sqrt(((values - mean[:, None, None]) ** 2).mean()))
    applied = level.apply(map_RChw)
    np.testing.assert_allclose(applied.mean((0, 2, 3)).numpy(), 0, atol=1e-12)


@pytest.mark.parametrize(("border", "mode"), [("replicate", "nearest"), ("reflect", "mirror")])
def test_smoothing_is_a_gaussian(border: str, mode: str) -> None:
    (map_BCSS,) = maps(2, (32,), seed=7)
    own = gaussian_smooth(map_BCSS[:, 0], 2.0, reach=4.0, border=border).numpy()
    for found, map_SS in zip(own, map_BCSS[:, 0].numpy(), strict=True):
        np.testing.assert_allclose(found, gaussian_filter(map_SS, 2.0, mode=mode, radius=8), rtol=1e-9)


def test_score_pooling() -> None:
    logit_BP = torch.tensor([[3.0, 1.0, 2.0, 0.0], [0.0, 0.0, 0.0, 8.0]])
    top_half = dataclasses.replace(ROBUST, score_pooling="top_fraction", top_fraction=0.5)
    assert pool_patches(logit_BP, ROBUST).tolist() == [3.0, 8.0]
    assert pool_patches(logit_BP, top_half).tolist() == [2.5, 4.0]


def test_sampled_patches_come_from_the_pool_once_each_by_the_seed() -> None:
    pool = torch.arange(20.0)[:, None]
    drawn = [sample_patches(pool, 7, torch.Generator().manual_seed(s))[:, 0].tolist() for s in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert len(set(drawn[0])) == 7
    assert sample_patches(pool, 20, torch.Generator()) is pool


def test_sampled_query_patches_bound_the_loss_to_them() -> None:
    settings = dataclasses.replace(ROBUST, width=6, hidden=8, num_query_patches=3)
    query, reference, labels = maps(2, (8,), seed=1), maps(2, (8,), seed=2), torch.tensor([0, 1])
    seen = EpisodeMaps(queries=query, references=reference)
    few = [
        float(
            episode_loss(
                comparer(s, 1),
                seen,
                labels,
                torch.Generator().manual_seed(0),
            ).classification
        )
        for s in (settings, dataclasses.replace(settings, num_query_patches=0))
    ]
    assert few[0] != few[1]
