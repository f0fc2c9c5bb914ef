"""Milliseconds a megapixel and memory of one large image: `python benchmarks/resolution_speed.py`.

dgad's PatchCore (strides 8 and 16, one nearest neighbour) beside anomalib's with its own tiler, on the same
backbone, weights, memory and images, each image in a fresh process, the two taking turns. Told are wall and
CPU time (the least of the rounds), and how much memory a process had at most over what it had when it was
ready. Anomalib's tiles do not overlap, so that its maps have seams and ours none; --anomalib-python names the
interpreter (`anomalib_agreement.py --help` says how to make it), without it ours are measured alone.

To be met: at least 1.5 times as fast as anomalib at every size and number of threads that both manage; time
that grows linearly, no size off the fitted line by more than a fifth; the largest image under 1.5 GiB over
idle. By wall time, or with `--clock cpu` by CPU time, where other work shares the processors.
"""

# H x W pixels, K memory patches, C channels

import argparse
import dataclasses
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ablation import tell
from anomalib_agreement import LAYERS
from safetensors.torch import save_file

from dgad.domains.image_set import ImageSet
from dgad.domains.procedural import draw_domain
from dgad.errors import UserError
from dgad.features.cache import FeatureCache
from dgad.features.settings import FeatureSettings
from dgad.methods.base import Context
from dgad.methods.patchcore import PatchcoreMethod, PatchcoreSettings

HERE = Path(__file__).parent
OURS = "dgad"
WARM_UP_PX = 1280
"""Large enough to be cut, so that what is done once has been done."""
SPEED_UP, MAX_RESIDUAL, MAX_PEAK_MIB = 1.5, 0.2, 1536


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """One size with one number of threads: the least of the rounds, or why there is none."""

    megapixels: float
    ms: float = float("nan")
    cpu_ms: float = float("nan")
    peak_mib: float = float("nan")
    score: float = float("nan")
    failed: str = ""


def write_inputs(folder: Path, options: argparse.Namespace) -> None:
    """Weights and a memory of the size asked for, of procedural references."""
    features = FeatureSettings(backbone=options.backbone, weights=options.weights, scale="native")
    settings = PatchcoreSettings(coreset_ratio=1.0, num_neighbours=1, max_memory_patches=options.bank)
    context = Context(features=features, device=torch.device("cpu"), cache=FeatureCache(0))
    method = PatchcoreMethod(settings, context)
    side = 256
    references = draw_domain(
        0, image_size_px=side, num_normal=-(-options.bank * 64 // side**2), num_abnormal=0
    )
    memory_KC = method.enroll(ImageSet(images=references.images)).tensors["memory"]
    backbone = method.backbone
    weights = backbone.body.state_dict()
    save_file({k: v.contiguous() for k, v in weights.items()}, folder / "weights.safetensors")
    kept = {"memory": memory_KC, "mean": backbone.mean, "std": backbone.std}
    save_file({k: v.contiguous() for k, v in kept.items()}, folder / "memory.safetensors")


def run(command: Sequence[str], folder: Path, side: int, options: argparse.Namespace) -> dict[str, Any]:
    """What one process answers."""
    try:
        done = subprocess.run(
            [*command, str(folder), str(side)],
            capture_output=True,
            text=True,
            check=False,
            timeout=options.timeout_s,
        )
    except subprocess.TimeoutExpired:
        return {"failed": f"longer than {options.timeout_s:g} s"}
    if done.returncode == 0:
        answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return answer
    if done.returncode < 0:
        return {"failed": f"ended by signal {-done.returncode}"}
    raise UserError(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")


def measure(
    commands: Mapping[str, Sequence[str]], folder: Path, threads: int, options: argparse.Namespace
) -> dict[str, list[Measured]]:
    """Every size, smallest first, the systems taking turns; one that failed is asked no larger size."""
    settings = {
        "backbone": options.backbone,
        "weights": options.weights,
        "layers": [LAYERS[s] for s in PatchcoreSettings().strides],
        "tile_px": options.tile_px,
        "warm_up_px": WARM_UP_PX,
        "most_mib": options.most_gib * 1024,
        "num_threads": threads,
    }
    (folder / "settings.json").write_text(json.dumps(settings))
    found: dict[str, list[Measured]] = {name: [] for name in commands}
    for asked in options.megapixels:
        # A whole number of tiles, so that anomalib need not pad.
        side = max(1, round((asked * 1e6) ** 0.5 / options.tile_px)) * options.tile_px
        answers: dict[str, list[dict[str, Any]]] = {name: [] for name in commands}
        for _ in range(options.rounds):
            for name, command in commands.items():
                last = found[name][-1].failed if found[name] else ""
                failed = last or next((a["failed"] for a in answers[name] if "failed" in a), "")
                answer = {"failed": failed} if failed else run(command, folder, side, options)
                answers[name].append(answer)
                tell(f"{name}, {threads} threads, {side} x {side} px: {answer}")
        for name, rows in answers.items():
            found[name].append(least(side**2 / 1e6, rows))
    return found


def least(megapixels: float, answers: Sequence[Mapping[str, Any]]) -> Measured:
    """The quickest round."""
    failed = next((a["failed"] for a in answers if "failed" in a), "")
    if failed:
        return Measured(megapixels=megapixels, failed=failed)
    return Measured(
        megapixels=megapixels,
        ms=1000 * min(a["seconds"] for a in answers),
        cpu_ms=1000 * min(a["cpu_seconds"] for a in answers),
        peak_mib=max(a["peak_mib"] for a in answers),
        score=answers[0]["score"],
    )


def fit_line(rows: Sequence[Measured], *, cpu: bool) -> tuple[float, float, float]:
    """(ms a megapixel, ms whatever the size, largest residual over what was measured) by least squares.

    Relative errors count, so that large images do not decide alone.
    """
    done = [(r.megapixels, r.cpu_ms if cpu else r.ms) for r in rows if not r.failed]
    if len(done) < 3:
        return (float("nan"),) * 3
    x, y = np.array(done).T
    slope, base = np.linalg.lstsq(np.stack([x, np.ones_like(x)], 1) / y[:, None], np.ones_like(y))[0]
    return float(slope), float(base), float(np.abs((slope * x + base) / y - 1).max())


def print_rows(found: Mapping[str, Sequence[Measured]], threads: int, *, cpu: bool) -> list[tuple[str, bool]]:
    """The table of one number of threads; what was to be met, and whether it is."""
    heads = f"{'MP':>7}{'ms/MP':>9}{'CPU ms/MP':>11}{'peak MiB':>10}{'score':>10}{'times':>8}"
    print(f"\n{f'{threads} threads':15}{heads}")
    targets = []
    ours = {r.megapixels: r for r in found[OURS]}
    for name, rows in found.items():
        for row in rows:
            if row.failed:
                print(f"{name:15}{row.megapixels:>7.1f}  {row.failed}")
                continue
            our = ours[row.megapixels]
            times = row.cpu_ms / our.cpu_ms if cpu else row.ms / our.ms
            print(
                f"{name:15}{row.megapixels:>7.1f}{row.ms / row.megapixels:>9.0f}"
                f"{row.cpu_ms / row.megapixels:>11.0f}{row.peak_mib:>10.0f}{row.score:>10.4f}{times:>8.2f}"
            )
            if name != OURS:
                what = f"{row.megapixels:.1f} MP, {threads} threads: {SPEED_UP} times as fast as {name}"
                targets.append((what, times >= SPEED_UP))
    for name, rows in found.items():
        for what in ("wall", "CPU"):
            slope, base, off = fit_line(rows, cpu=what == "CPU")
            print(f"{name:15}{what}: {slope:.0f} ms a megapixel + {base:.0f} ms, residual at most {off:.1%}")
    residual = fit_line(found[OURS], cpu=cpu)[2]
    if not np.isnan(residual):
        targets.append((f"{threads} threads: linear within {MAX_RESIDUAL:.0%}", residual <= MAX_RESIDUAL))
    is_small = all(not r.failed and r.peak_mib <= MAX_PEAK_MIB for r in found[OURS])
    targets.append((f"{threads} threads: at most {MAX_PEAK_MIB} MiB over idle", is_small))
    return targets


def numbers(text: str) -> list[float]:
    """Numbers from `1,2,3`."""
    return [float(part) for part in text.split(",")]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the tables; 1 where a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--megapixels", type=numbers, default=numbers("1,4,16,64"))
    parser.add_argument("--threads", type=numbers, default=numbers("1,2"))
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall", help="what decides")
    parser.add_argument("--bank", type=int, default=2048, help="patches of both memories")
    parser.add_argument("--tile-px", type=int, default=256, help="of anomalib's tiler")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--backbone", default="resnet18")
    parser.add_argument("--weights", default="builtin")
    parser.add_argument("--anomalib-python", help="the interpreter that has anomalib")
    parser.add_argument("--most-gib", type=float, default=8.0, help="memory that anomalib may take over idle")
    parser.add_argument("--timeout-s", type=float, default=1800.0, help="of one process")
    options = parser.parse_args(arguments)
    commands = {OURS: [sys.executable, str(HERE / "resolution_worker.py")]}
    if options.anomalib_python:
        commands["anomalib"] = [options.anomalib_python, str(HERE / "anomalib_tiles_worker.py")]
    targets = []
    with tempfile.TemporaryDirectory(prefix="dgad-resolution-") as name:
        write_inputs(Path(name), options)
        print(f"{options.backbone}, strides 8 and 16, {options.bank} memory patches")
        for threads in map(int, options.threads):
            found = measure(commands, Path(name), threads, options)
            targets += print_rows(found, threads, cpu=options.clock == "cpu")
    print()
    for what, is_met in targets:
        print(f"{'met' if is_met else 'MISSED':8}{what}")
    return 0 if all(is_met for _, is_met in targets) else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UserError as error:
        sys.exit(f"{error}")
