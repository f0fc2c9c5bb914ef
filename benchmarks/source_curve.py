"""What more source domains are worth to a method: `python benchmarks/source_curve.py --data DIR`.

Every domain of DIR is a target; the domains of its group (`--groups A,B`, siblings such as several papers)
are left out together, and a fit serves all targets of its group. The others are sources, in a seeded order
that takes one of every group before a second of any; a count takes the first so many of them, at most all.
Beside the method stand others that learn nothing (`--beside`), with the same features and the same draws of
references. Printed are mean image AUROC over targets and over groups by the number of sources, and the
paired difference with its 95% interval, a bootstrap over test images, draws of references and seeds. With
--out every result is appended as it comes, and the same command goes on where it was interrupted.
"""

# N queries

import argparse
import dataclasses
import hashlib
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ablation import figure, tell
from curve_table import Row, mean_auroc, print_table, read_rows, write_csv
from memory_bound import draw, numbers

from dgad.device import resolve_device
from dgad.domains import Dataset, open_dataset
from dgad.domains.image_set import ImageSet
from dgad.domains.images import load_images
from dgad.errors import SettingsError, UserError
from dgad.evaluation.experiment import Evaluation
from dgad.evaluation.metrics import image_auroc
from dgad.evaluation.scoring import draw_references
from dgad.evaluation.settings_file import read_settings
from dgad.features.cache import FeatureCache
from dgad.folds import Fold
from dgad.methods import METHODS
from dgad.methods.base import Context, Method
from dgad.records import canonical_json
from dgad.seeds import seed_for
from dgad.settings import to_dict
from dgad.training.sources import SourceDomain, load_source


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """A surface to be scored: references to draw from, and queries with their labels (N,)."""

    name: str
    normals: ImageSet
    queries: ImageSet
    labels: tuple[int, ...]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Fit:
    """One fit and the targets that it serves."""

    label: str
    group: str
    targets: tuple[str, ...]
    sources: tuple[str, ...]
    seed: int


class Curve:
    """The fits of one command, and what is common to them."""

    def __init__(self, dataset: Dataset, options: argparse.Namespace) -> None:
        file = read_settings(
            options.settings,
            weights=options.weights,
            scale=options.scale,
            normalisation=options.normalisation,
        )
        self.dataset, self.options, self.features = dataset, options, file.features
        self.variants: Mapping[str, Any] = file.variants
        self.groups = group_domains(tuple(dataset.domains), options.groups)
        self.cache = FeatureCache()
        self._targets: dict[str, Target] = {}
        self._sources: dict[str, SourceDomain] = {}

    def settings_of(self, label: str) -> tuple[str, Any]:
        """(registry name, settings) of a label."""
        fold = Fold(target="", sources=())
        return Evaluation(
            fold=fold,
            labels=(label,),
            num_references=(self.options.num_references,),
            seeds=(0,),
            features=self.features,
            variants=self.variants,
        ).settings_of(label)

    def digest(self, label: str) -> str:
        """What a row's figure depends on beside what the row says."""
        name, settings = self.settings_of(label)
        options = self.options
        cut = [options.num_references, options.num_normal, options.num_abnormal]
        what = [name, to_dict(settings), to_dict(self.features), cut]
        return hashlib.sha256(canonical_json({"what": what}).encode()).hexdigest()[:16]

    def plan(self) -> Iterator[Fit]:
        """What learns nothing first, then every count of the first seed, then the next seed."""
        options = self.options
        wanted = [
            (group, tuple(t for t in members if not options.targets or t in options.targets))
            for group, members in self.groups.items()
        ]
        wanted = [(group, targets) for group, targets in wanted if targets]
        for label in options.beside:
            for group, targets in wanted:
                yield Fit(label=label, group=group, targets=targets, sources=(), seed=0)
        made: set[tuple[str, tuple[str, ...], int]] = set()
        for seed in options.seeds:
            for count in sorted(options.counts, reverse=True):
                for group, targets in wanted:
                    sources = order_sources(self.groups, group, seed)[:count]
                    # Beyond what a group has as sources a larger count is the same fit.
                    if (group, sources, seed) not in made:
                        made.add((group, sources, seed))
                        yield Fit(
                            label=options.method, group=group, targets=targets, sources=sources, seed=seed
                        )

    def target(self, name: str) -> Target:
        """The domain as one to be scored, its test images cut."""
        if name not in self._targets:
            domain, options = self.dataset.domain(name), self.options
            good = draw([s for s in domain.tests if not s.label], options.num_normal, 0)
            bad = draw([s for s in domain.tests if s.label], options.num_abnormal, 0)
            self._targets[name] = Target(
                name=name,
                normals=load_images(domain.train_normals, self.features.geometry),
                queries=load_images([*good, *bad], self.features.geometry),
                labels=tuple(s.label for s in (*good, *bad)),
            )
        return self._targets[name]

    def source(self, name: str) -> SourceDomain:
        """The domain as one to learn from."""
        if name not in self._sources:
            self._sources[name] = load_source(self.dataset.domain(name), self.features.geometry)
        return self._sources[name]

    def fitted(self, fit: Fit) -> Method:
        """The method, learnt on the fit's sources."""
        name, settings = self.settings_of(fit.label)
        context = Context(features=self.features, device=resolve_device("auto"), cache=self.cache)
        METHODS[name].check_features(settings, self.features)
        method = METHODS[name](settings, context)
        method.fit([self.source(s) for s in fit.sources], seed=fit.seed)
        return method

    def rows(self, fit: Fit) -> Iterator[Row]:
        """Fit, and score every target with every draw of references."""
        started = time.perf_counter()
        method = self.fitted(fit)
        fit_s = time.perf_counter() - started
        for name in fit.targets:
            target = self.target(name)
            for number in range(self.options.draws):
                drawn = draw_references(name, len(target.normals), self.options.num_references, number)
                scores = method.score(target.queries, method.enroll(target.normals.take(drawn))).image
                yield Row(
                    label=fit.label,
                    settings=self.digest(fit.label),
                    target=name,
                    group=fit.group,
                    sources=fit.sources,
                    seed=fit.seed,
                    draw=number,
                    auroc=image_auroc(np.array(target.labels), scores.numpy()) or float("nan"),
                    fit_s=fit_s,
                    labels=target.labels,
                    scores=tuple(float(s) for s in scores),
                )


def group_domains(domains: Sequence[str], siblings: Sequence[Sequence[str]]) -> dict[str, tuple[str, ...]]:
    """Groups by the name of their first member; a domain that no group names is its own."""
    named = [name for group in siblings for name in group]
    for name in named:
        if name not in domains:
            raise SettingsError(
                f"`--groups` names `{name}`, which is no domain; there are {', '.join(domains)}."
            )
        if named.count(name) > 1:
            raise SettingsError(f"`--groups` names `{name}` more than once; a domain is in one group.")
    own = {name: group for group in siblings for name in group}
    found = {}
    for name in domains:
        members = own.get(name, (name,))
        found[min(members)] = tuple(sorted(members))
    if len(found) < 2:
        raise SettingsError("At least 2 groups of domains are needed, so that one can be left out.")
    return found


def order_sources(groups: Mapping[str, Sequence[str]], left_out: str, seed: int) -> tuple[str, ...]:
    """All domains but those of a group: one of every other group, drawn, before a second of any."""
    rng = np.random.default_rng(seed_for(seed, left_out, "sources"))
    queues = [list(rng.permutation(groups[g])) for g in rng.permutation(sorted(groups)) if g != left_out]
    order: list[str] = []
    for turn in range(max(map(len, queues))):
        order += [str(queue[turn]) for queue in queues if turn < len(queue)]
    return tuple(order)


def run(curve: Curve) -> list[Row]:
    """The rows of all fits: those in `--out`, and what is missing, computed and appended."""
    options = curve.options
    digests = {label: curve.digest(label) for label in (*options.beside, options.method)}
    kept = [r for r in read_rows(options.out) if digests.get(r.label) == r.settings]
    done = {(r.label, r.sources, r.seed, r.target, r.draw) for r in kept}
    fits = list(curve.plan())
    found = []
    for number, fit in enumerate(fits, start=1):
        wanted = {(fit.label, fit.sources, fit.seed, t, d) for t in fit.targets for d in range(options.draws)}
        if wanted <= done:
            found += [r for r in kept if (r.label, r.sources, r.seed, r.target, r.draw) in wanted]
            continue
        rows = list(curve.rows(fit))
        found += rows
        if options.out is not None:
            with options.out.open("a", encoding="utf-8") as file:
                file.writelines(json.dumps(dataclasses.asdict(row)) + "\n" for row in rows)
        aurocs = [f"{t} {figure(mean_auroc(r for r in rows if r.target == t))}" for t in fit.targets]
        tell(
            f"[{number}/{len(fits)}] {fit.label}, {len(fit.sources)} sources, seed {fit.seed}:"
            f" {', '.join(aurocs)} ({rows[0].fit_s:.0f} s)"
        )
    return found


def names(text: str) -> tuple[str, ...]:
    """Names from `a,b,c`."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is missing, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", required=True, help="folder or URI of a data set")
    parser.add_argument("--method", default="comparer", help="what learns (default: comparer)")
    parser.add_argument("--beside", type=names, default=("patch_knn",), help="what it stands beside")
    parser.add_argument("--settings", help="YAML with features and methods, as of `dgad evaluate`")
    parser.add_argument("--groups", type=names, nargs="*", default=[], help="siblings, as A,B")
    parser.add_argument("--targets", type=names, default=(), help="default: all")
    parser.add_argument("--counts", type=numbers, default=[2, 4, 7, 11], help="of sources")
    parser.add_argument("--seeds", type=numbers, default=[0, 1, 2])
    parser.add_argument("--draws", type=int, default=3, help="of references")
    parser.add_argument("--num-references", type=int, default=10)
    parser.add_argument("--num-normal", type=int, default=36, help="at most so many normal queries")
    parser.add_argument("--num-abnormal", type=int, default=40)
    parser.add_argument("--weights")
    parser.add_argument("--scale")
    parser.add_argument("--normalisation", help="pretrained, references or `blend A`")
    parser.add_argument("--out", type=Path, help="a file of JSON lines, appended to")
    parser.add_argument("--csv", type=Path, help="a file of all figures, written anew")
    options = parser.parse_args(arguments)
    curve = Curve(open_dataset(options.data), options)
    rows = run(curve)
    if options.csv is not None:
        write_csv(rows, options.csv)
    print(f"{options.data}: {len(curve.groups)} groups, {torch.get_num_threads()} threads")
    print_table(rows, options)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        tell(f"Error: {error}")
        sys.exit(2)
