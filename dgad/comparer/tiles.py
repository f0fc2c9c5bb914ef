"""Pair logits block by block, without gradients: the inner loop behind `pairwise`.

Eager: relu(a + b) = max(a, -b) + b, so that one tile costs one `maximum` and one matrix-vector product,
and sum_h output_h b_h is added once a reference. A tile must stay in the L2 cache: beyond it the same
operations run several times slower. Compiled: one fused kernel that keeps no tile at all.
"""

# Q queries, K references, H hidden units, D projection width, C channels

import dataclasses
import functools
import logging
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from dgad.comparer.heads import PairForm

logger = logging.getLogger(__name__)

Kernel = Callable[..., Tensor]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TileShape:
    """A block of logits is handed out at a time; inside, one tile of hidden units is alive at a time."""

    block_rows: int
    block_columns: int
    rows: int
    columns: int
    """Reference patches per tile."""


def tile_shape(
    num_hidden: int, device: torch.device, dtype: torch.dtype, *, tile: int | None, compiled: bool
) -> TileShape:
    """Sizes for a device; `tile` sets the reference patches per tile, None lets the cache decide."""
    on_cpu = device.type == "cpu"
    columns = tile or (256 if on_cpu else 1024)
    tile_bytes = (1 if on_cpu else 64) * 2**20  # L2 cache; launch overhead
    rows = tile_bytes // (columns * max(1, num_hidden) * dtype.itemsize)
    block_rows = (512 if compiled else 256) if on_cpu else 1024
    return TileShape(
        block_rows=block_rows,
        # A fused tile is reduced while it is in the cache; eager tiles are small, so that several go at once.
        block_columns=columns * (1 if compiled else max(1, (1024 if on_cpu else 8192) // columns)),
        rows=min(block_rows, max(1, rows)),
        columns=columns,
    )


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Block:
    """Logits of some queries with some references; the next block may overwrite them."""

    rows: slice
    columns: slice
    logit_QK: Tensor


@torch.no_grad()
def blocks(
    query_QD: Tensor, reference_KD: Tensor, form: PairForm, *, tile: int | None, compiled: bool
) -> Iterator[Block]:
    """Every pair's logit once: blocks of queries, and inside each the references from first to last.

    Memory is O(K D + block), never Q x K. Each block is written without gradients.
    """
    num_hidden = form.num_hidden
    compiled = compiled and num_hidden > 0
    shape = tile_shape(num_hidden, query_QD.device, query_QD.dtype, tile=tile, compiled=compiled)
    num_queries, num_references = query_QD.shape[0], reference_KD.shape[0]
    hidden_logits = _hidden_logits(query_QD, reference_KD, form, shape, compiled)
    for top in range(0, num_queries, shape.block_rows):
        rows = slice(top, min(top + shape.block_rows, num_queries))
        for left in range(0, num_references, shape.block_columns):
            columns = slice(left, min(left + shape.block_columns, num_references))
            distance = None
            if form.sees_distance:
                points = query_QD[rows, num_hidden:], reference_KD[columns, num_hidden:]
                distance = pair_distances(*points)
            if form.slope is None:
                logit = hidden_logits(rows, columns, distance)
            else:
                assert distance is not None
                logit = distance.mul_(form.slope).add_(form.bias)
            yield Block(rows=rows, columns=columns, logit_QK=logit)


def pair_distances(query_QC: Tensor, reference_KC: Tensor) -> Tensor:
    """L2 distances (Q, K) by one matrix product, in the inputs' type.

    |q|^2 + |r|^2 - 2 q r cancels for near patches, hence float64 inside: the error is then about that of
    the float32 inputs themselves.
    """
    query, reference = query_QC.double(), reference_KC.double()
    squares = torch.addmm(reference.square().sum(1), query, reference.t(), alpha=-2)
    squares += query.square().sum(1, keepdim=True)
    return squares.clamp_min_(0).sqrt_().to(query_QC.dtype)


Logits = Callable[[slice, slice, Tensor | None], Tensor]


def _hidden_logits(
    query_QD: Tensor, reference_KD: Tensor, form: PairForm, shape: TileShape, compiled: bool
) -> Logits:
    """What gives the logits of a block of an MLP; fitting the projections to it happens here, once."""
    hidden = slice(0, form.num_hidden)

    @functools.cache
    def eager() -> Logits:
        return _Eager(query_QD[:, hidden], reference_KD[:, hidden], form, shape)

    if not compiled:
        return lambda rows, columns, distance: eager()(rows, columns, distance)
    fused = _Fused(query_QD[:, hidden], reference_KD[:, hidden], form, shape)

    def logits(rows: slice, columns: slice, distance: Tensor | None) -> Tensor:
        found = fused(rows, columns, distance)
        return eager()(rows, columns, distance) if found is None else found

    return logits


class _Eager:
    def __init__(self, query_QH: Tensor, reference_KH: Tensor, form: PairForm, shape: TileShape) -> None:
        assert form.output_H is not None
        # Hidden units lead, so that the innermost loop of `maximum` is long and the product runs along it.
        self.query_HQ = query_QH.t().contiguous()
        self.negative_HK = (-reference_KH).t().contiguous()
        self.constant_K = reference_KH @ form.output_H + form.bias
        self.form, self.shape = form, shape
        num_columns = min(shape.block_columns, reference_KH.shape[0])
        self.block = query_QH.new_empty(min(shape.block_rows, query_QH.shape[0]), num_columns)
        self.buffers: dict[tuple[int, int], tuple[Tensor, Tensor, Tensor]] = {}

    def __call__(self, rows: slice, columns: slice, distance_QK: Tensor | None) -> Tensor:
        form, shape = self.form, self.shape
        assert form.output_H is not None
        out_QK = self.block[: rows.stop - rows.start, : columns.stop - columns.start]
        spans = [(top, min(top + shape.rows, rows.stop)) for top in range(rows.start, rows.stop, shape.rows)]
        queries = [self.query_HQ[:, top:bottom, None] for top, bottom in spans]
        for left in range(columns.start, columns.stop, shape.columns):
            right = min(left + shape.columns, columns.stop)
            negative = self.negative_HK[:, None, left:right]
            constant = self.constant_K[left:right]
            here = slice(left - columns.start, right - columns.start)
            for (top, bottom), query in zip(spans, queries, strict=True):
                there = slice(top - rows.start, bottom - rows.start)
                hidden, flat, logit = self._buffers(bottom - top, right - left)
                if form.distance_H is None or distance_QK is None:
                    torch.maximum(query, negative, out=hidden)
                else:
                    # Three passes: the one-pass addcmul is not vectorised over broadcast operands.
                    torch.mul(distance_QK[there, here], form.distance_H[:, None, None], out=hidden)
                    hidden += query
                    torch.maximum(hidden, negative, out=hidden)
                torch.mv(flat, form.output_H, out=logit.view(-1))
                torch.add(logit, constant, out=out_QK[there, here])
        return out_QK

    def _buffers(self, num_rows: int, num_columns: int) -> tuple[Tensor, Tensor, Tensor]:
        """Hidden units of a tile (H, rows, columns), the same as (pairs, H), and room for its logits.

        At most four sizes occur: inner tiles, the last row, the last column and the corner.
        """
        size = (num_rows, num_columns)
        if size not in self.buffers:
            hidden = self.query_HQ.new_empty((self.form.num_hidden, *size))
            self.buffers[size] = (hidden, hidden.flatten(1).t(), self.query_HQ.new_empty(size))
        return self.buffers[size]


LANES = 4
"""Queries that a fused kernel sums side by side: one addition waits for the last, four sums overlap."""


def hidden_tile(query_QH: Tensor, reference_HK: Tensor, output_H: Tensor, bias: Tensor) -> Tensor:
    """The MLP's part of the logits (Q, K), Q a multiple of `LANES`, written for the compiler to fuse."""
    lanes = query_QH.view(-1, LANES, query_QH.shape[1]).unbind(1)
    sums = [((lane[:, :, None] + reference_HK).relu() * output_H[:, None]).sum(1) for lane in lanes]
    return torch.stack(sums, 1).flatten(0, 1) + bias


def hidden_distance_tile(
    query_QH: Tensor,
    reference_HK: Tensor,
    output_H: Tensor,
    bias: Tensor,
    distance_H: Tensor,
    distance_QK: Tensor,
) -> Tensor:
    """As `hidden_tile`, for the head that sees the distance."""
    lanes = query_QH.view(-1, LANES, query_QH.shape[1]).unbind(1)
    distances = distance_QK.view(-1, LANES, distance_QK.shape[1]).unbind(1)
    sums = []
    for lane, distance in zip(lanes, distances, strict=True):
        hidden = lane[:, :, None] + reference_HK + distance_H[:, None] * distance[:, None]
        sums.append((hidden.relu() * output_H[:, None]).sum(1))
    return torch.stack(sums, 1).flatten(0, 1) + bias


class Fuser:
    """Compiled tiles, until compiling has failed once: then a warning has named the cause."""

    def __init__(self) -> None:
        self.compiled: dict[Kernel, Kernel] = {}
        self.failed = False

    def run(self, kernel: Kernel, *tensors: Tensor) -> Tensor | None:
        """The kernel's result, or None where it cannot be compiled."""
        if self.failed:
            return None
        try:
            if kernel not in self.compiled:
                # fullgraph: past the recompilation limit it raises instead of silently running unfused.
                self.compiled[kernel] = torch.compile(kernel, dynamic=False, fullgraph=True)
            return self.compiled[kernel](*tensors)
        except (RuntimeError, OSError, ImportError) as error:  # what dynamo, inductor and compilers raise
            self.failed = True
            cause = next((line for line in str(error).splitlines() if line.strip()), "no message")
            logger.warning(
                "Compiled pair scores cannot be had here; eager ones give equal results, more slowly."
                " Cause: %s: %s",
                type(error).__name__,
                cause,
            )
            return None


@functools.cache
def process_fuser() -> Fuser:
    """One per process, so that a kernel is compiled once and a failure is told once."""
    return Fuser()


class _Fused:
    """Cuts every block into tiles of one fixed shape, padded, so that no Q or K compiles a second time."""

    def __init__(self, query_QH: Tensor, reference_KH: Tensor, form: PairForm, shape: TileShape) -> None:
        assert form.output_H is not None
        self.shape = shape
        num_references, num_hidden = reference_KH.shape
        num_tiles = -(-num_references // shape.columns)
        padded = _padded(reference_KH.detach(), num_tiles * shape.columns, num_hidden)
        self.reference_THK = padded.view(num_tiles, shape.columns, num_hidden).transpose(1, 2).contiguous()
        num_blocks = -(-query_QH.shape[0] // shape.block_rows)
        query = _padded(query_QH.detach(), num_blocks * shape.block_rows, num_hidden)
        self.query_BQH = query.view(num_blocks, shape.block_rows, num_hidden)
        self.output_H, self.bias = form.output_H.detach().contiguous(), form.bias.detach()
        self.distance_H = None if form.distance_H is None else form.distance_H.detach().contiguous()
        self.kernel = hidden_tile if form.distance_H is None else hidden_distance_tile

    def __call__(self, rows: slice, columns: slice, distance_QK: Tensor | None) -> Tensor | None:
        """None where there is no kernel to be had."""
        query_QH = self.query_BQH[rows.start // self.shape.block_rows]
        reference_HK = self.reference_THK[columns.start // self.shape.columns]
        extra: tuple[Tensor, ...] = ()
        if self.distance_H is not None and distance_QK is not None:
            extra = (self.distance_H, _padded(distance_QK, self.shape.block_rows, self.shape.columns))
        logit = process_fuser().run(self.kernel, query_QH, reference_HK, self.output_H, self.bias, *extra)
        return None if logit is None else logit[: rows.stop - rows.start, : columns.stop - columns.start]


def _padded(tensor: Tensor, num_rows: int, num_columns: int) -> Tensor:
    """Zeros below and to the right; contiguous."""
    missing = (0, num_columns - tensor.shape[1], 0, num_rows - tensor.shape[0])
    return F.pad(tensor, missing).contiguous()
