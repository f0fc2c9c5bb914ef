"""What is known of a source's tiles, and the episodes drawn from them."""

import numpy as np
import pytest
import torch

from dgad.domains.image_set import ImageSet
from dgad.domains.region import RegionOfInterest
from dgad.errors import DataError
from dgad.training.episodes import Episode, EpisodeSampler, max_of_bags
from dgad.training.source_tiles import SourceTiles, cut_sources
from dgad.training.sources import SourceDomain


def large_source(*, masks: bool, region: RegionOfInterest | None = None) -> SourceDomain:
    """Four normal and three abnormal images of 64 x 128 px, whose defect is in the right half."""
    mask = np.zeros((64, 128), dtype=np.bool_)
    mask[10:20, 100:110] = True
    return SourceDomain(
        name="a",
        images=ImageSet(
            images=torch.zeros(7, 3, 64, 128, dtype=torch.uint8), regions=(region,) * 7 if region else ()
        ),
        labels=torch.tensor([0] * 4 + [1] * 3),
        photographs=tuple(f"p{i}" for i in range(7)),
        masks=(None,) * 4 + (mask,) * 3 if masks else (),
    )


def sampler(sources: list[SourceTiles], **changes: int) -> EpisodeSampler:
    values = {"seed": 0, "domains_per_step": 1, "normals": 2, "abnormals": 2, "references": 2} | changes
    return EpisodeSampler(sources, **values)


def test_a_masks_tiles_are_known_and_the_clean_ones_are_normal_queries_alone() -> None:
    (cut,) = cut_sources([large_source(masks=True)], 64)
    assert cut.labels.tolist() == [0] * 8 + [0, 1] * 3
    assert cut.defects == ((9,), (11,), (13,))
    drawn = sampler([cut])
    clean = set()
    for _ in range(30):
        (episode,) = drawn.draw()
        assert episode.labels.tolist() == [0, 0, 1, 1]
        assert all(len(query) == 1 for query in episode.queries)
        assert {q[0] for q in episode.queries[2:]} <= {9, 11, 13}
        assert max(episode.references) < 8
        clean |= {q[0] for q in episode.queries[:2]}
    assert clean & {8, 10, 12}


def test_a_sliver_of_a_defect_makes_a_tile_neither_normal_nor_abnormal() -> None:
    source = large_source(masks=True)
    mask = np.zeros((64, 128), dtype=np.bool_)
    mask[10:12, 60:100] = True  # 8 px of it in the left tile
    source.masks[4:][0][:] = mask
    (cut,) = cut_sources([source], 64)
    assert cut.labels.tolist()[8:10] == [-1, 1]
    only = np.zeros((64, 128), dtype=np.bool_)
    only[10, 100] = True
    source.masks[4:][0][:] = only
    assert cut_sources([source], 64)[0].labels.tolist()[8:10] == [0, 1], "its image's best is abnormal"


def test_without_a_mask_the_label_is_the_bags() -> None:
    (cut,) = cut_sources([large_source(masks=False)], 64)
    assert cut.labels.tolist() == [0] * 8 + [-1] * 6
    (episode,) = sampler([cut], abnormals=3).draw()
    assert sorted(episode.queries[2:]) == [(8, 9), (10, 11), (12, 13)]
    assert episode.bag_sizes == [1, 1, 2, 2, 2]
    assert episode.labels.tolist() == [0, 0, 1, 1, 1]


def test_a_bag_is_narrowed_to_what_ranks_highest_and_remembers_it() -> None:
    source = large_source(masks=False)
    images = ImageSet(images=torch.zeros(7, 3, 64, 64 * 40, dtype=torch.uint8))
    large = SourceDomain(name="a", images=images, labels=source.labels, photographs=source.photographs)
    (cut,) = cut_sources([large], 64)
    drawn = sampler([cut], abnormals=1)
    asked: list[tuple[int, ...]] = []

    def ranking(episode: Episode):  # type: ignore[no-untyped-def]
        def rank(tiles: tuple[int, ...]) -> torch.Tensor:
            asked.append(tiles)
            return -torch.tensor([float(t) for t in tiles])

        return rank

    best: dict[int, int] = {}
    for _ in range(60):
        (episode,) = (drawn.narrow(e, ranking, max_tiles=3) for e in drawn.draw())
        assert len(asked[-1]) == 16
        assert list(episode.queries[-1]) == sorted(asked[-1])[:3]
        image = cut.tiles.tiles[asked[-1][0]].image
        assert min(asked[-1]) <= best.get(image, 10**9), "what ranked highest is asked for again"
        best[image] = min(asked[-1])
    assert sorted(best.values()) == [160, 200, 240], "in time the highest of all is found"


def test_the_last_photograph_is_left_to_refer_to() -> None:
    source = SourceDomain(
        name="a",
        images=ImageSet(images=torch.zeros(3, 3, 64, 256, dtype=torch.uint8)),
        labels=torch.tensor([0, 0, 1]),
        photographs=("p", "q", "r"),
    )
    drawn = sampler(list(cut_sources([source], 64)), normals=3)
    for _ in range(20):
        (episode,) = drawn.draw()
        assert len(episode.queries) == 4
        assert len(episode.references) == 2
        queries = {episode.domain.photographs[i] for i in episode.query_tiles}
        assert not queries & {episode.domain.photographs[i] for i in episode.references}


def test_a_region_without_a_defect_is_refused() -> None:
    left = RegionOfInterest(polygons=(((0.0, 0.0), (0.4, 0.0), (0.4, 1.0), (0.0, 1.0)),))
    with pytest.raises(DataError, match="`a` has no defect inside its region"):
        cut_sources([large_source(masks=True, region=left)], 64)


def former_draws(source: SourceDomain, seed: int, steps: int) -> list[tuple[list[int], list[int]]]:
    """Queries and references as they were drawn from whole images."""
    rng = np.random.default_rng(seed)
    labels, found = source.labels.numpy(), []
    for _ in range(steps):
        rng.choice(1, size=1, replace=False)
        normal = rng.permutation(np.flatnonzero(labels == 0))
        abnormal = rng.permutation(np.flatnonzero(labels == 1))
        queries = [*normal[: min(2, len(normal) - 1)], *abnormal[:2]]
        taken = {source.photographs[i] for i in queries}
        free = [i for i in normal if source.photographs[i] not in taken]
        found.append(([int(i) for i in queries], [int(i) for i in free[:2]]))
    return found


def test_images_of_one_tile_are_drawn_as_whole_images_were() -> None:
    rng = np.random.default_rng(1)
    source = SourceDomain(
        name="a",
        images=ImageSet(images=torch.zeros(20, 3, 64, 64, dtype=torch.uint8)),
        labels=torch.from_numpy(rng.permutation([0] * 13 + [1] * 7)),
        photographs=tuple(f"p{i // 2}" for i in range(20)),
    )
    drawn = sampler(list(cut_sources([source], 64)), seed=5)
    found = []
    for _ in range(20):
        (episode,) = drawn.draw()
        assert episode.bag_sizes is None
        assert episode.labels.tolist() == source.labels[list(episode.query_tiles)].tolist()
        found.append((list(episode.query_tiles), list(episode.references)))
    assert found == former_draws(source, 5, 20)


def test_the_maximum_over_a_bag_is_that_of_its_tiles() -> None:
    score = torch.tensor([0.1, 3.0, -1.0, 2.0, 0.5])
    assert max_of_bags(score, [1, 3, 1]).tolist() == pytest.approx([0.1, 3.0, 0.5])
    assert max_of_bags(score, None) is score
