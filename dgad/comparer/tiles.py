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
from typing import Any

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


def tile_shape(num_hidden: int, device: torch.device, dtype: torch.dtype, tile: int | None) -> TileShape:
    """Sizes for a device; `tile` sets the reference patches per tile, None lets the cache decide."""
    on_cpu = device.type == "cpu"
    columns = tile or (256 if on_cpu else 1024)
    tile_bytes = (1 if on_cpu else 64) * 2**20  # L2 cache; launch overhead
    rows = tile_bytes // (columns * max(1, num_hidden) * dtype.itemsize)
    block_rows = 256 if on_cpu else 1024
    return TileShape(
        block_rows=block_rows,
        block_columns=columns * max(1, (2048 if on_cpu else 8192) // columns),
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
    shape = tile_shape(num_hidden, query_QD.device, query_QD.dtype, tile)
    num_queries, num_references = query_QD.shape[0], reference_KD.shape[0]
    write = _hidden_writer(query_QD, reference_KD, form, shape, compiled)
    buffer = query_QD.new_empty(shape.block_rows * min(shape.block_columns, num_references))
    for top in range(0, num_queries, shape.block_rows):
        rows = slice(top, min(top + shape.block_rows, num_queries))
        for left in range(0, num_references, shape.block_columns):
            columns = slice(left, min(left + shape.block_columns, num_references))
            size = (rows.stop - rows.start, columns.stop - columns.start)
            logit = buffer[: size[0] * size[1]].view(size)
            distance = None
            if form.sees_distance:
                points = query_QD[rows, num_hidden:], reference_KD[columns, num_hidden:]
                distance = pair_distances(*points)
            if form.output_H is not None:
                write(rows, columns, distance, logit)
                logit += form.bias
            else:
                logit.copy_(form.bias)
            if form.slope is not None and distance is not None:
                logit.addcmul_(form.slope, distance)
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


Writer = Callable[[slice, slice, Tensor | None, Tensor], None]


def _hidden_writer(
    query_QD: Tensor, reference_KD: Tensor, form: PairForm, shape: TileShape, compiled: bool
) -> Writer:
    """What writes the MLP's part of a block into place; fitting the references to it happens here, once."""
    if form.output_H is None:
        return lambda rows, columns, distance, out: None
    hidden = slice(0, form.num_hidden)
    eager = functools.cache(lambda: _EagerWriter(query_QD[:, hidden], reference_KD[:, hidden], form, shape))
    if not compiled:
        return eager()
    fused = _FusedWriter(query_QD[:, hidden], reference_KD[:, hidden], form, shape)

    def write(rows: slice, columns: slice, distance: Tensor | None, out: Tensor) -> None:
        if not fused(rows, columns, distance, out):
            eager()(rows, columns, distance, out)

    return write


class _EagerWriter:
    def __init__(self, query_QH: Tensor, reference_KH: Tensor, form: PairForm, shape: TileShape) -> None:
        assert form.output_H is not None
        # Hidden units lead, so that the innermost loop of `maximum` is long and the product runs along it.
        self.query_HQ = query_QH.t().contiguous()
        self.negative_HK = (-reference_KH).t().contiguous()
        self.constant_K = reference_KH @ form.output_H
        self.form, self.shape = form, shape
        num_pairs = min(shape.rows, max(1, query_QH.shape[0])) * min(shape.columns, reference_KH.shape[0])
        self.buffer = query_QH.new_empty(num_pairs * form.num_hidden)
        self.logit = query_QH.new_empty(num_pairs)

    def __call__(self, rows: slice, columns: slice, distance_QK: Tensor | None, out_QK: Tensor) -> None:
        form, shape = self.form, self.shape
        assert form.output_H is not None
        num_hidden = form.num_hidden
        for left in range(columns.start, columns.stop, shape.columns):
            right = min(left + shape.columns, columns.stop)
            negative = self.negative_HK[:, None, left:right]
            constant = self.constant_K[left:right]
            here = slice(left - columns.start, right - columns.start)
            for top in range(rows.start, rows.stop, shape.rows):
                bottom = min(top + shape.rows, rows.stop)
                there = slice(top - rows.start, bottom - rows.start)
                size = (bottom - top, right - left)
                num_pairs = size[0] * size[1]
                hidden = self.buffer[: num_hidden * num_pairs].view(num_hidden, *size)
                query = self.query_HQ[:, top:bottom, None]
                if form.distance_H is None or distance_QK is None:
                    torch.maximum(query, negative, out=hidden)
                else:
                    torch.addcmul(query, form.distance_H[:, None, None], distance_QK[there, here], out=hidden)
                    torch.maximum(hidden, negative, out=hidden)
                logit = self.logit[:num_pairs]
                torch.mv(hidden.view(num_hidden, num_pairs).t(), form.output_H, out=logit)
                torch.add(logit.view(size), constant, out=out_QK[there, here])


def hidden_tile(query_QH: Tensor, reference_HK: Tensor, output_H: Tensor) -> Tensor:
    """The MLP's part of the logits (Q, K), written plainly for the compiler to fuse."""
    return ((query_QH[:, :, None] + reference_HK).relu() * output_H[:, None]).sum(1)


def hidden_distance_tile(
    query_QH: Tensor, reference_HK: Tensor, output_H: Tensor, distance_H: Tensor, distance_QK: Tensor
) -> Tensor:
    """As `hidden_tile`, for the head that sees the distance."""
    hidden = query_QH[:, :, None] + reference_HK + distance_H[:, None] * distance_QK[:, None]
    return (hidden.relu() * output_H[:, None]).sum(1)


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


class _FusedWriter:
    """Cuts every block into tiles of one fixed shape, padded, so that no Q or K compiles a second time."""

    def __init__(self, query_QH: Tensor, reference_KH: Tensor, form: PairForm, shape: TileShape) -> None:
        assert form.output_H is not None
        self.shape = shape
        num_references, num_hidden = reference_KH.shape
        num_tiles = -(-num_references // shape.columns)
        padded = F.pad(reference_KH.detach(), (0, 0, 0, num_tiles * shape.columns - num_references))
        self.reference_THK = padded.view(num_tiles, shape.columns, num_hidden).transpose(1, 2).contiguous()
        self.query_QH = query_QH.detach()
        self.output_H = form.output_H.detach().contiguous()
        self.distance_H = None if form.distance_H is None else form.distance_H.detach().contiguous()
        self.fuser = process_fuser()
        self.kernel = hidden_tile if form.distance_H is None else hidden_distance_tile

    def __call__(self, rows: slice, columns: slice, distance_QK: Tensor | None, out_QK: Tensor) -> bool:
        """False when there is no kernel and nothing useful was written."""
        num_rows, width = self.shape.block_rows, self.shape.columns
        query = _padded(self.query_QH[rows], num_rows, self.query_QH.shape[1])
        for left in range(0, columns.stop - columns.start, width):
            right = min(left + width, columns.stop - columns.start)
            reference = self.reference_THK[(columns.start + left) // width]
            extra: tuple[Any, ...] = ()
            if self.distance_H is not None and distance_QK is not None:
                extra = (self.distance_H, _padded(distance_QK[:, left:right], num_rows, width))
            logit = self.fuser.run(self.kernel, query, reference, self.output_H, *extra)
            if logit is None:
                return False
            out_QK[:, left:right] = logit[: out_QK.shape[0], : right - left]
        return True


def _padded(tensor: Tensor, num_rows: int, num_columns: int) -> Tensor:
    """Zeros below and to the right; contiguous."""
    missing = (0, num_columns - tensor.shape[1], 0, num_rows - tensor.shape[0])
    return F.pad(tensor, missing).contiguous()
