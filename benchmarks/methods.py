"""Every method on equal terms on unseen domains: `python benchmarks/methods.py --data DIR`.

Every domain of DIR is a target once, the others are its sources; backbone, references, image size and seeds
are the same for all. A method whose fit (for the reconstruction family: its enrolment) takes under a minute
is run with every seed, a slower one with the first alone. Printed are image and pixel AUROC, the training
steps that a method is given, the seconds a fit took and the milliseconds an image takes. With --out every
result is appended as it comes, and the same command goes on where it was interrupted.
"""

import argparse
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

import backbone
import torch
from ablation import Job, figure, run, tell

from dgad.device import resolve_device
from dgad.domains import open_dataset
from dgad.errors import UserError
from dgad.evaluation.scoring import parse_num_references
from dgad.methods import METHODS
from dgad.records import Record
from dgad.report.tables import leaderboard


def labels(weights: str) -> tuple[str, ...]:
    """Every method with its default settings, and the shipped comparer where it can be had."""
    return (*(("comparer:builtin",) if weights == "builtin" else ()), *METHODS)


def print_table(records: Sequence[Record], jobs: Sequence[Job]) -> None:
    """One row a method, best mean first."""
    pixel = {row.label: row.mean for row in leaderboard(records, "pixel_auroc")}
    by_arm = {job.arm: job for job in jobs}
    targets = sorted({r.target for r in records})
    width = 2 + max(len(job.label) for job in jobs)
    print(
        f"\n{'':{width}}"
        + "".join(f"{t[:13]:>15}" for t in targets)
        + f"{'mean':>8}{'pixel':>8}{'steps':>7}{'fit s':>8}{'ms/image':>10}{'seeds':>7}"
    )
    for row in leaderboard(records, "image_auroc"):
        own = [r for r in records if r.label == row.label]
        cells = []
        for target in targets:
            estimate = row.by_target.get(target)
            several = estimate is not None and estimate.num_seeds > 1 and estimate.high is not None
            error = f" ±{figure(estimate.high - estimate.value)}" if several else ""  # type: ignore
            cells.append(f"{figure(estimate.value if estimate else None) + error:>15}")
        job = by_arm[row.label]
        steps = getattr(job.evaluation.settings_of(job.label)[1], "num_steps", 0)
        fit_s = statistics.median(r.fit_s for r in own if r.fit_s is not None)
        mean_pixel = pixel[row.label]
        print(
            f"{job.label:{width}}"
            + "".join(cells)
            + f"{figure(row.mean.value if row.mean else None):>8}"
            + f"{figure(mean_pixel.value if mean_pixel else None):>8}"
            + f"{steps:>7}{fit_s:>8.1f}{row.ms_per_image or float('nan'):>10.1f}"
            + f"{len({r.fit.seed for r in own}):>7}"
        )


def main() -> None:
    """Run what is missing, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", required=True, help="folder or URI of a data set")
    parser.add_argument("--weights", default="builtin", help="none, builtin, timm or a file")
    parser.add_argument("--methods", type=backbone.names, help="default: all")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--num-references", type=parse_num_references, default=10)
    parser.add_argument("--scale", help="as of `dgad evaluate`")
    parser.add_argument(
        "--slow-s",
        type=float,
        default=60.0,
        metavar="S",
        help="a fit this long is made once only (default: 60)",
    )
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    options = argparse.Namespace(
        **vars(given) | {"settings": None, "backbone": None, "targets": (), "weights": (given.weights,)}
    )
    options.methods = given.methods or labels(given.weights)
    seeds = tuple(map(int, given.seeds.split(",")))
    dataset, device = open_dataset(given.data), resolve_device("auto")
    options.targets = tuple(dataset.domains)
    options.seeds = seeds[:1]
    jobs = backbone.plan(dataset, options)
    records = list(run(jobs, dataset, device, given.out))
    longest = {j.label: max((r.fit_s or 0 for r in records if r.label == j.arm), default=0) for j in jobs}
    options.methods = tuple(
        label for label in options.methods if longest.get(label, given.slow_s) < given.slow_s
    )
    options.seeds = seeds[1:]
    if options.methods and options.seeds:
        more = backbone.plan(dataset, options)
        records += run(more, dataset, device, given.out)
    print(f"{given.data}: {len(dataset.domains)} targets, {device}, {torch.get_num_threads()} threads")
    print_table(records, jobs)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        tell(f"Error: {error}")
        sys.exit(2)
