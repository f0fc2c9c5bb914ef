"""Alignment, left-out statistics and evidence against plain float64 loops; the decoder's start and loss."""

import dataclasses
import math

import pytest
import torch
from torch import Tensor

from dgad.contextual.alignment import align
from dgad.contextual.decoder import Decoder
from dgad.contextual.evidence import NUM_MEASURES, gather_evidence
from dgad.contextual.memory import from_tensors, remember, to_tensors
from dgad.contextual.objective import surface_loss
from dgad.contextual.settings import ContextualSettings
from dgad.domains.image_set import ImageSet
from dgad.errors import SettingsError
from dgad.features.blocks import Placement, Window
from dgad.features.frozen import Blocks
from dgad.features.grids import Cells

SETTINGS = ContextualSettings(num_levels=2, num_neighbours=3)
CHANNELS = (3, 5)


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def align_plainly(patch_C: Tensor, pool_KC: Tensor, count: int) -> tuple[Tensor, list[float], float, int]:
    """(residual, distances, spread, nearest), by loops in double precision."""
    pairs = sorted((float((patch_C - r).norm()), k) for k, r in enumerate(pool_KC))[:count]
    weights = [math.exp(-2 * (d / (pairs[0][0] + 1e-4)) ** 2) for d, _ in pairs]
    total = sum(weights)
    mean_C = sum(w / total * pool_KC[k] for w, (_, k) in zip(weights, pairs, strict=True))
    assert isinstance(mean_C, Tensor)
    spread = sum(
        w / total * float((pool_KC[k] - mean_C).square().sum())
        for w, (_, k) in zip(weights, pairs, strict=True)
    )
    return patch_C - mean_C, [d for d, _ in pairs], math.sqrt(spread), pairs[0][1]


def test_alignment_is_that_of_plain_loops_and_leaves_the_own_image_out():
    patch_QC, pool_KC = drawn(7, 4), drawn(9, 4, seed=1)
    owner_Q, owner_K = torch.arange(7) % 3, torch.arange(9) % 3
    for owners in (None, (owner_Q, owner_K)):
        found = align(patch_QC, pool_KC, num_neighbours=4, owners=owners)
        for q in range(7):
            allowed = torch.arange(9) if owners is None else (owner_K != owner_Q[q]).nonzero()[:, 0]
            residual_C, distances, spread, nearest = align_plainly(
                patch_QC[q].double(), pool_KC[allowed].double(), 4
            )
            torch.testing.assert_close(found.residual_QC[q].double(), residual_C, rtol=1e-5, atol=1e-5)
            assert found.distance_QA[q].tolist() == pytest.approx(distances, rel=1e-5)
            assert float(found.spread_Q[q]) == pytest.approx(spread, rel=1e-4)
            assert int(found.nearest_Q[q]) == int(allowed[nearest])


def test_fewer_patches_than_neighbours_and_patches_of_a_single_image():
    pool_KC = drawn(3, 4)
    assert align(drawn(2, 4, seed=1), pool_KC, num_neighbours=5).distance_QA.shape == (2, 3)
    one = torch.zeros(3, dtype=torch.int64)
    own = align(pool_KC, pool_KC, num_neighbours=2, owners=(one, one))
    away_KK = torch.cdist(pool_KC.double(), pool_KC.double()).fill_diagonal_(torch.inf)
    torch.testing.assert_close(own.distance_QA[:, 0].double(), away_KK.amin(1), rtol=1e-5, atol=1e-5)
    alone = align(pool_KC[:1], pool_KC[:1], num_neighbours=2, owners=(one[:1], one[:1]))
    assert alone.distance_QA.isinf().all()


def reference_blocks() -> tuple[Blocks, Cells]:
    """Three references of 16 px: 4 x 4 cells of the first level, 2 x 2 of the second."""
    window = Window(top=0, left=0, bottom=16, right=16)
    place = Placement(core=window, given=window, seen=window)
    levels = [drawn(3, CHANNELS[0], 4, 4), drawn(3, CHANNELS[1], 2, 2, seed=1) * 3 + 1]
    blocks = Blocks(images=(0, 1, 2), places=(place,) * 3, sizes=((16, 16),) * 3, levels=levels)
    return blocks, Cells(ImageSet(images=torch.zeros(3, 3, 16, 16, dtype=torch.uint8)))


def test_memories_hold_what_left_out_references_show():
    blocks, cells = reference_blocks()
    memories = remember([blocks], cells, SETTINGS, CHANNELS)
    again = from_tensors(to_tensors(memories), SETTINGS.num_levels)
    assert all(torch.equal(a.residual_C, b.residual_C) for a, b in zip(memories, again, strict=True))
    coarse = memories[2]
    patch_PC = blocks.levels[1].double().movedim(1, -1).flatten(0, 2)
    owner_P = torch.arange(3).repeat_interleave(4)
    mean_C = patch_PC.mean(0)
    scale = (patch_PC - mean_C).square().mean(0).sum().sqrt()
    patch_PC = (patch_PC - mean_C) / scale
    torch.testing.assert_close(coarse.memory_KC.double(), patch_PC, rtol=1e-5, atol=1e-5)
    rows = [align_plainly(patch_PC[p], patch_PC[owner_P != owner_P[p]], 3) for p in range(len(patch_PC))]
    nearest = torch.tensor([distances[0] for _, distances, _, _ in rows], dtype=torch.float64)
    residual_PC = torch.stack([residual for residual, _, _, _ in rows])
    spread = sum(s for _, _, s, _ in rows) / len(rows)
    assert float(coarse.location) == pytest.approx(float(nearest.mean()), rel=1e-4)
    assert float(coarse.deviation) == pytest.approx(float(nearest.std(correction=0)), rel=1e-3)
    assert float(coarse.length) == pytest.approx(float(residual_PC.norm(dim=1).mean()), rel=1e-4)
    assert float(coarse.spread) == pytest.approx(spread, rel=1e-4)
    expected_C = residual_PC.square().mean(0).sqrt()
    torch.testing.assert_close(coarse.residual_C.double(), expected_C, rtol=1e-3, atol=1e-3)


def test_evidence_counts_residuals_in_what_left_out_references_show_and_distances_plainly():
    blocks, cells = reference_blocks()
    memories = remember([blocks], cells, SETTINGS, CHANNELS)
    query = [drawn(2, CHANNELS[0], 4, 6, seed=3), drawn(2, CHANNELS[1], 2, 3, seed=4)]
    evidence = gather_evidence(query, memories, num_neighbours=3)
    assert [tuple(m.shape) for m in evidence.measures] == [(2, NUM_MEASURES, 4, 6), (2, NUM_MEASURES, 2, 3)]
    memory = memories[2]
    patch_C = ((query[1][1, :, 1, 2] - memory.mean_C) / memory.scale_C).double()
    residual_C, distances, _, _ = align_plainly(patch_C, memory.memory_KC.double(), 3)
    size_C = (residual_C / memory.residual_C.double()).abs()
    torch.testing.assert_close(
        evidence.residuals[1][1, :, 1, 2].double(), size_C / (1 + size_C / 6), rtol=1e-4, atol=1e-4
    )
    expected = (distances[0] - float(memory.location)) / float(memory.deviation) / 3
    assert float(evidence.measures[1][1, 0, 1, 2]) == pytest.approx(min(6.0, expected), rel=1e-3)


def test_a_decoder_starts_as_the_plain_distance_and_learns_to_tell_a_defect_that_it_does_not_show():
    blocks, cells = reference_blocks()
    memories = remember([blocks], cells, SETTINGS, CHANNELS)
    levels = [drawn(4, CHANNELS[0], 4, 4, seed=5), drawn(4, CHANNELS[1], 2, 2, seed=6)]
    evidence = gather_evidence(levels, memories, num_neighbours=3)
    residuals = [r.clone() for r in evidence.residuals]
    residuals[0][2:, 0, :2, :2] = 6.0
    evidence = dataclasses.replace(evidence, residuals=tuple(residuals))
    covered_Bhw, label_B = torch.zeros(4, 4, 4), torch.tensor([0, 0, 1, 1])
    covered_Bhw[2:, :2, :2] = 1.0
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        decoder = Decoder(CHANNELS, 8, 0.0)
    torch.testing.assert_close(decoder(evidence), evidence.plain_Bhw)
    optimizer = torch.optim.Adam(decoder.parameters(), lr=0.03)
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        loss = surface_loss(decoder(evidence), covered_Bhw, label_B, top_fraction=0.2, image_weight=1.0)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.3 * losses[0]
    logit_Bhw = decoder(evidence).detach()
    assert float(logit_Bhw[covered_Bhw == 1].min()) > float(logit_Bhw[covered_Bhw == 0].max())


def test_the_loss_is_what_it_says():
    logit_Bhw = torch.tensor([[[1.0, 4.0]], [[2.0, 5.0]]])
    covered_Bhw = torch.zeros(2, 1, 2)
    covered_Bhw[1, 0, 1] = 0.5  # its neighbour is left out
    loss = surface_loss(logit_Bhw, covered_Bhw, torch.tensor([0, 1]), top_fraction=0.5, image_weight=2.0)
    softplus = lambda x: math.log1p(math.exp(x))  # noqa: E731
    patch = softplus(-(5.0 - 3)) + (softplus(2 * (1.0 - 3)) + softplus(2 * (4.0 - 3))) / 2
    assert float(loss) == pytest.approx(patch + 2.0 * softplus(4.0 - 5.0), rel=1e-6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_levels": 5}, "num_levels"),
        ({"dropout": 1.0}, "`dropout` must be at least 0 and below 1, but got 1.0"),
        ({"references_per_domain": 1}, "as one is left out of the others"),
        ({"num_synthetic_sources": 3}, r"at least `domains_per_step` \(4\), but got 3"),
        ({"num_neighbours": 0}, "`num_neighbours` must be at least 1"),
    ],
)
def test_settings_that_do_not_fit_are_refused(changes: dict[str, float], message: str):
    with pytest.raises(SettingsError, match=message):
        ContextualSettings(**changes)  # type: ignore[arg-type]
