"""What is usual around a reference patch, against plain loops."""

import math

import torch

from dgad.comparer.density import SHARE, usual_offsets
from dgad.comparer.heads import DistanceHead, make_head


def test_offsets_are_those_of_the_plain_loop() -> None:
    generator = torch.Generator().manual_seed(0)
    pool = torch.randn(9, 4, generator=generator)
    owner = torch.tensor([0, 0, 0, 1, 1, 1, 2, 2, 2])
    head = make_head("mlp", 4, 8, "difference", generator=generator)
    found = usual_offsets(pool, owner, head, aggregation="min")
    usual, decided = [], []
    for k in range(9):
        logits = {j: float(head(pool[k].double().float(), pool[j])) for j in range(9) if owner[j] != owner[k]}
        decided.append(min(logits, key=lambda j: logits[j]))
        usual.append(min(logits.values()))
    around = [(usual[k] + usual[decided[k]]) / 2 for k in range(9)]
    mean = sum(around) / 9
    for k in range(9):
        assert math.isclose(float(found[k]), SHARE * (around[k] - mean), abs_tol=1e-5)


def test_a_patch_in_a_busy_part_is_allowed_more() -> None:
    calm = 0.01 * torch.randn(20, 6)
    busy = 5 + torch.randn(20, 6)
    pool = torch.cat((calm[:10], busy[:10], calm[10:], busy[10:]))
    owner = torch.tensor([0] * 20 + [1] * 20)
    offset = usual_offsets(pool, owner, DistanceHead(6), aggregation="min")
    is_busy = torch.tensor(([False] * 10 + [True] * 10) * 2)
    assert offset[is_busy].min() > offset[~is_busy].max()
    assert abs(float(offset.mean())) < 1e-5


def test_one_image_has_nothing_to_be_compared_with() -> None:
    offset = usual_offsets(
        torch.randn(5, 3), torch.zeros(5, dtype=torch.int64), DistanceHead(3), aggregation="min"
    )
    assert offset.tolist() == [0] * 5
