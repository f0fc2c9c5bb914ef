"""What backbone weights are worth on unseen surfaces: `python benchmarks/backbone.py --data DIR`.

Every domain of DIR is a target once, the others are its sources; every row (a method with its settings) is
evaluated on every weights choice with every seed, by the same code as `dgad evaluate`. Printed are the image
and pixel AUROC of every arm METHOD@WEIGHTS, and differences between arms with 95% bootstrap intervals: images
are resampled within each domain, alike for both arms, and seeds are averaged. With --out every result is
appended as it comes, and the same command goes on where it was interrupted. Progress is on standard error.
"""

import argparse
import itertools
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from ablation import Job, figure, run, tell, weights_identity, weights_name

from dgad.device import resolve_device
from dgad.domains import Dataset, open_dataset
from dgad.errors import SettingsError, UserError
from dgad.evaluation.experiment import Evaluation, check_evaluation
from dgad.evaluation.scoring import count_references, parse_num_references
from dgad.evaluation.settings_file import read_settings
from dgad.features.cache import FeatureCache
from dgad.folds import leave_one_out
from dgad.methods import METHODS
from dgad.methods.patch_knn import PatchKnnSettings
from dgad.provenance import current_versions
from dgad.records import FitKey, Record
from dgad.report.tables import difference, leaderboard
from dgad.settings import to_dict

PYRAMID_ROWS: Mapping[str, PatchKnnSettings] = {
    "patch_knn:4": PatchKnnSettings(finest_stride=4, num_levels=1),
    "patch_knn:8": PatchKnnSettings(finest_stride=8, num_levels=1),
    "patch_knn:16": PatchKnnSettings(finest_stride=16, num_levels=1),
    "patch_knn:4+8": PatchKnnSettings(finest_stride=4, num_levels=2),
    "patch_knn:4+8+16": PatchKnnSettings(finest_stride=4, num_levels=3),
}
AVERAGED_ROWS: Mapping[str, PatchKnnSettings] = {
    # What suits random features best, and was the default while there were no others.
    "patch_knn:4 averaged": PatchKnnSettings(
        finest_stride=4,
        num_levels=1,
        neighbourhood=3,
        reference_norm="channel",
        density_correction=False,
        top_fraction=0.05,
    ),
}
COMPARER_ROWS = ("comparer:builtin", "comparer:adapted", "comparer", "comparer:untrained")
WITHOUT_FEATURES = "trivial"
DEFAULT_ROWS = (*PYRAMID_ROWS, *AVERAGED_ROWS, *COMPARER_ROWS, WITHOUT_FEATURES)
LOSS_TO_FLAG = -0.02
"""A domain whose interval lies wholly below it is flagged: more than 2 points are lost."""


def plan(dataset: Dataset, options: argparse.Namespace) -> list[Job]:
    """Every job, those of one weights choice and seed together, so that frozen features are kept."""
    fingerprint, version = dataset.fingerprint(), current_versions()["dgad"]
    folds = [f for f in leave_one_out(tuple(dataset.domains)) if f.target in options.targets]
    jobs: list[Job] = []
    for weights in options.weights:
        settings = read_settings(
            options.settings, backbone=options.backbone, weights=weights, scale=options.scale
        )
        variants = {**PYRAMID_ROWS, **AVERAGED_ROWS, **settings.variants}
        identity = {**to_dict(settings.features), "weights": weights_identity(weights)}
        wanted = [m for m in options.methods if m != WITHOUT_FEATURES or weights == options.weights[0]]
        for seed, fold, label in itertools.product(options.seeds, folds, wanted):
            count = len(dataset.domain(fold.target).train_normals)
            evaluation = Evaluation(
                fold=fold,
                labels=(label,),
                num_references=(count_references(fold.target, count, options.num_references),),
                seeds=(seed,),
                features=settings.features,
                variants=variants,
            )
            name, own = evaluation.settings_of(label)
            key = FitKey(
                method=name,
                settings=to_dict(own),
                features=identity,
                sources=fold.sources if METHODS[name].traits_of(own).learns else (),
                data_fingerprint=fingerprint,
                seed=seed,
                code_version=version,
            )
            jobs.append(Job(arm=f"{label}@{weights_name(weights)}", evaluation=evaluation, key=key))
    refused = left_out(jobs, dataset)
    return [job for job in jobs if job.arm not in refused]


def left_out(jobs: Sequence[Job], dataset: Dataset) -> set[str]:
    """Arms that cannot be had, such as the builtin comparer on random weights; each is told with its reason.

    Other mistakes raise, before anything is decoded.
    """
    refused: set[str] = set()
    for arm, job in {j.arm: j for j in jobs}.items():
        try:
            check_evaluation(dataset, job.evaluation)
            name, own = job.evaluation.settings_of(job.label)
            METHODS[name](own, job.context(FeatureCache(max_bytes=0), torch.device("cpu")))
        except SettingsError as error:
            refused.add(arm)
            tell(f"{arm} is left out: {error}")
    return refused


def print_aurocs(title: str, records: Sequence[Record], metric: str) -> None:
    """Arms by targets: mean and standard error over seeds; then the mean over targets, and by seed."""
    rows = leaderboard(records, metric)
    targets = sorted({t for row in rows for t in row.by_target})
    if not targets:
        return
    seeds = sorted({r.fit.seed for r in records})
    by_seed = {s: leaderboard([r for r in records if r.fit.seed == s], metric) for s in seeds}
    means = {(s, row.label): row.mean.value for s in seeds for row in by_seed[s] if row.mean}
    width = max(len(row.label) for row in rows) + 2
    print(f"\n{title}\n{'':{width}}" + "".join(f"{t[:14]:>16}" for t in (*targets, "mean")) + "   by seed")
    for row in rows:
        cells = []
        for target in targets:
            estimate = row.by_target.get(target)
            several = estimate is not None and estimate.num_seeds > 1 and estimate.high is not None
            error = f" ±{figure(estimate.high - estimate.value)}" if several else ""  # type: ignore
            cells.append(figure(estimate.value if estimate else None) + error)
        cells.append(figure(row.mean.value if row.mean else None))
        spread = " ".join(figure(means.get((s, row.label))) for s in seeds)
        print(f"{row.label:{width}}" + "".join(f"{c:>16}" for c in cells) + f"   {spread}")


def print_difference(records: Sequence[Record], first: str, second: str) -> None:
    """Image AUROC of the first arm minus the second's: the mean over targets, and each target."""
    both = [r for r in records if r.label in (first, second)]
    whole = difference(both, first, second)
    print(f"\n{first} minus {second}")
    if whole is None:
        print("  no target was scored by both")
        return
    print(f"  {'mean of ' + str(whole.num_targets):20}{points(whole.value, whole.low, whole.high)}")
    for target in sorted({r.target for r in both}):
        one = difference([r for r in both if r.target == target], first, second)
        if one is not None:
            flag = "  << wholly below -2 points" if one.high < LOSS_TO_FLAG else ""
            print(f"  {target:20}{points(one.value, one.low, one.high)}{flag}")


def points(value: float, low: float, high: float) -> str:
    """A difference and its interval in hundredths of AUROC."""
    return f"{100 * value:+6.1f} points  95% {100 * low:+6.1f} to {100 * high:+6.1f}"


def default_comparisons(jobs: Sequence[Job]) -> list[tuple[str, str]]:
    """Every row on each further weights choice against the same row on the first."""
    first: dict[str, str] = {}
    pairs = []
    for job in jobs:
        reference = first.setdefault(job.label, job.arm)
        if job.arm != reference and (job.arm, reference) not in pairs:
            pairs.append((job.arm, reference))
    return pairs


def names(text: str) -> tuple[str, ...]:
    """`a,b` as ("a", "b"), each once."""
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", required=True, help="folder or URI of a data set")
    parser.add_argument("--targets", type=names, default=(), metavar="A,B", help="default: every domain")
    parser.add_argument("--weights", type=names, default=("none", "builtin"), metavar="W,W",
                        help="none, builtin, timm or files (default: none,builtin)")  # fmt: skip
    parser.add_argument("--methods", type=names, default=DEFAULT_ROWS, metavar="LABELS",
                        help=f"default: {','.join(DEFAULT_ROWS)}")  # fmt: skip
    parser.add_argument("--settings", metavar="FILE", help="YAML with further rows, as of `dgad evaluate`")
    parser.add_argument("--seeds", type=names, default=("0", "1", "2"), metavar="S,S", help="default: 0,1,2")
    parser.add_argument("--num-references", type=parse_num_references, default=10, metavar="N")
    parser.add_argument("--compare", nargs=2, action="append", metavar=("ARM", "ARM"),
                        help="difference of two arms METHOD@WEIGHTS, may be repeated\n"
                        "(default: every row on each weights choice against the first choice)")  # fmt: skip
    parser.add_argument("--backbone", help="timm model (default: resnet18)")
    parser.add_argument("--scale", help="as of `dgad evaluate`")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="results as JSON lines, kept and reused; begin a new file when the code has changed",
    )
    options = parser.parse_args(arguments)
    if not all(seed.isdigit() for seed in options.seeds):
        parser.error(f"--seeds must be whole numbers, but got {','.join(options.seeds)}")
    options.seeds = tuple(map(int, options.seeds))
    return options


def compare_and_print(arguments: Sequence[str] | None = None) -> None:
    """Everything; `UserError` for a mistake."""
    options = parse(arguments)
    device, dataset = resolve_device(options.device), open_dataset(options.data)
    options.targets = options.targets or tuple(dataset.domains)
    for target in options.targets:
        dataset.domain(target)
    called = [weights_name(w) for w in options.weights]
    if len(set(called)) < len(called):
        raise SettingsError(f"Weights files must differ in name, but got {', '.join(options.weights)}.")
    jobs = plan(dataset, options)
    arms = {job.arm for job in jobs}
    for arm in (a for pair in options.compare or () for a in pair):
        if arm not in arms:
            raise SettingsError(f"`--compare` takes two of {', '.join(sorted(arms))}, but got {arm!r}.")
    records = run(jobs, dataset, device, options.out)
    seeds = ",".join(map(str, options.seeds))
    print(f"{options.data}: {len(options.targets)} targets, seeds {seeds}, {device}")
    print_aurocs("Image AUROC, ± standard error over seeds", records, "image_auroc")
    print_aurocs("Pixel AUROC, ± standard error over seeds", records, "pixel_auroc")
    for first, second in options.compare or default_comparisons(jobs):
        print_difference(records, first, second)
    if len(records) < len(jobs):
        print(f"\n{len(jobs) - len(records)} evaluations failed, see above.")
        sys.exit(1)


def main() -> None:
    """Exit status 2, with one sentence, for a mistake."""
    try:
        compare_and_print()
    except UserError as error:
        tell(f"Error: {error}")
        sys.exit(2)


if __name__ == "__main__":
    main()
