"""Co-attention against a plain transcription, and its properties."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from dgad.comparer import coattention
from dgad.comparer.coattention import CoAttention
from dgad.errors import DataError, SettingsError

B, P, K, C, E = 3, 17, 29, 6, 4


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture
def module() -> CoAttention:
    torch.manual_seed(0)
    return CoAttention(C, E).double()


def transcription(module: CoAttention, query_BPC: Tensor, reference_KC: Tensor, attention_range: str):
    weight = module.latent.weight
    matrix = F.cosine_similarity((query_BPC @ weight.t())[:, :, None], reference_KC @ weight.t(), dim=-1)
    if attention_range == "shifted_cosine":
        matrix = (1 + matrix) / 2
    else:
        low, high = matrix.amin((1, 2), keepdim=True), matrix.amax((1, 2), keepdim=True)
        matrix = (matrix - low) / (high - low)
    return matrix.amax(2), matrix.amin((1, 2))


@pytest.mark.parametrize("block_pairs", [2**20, 1, 100])
@pytest.mark.parametrize("attention_range", ["shifted_cosine", "min_max"])
def test_equals_the_transcription_with_its_gradients(
    module: CoAttention, attention_range: str, block_pairs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coattention, "_BLOCK_PAIRS", block_pairs)
    query, reference = draw(B, P, C).requires_grad_(), draw(K, C, seed=1).requires_grad_()
    weights = draw(B, P, seed=2), draw(B, seed=3)
    inputs = [query, reference, module.latent.weight]
    results = []
    for attend in (module.attend, lambda *a: transcription(module, *a)):
        highest, minimum = attend(query, reference, attention_range)
        loss = (highest * weights[0]).sum() + (minimum * weights[1]).sum()
        results.append((highest, minimum, *torch.autograd.grad(loss, inputs)))
    for got, want in zip(*results, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("attention_range", ["shifted_cosine", "min_max"])
def test_range(module: CoAttention, attention_range: str) -> None:
    query = draw(B, P, C).float()
    highest, minimum = module.float().attend(query, torch.cat((query[0], -query[1])), attention_range)
    for values in (highest, minimum):
        assert values.min() >= 0
        assert values.max() <= 1
    assert (minimum[:, None] <= highest).all()


def test_a_patch_among_the_references_is_attended_to_fully(module: CoAttention) -> None:
    query = draw(1, P, C)
    highest, _ = module.attend(query, torch.cat((draw(K, C, seed=1), query[0] * 3)))
    torch.testing.assert_close(highest, torch.ones(1, P, dtype=torch.float64))


def test_min_max_has_minimum_zero_and_no_gradient_to_it(module: CoAttention) -> None:
    _, minimum = module.attend(draw(B, P, C), draw(K, C, seed=1), "min_max")
    assert minimum.tolist() == [0.0] * B
    minimum.sum().backward()
    assert module.latent.weight.grad is None or not module.latent.weight.grad.any()


def test_references_may_come_in_any_order_and_more_never_lower_attention(module: CoAttention) -> None:
    query, reference = draw(B, P, C), draw(K, C, seed=1)
    highest, minimum = module.attend(query, reference)
    flipped = module.attend(query, reference.flip(0))
    torch.testing.assert_close(flipped, (highest, minimum))
    fewer = module.attend(query, reference[:-5])
    assert (highest >= fewer[0] - 1e-12).all()
    assert (minimum <= fewer[1] + 1e-12).all()


def test_batch_equals_single(module: CoAttention) -> None:
    query, reference = draw(B, P, C), draw(K, C, seed=1)
    highest, minimum = module.attend(query, reference)
    for b in range(B):
        alone = module.attend(query[b : b + 1], reference)
        torch.testing.assert_close(alone, (highest[b : b + 1], minimum[b : b + 1]))


def test_all_patches_alike_stay_finite(module: CoAttention) -> None:
    patch = draw(1, 1, C)
    for attention_range in ("shifted_cosine", "min_max"):
        for values in module.attend(patch.expand(2, P, C), patch[0].expand(K, C), attention_range):
            assert values.isfinite().all()


def test_bad_arguments_are_one_sentence(module: CoAttention) -> None:
    with pytest.raises(DataError, match="At least 1 reference patch"):
        module.attend(draw(B, P, C), draw(0, C))
    with pytest.raises(SettingsError, match="`attention_range` must be one of shifted_cosine, min_max"):
        module.attend(draw(B, P, C), draw(K, C), "softmax")
