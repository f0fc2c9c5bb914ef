"""The memory of bounded size: what it keeps, how well that covers the rest, and how much it holds."""

import pytest
import torch
from torch import Tensor

from dgad.errors import DataError, SettingsError
from dgad.features.memory import coverage
from dgad.features.memory.coverage import CoverageMemory
from tests.dgad.features.memory.test_coreset import drawn, plain_centres


def kept(patch_PC: Tensor, max_patches: int, *, pieces: int | None = None) -> tuple[Tensor, Tensor]:
    memory = CoverageMemory(max_patches)
    for owner, image_PC in enumerate(patch_PC.chunk(4)):
        for piece_PC in torch.split(image_PC, pieces or len(image_PC)):
            memory.add(piece_PC, owner)
    assert memory.num_given == len(patch_PC)
    return memory.result()


def radius(patch_PC: Tensor, centre_KC: Tensor) -> float:
    """How far the patch is that is worst covered."""
    return float(torch.cdist(patch_PC.double(), centre_KC.double()).amin(1).max())


def surface(num_patches: int) -> Tensor:
    """Three common kinds of patches and a rare one, one in a thousand, far from them."""
    kind_P = torch.randint(3, (num_patches,), generator=torch.Generator().manual_seed(1)).double()
    kind_P[::1000] = 8
    return kind_P.float()[:, None] * torch.ones(6) + 0.3 * drawn(num_patches, 6)


def test_up_to_the_bound_all_are_kept_in_their_order() -> None:
    patch_PC = drawn(40, 6)
    patch_KC, owner_K = kept(patch_PC, 40)
    assert torch.equal(patch_KC, patch_PC)
    assert owner_K.tolist() == [i // 10 for i in range(40)]


def test_of_twice_as_many_the_greedy_centres_are_kept_with_their_owners() -> None:
    patch_PC = drawn(40, 6)
    start = int((patch_PC - patch_PC.mean(0)).norm(dim=1).argmin())
    expected = sorted(plain_centres(patch_PC, 20, start))
    patch_KC, owner_K = kept(patch_PC, 20)
    assert torch.equal(patch_KC, patch_PC[expected])
    assert owner_K.tolist() == [k // 10 for k in expected]


def test_a_long_stream_is_covered_nearly_as_by_a_look_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coverage, "_BLOCK", 64)
    monkeypatch.setattr(coverage, "_HELD", 16)
    patch_PC = surface(6000)
    at_once = plain_centres(patch_PC, 40, 0)
    assert radius(patch_PC, kept(patch_PC, 40)[0]) < 1.5 * radius(patch_PC, patch_PC[at_once])
    sample = torch.randperm(6000, generator=torch.Generator().manual_seed(0))[:40]
    assert radius(patch_PC, kept(patch_PC, 40)[0]) < 0.6 * radius(patch_PC, patch_PC[sample])


def test_what_is_held_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coverage, "_BLOCK", 64)
    memory = CoverageMemory(30)
    for owner, image_PC in enumerate(torch.split(surface(3000), 100)):
        memory.add(image_PC, owner)
        assert memory._num_waiting < 64
        assert memory._patch_KC is not None
        assert len(memory._patch_KC) <= 2 * 30
    patch_KC, owner_K = memory.result()
    assert len(patch_KC) == len(owner_K) == 30


def test_how_patches_are_handed_over_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coverage, "_BLOCK", 64)
    patch_PC = surface(1000)
    whole, pieces = kept(patch_PC, 50), kept(patch_PC, 50, pieces=7)
    assert torch.equal(whole[0], pieces[0])
    assert torch.equal(whole[1], pieces[1])


def test_wide_patches_are_compared_after_a_projection_and_kept_as_they_were() -> None:
    patch_PC = drawn(60, 200)
    patch_KC, _ = kept(patch_PC, 20)
    rows = [tuple(row) for row in patch_PC.tolist()]
    assert len({rows.index(tuple(row)) for row in patch_KC.tolist()}) == 20


def test_equal_patches_and_such_that_are_no_numbers_leave_it_of_its_size() -> None:
    patch_PC = torch.cat((torch.zeros(50, 3), torch.full((3, 3), torch.nan), drawn(7, 3)))
    assert len(kept(patch_PC, 20)[0]) == 20
    assert len(kept(torch.zeros(60, 3), 7)[0]) == 7


def test_a_bound_below_one_is_refused() -> None:
    with pytest.raises(SettingsError, match="`max_patches` must be at least 1, but got 0"):
        CoverageMemory(0)


def test_references_of_which_nothing_counts_are_refused() -> None:
    memory = CoverageMemory(5)
    with pytest.raises(DataError, match="no patch that counts"):
        memory.result()
    memory.add(torch.zeros(0, 3), 0)
    with pytest.raises(DataError, match="region of interest"):
        memory.result()
