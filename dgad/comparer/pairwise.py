"""Eq. 1: every query patch against every reference patch, reduced over the references.

Nothing of size Q x K is ever kept, forward or backward. For `max` and `min` the deciding pair is found
without gradients and that pair alone is computed again with them: the gradient of a maximum flows to
one pair anyway. `softmin` computes its tiles again in the backward pass.
"""

# Q queries, K references, R reference images, C channels, D projection width (see heads.py)

import math
from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from dgad.comparer.heads import PairForm, PairHead, pair_logits
from dgad.comparer.tiles import blocks, tile_shape
from dgad.errors import DataError
from dgad.features.memory.nearest import nearest_patches
from dgad.settings import require

Aggregation = Literal["max", "min", "softmin"]


def pair_scores(
    query_QC: Tensor,
    reference_KC: Tensor,
    head: PairHead,
    *,
    aggregation: Aggregation,
    temperature: float = 1.0,
    tile: int | None = None,
    compiled: bool = False,
) -> Tensor:
    """Anomaly logit per query patch, shape (Q,); higher is more anomalous (Eq. 1).

    `max` and `min` are over the K >= 1 references. `softmin` is -T log mean exp(-logit / T) with the
    `temperature` T in logits: between the minimum (T to 0) and the mean, and no lower for more references
    of the same kind. `tile` is the number of references handled at once; it changes speed only, as does
    `compiled`, which falls back to eager with a logged warning.
    """
    return pair_scores_projected(
        head.project_query(query_QC),
        head.project_reference(reference_KC),
        head,
        aggregation=aggregation,
        temperature=temperature,
        tile=tile,
        compiled=compiled,
    )


def pair_scores_projected(
    query_QD: Tensor,
    reference_KD: Tensor,
    head: PairHead,
    *,
    aggregation: Aggregation,
    temperature: float = 1.0,
    tile: int | None = None,
    compiled: bool = False,
) -> Tensor:
    """`pair_scores` of what `head.project_query` and `head.project_reference` made; shape (Q,)."""
    require(aggregation in ("max", "min", "softmin"), "aggregation", "one of max, min, softmin", aggregation)
    require(temperature > 0, "temperature", "above 0", temperature)
    require(tile is None or tile >= 1, "tile", "at least 1", tile)
    if reference_KD.shape[0] < 1:
        raise DataError("At least 1 reference patch is needed to score a query, but got 0.")
    form = head.form()
    if aggregation != "softmin":
        chosen_Q = deciding_references(
            query_QD, reference_KD, form, aggregation=aggregation, tile=tile, compiled=compiled
        )
        # Not reference_KD[chosen_Q]: its backward adds in parallel, in an order that differs between runs.
        return pair_logits(query_QD, reference_KD.index_select(0, chosen_Q), form)
    logit: Tensor = _SoftMin.apply(
        query_QD,
        reference_KD,
        form.output_H,
        form.distance_H,
        form.slope,
        form.bias,
        temperature,
        tile,
        compiled,
    )
    return logit


def pair_scores_decided(
    query_QD: Tensor,
    reference_KD: Tensor,
    head: PairHead,
    *,
    aggregation: Aggregation,
    compiled: bool = False,
) -> tuple[Tensor, Tensor]:
    """`pair_scores_projected` for `max` and `min`, and the index of the reference that decided, (Q,) each."""
    require(aggregation in ("max", "min"), "aggregation", "one of max, min", aggregation)
    if reference_KD.shape[0] < 1:
        raise DataError("At least 1 reference patch is needed to score a query, but got 0.")
    form = head.form()
    chosen_Q = deciding_references(query_QD, reference_KD, form, aggregation=aggregation, compiled=compiled)  # type: ignore[arg-type]
    return pair_logits(query_QD, reference_KD.index_select(0, chosen_Q), form), chosen_Q


def pair_scores_image_mean(query_QD: Tensor, reference_RKD: Tensor, head: PairHead, **options: Any) -> Tensor:
    """`pair_scores_projected` against each reference image's patches, averaged over images; (Q,)."""
    per_image = [pair_scores_projected(query_QD, image, head, **options) for image in reference_RKD]
    return torch.stack(per_image).mean(0)


@torch.no_grad()
def deciding_references(
    query_QD: Tensor,
    reference_KD: Tensor,
    form: PairForm,
    *,
    aggregation: Literal["max", "min"],
    tile: int | None = None,
    compiled: bool = False,
) -> Tensor:
    """Index of the reference that has the largest or smallest logit with each query, int64 (Q,)."""
    if form.num_hidden == 0:
        return nearest_patches(query_QD, reference_KD, farthest=aggregation == "max", tile=tile)[1]
    best_Q = query_QD.new_empty(query_QD.shape[0])
    index_Q = torch.zeros(query_QD.shape[0], dtype=torch.int64, device=query_QD.device)
    largest = aggregation == "max"
    for block in blocks(query_QD, reference_KD, form, tile=tile, compiled=compiled):
        rows, left = block.rows, block.columns.start
        value = block.logit_QK.amax(1) if largest else block.logit_QK.amin(1)
        if left == 0:
            best_Q[rows], index_Q[rows] = value, _first(block.logit_QK, largest)
            continue
        # An index costs far more than an extreme: it is sought only where the extreme has moved.
        best = best_Q[rows]
        better = (value > best if largest else value < best) | value.isnan()  # a NaN must win and stay
        moved = better.nonzero()[:, 0]
        best_Q[rows] = torch.where(better, value, best)
        index_Q[moved + rows.start] = _first(block.logit_QK[moved], largest) + left
    return index_Q


def _first(logit_QK: Tensor, largest: bool) -> Tensor:
    """Column of each row's largest or smallest value, or of a NaN."""
    return (logit_QK.max(1) if largest else logit_QK.min(1)).indices


class _SoftMin(torch.autograd.Function):
    """-T log mean_k exp(-logit / T): an online log-sum-exp forward, tiles computed again backward."""

    @staticmethod
    def forward(
        ctx: Any,
        query_QD: Tensor,
        reference_KD: Tensor,
        output_H: Tensor | None,
        distance_H: Tensor | None,
        slope: Tensor | None,
        bias: Tensor,
        temperature: float,
        tile: int | None,
        compiled: bool,
    ) -> Tensor:
        form = PairForm(output_H=output_H, distance_H=distance_H, slope=slope, bias=bias)
        log_sum_Q = query_QD.new_full((query_QD.shape[0],), -torch.inf)
        for block in blocks(query_QD, reference_KD, form, tile=tile, compiled=compiled):
            here = (block.logit_QK / -temperature).logsumexp(1)
            log_sum_Q[block.rows] = torch.logaddexp(log_sum_Q[block.rows], here)
        ctx.save_for_backward(query_QD, reference_KD, output_H, distance_H, slope, bias, log_sum_Q)
        ctx.temperature, ctx.tile = temperature, tile
        return -temperature * (log_sum_Q - math.log(reference_KD.shape[0]))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_Q: Tensor) -> tuple[Tensor | None, ...]:
        *inputs, log_sum_Q = ctx.saved_tensors
        query_QD, reference_KD = inputs[:2]
        needed = [i for i, tensor in enumerate(inputs) if tensor is not None and ctx.needs_input_grad[i]]
        grads = {i: torch.zeros_like(inputs[i]) for i in needed}
        shape = tile_shape(query_QD.shape[1], reference_KD.shape[0], query_QD, tile=ctx.tile, compiled=False)
        for top in range(0, query_QD.shape[0], shape.rows):
            rows = slice(top, top + shape.rows)
            for left in range(0, reference_KD.shape[0], shape.columns):
                columns = slice(left, left + shape.columns)
                places: list[Any] = [rows, columns, ..., ..., ..., ...]
                leaves = [
                    None if t is None else t[place].detach().requires_grad_(i in grads)
                    for i, (t, place) in enumerate(zip(inputs, places, strict=True))
                ]
                query, reference, output_H, distance_H, slope, bias = leaves
                assert query is not None
                assert reference is not None
                assert bias is not None
                form = PairForm(output_H=output_H, distance_H=distance_H, slope=slope, bias=bias)
                with torch.enable_grad():
                    logit_QK = pair_logits(query[:, None], reference[None], form)
                share_QK = (logit_QK.detach() / -ctx.temperature - log_sum_Q[rows, None]).exp()
                share_QK *= grad_Q[rows, None]
                wanted = [leaf for i, leaf in enumerate(leaves) if leaf is not None and i in grads]
                parts = torch.autograd.grad(logit_QK, wanted, share_QK, materialize_grads=True)
                for i, part in zip(needed, parts, strict=True):
                    grads[i][places[i]] += part
        return (*(grads.get(i) for i in range(len(inputs))), None, None, None)
