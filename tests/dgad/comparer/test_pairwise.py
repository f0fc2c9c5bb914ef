"""Pair scores (Eq. 1): equality with a plain transcription, properties, memory and the compiled path."""

import copy
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from dgad.comparer.heads import DifferenceMlpHead, DistanceHead, MlpHead, PairHead, make_head
from dgad.comparer.pairwise import (
    deciding_references,
    pair_scores,
    pair_scores_image_mean,
    pair_scores_projected,
)
from dgad.comparer.tiles import _pair_distances
from dgad.errors import DataError, SettingsError

HEADS = ["mlp", "distance", "mlp_difference"]
AGGREGATIONS = ["max", "min", "softmin"]
C, H = 5, 6


def draw(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def head_of(name: str, dtype: torch.dtype = torch.float64, channels: int = C, hidden: int = H) -> PairHead:
    """A head whose every parameter is away from its initial value, output weights of both signs."""
    head = make_head(name, channels, hidden, "random").to(dtype)
    with torch.no_grad():
        for i, parameter in enumerate(head.parameters()):
            parameter.copy_(draw(*parameter.shape, seed=100 + i, dtype=dtype) * 0.5)
    return head


def transcription(query_QC: Tensor, reference_KC: Tensor, head: PairHead, aggregation: str, t: float = 1.0):
    """Eq. 1 as printed: concatenate every pair, run the MLP, reduce."""
    num_queries, num_references = query_QC.shape[0], reference_KC.shape[0]
    q = query_QC[:, None].expand(num_queries, num_references, -1)
    r = reference_KC[None].expand(num_queries, num_references, -1)
    d = (q - r).square().sum(-1).sqrt()
    if isinstance(head, DistanceHead):
        logit = head.log_scale.exp() * d + head.bias
    else:
        assert isinstance(head, MlpHead)
        columns = [q, r]
        weight = [head.query_weight_HC, head.reference_weight_HC]
        if isinstance(head, DifferenceMlpHead):
            columns.append(d[..., None])
            weight.append(head.distance_H[:, None])
        hidden = torch.relu(torch.cat(columns, -1) @ torch.cat(weight, -1).t() + head.hidden_bias_H)
        logit = hidden @ head.output_H + head.bias
    if aggregation == "softmin":
        return -t * (torch.exp(-logit / t).mean(1)).log()
    return logit.amax(1) if aggregation == "max" else logit.amin(1)


def largest_sum_of_terms(query_QC: Tensor, reference_KC: Tensor, head: PairHead) -> float:
    """The largest sum, over pairs, of the absolute values that a logit is added up from."""
    if isinstance(head, DistanceHead):
        return float(transcription(query_QC, reference_KC, head, "max").max())
    assert isinstance(head, MlpHead)
    absolute = copy.deepcopy(head)
    with torch.no_grad():
        for parameter in absolute.parameters():
            parameter.abs_()
    return float(transcription(query_QC.abs(), reference_KC.abs(), absolute, "max").max().detach())


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
@pytest.mark.parametrize("name", HEADS)
class TestEveryHeadAndAggregation:
    def test_equals_the_transcription(self, name: str, aggregation: str) -> None:
        head = head_of(name)
        query, reference = draw(300, C), draw(23, C, seed=1)
        got = pair_scores(query, reference, head, aggregation=aggregation, temperature=0.7)
        torch.testing.assert_close(
            got, transcription(query, reference, head, aggregation, 0.7), rtol=1e-10, atol=1e-10
        )

    def test_float32_is_near_the_float64_transcription(self, name: str, aggregation: str) -> None:
        head = head_of(name, channels=64, hidden=64)
        query, reference = draw(70, 64), draw(2100, 64, seed=1)
        want = transcription(query, reference, head, aggregation)
        got = pair_scores(query.float(), reference.float(), head.float(), aggregation=aggregation)
        assert got.dtype == torch.float32
        # What is added up is far larger than the sum, and each machine adds in an order of its own.
        rounding = torch.finfo(torch.float32).eps * largest_sum_of_terms(query, reference, head.double())
        torch.testing.assert_close(got.double(), want, rtol=1e-5, atol=max(1e-5, rounding))

    def test_gradients_equal_the_transcriptions(self, name: str, aggregation: str) -> None:
        head = head_of(name)
        query, reference = draw(19, C).requires_grad_(), draw(11, C, seed=1).requires_grad_()
        inputs = [query, reference, *head.parameters()]
        weight = draw(19, seed=2)
        got = torch.autograd.grad(
            pair_scores(query, reference, head, aggregation=aggregation, tile=3) @ weight, inputs
        )
        want = torch.autograd.grad(transcription(query, reference, head, aggregation) @ weight, inputs)
        for g, w in zip(got, want, strict=True):
            torch.testing.assert_close(g, w, rtol=1e-9, atol=1e-10)

    def test_gradcheck(self, name: str, aggregation: str) -> None:
        head = head_of(name)
        query, reference = draw(4, C).requires_grad_(), draw(3, C, seed=1).requires_grad_()
        assert torch.autograd.gradcheck(
            lambda q, r, *_: pair_scores(q, r, head, aggregation=aggregation, temperature=0.5),
            (query, reference, *head.parameters()),
        )

    @pytest.mark.parametrize("tile", [1, 7, 256, 5000])
    def test_tile_size_is_irrelevant(self, name: str, aggregation: str, tile: int) -> None:
        head = head_of(name)
        query, reference = draw(13, C), draw(2600, C, seed=1)
        plain = pair_scores(query, reference, head, aggregation=aggregation)
        tiled = pair_scores(query, reference, head, aggregation=aggregation, tile=tile)
        torch.testing.assert_close(tiled, plain, rtol=1e-10, atol=1e-10)

    def test_reference_order_is_irrelevant(self, name: str, aggregation: str) -> None:
        head = head_of(name)
        query, reference = draw(20, C), draw(50, C, seed=1)
        shuffled = reference[torch.randperm(50, generator=torch.Generator().manual_seed(0))]
        torch.testing.assert_close(
            pair_scores(query, shuffled, head, aggregation=aggregation),
            pair_scores(query, reference, head, aggregation=aggregation),
        )

    def test_one_query_and_one_reference(self, name: str, aggregation: str) -> None:
        head = head_of(name)
        query, reference = draw(1, C), draw(1, C, seed=1)
        got = pair_scores(query, reference, head, aggregation=aggregation)
        torch.testing.assert_close(got, head(query, reference))

    def test_a_query_does_not_depend_on_its_batch(self, name: str, aggregation: str) -> None:
        head = head_of(name)
        query, reference = draw(300, C), draw(40, C, seed=1)
        batch = pair_scores(query, reference, head, aggregation=aggregation)
        alone = [pair_scores(q[None], reference, head, aggregation=aggregation) for q in query[::37]]
        torch.testing.assert_close(batch[::37], torch.cat(alone))

    def test_non_contiguous_inputs(self, name: str, aggregation: str) -> None:
        head = head_of(name)
        query, reference = draw(C, 31).t(), draw(C, 60, seed=1).t()[::2]
        torch.testing.assert_close(
            pair_scores(query, reference, head, aggregation=aggregation),
            pair_scores(query.contiguous(), reference.contiguous(), head, aggregation=aggregation),
        )

    def test_stored_projections_give_the_same(self, name: str, aggregation: str) -> None:
        head = head_of(name)
        query, reference = draw(8, C), draw(9, C, seed=1)
        stored = head.project_reference(reference).detach().clone()
        torch.testing.assert_close(
            pair_scores_projected(head.project_query(query), stored, head, aggregation=aggregation),
            pair_scores(query, reference, head, aggregation=aggregation),
        )

    def test_no_query(self, name: str, aggregation: str) -> None:
        assert pair_scores(draw(0, C), draw(3, C), head_of(name), aggregation=aggregation).shape == (0,)

    def test_not_a_number_is_not_hidden(self, name: str, aggregation: str) -> None:
        reference = draw(3000, C, seed=1)
        reference[2900, 0] = torch.nan
        assert pair_scores(draw(2, C), reference, head_of(name), aggregation=aggregation).isnan().all()


@pytest.mark.parametrize("name", HEADS)
def test_adding_a_reference_never_lowers_max_nor_raises_min(name: str) -> None:
    head = head_of(name)
    query, reference = draw(40, C), draw(30, C, seed=1)
    for count in range(1, 30):
        fewer, more = reference[:count], reference[: count + 1]
        for aggregation, sign in (("max", 1), ("min", -1)):
            change = pair_scores(query, more, head, aggregation=aggregation) - pair_scores(
                query, fewer, head, aggregation=aggregation
            )
            assert (sign * change).min() >= -1e-12


@pytest.mark.parametrize("name", HEADS)
def test_softmin_lies_between_minimum_and_mean_and_tends_to_both(name: str) -> None:
    head = head_of(name)
    query, reference = draw(40, C), draw(30, C, seed=1)
    low = pair_scores(query, reference, head, aggregation="min")
    mean = head(query[:, None], reference[None]).mean(1)
    for temperature in (0.1, 1.0, 10.0):
        soft = pair_scores(query, reference, head, aggregation="softmin", temperature=temperature)
        assert (soft >= low - 1e-12).all()
        assert (soft <= mean + 1e-12).all()
    sharp = pair_scores(query, reference, head, aggregation="softmin", temperature=1e-6)
    blunt = pair_scores(query, reference, head, aggregation="softmin", temperature=1e7)
    torch.testing.assert_close(sharp, low, rtol=0, atol=1e-5)
    torch.testing.assert_close(blunt, mean, rtol=0, atol=1e-5)


def test_softmin_ignores_how_often_the_same_references_are_given() -> None:
    head, query, reference = head_of("mlp"), draw(9, C), draw(6, C, seed=1)
    torch.testing.assert_close(
        pair_scores(query, reference.repeat(5, 1), head, aggregation="softmin"),
        pair_scores(query, reference, head, aggregation="softmin"),
    )


@pytest.mark.parametrize("aggregation", ["max", "min"])
def test_of_tied_references_exactly_one_gets_the_gradient(aggregation: str) -> None:
    head = MlpHead(C, H, "difference").double()
    reference = draw(1, C, seed=1).repeat(600, 1).requires_grad_()
    pair_scores(draw(1, C), reference, head, aggregation=aggregation, tile=100).sum().backward()
    assert reference.grad is not None
    assert int((reference.grad.abs().sum(1) > 0).sum()) == 1


def test_a_query_that_is_its_own_reference_has_distance_zero_and_finite_gradients() -> None:
    head = DistanceHead(64)
    reference = draw(500, 64, dtype=torch.float32) + 1000  # far from the origin: |q|^2 - 2 q r cancels
    query = reference[137:138].clone().requires_grad_()
    got = pair_scores(query, reference, head, aggregation="min")
    assert got.item() == pytest.approx(head.bias.item(), abs=1e-6)
    got.sum().backward()
    assert query.grad is not None
    assert query.grad.isfinite().all()


def test_the_nearest_reference_is_found_far_from_the_origin() -> None:
    reference = draw(400, 64, dtype=torch.float32) * 1e-2 + 100
    query = reference + 1e-3 * draw(400, 64, seed=1, dtype=torch.float32)
    exact = torch.cdist(query.double(), reference.double(), compute_mode="donot_use_mm_for_euclid_dist")
    index = deciding_references(query, reference, DistanceHead(64).form(), aggregation="min")
    assert torch.equal(index, exact.argmin(1))
    torch.testing.assert_close(_pair_distances(query, reference).double(), exact, rtol=1e-5, atol=1e-6)


def test_difference_initialisation_is_an_l1_nearest_neighbour() -> None:
    head = MlpHead(C, 64, "difference", generator=torch.Generator().manual_seed(0)).double()
    query, reference = draw(30, C), draw(40, C, seed=1)
    rotated = head.query_weight_HC[:32].double()
    distances = torch.cdist(query @ rotated.t(), reference @ rotated.t(), p=1)
    got = pair_scores(query, reference, head, aggregation="min")
    torch.testing.assert_close(got, distances.amin(1) * 4 / 64 + head.bias)
    assert pair_scores(query, query, head, aggregation="min").amax().item() == pytest.approx(-1.6)


def test_difference_initialisations_are_zero_at_unit_difference_and_alike() -> None:
    query, offset = draw(50, 64), draw(50, 64, seed=1)
    unit = offset / offset.square().mean(1, keepdim=True).sqrt()
    for name in HEADS:
        head = make_head(name, 64, 256, "difference", generator=torch.Generator().manual_seed(0)).double()
        assert head(query, query + unit).mean().item() == pytest.approx(0, abs=0.15), name


def test_initialisation_is_seeded() -> None:
    for init in ("difference", "random"):
        one, two = (
            make_head("mlp", C, H, init, generator=torch.Generator().manual_seed(3)) for _ in range(2)
        )
        assert all(
            torch.equal(a, b)
            for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True)
        )


def test_image_mean_averages_over_reference_images() -> None:
    head, query, reference = head_of("mlp"), draw(7, C), draw(3, 11, C, seed=1)
    got = pair_scores_image_mean(
        head.project_query(query), head.project_reference(reference), head, aggregation="max"
    )
    want = torch.stack([transcription(query, image, head, "max") for image in reference]).mean(0)
    torch.testing.assert_close(got, want)


def test_bad_arguments_are_one_sentence() -> None:
    head, query = head_of("mlp"), draw(2, C)
    with pytest.raises(DataError, match="At least 1 reference patch"):
        pair_scores(query, draw(0, C), head, aggregation="max")
    with pytest.raises(SettingsError, match="`aggregation` must be one of max, min, softmin, but got 'mean'"):
        pair_scores(query, query, head, aggregation="mean")
    with pytest.raises(SettingsError, match="`temperature` must be above 0"):
        pair_scores(query, query, head, aggregation="softmin", temperature=0.0)
    with pytest.raises(SettingsError, match="`tile` must be at least 1"):
        pair_scores(query, query, head, aggregation="min", tile=0)
    with pytest.raises(SettingsError, match="`hidden` must be even"):
        MlpHead(C, 3, "difference")


def peak_extra_bytes(work) -> int:
    """The most resident memory during `work`, over what there was before."""

    def resident(key: str) -> int:
        (line,) = [x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith(key)]
        return int(line.split()[1]) * 1024

    try:
        Path("/proc/self/clear_refs").write_text("5")  # resets the high-water mark
    except OSError:
        pytest.skip("the kernel does not let a process reset its high-water mark")
    before = resident("VmRSS")
    work()
    return resident("VmHWM") - before


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
@pytest.mark.parametrize("name", HEADS)
def test_memory_stays_small_forward_and_backward(name: str, aggregation: str) -> None:
    head = head_of(name, torch.float32, 16, 64)
    query = draw(1024, 16, dtype=torch.float32).requires_grad_()
    reference = draw(1024, 16, seed=1, dtype=torch.float32).requires_grad_()

    def work() -> None:
        pair_scores(query, reference, head, aggregation=aggregation).sum().backward()

    work()
    assert peak_extra_bytes(work) < 24 * 2**20  # all hidden units of all pairs would be 256 MiB


def test_the_measure_of_memory_sees_what_the_naive_way_takes() -> None:
    head, query = head_of("mlp", torch.float32, 16, 64), draw(512, 16, dtype=torch.float32)
    with torch.no_grad():
        assert peak_extra_bytes(lambda: head(query[:, None], query[None])) > 60 * 2**20


COMPILED = """
import logging, sys
import torch
from torch._dynamo.utils import counters
from dgad.comparer.heads import make_head
from dgad.comparer.pairwise import pair_scores

logging.basicConfig(level=logging.WARNING, stream=sys.stdout, format="%(name)s|%(message)s")
generator = torch.Generator().manual_seed(0)
for name in ("mlp", "mlp_difference", "distance"):
    head = make_head(name, 6, 10, "random", generator=generator)
    if name == "mlp_difference":
        head.distance_H.data.normal_(generator=generator)
    for num_queries, num_references in ((5, 3), (600, 700), (1, 2048), (513, 257), (7, 2600), (3, 3000)):
        query = torch.randn(num_queries, 6, generator=generator).requires_grad_()
        reference = torch.randn(num_references, 6, generator=generator)
        for aggregation in ("max", "min", "softmin"):
            results = []
            for compiled in (False, True):
                score = pair_scores(query, reference, head, aggregation=aggregation, compiled=compiled)
                results.append((score.detach(), *torch.autograd.grad(score.sum(), query)))
            for eager, fused in zip(*results):
                torch.testing.assert_close(fused, eager, rtol=1e-4, atol=1e-5)
print("graphs", counters["stats"].get("unique_graphs", 0))
"""


def run_compiled(**environment: str) -> str:
    env = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    done = subprocess.run(
        [sys.executable, "-c", COMPILED], env=env, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_compiled_equals_eager_and_compiles_twice_whatever_the_sizes() -> None:
    out = run_compiled()
    if "dgad.comparer.tiles|" in out:
        pytest.skip("no working compiler here: " + out)
    assert out.strip() == "graphs 4"  # for each head with an MLP: few references, and many


@pytest.mark.slow
def test_without_a_compiler_eager_takes_over_with_one_warning_that_names_the_cause(tmp_path) -> None:
    out = run_compiled(CXX="/nonexistent", TORCHINDUCTOR_CACHE_DIR=str(tmp_path))
    warnings = [line for line in out.splitlines() if line.startswith("dgad.comparer.tiles|")]
    assert len(warnings) == 1
    assert "eager" in warnings[0]
    assert "compiler" in warnings[0].lower()
