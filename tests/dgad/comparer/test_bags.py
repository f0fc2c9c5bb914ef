"""The loss on bags of tiles, of which not every cell counts, against plain float64 loops."""

import dataclasses

import numpy as np
import pytest
import torch

from dgad.comparer.model import Comparer, LevelStatistics, patches
from dgad.comparer.objective import EpisodeMaps, episode_loss, rank_tiles
from dgad.comparer.settings import PAPER
from tests.dgad.comparer.test_model import comparer, maps, naive_scores, sigmoid

SETTINGS = dataclasses.replace(
    PAPER, width=6, hidden=8, attention_width=5, ranking_weight=0.7, num_levels=2, reference_norm=True
)
BAGS = [1, 1, 3]
LABELS = [0, 1, 1]


def counted(count: int, seed: int) -> list[torch.Tensor]:
    """At 4 x 4 and 2 x 2 cells; something counts everywhere."""
    fine = torch.rand(count, 4, 4, generator=torch.Generator().manual_seed(seed)) < 0.6
    fine[:, 1, 1] = True
    return [fine, fine.view(count, 2, 2, 2, 2).any(4).any(2)]


def episode(pooled_area_px: int | None = None) -> EpisodeMaps:
    return EpisodeMaps(
        queries=maps(5, (4, 2), seed=1),
        references=maps(2, (4, 2), seed=2),
        counted_queries=counted(5, seed=3),
        counted_references=counted(2, seed=4),
        pooled_area_px=pooled_area_px,
    )


def embedded(model: Comparer, seen: EpisodeMaps) -> list[tuple[list[np.ndarray], np.ndarray]]:
    """Per level the patches that count, of every query tile and of all references."""
    statistics = []
    for level, cells in zip(seen.references, seen.counted_references or (), strict=True):
        value_KC = level.numpy().transpose(0, 2, 3, 1)[cells.numpy()]
        mean_C = value_KC.mean(0)
        std = np.sqrt(((value_KC - mean_C) ** 2).mean())
        statistics.append(LevelStatistics(mean_C=torch.from_numpy(mean_C), std=torch.tensor(std)))
    found = []
    levels = zip(
        model.embed(seen.queries, statistics),
        model.embed(seen.references, statistics),
        seen.counted_queries or (),
        seen.counted_references or (),
        strict=True,
    )
    for query_map, reference_map, query_cells, reference_cells in levels:
        queries = [
            p.detach().numpy()[c.flatten().numpy()]
            for p, c in zip(patches(query_map), query_cells, strict=True)
        ]
        references = patches(reference_map).flatten(0, 1).detach().numpy()[reference_cells.flatten().numpy()]
        found.append((queries, references))
    return found


def naive_loss(model: Comparer, seen: EpisodeMaps) -> float:
    """Eq. 2 on the largest score of a bag, Eq. 3 on its smallest attention, Eq. 4 on every tile."""
    latent, total = model.attention.latent.weight.detach().numpy(), 0.0
    for queries, reference_KC in embedded(model, seen):
        right = reference_KC @ latent.T
        right /= np.linalg.norm(right, axis=1, keepdims=True)
        scores, attentions, ranks = [], [], []
        for query_PC in queries:
            s = sigmoid(naive_scores(model, query_PC, reference_KC))
            left = query_PC @ latent.T
            left /= np.linalg.norm(left, axis=1, keepdims=True)
            a_PK = (1 + left @ right.T) / 2
            a = a_PK.max(1)
            pairs = [(u, v) for u in range(len(a)) for v in range(u)]
            rank = sum(
                (np.exp(abs(a[u] - a[v])) - 1) * max(0.0, 1 + np.sign(a[u] - a[v]) * (s[u] - s[v]))
                for u, v in pairs
            )
            ranks.append(0.7 * rank / max(1, len(pairs)))
            scores.append(s.max())
            attentions.append(a_PK.min())
        start = 0
        for size, y in zip(BAGS, LABELS, strict=True):
            s, m = max(scores[start : start + size]), min(attentions[start : start + size])
            total -= (y * np.log(s) + (1 - y) * np.log(1 - s)) / len(BAGS)
            total -= (y * np.log(1 - m) + (1 - y) * np.log(m)) / len(BAGS)
            start += size
        total += sum(ranks) / len(ranks)
    return total


def test_the_loss_of_bags_is_eq_2_and_3_on_their_extremes_and_eq_4_on_every_tile() -> None:
    model, seen = comparer(SETTINGS, 2), episode()
    parts = episode_loss(model, seen, torch.tensor(LABELS), torch.Generator().manual_seed(0), bag_sizes=BAGS)
    own = parts.classification + parts.attention + parts.ranking
    assert own.item() == pytest.approx(naive_loss(model, seen), rel=1e-9)


def test_cells_that_do_not_count_change_nothing() -> None:
    model = comparer(dataclasses.replace(SETTINGS, bifpn_layers=0), 2)
    seen, label = episode(), torch.tensor(LABELS)
    loud = [
        level.where(cells[:, None], 1e3)
        for level, cells in zip(seen.queries, seen.counted_queries or (), strict=True)
    ]
    found = [
        episode_loss(model, e, label, torch.Generator().manual_seed(0), bag_sizes=BAGS).classification.item()
        for e in (seen, dataclasses.replace(seen, queries=loud))
    ]
    assert found[0] == pytest.approx(found[1], rel=1e-9)


@pytest.mark.parametrize("area_px", [None, 4 * 16])
def test_tiles_are_ranked_by_the_mean_of_an_area_that_does_not_grow(area_px: int | None) -> None:
    settings = dataclasses.replace(SETTINGS, score_pooling="top_fraction", top_fraction=0.6)
    model, seen = comparer(settings, 2), episode(area_px)
    expected = []
    for stride, (queries, reference_KC) in zip((4, 8), embedded(model, seen), strict=True):
        row = []
        for query_PC in queries:
            logit = np.sort(naive_scores(model, query_PC, reference_KC))[::-1]
            most = len(logit) if area_px is None else min(len(logit), area_px / stride**2)
            row.append(logit[: max(1, round(0.6 * most))].mean())
        expected.append(row)
    found = rank_tiles(model, seen, torch.Generator())
    np.testing.assert_allclose(found.numpy(), np.max(expected, axis=0), rtol=1e-9)
