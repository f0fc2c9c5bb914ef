"""Episodes: what a reference may be, and which sources can train."""

import pytest
import torch

from dgad.domains.image_set import ImageSet
from dgad.errors import DataError
from dgad.training.episodes import EpisodeSampler
from dgad.training.source_tiles import cut_sources
from dgad.training.sources import SourceDomain, check_sources


def source(name: str, labels: list[int], photographs: list[str] | None = None) -> SourceDomain:
    count = len(labels)
    return SourceDomain(
        name=name,
        images=ImageSet(images=torch.zeros(count, 3, 32, 32, dtype=torch.uint8)),
        labels=torch.tensor(labels),
        photographs=tuple(photographs or [f"{name}{i}" for i in range(count)]),
    )


def sampler(sources: list[SourceDomain], **changes: int) -> EpisodeSampler:
    values = {"seed": 0, "domains_per_step": 2, "normals": 2, "abnormals": 2, "references": 2} | changes
    return EpisodeSampler(cut_sources(sources, 32), **values)


def test_a_reference_is_normal_and_never_a_query_nor_from_a_querys_photograph() -> None:
    # Photographs 0..5, two crops of each: the sibling of a query must not be its reference.
    normals = source("a", [0] * 12 + [1] * 4, [f"p{i // 2}" for i in range(12)] + ["p0", "d1", "d2", "d3"])
    drawn = sampler([normals, source("b", [0, 0, 0, 1])])
    for _ in range(50):
        for episode in drawn.draw():
            photographs = episode.domain.photographs
            queries = {photographs[i] for i in episode.query_tiles}
            assert episode.references
            for i in episode.references:
                assert episode.domain.labels[i] == 0
                assert photographs[i] not in queries


def test_each_step_draws_other_domains_and_both_labels() -> None:
    drawn = sampler([source("a", [0] * 6 + [1] * 3), source("b", [0] * 6 + [1] * 3)]).draw()
    assert {e.domain.name for e in drawn} == {"a", "b"}
    assert all(sorted(e.labels.tolist()) == [0, 0, 1, 1] for e in drawn)


def test_a_seed_decides_the_draws() -> None:
    sources = [source("a", [0] * 9 + [1] * 5), source("b", [0] * 9 + [1] * 5)]

    def draws(seed: int) -> list[tuple[tuple[int, ...], ...]]:
        drawn = sampler(sources, seed=seed)
        return [tuple(e.queries for e in drawn.draw()) for _ in range(3)]

    assert draws(1) == draws(1)
    assert draws(1) != draws(2)


def test_a_domain_with_two_normals_still_trains() -> None:
    (episode,) = sampler([source("a", [0, 0, 1])], domains_per_step=1).draw()
    assert len(episode.queries) == 2
    assert len(episode.references) == 1


def test_unusable_sources_are_named() -> None:
    with pytest.raises(DataError, match="At least 1 source"):
        check_sources([])
    with pytest.raises(DataError, match="`a` has no defects"):
        check_sources([source("a", [0, 0])])
    with pytest.raises(DataError, match="`a` needs at least 2 normal"):
        check_sources([source("a", [0, 1])])


def test_one_photograph_only_leaves_no_reference() -> None:
    with pytest.raises(DataError, match="no normal image left"):
        sampler([source("a", [0, 0, 0, 1], ["p", "p", "p", "d"])]).draw()


def test_who_asks_for_no_reference_can_do_with_one_photograph() -> None:
    one = [source("a", [0, 0, 0, 1], ["p", "p", "p", "d"])]
    (episode,) = sampler(one, references=0).draw()
    assert episode.references == ()
    assert sorted(episode.labels.tolist()) == [0, 0, 1]
