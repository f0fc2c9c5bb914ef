"""Pair scores and ranking loss against their naive forms, in one run: `python benchmarks/pairwise.py`.

Times are medians of several runs, the contenders taking turns. On a CPU they are processor time of the
one thread, because wall time on a shared machine measures the others; wall time stands beside it.
Memory is the rise of the resident set's high-water mark (CPU, Linux) or of the allocator's peak (CUDA).
The floor is the time of two vector operations a pair and hidden unit at the rate that a large matrix
product reached in the same run (each of its multiply-adds counted as one operation).
"""

# Q queries, K references, C channels, H hidden units, P patches

import argparse
import ctypes
import dataclasses
import gc
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from dgad.comparer.heads import MlpHead
from dgad.comparer.losses import ranking_loss
from dgad.comparer.pairwise import Aggregation, pair_scores

MIB = 2**20
FLOAT_BYTES = 4


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """Medians over the runs."""

    work_ms: float
    wall_ms: float
    wall_min_ms: float
    peak_bytes: int | None


class Meter:
    """Clock and memory of one device."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.on_cuda = device.type == "cuda"

    def run(self, work: Callable[[], object]) -> tuple[float, float]:
        """Processor seconds (wall seconds on CUDA) and wall seconds."""
        if self.on_cuda:
            torch.cuda.synchronize()
        wall, processor = time.perf_counter(), time.thread_time()
        work()
        if self.on_cuda:
            torch.cuda.synchronize()
        wall, processor = time.perf_counter() - wall, time.thread_time() - processor
        return (wall if self.on_cuda else processor), wall

    def peak(self, work: Callable[[], object]) -> int | None:
        """Peak extra bytes, in a run of its own."""
        gc.collect()
        before = self._reset_peak()
        work()
        return None if before is None else self._peak() - before

    def _reset_peak(self) -> int | None:
        if self.on_cuda:
            torch.cuda.reset_peak_memory_stats()
            return torch.cuda.memory_allocated()
        try:
            ctypes.CDLL("libc.so.6").malloc_trim(0)  # or freed memory would hide what is taken again
            Path("/proc/self/clear_refs").write_text("5")
        except OSError:
            return None
        return _status_bytes("VmRSS")

    def _peak(self) -> int:
        return torch.cuda.max_memory_allocated() if self.on_cuda else _status_bytes("VmHWM")


def _status_bytes(key: str) -> int:
    (line,) = [x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith(key + ":")]
    return int(line.split()[1]) * 1024


Work = Callable[[], object]


def measure(
    meter: Meter, contenders: Mapping[str, tuple[int, Work]], *, backward: bool = False
) -> dict[str, Measured]:
    """Every contender (number of runs, work), taking turns after one warm-up of those that run often.

    With `backward` each work gives scores, off the clock, and their backward pass is measured.
    """

    def timed(work: Work) -> Work:
        if not backward:
            return work
        scores = work()
        assert isinstance(scores, Tensor)
        return scores.sum().backward

    for num_runs, work in contenders.values():
        if num_runs > 3:
            work()
    seen: dict[str, list[tuple[float, float]]] = {name: [] for name in contenders}
    for turn in range(max(n for n, _ in contenders.values())):
        for name, (num_runs, work) in contenders.items():
            if turn < num_runs:
                seen[name].append(meter.run(timed(work)))
    measured = {}
    for name, runs in seen.items():
        measured[name] = Measured(
            work_ms=1e3 * statistics.median(run[0] for run in runs),
            wall_ms=1e3 * statistics.median(run[1] for run in runs),
            wall_min_ms=1e3 * min(run[1] for run in runs),
            peak_bytes=meter.peak(timed(contenders[name][1])),
        )
    return measured


def print_table(title: str, measured: Mapping[str, Measured], floor_ms: float | None = None) -> None:
    """Ratios are to the first row, where that is not one of ours."""
    print(f"\n{title}")
    print(f"{'':34}{'ms':>10}{'wall ms':>10}{'least':>10}{'ratio':>9}{'peak MiB':>11}{'x floor':>9}")
    first = next(iter(measured.values()))
    for name, m in measured.items():
        peak = "-" if m.peak_bytes is None else f"{m.peak_bytes / MIB:.1f}"
        over = "-" if floor_ms is None else f"{m.work_ms / floor_ms:.1f}"
        ratio = f"{first.work_ms / m.work_ms:.1f}x" if "eager, max" not in next(iter(measured)) else "-"
        print(
            f"{name:34}{m.work_ms:10.1f}{m.wall_ms:10.1f}{m.wall_min_ms:10.1f}{ratio:>9}{peak:>11}{over:>9}"
        )


def naive_scores(query_QC: Tensor, reference_KC: Tensor, head: MlpHead, num_rows: int) -> Tensor:
    """Eq. 1 as printed, maximum over references, `num_rows` queries at a time."""
    weight = torch.cat((head.query_weight_HC, head.reference_weight_HC), 1)
    scores = []
    for query in query_QC.split(num_rows):
        size = (query.shape[0], reference_KC.shape[0], -1)
        pair = torch.cat((query[:, None].expand(size), reference_KC[None].expand(size)), -1)
        hidden = torch.relu(torch.nn.functional.linear(pair, weight, head.hidden_bias_H))
        scores.append((hidden @ head.output_H + head.bias).amax(1))
    return torch.cat(scores)


def all_pairs_ranking(score_P: Tensor, attention_P: Tensor) -> Tensor:
    """Eq. 4 over every pair, vectorised."""
    difference = attention_P[:, None] - attention_P
    hinge = (1 + difference.sign() * (score_P[:, None] - score_P)).clamp_min(0)
    num = score_P.shape[0]
    return (torch.expm1(difference.abs()) * hinge).sum() / (num * (num - 1))


def looped_ranking(score_P: Tensor, attention_P: Tensor) -> Tensor:
    """Eq. 4 as a loop over u, vectorised over v."""
    total = score_P.new_zeros(())
    for u in range(score_P.shape[0]):
        difference = attention_P[u] - attention_P[u + 1 :]
        hinge = (1 + difference.sign() * (score_P[u] - score_P[u + 1 :])).clamp_min(0)
        total = total + (torch.expm1(difference.abs()) * hinge).sum()
    num = score_P.shape[0]
    return total * 2 / (num * (num - 1))


def vector_operations_per_s(device: torch.device) -> float:
    """Multiply-adds a second of a 1024 x 1024 product, best of several."""
    a, b = torch.randn(1024, 1024, device=device), torch.randn(1024, 1024, device=device)
    meter = Meter(device)
    return 1024**3 / min(meter.run(lambda: a @ b)[0] for _ in range(20))


def available_bytes(device: torch.device) -> int:
    """Memory that the naive form may take."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info()[0])
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable"):
            return int(line.split()[1]) * 1024
    return 0


def with_gradients(work: Callable[[], Tensor]) -> Callable[[], Tensor]:
    """`work`, then its backward pass."""

    def run() -> Tensor:
        result = work()
        result.sum().backward()
        return result

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--queries", type=int, default=1024, help="N_Q")
    parser.add_argument("--references", type=int, default=8192, help="N_R")
    parser.add_argument("--channels", type=int, default=64, help="C")
    parser.add_argument("--hidden", type=int, default=64, help="H")
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--small", action="store_true", help="N_Q 256 and N_R 2048: half a GiB, seconds")
    options = parser.parse_args()
    if options.small:
        options.queries, options.references = 256, 2048
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    meter = Meter(device)
    generator = torch.Generator().manual_seed(0)
    num_q, num_k, num_c, num_h = options.queries, options.references, options.channels, options.hidden
    head = MlpHead(num_c, num_h, "random", generator=generator).to(device)
    query = torch.randn(num_q, num_c, generator=generator).to(device)
    reference = torch.randn(num_k, num_c, generator=generator).to(device)
    rate = vector_operations_per_s(device)
    floor_ms = 1e3 * 2 * num_q * num_k * num_h / rate
    needed, available = num_q * num_k * (2 * num_c + 2 * num_h) * FLOAT_BYTES, available_bytes(device)
    num_rows = num_q if needed * 1.2 < available else max(1, int(num_q * available / (needed * 2.5)))
    load = f", load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores" if hasattr(os, "getloadavg") else ""
    print(f"torch {torch.__version__} {platform.machine()} {device}, {options.threads} thread(s){load}")
    print(f"N_Q {num_q}, N_R {num_k}, C {num_c}, H {num_h}; {rate / 1e9:.0f} G vector operations/s")
    print(f"floor {floor_ms:.1f} ms; naive needs {needed / MIB:.0f} MiB, {available / MIB:.0f} are free")
    if num_rows < num_q:
        print(f"Too little memory for naive at once: it takes {num_rows} queries at a time.")

    def ours(
        aggregation: Aggregation, compiled: bool, references: Tensor = reference
    ) -> Callable[[], Tensor]:
        return lambda: pair_scores(query, references, head, aggregation=aggregation, compiled=compiled)

    with torch.no_grad():
        error = (ours("max", True)() - naive_scores(query, reference, head, num_rows)).abs().max().item()
        forward = {"naive concatenation, max": (3, lambda: naive_scores(query, reference, head, num_rows))}
        aggregation: Aggregation
        for aggregation in ("max", "min", "softmin"):
            for compiled in (False, True):
                name = f"{'compiled' if compiled else 'eager'}, {aggregation}"
                forward[name] = (options.runs, ours(aggregation, compiled))
        measured = measure(meter, forward)
    print_table("Forward", measured, floor_ms)
    print(f"largest difference of compiled from naive: {error:.1e}")

    query.requires_grad_()
    some = reference[: num_k // 8].clone().requires_grad_()
    reference.requires_grad_()
    # Naive keeps everything for its backward pass: an eighth of the references must do.
    small = {"naive concatenation, max": (2, with_gradients(lambda: naive_scores(query, some, head, num_q)))}
    large, backward = {}, {}
    for aggregation, runs in (("max", options.runs), ("min", options.runs), ("softmin", 2)):
        small[f"eager, {aggregation}"] = (runs, with_gradients(ours(aggregation, False, some)))
        for compiled in (False, True):
            name = f"{'compiled' if compiled else 'eager'}, {aggregation}"
            large[name] = (runs, with_gradients(ours(aggregation, compiled)))
            backward[name] = (runs, ours(aggregation, compiled))
    print_table(f"Forward and backward, N_R {num_k // 8}", measure(meter, small), floor_ms / 8)
    print_table(f"Forward and backward, N_R {num_k}", measure(meter, large), floor_ms)
    print_table(f"Backward alone, N_R {num_k}", measure(meter, backward, backward=True))

    num_p = 512 if options.small else 4096
    score = torch.rand(num_p, generator=generator, dtype=torch.float64).to(device).requires_grad_()
    attention = torch.rand(num_p, generator=generator, dtype=torch.float64).to(device)
    ranking = {
        "loop over patches": (2, with_gradients(lambda: looped_ranking(score, attention))),
        "all pairs at once": (3, with_gradients(lambda: all_pairs_ranking(score, attention))),
        "sorted": (options.runs, with_gradients(lambda: ranking_loss(score, attention, 1.0))),
    }
    print_table(f"Ranking loss with gradient, float64, P {num_p}", measure(meter, ranking))
    difference = (ranking_loss(score, attention, 1.0) - all_pairs_ranking(score, attention)).abs().item()
    print(f"difference of the sorted form: {difference:.1e}")


if __name__ == "__main__":
    main()
