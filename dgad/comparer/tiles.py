"""Pair logits block by block, without gradients: the inner loop behind `pairwise`.

Eager: relu(a + b) = max(a, -b) + b, so that one tile costs one `maximum` and one matrix-vector product,
and sum_h output_h b_h is added once a reference. A tile must stay in the L2 cache: beyond it the same
operations run several times slower. Compiled: one fused kernel that keeps no tile at all.
"""

# Q queries, K references, H hidden units, D projection width, C channels

import dataclasses
import functools
import logging
import math
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from dgad.comparer.heads import PairForm

logger = logging.getLogger(__name__)

_Kernel = Callable[..., Tensor]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TileShape:
    """A block of logits is handed out at a time; inside, one tile of hidden units is alive at a time."""

    block_rows: int
    block_columns: int
    rows: int
    columns: int
    """Reference patches per tile."""


def tile_shape(
    num_hidden: int, num_references: int, like: Tensor, *, tile: int | None, compiled: bool
) -> TileShape:
    """Sizes for the device and type of `like`; `tile` sets the references per tile, None lets the cache."""
    on_cpu = like.device.type == "cpu"
    columns = tile or (256 if on_cpu else 1024)
    if compiled:
        # Every Q and K is padded to one of two shapes, so that two compilations are all there ever are.
        rows = 512 if on_cpu else 1024
        columns = columns if tile or num_references <= 2048 else 2 * columns
        return TileShape(block_rows=rows, block_columns=columns, rows=rows, columns=columns)
    num_tiles = -(-num_references // columns)
    columns = -(-num_references // max(1, num_tiles))  # alike, or the last would be mostly padding
    tile_bytes = 2**19 if on_cpu else 2**26  # to stay in the L2 cache; to be worth a launch
    rows = tile_bytes // (max(1, columns) * max(1, num_hidden) * like.dtype.itemsize)
    rows = min(256 if on_cpu else 1024, max(1, rows))
    return TileShape(
        block_rows=rows * max(1, (256 if on_cpu else 1024) // rows),
        block_columns=columns * max(1, (1024 if on_cpu else 8192) // columns),
        rows=rows,
        columns=columns,
    )


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class _Block:
    """Logits of some queries with some references; the next block may overwrite them."""

    rows: slice
    columns: slice
    logit_QK: Tensor


@torch.no_grad()
def blocks(
    query_QD: Tensor, reference_KD: Tensor, form: PairForm, *, tile: int | None, compiled: bool
) -> Iterator[_Block]:
    """Every pair's logit once: blocks of queries, and inside each the references from first to last.

    Memory is O(K D + block), never Q x K. Each block is written without gradients.
    """
    num_hidden = form.num_hidden
    num_queries, num_references = query_QD.shape[0], reference_KD.shape[0]
    if num_queries == 0:
        return
    hidden = query_QD[:, :num_hidden], reference_KD[:, :num_hidden]
    hidden_logits: _Fused | _Eager | None = None
    shape = tile_shape(num_hidden, num_references, query_QD, tile=tile, compiled=compiled and num_hidden > 0)
    if compiled and num_hidden > 0:
        hidden_logits = _Fused(*hidden, form, shape)
        if not hidden_logits.works():
            hidden_logits = None
            shape = tile_shape(num_hidden, num_references, query_QD, tile=tile, compiled=False)
    if hidden_logits is None and num_hidden > 0:
        hidden_logits = _Eager(*hidden, form, shape)
    for top in range(0, num_queries, shape.block_rows):
        rows = slice(top, min(top + shape.block_rows, num_queries))
        for left in range(0, num_references, shape.block_columns):
            columns = slice(left, min(left + shape.block_columns, num_references))
            distance = None
            if form.sees_distance:
                points = query_QD[rows, num_hidden:], reference_KD[columns, num_hidden:]
                distance = _pair_distances(*points)
            if hidden_logits is not None:
                logit = hidden_logits(rows, columns, distance)
            else:
                assert distance is not None
                assert form.slope is not None
                logit = distance.mul_(form.slope).add_(form.bias)
            yield _Block(rows=rows, columns=columns, logit_QK=logit)


def _pair_distances(query_QC: Tensor, reference_KC: Tensor) -> Tensor:
    """L2 distances (Q, K) by one matrix product, in the inputs' type.

    |q|^2 + |r|^2 - 2 q r cancels for near patches, hence float64 inside: the error is then about that of
    the float32 inputs themselves.
    """
    query, reference = query_QC.double(), reference_KC.double()
    squares = torch.addmm(reference.square().sum(1), query, reference.t(), alpha=-2)
    squares += query.square().sum(1, keepdim=True)
    return squares.clamp_min_(0).sqrt_().to(query_QC.dtype)


class _Eager:
    """Two calls a tile, into places made beforehand: with tiles this small each further call would show."""

    def __init__(self, query_QH: Tensor, reference_KH: Tensor, form: PairForm, shape: TileShape) -> None:
        assert form.output_H is not None
        self.form, self.shape = form, shape
        num_hidden = form.num_hidden
        size = (shape.rows, shape.columns)
        query = _padded(query_QH, _up(query_QH.shape[0], shape.rows), num_hidden)
        reference = _padded(reference_KH, _up(reference_KH.shape[0], shape.columns), num_hidden)
        # Hidden units lead, so that the innermost loop of `maximum` is long and the product runs along it.
        self.queries = query.t().contiguous().view(num_hidden, -1, shape.rows, 1).unbind(1)
        self.negatives = (-reference).t().contiguous().view(num_hidden, -1, 1, shape.columns).unbind(1)
        self.constants = (reference @ form.output_H + form.bias).view(-1, shape.columns)
        self.hidden = query.new_empty(num_hidden, *size)
        self.pairs = self.hidden.flatten(1).t()
        tall = min(shape.block_rows // shape.rows, len(self.queries))
        wide = min(shape.block_columns // shape.columns, len(self.negatives))
        self.tiles = query.new_empty(tall, wide, *size)
        self.places = [[tile.view(-1) for tile in row.unbind()] for row in self.tiles.unbind()]
        self.block = query.new_empty(self.tiles.numel())

    def __call__(self, rows: slice, columns: slice, distance_QK: Tensor | None) -> Tensor:
        form, shape = self.form, self.shape
        assert form.output_H is not None
        num_rows, num_columns = rows.stop - rows.start, columns.stop - columns.start
        tall, wide = -(-num_rows // shape.rows), -(-num_columns // shape.columns)
        top, left = rows.start // shape.rows, columns.start // shape.columns
        size = (tall, shape.rows, wide, shape.columns)
        scaled_H11 = distance = None
        if form.distance_H is not None and distance_QK is not None:
            scaled_H11 = form.distance_H[:, None, None]
            distance = _padded(distance_QK, tall * shape.rows, wide * shape.columns).view(size)
        for j, negative in enumerate(self.negatives[left : left + wide]):
            for i, query in enumerate(self.queries[top : top + tall]):
                if distance is None or scaled_H11 is None:
                    torch.maximum(query, negative, out=self.hidden)
                else:
                    # Three passes: the one-pass addcmul is not vectorised over broadcast operands.
                    torch.mul(distance[i, :, j], scaled_H11, out=self.hidden)
                    self.hidden += query
                    torch.maximum(self.hidden, negative, out=self.hidden)
                torch.mv(self.pairs, form.output_H, out=self.places[i][j])
        block = self.block[: math.prod(size)].view(size)
        tiles = self.tiles[:tall, :wide].transpose(1, 2)
        torch.add(tiles, self.constants[left : left + wide], out=block)
        return block.view(tall * shape.rows, -1)[:num_rows, :num_columns]


_LANES = 4
"""Queries that a fused kernel sums side by side: one addition waits for the last, four sums overlap."""


def _hidden_tile(query_QH: Tensor, reference_HK: Tensor, output_H: Tensor, bias: Tensor) -> Tensor:
    """The MLP's part of the logits (Q, K), Q a multiple of `_LANES`, written for the compiler to fuse."""
    lanes = query_QH.view(-1, _LANES, query_QH.shape[1]).unbind(1)
    sums = [((lane[:, :, None] + reference_HK).relu() * output_H[:, None]).sum(1) for lane in lanes]
    return torch.stack(sums, 1).flatten(0, 1) + bias


def _hidden_distance_tile(
    query_QH: Tensor,
    reference_HK: Tensor,
    output_H: Tensor,
    bias: Tensor,
    distance_H: Tensor,
    distance_QK: Tensor,
) -> Tensor:
    """As `_hidden_tile`, for the head that sees the distance."""
    lanes = query_QH.view(-1, _LANES, query_QH.shape[1]).unbind(1)
    distances = distance_QK.view(-1, _LANES, distance_QK.shape[1]).unbind(1)
    sums = []
    for lane, distance in zip(lanes, distances, strict=True):
        hidden = lane[:, :, None] + reference_HK + distance_H[:, None] * distance[:, None]
        sums.append((hidden.relu() * output_H[:, None]).sum(1))
    return torch.stack(sums, 1).flatten(0, 1) + bias


class _Fuser:
    """Compiled tiles, until compiling has failed once: then a warning has named the cause."""

    def __init__(self) -> None:
        self.compiled: dict[_Kernel, _Kernel] = {}
        self.ready: set[tuple[object, ...]] = set()
        self.failed = False

    def prepare(self, kernel: _Kernel, *tensors: Tensor) -> bool:
        """Compile for tensors of these sizes, unless that was done before; False where it cannot be."""
        if self.failed:
            return False
        key = (kernel, torch.is_inference_mode_enabled(), *((t.shape, t.dtype, t.device) for t in tensors))
        if key in self.ready:
            return True
        try:
            if kernel not in self.compiled:
                # fullgraph: past the recompilation limit it raises instead of silently running unfused.
                self.compiled[kernel] = torch.compile(kernel, dynamic=False, fullgraph=True)
            self.compiled[kernel](*tensors)
        except (RuntimeError, OSError, ImportError) as error:  # what dynamo, inductor and compilers raise
            self.failed = True
            cause = next((line for line in str(error).splitlines() if line.strip()), "no message")
            logger.warning(
                "Compiled pair scores cannot be had here; eager ones give equal results, more slowly."
                " Cause: %s: %s",
                type(error).__name__,
                cause,
            )
            return False
        self.ready.add(key)
        return True


@functools.cache
def _process_fuser() -> _Fuser:
    """One per process, so that a kernel is compiled once and a failure is told once."""
    return _Fuser()


class _Fused:
    """One compiled call a block, on inputs padded to its shape."""

    def __init__(self, query_QH: Tensor, reference_KH: Tensor, form: PairForm, shape: TileShape) -> None:
        assert form.output_H is not None
        self.shape, num_hidden = shape, form.num_hidden
        reference = _padded(reference_KH.detach(), _up(reference_KH.shape[0], shape.columns), num_hidden)
        query = _padded(query_QH.detach(), _up(query_QH.shape[0], shape.rows), num_hidden)
        self.reference_THK = reference.view(-1, shape.columns, num_hidden).transpose(1, 2).contiguous()
        self.query_BQH = query.view(-1, shape.rows, num_hidden)
        self.output_H, self.bias = form.output_H.detach().contiguous(), form.bias.detach()
        self.distance_H = None if form.distance_H is None else form.distance_H.detach().contiguous()
        self.kernel = _hidden_tile if form.distance_H is None else _hidden_distance_tile

    def works(self) -> bool:
        """Compiles where that is still to be done; False where it cannot be, which has then been logged."""
        extra: tuple[Tensor, ...] = ()
        if self.distance_H is not None:
            extra = (self.distance_H, self.query_BQH.new_zeros(self.shape.rows, self.shape.columns))
        first = (self.query_BQH[0], self.reference_THK[0], self.output_H, self.bias)
        return _process_fuser().prepare(self.kernel, *first, *extra)

    def __call__(self, rows: slice, columns: slice, distance_QK: Tensor | None) -> Tensor:
        query_QH = self.query_BQH[rows.start // self.shape.rows]
        reference_HK = self.reference_THK[columns.start // self.shape.columns]
        extra: tuple[Tensor, ...] = ()
        if self.distance_H is not None and distance_QK is not None:
            extra = (self.distance_H, _padded(distance_QK, self.shape.rows, self.shape.columns))
        kernel = _process_fuser().compiled[self.kernel]
        logit = kernel(query_QH, reference_HK, self.output_H, self.bias, *extra)
        return logit[: rows.stop - rows.start, : columns.stop - columns.start]


def _up(number: int, multiple: int) -> int:
    """The next multiple."""
    return -(-number // multiple) * multiple


def _padded(tensor: Tensor, num_rows: int, num_columns: int) -> Tensor:
    """Zeros below and to the right; contiguous."""
    missing = (0, num_columns - tensor.shape[1], 0, num_rows - tensor.shape[0])
    return F.pad(tensor, missing).contiguous()
