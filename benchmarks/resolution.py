r"""What looking at photographs at their own scale is worth: small defects, whole photographs, time, memory.

`defects`: procedural surfaces of 1600 x 1200 px with defects of 8 to 40 px; image AUROC and AUPRO by the size
of the defect for every scale and method, and the curve of AUROC against size. To be met by the first method:
`native` at least .90 over all sizes.
`surfaces`: the domains of --data at --scale against `squash 128`, several draws of references. To be met:
above it in the mean, and on no domain below it with a 95% interval that leaves out 0.
`speed`: `resolution_speed.py`, milliseconds a megapixel and memory beside anomalib's.
`http`: `resolution_http.py`, median latency and memory of the service by the size of the photograph.

    python benchmarks/resolution.py defects
    python benchmarks/resolution.py surfaces --data DIR --num-good 36 --num-defective 40

All maps of a photograph are brought to one grid before AUPRO is taken, that of its own pixels, so that scales
compare. A defective photograph's share is that of the normal ones that score below it; its mean is the AUROC.
Exits 1 where a target is missed. Progress is on standard error.
"""

import argparse
import contextlib
import itertools
import math
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from ablation import figure, tell
from resolution_arms import Arm, Outcome, Photographs, aupro_of, mean, photographs_of, scored, shares

from dgad.domains import open_dataset
from dgad.domains.geometry import DEFAULT_SCALE, Geometry
from dgad.errors import UserError
from dgad.evaluation.metrics import image_auroc, paired_bootstrap_difference
from dgad.evaluation.settings_file import read_settings
from dgad.seeds import seed_for

HERE = Path(__file__).parent
BASELINE = "squash 128"
WANTED_AUROC = 0.90
DEFAULT_METHODS = "patch_knn,patchcore,comparer:builtin"

Outcomes = Mapping[tuple[str, Arm, int], Outcome]


def run(
    domains: Sequence[Photographs], arms: Sequence[Arm], options: argparse.Namespace
) -> dict[tuple[str, Arm, int], Outcome]:
    """Every arm on every domain with every draw, arms of one domain after each other."""
    outcomes = {}
    for photographs in domains:
        for seed in options.seeds:
            for arm in arms:
                outcome = scored(photographs, arm, seed, options)
                outcomes[photographs.domain.name, arm, seed] = outcome
                auroc = image_auroc(photographs.labels, outcome.scores)
                tell(
                    f"{photographs.domain.name}, {arm}, draw {seed}: image {figure(auroc)}"
                    f" ({outcome.seconds:.1f} s for {len(photographs.samples)})"
                )
    return outcomes


# Small defects


@contextlib.contextmanager
def synthesized(options: argparse.Namespace) -> Iterator[str]:
    """The folder --data, or surfaces that are made for this run."""
    if options.data:
        yield options.data
        return
    with tempfile.TemporaryDirectory(prefix="dgad-resolution-") as name:
        place = Path(name) / "surfaces"
        command = [sys.executable, "-m", "dgad.cli", "domains", "synthesize", str(place)]
        command += ["--size", options.size, "--defect-px", options.defect_px]
        command += ["--num-train", str(options.num_references)]
        command += ["--num-good", str(options.num_good), "--num-defective", str(options.num_defective)]
        if options.domains:
            command += ["--domains", options.domains]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        yield str(place)


def defects(options: argparse.Namespace) -> bool:
    """Tables by the size of the defect; whether `native` finds them."""
    arms = [Arm(method=m, scale=s) for m in options.methods for s in options.scales]
    with synthesized(options) as place:
        domains = opened(place, options)
        outcomes = run(domains, arms, options)
    edges = [float(edge) for edge in options.bins.split(",")]
    ranges = [(0.0, math.inf), *itertools.pairwise(edges)]
    counts = [sum(int(inside(p.defect_px, *r).sum()) for p in domains) for r in ranges]
    heads = ["all", *(f"{low:g}-{high:g} px" for low, high in ranges[1:])]
    print(
        f"\n{len(domains)} surfaces, {options.num_references} references, {len(options.seeds)} draws; by the"
        f" longer side of the defect"
    )
    table = {arm: [binned(domains, outcomes, arm, *r) for r in ranges] for arm in arms}
    for which, title in enumerate(("image AUROC", "AUPRO")):
        print(f"\n{title:32}" + "".join(f"{head:>10}" for head in heads))
        print(f"{'  photographs':32}" + "".join(f"{count:>10}" for count in counts))
        for arm in arms:
            print(f"{arm!s:32}" + "".join(f"{figure(cells[which]):>10}" for cells in table[arm]))
    if options.curve:
        write_curve(options.curve, domains, outcomes, arms)
    first = Arm(method=options.methods[0], scale="native")
    found = table[first][0][0] if first in table else None
    return told(f"{first} at least {figure(WANTED_AUROC)}", (found or 0) >= WANTED_AUROC)


def inside(size: npt.NDArray[np.float64], low: float, high: float) -> npt.NDArray[np.bool_]:
    """Which sizes lie in a bin; a photograph without a defect lies in none."""
    return (size >= low) & (size < high)


def binned(
    domains: Sequence[Photographs], outcomes: Outcomes, arm: Arm, low: float, high: float
) -> tuple[float | None, float | None]:
    """Image AUROC over all defective photographs of that size, and AUPRO, its mean over domains and draws."""
    found: list[float] = []
    pros: list[float | None] = []
    for photographs, outcome in of_arm(domains, outcomes, arm):
        chosen = inside(photographs.defect_px, low, high)
        found += list(shares(photographs, outcome)[chosen[photographs.labels == 1]])
        pros.append(aupro_of(photographs, outcome, chosen))
    return mean(found), mean(pros)


def of_arm(
    domains: Sequence[Photographs], outcomes: Outcomes, arm: Arm
) -> Iterator[tuple[Photographs, Outcome]]:
    """Every domain and draw of an arm."""
    for photographs in domains:
        for (name, one, _), outcome in outcomes.items():
            if one == arm and name == photographs.domain.name:
                yield photographs, outcome


def write_curve(
    place: Path,
    domains: Sequence[Photographs],
    outcomes: Outcomes,
    arms: Sequence[Arm],
) -> None:
    """AUROC against size as CSV: the mean of the shares around each size, by a window of 1.3 times."""
    window = math.log(1.3)
    centres = np.exp(np.linspace(math.log(8), math.log(40), 17))
    with open(place, "w", encoding="utf-8") as file:
        file.write("method,scale,defect_px,auroc,photographs\n")
        for arm in arms:
            size, share = [], []
            for photographs, outcome in of_arm(domains, outcomes, arm):
                size += list(photographs.defect_px[photographs.labels == 1])
                share += list(shares(photographs, outcome))
            known = np.isfinite(size)
            distance, value = np.log(np.array(size)[known]), np.array(share)[known]
            for centre in centres:
                weight = np.exp(-0.5 * ((distance - math.log(centre)) / window) ** 2)
                if weight.sum() >= 1:
                    auroc = float((weight * value).sum() / weight.sum())
                    file.write(f"{arm.method},{arm.scale},{centre:.1f},{auroc:.4f},{weight.sum():.0f}\n")
    tell(f"Wrote {place}.")


# Surfaces of a folder


def surfaces(options: argparse.Namespace) -> bool:
    """The rule's scale beside `squash 128`; whether nothing is lost and the mean is above."""
    domains = opened(options.data, options)
    is_met = True
    for method in options.methods:
        before, now = Arm(method=method, scale=BASELINE), Arm(method=method, scale=options.scale)
        outcomes = run(domains, (before, now), options)
        is_met &= print_surfaces(domains, outcomes, before, now, options)
    return is_met


def print_surfaces(
    domains: Sequence[Photographs],
    outcomes: Outcomes,
    before: Arm,
    now: Arm,
    options: argparse.Namespace,
) -> bool:
    """A row a domain: image AUROC and AUPRO of both, and the difference with its interval."""
    print(
        f"\n{now.method}: `{now.scale}` against `{before.scale}`, {len(options.seeds)} draws of"
        f" {options.num_references} references, image AUROC and AUPRO\n"
        f"{'':18}{'photograph':>12}{'scaled to':>12}{'before':>9}{'now':>7}{'difference':>24}"
        f"{'AUPRO':>8}{'now':>7}"
    )
    differences, lost = [], False
    for photographs in domains:
        name, labels = photographs.domain.name, photographs.labels
        old, new = ([outcomes[name, arm, seed] for seed in options.seeds] for arm in (before, now))
        aurocs = [mean([image_auroc(labels, o.scores) for o in several]) for several in (old, new)]
        low, high = interval(photographs, old, new)
        value = (aurocs[1] or 0) - (aurocs[0] or 0)
        differences.append(value)
        flag = "" if high >= 0 else " <<"
        lost |= high < 0
        everything = labels == 1
        pros = [mean([aupro_of(photographs, o, everything) for o in several]) for several in (old, new)]
        height, width = photographs.sizes[0]
        scaled = Geometry(scale=now.scale).scaled_size(height, width)
        print(
            f"{name:18}{f'{width} x {height}':>12}{f'{scaled[1]} x {scaled[0]}':>12}"
            f"{figure(aurocs[0]):>9}{figure(aurocs[1]):>7}"
            f"{f'{100 * value:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})':>24}"
            f"{figure(pros[0]):>8}{figure(pros[1]):>7}{flag}"
        )
    average = float(np.mean(differences))
    print(f"{'mean':18}{'':>24}{'':>16}{100 * average:>+10.1f}")
    above = told(f"{now} is above {before} in the mean", average > 0)
    return told(f"{now} is nowhere below {before} by more than noise", not lost) and above


def interval(photographs: Photographs, old: Sequence[Outcome], new: Sequence[Outcome]) -> tuple[float, float]:
    """95% interval of the difference: photographs resampled alike for both, averaged over the draws."""
    found = []
    for first, second in zip(new, old, strict=True):
        seed = seed_for(0, photographs.domain.name, "resolution")
        one = paired_bootstrap_difference(photographs.labels, first.scores, second.scores, seed=seed)
        if one is not None:
            found.append(one[1:])
    low, high = np.mean(found, axis=0) if found else (math.nan, math.nan)
    return float(low), float(high)


def opened(place: str, options: argparse.Namespace) -> list[Photographs]:
    """The domains asked for, decoded once to know sizes and masks."""
    dataset = open_dataset(place)
    names = options.domains.split(",") if options.domains else list(dataset.domains)
    return [photographs_of(dataset.domain(name), options) for name in names]


def told(target: str, is_met: bool) -> bool:
    """Print whether a target is met."""
    print(f"{'met' if is_met else 'MISSED':8}{target}", flush=True)
    return is_met


def parse_options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", nargs="+", choices=("defects", "surfaces", "speed", "http"))
    parser.add_argument("--data", help="data folder or URI; `defects` makes its own unless given")
    parser.add_argument("--domains", help="only these, A,B")
    parser.add_argument("--methods", help=f"default: {DEFAULT_METHODS}; of `surfaces` patch_knn")
    parser.add_argument("--settings", help="YAML file whose variants may be named in --methods")
    parser.add_argument("--scales", default="squash 128,squash 256,0.5,native", help="of `defects`")
    parser.add_argument("--scale", default=DEFAULT_SCALE, help="of `surfaces`")
    parser.add_argument("--size", default="1600x1200")
    parser.add_argument("--defect-px", default="8-40")
    parser.add_argument("--bins", default="8,12,16,24,32,48", help="edges in px")
    parser.add_argument("--curve", type=Path, help="CSV to write: AUROC against the size of defects")
    parser.add_argument("--num-references", type=int, default=10)
    parser.add_argument("--num-good", type=int, help="normal test photographs of a domain at most")
    parser.add_argument("--num-defective", type=int, help="defective ones")
    parser.add_argument("--seeds", default="0,1,2", help="draws of references")
    parser.add_argument("--backbone", default="resnet18")
    parser.add_argument("--weights", default="builtin")
    parser.add_argument("--device", default="cpu")
    options, others = parser.parse_known_args(arguments)
    if "surfaces" in options.what and not options.data:
        parser.error("`surfaces` needs --data")
    if others and not {"speed", "http"} & set(options.what):
        parser.error(f"unknown: {' '.join(others)}")
    options.others = others
    options.variants = read_settings(options.settings).variants if options.settings else {}
    options.seeds = tuple(map(int, options.seeds.split(",")))
    options.scales = tuple(s.strip() for s in options.scales.split(","))
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables; 1 where a target is missed."""
    options = parse_options(arguments)
    print(
        f"{options.backbone}, weights {options.weights}, {options.device}, {torch.get_num_threads()} threads"
    )
    all_met = True
    for what in options.what:
        if what in ("speed", "http"):
            command = [sys.executable, str(HERE / f"resolution_{what}.py"), *options.others]
            all_met &= subprocess.run(command, check=False).returncode == 0
            continue
        default = DEFAULT_METHODS if what == "defects" else "patch_knn"
        one = argparse.Namespace(**vars(options) | {"methods": (options.methods or default).split(",")})
        if what == "defects":
            one.num_good, one.num_defective = options.num_good or 12, options.num_defective or 20
        all_met &= defects(one) if what == "defects" else surfaces(one)
    return 0 if all_met else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UserError as error:
        sys.exit(f"{error}")
