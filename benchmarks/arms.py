r"""Arms side by side on the same photographs and references: `python benchmarks/arms.py --data DIR ARM ...`.

An arm is a method that needs no source, and what it does otherwise: fields of the features or of the method.

    python benchmarks/arms.py --data DIR patch_knn "patch_knn normalisation='blend 0.5'"
    python benchmarks/arms.py --data DIR --num-references 1,2,5,10,20,40 "patchcore scale=native"

Printed are image and pixel AUROC and AUPRO by surface, their means over surfaces and over `--groups` of them
(each group counts once), and every arm's difference from the first with a 95% interval: photographs are
resampled within each surface, alike for both arms, and so are the draws of references. With --out every
result is appended as it comes, and the same command goes on where it was interrupted. Progress is on standard
error.
"""

# S surfaces, G groups, D draws of references, B bootstrap draws

import argparse
import dataclasses
import json
import shlex
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch.nn.functional as F
import yaml
from resolution_arms import Map, Photographs, photographs_of

from dgad.device import resolve_device
from dgad.domains import open_dataset
from dgad.domains.geometry import map_size
from dgad.domains.images import load_images
from dgad.errors import SettingsError, UserError
from dgad.evaluation.metrics import aupro, bootstrap_aurocs, central_interval, image_auroc, pixel_auroc
from dgad.evaluation.scoring import draw_references
from dgad.features.cache import FeatureCache
from dgad.features.settings import FeatureSettings
from dgad.methods import METHODS, parse_method
from dgad.methods.base import Context, Method
from dgad.seeds import seed_for
from dgad.settings import from_dict, to_dict

_NUM_BOOTSTRAP = 1000
_FIGURES = {"auroc": "image AUROC", "pixel_auroc": "pixel AUROC", "aupro": "AUPRO"}


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Arm:
    """A method with settings and features."""

    text: str
    method: str
    settings: Any
    features: FeatureSettings

    def build(self, device: str) -> Method:
        """Fitted without sources: what learns draws procedural surfaces of its own."""
        context = Context(features=self.features, device=resolve_device(device), cache=FeatureCache(2**29))
        METHODS[self.method].check_features(self.settings, self.features)
        made = METHODS[self.method](self.settings, context)
        made.fit((), seed=0)
        return made


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One arm on one surface with one draw of references."""

    arm: str
    surface: str
    num_references: int
    draw: int
    scores: tuple[float, ...]
    labels: tuple[int, ...]
    pixel_auroc: float | None
    aupro: float | None
    enrol_s: float
    ms_per_image: float


def parse_arm(text: str) -> Arm:
    """`LABEL [FIELD=VALUE ...]`; raises `SettingsError` for what is no field of either."""
    label, *changes = shlex.split(text)
    name, _, settings = parse_method(label)
    features = FeatureSettings()
    for change in changes:
        key, _, value = change.partition("=")
        given = {key: yaml.safe_load(value)}
        if key in to_dict(features):
            given = {key: value} if key in ("scale", "normalisation") else given
            features = from_dict(FeatureSettings, {**to_dict(features), **given})
        elif key in to_dict(settings):
            settings = from_dict(type(settings), {**to_dict(settings), **given})
        else:
            raise SettingsError(
                f"{key!r} is a field neither of the features nor of `{name}`: {', '.join(to_dict(features))};"
                f" {', '.join(to_dict(settings))}."
            )
    if METHODS[name].traits_of(settings).min_sources > 0:
        raise SettingsError(f"`{label}` learns from sources: benchmarks/methods.py compares such methods.")
    return Arm(text=text, method=name, settings=settings, features=features)


def score(photographs: Photographs, arm: Arm, method: Method, count: int, draw: int) -> Row:
    """Enrol a draw of references and score every photograph."""
    normals, geometry = photographs.domain.train_normals, arm.features.geometry
    chosen = draw_references(photographs.domain.name, len(normals), count, draw)
    references = load_images([normals[i] for i in chosen], geometry)
    began = time.perf_counter()
    enrolled = method.enroll(references)
    enrol_s = time.perf_counter() - began
    began = time.perf_counter()
    answer = method.score(load_images(list(photographs.samples), geometry), enrolled)
    scoring_s = time.perf_counter() - began
    maps = [
        F.interpolate(found[None, None].float(), size=map_size(*size), mode="bilinear")[0, 0].numpy()
        for found, size in zip(answer.pixels or (), photographs.sizes, strict=answer.pixels is not None)
    ]
    scores = answer.image.double().numpy()
    by_pixel = pixel_figures(photographs, maps)
    return Row(
        arm=arm.text,
        surface=photographs.domain.name,
        num_references=count,
        draw=draw,
        scores=tuple(scores.tolist()),
        labels=tuple(photographs.labels.tolist()),
        pixel_auroc=by_pixel[0],
        aupro=by_pixel[1],
        enrol_s=enrol_s,
        ms_per_image=1000 * scoring_s / len(scores),
    )


def pixel_figures(photographs: Photographs, maps: Sequence[Map]) -> tuple[float | None, float | None]:
    """(pixel AUROC, AUPRO) at the photographs' own pixels; None without maps or without every mask."""
    masks = []
    for heat, mask, label in zip(maps, photographs.masks, photographs.labels, strict=bool(maps)):
        if mask is None and label:
            return None, None
        masks.append(np.zeros(heat.shape, dtype=bool) if mask is None else mask)
    return (pixel_auroc(masks, maps), aupro(masks, maps)) if maps else (None, None)


def gather(options: argparse.Namespace, arms: Sequence[Arm]) -> Iterator[Row]:
    """Every result, those of an earlier call first."""
    known: dict[tuple[str, str, int, int], Row] = {}
    if options.out and options.out.is_file():
        for line in options.out.read_text().splitlines():
            found = json.loads(line)
            read = Row(**{**found, "scores": tuple(found["scores"]), "labels": tuple(found["labels"])})
            known[read.arm, read.surface, read.num_references, read.draw] = read
    dataset = open_dataset(options.data)
    methods: dict[str, Method] = {}
    for name in options.domains or list(dataset.domains):
        photographs: Photographs | None = None
        for count in options.num_references:
            for draw in range(options.draws):
                for arm in arms:
                    before = known.get((arm.text, name, count, draw))
                    if before is not None:
                        yield before
                    else:
                        photographs = photographs or photographs_of(dataset.domain(name), options)
                        if count > len(photographs.domain.train_normals):
                            continue
                        if arm.text not in methods:
                            methods[arm.text] = arm.build(options.device)
                        row = score(photographs, arm, methods[arm.text], count, draw)
                        auroc = image_auroc(row.labels, row.scores)
                        print(f"{name} {count} {draw} {arm.text}: {auroc:.3f}", file=sys.stderr, flush=True)
                        if options.out:
                            with options.out.open("a") as file:
                                file.write(json.dumps(dataclasses.asdict(row)) + "\n")
                        yield row


def bootstrap(rows: Sequence[Row], first: Sequence[Row]) -> npt.NDArray[np.float64]:
    """Differences of AUROC (B,) of one surface: photographs and draws of references are resampled."""
    seed = seed_for(0, rows[0].surface, "arms")
    found = []
    for row, other in zip(rows, first, strict=True):
        one = bootstrap_aurocs(row.labels, row.scores, seed=seed, num_draws=_NUM_BOOTSTRAP)
        two = bootstrap_aurocs(other.labels, other.scores, seed=seed, num_draws=_NUM_BOOTSTRAP)
        if one is not None and two is not None:
            found.append(one - two)
    if not found:
        return np.full(_NUM_BOOTSTRAP, np.nan)
    drawn = np.random.default_rng(seed).integers(len(found), size=(len(found), _NUM_BOOTSTRAP))
    difference_B: npt.NDArray[np.float64] = np.stack(found)[drawn, np.arange(_NUM_BOOTSTRAP)].mean(0)
    return difference_B


def mean_of(rows: Sequence[Row], figure: str) -> float:
    """Of the draws; NaN where there is none."""
    values = [image_auroc(r.labels, r.scores) if figure == "auroc" else getattr(r, figure) for r in rows]
    return float(np.mean([v for v in values if v is not None] or [np.nan]))


def average(values: Mapping[str, Any], groups: Sequence[Sequence[str]]) -> Any:
    """The mean over groups of the means within them; NaN is left out."""
    inside = [[values[name] for name in group if name in values] for group in groups]
    known = [[v for v in group if not np.isnan(v).all()] for group in inside]
    means = [np.mean(group, axis=0) for group in known if group]
    return np.mean(means, axis=0) if means else np.nan


def print_tables(rows: Sequence[Row], arms: Sequence[Arm], groups: Sequence[str]) -> None:
    """One table for each number of references."""
    for count in dict.fromkeys(r.num_references for r in rows):
        table: dict[tuple[str, str], list[Row]] = {}
        for row in rows:
            if row.num_references == count:
                table.setdefault((row.arm, row.surface), []).append(row)
        names = [*dict.fromkeys(name for _, name in table)]
        alone: list[Sequence[str]] = [[n] for n in names]
        grouped: list[Sequence[str]] = [
            *(inside for g in groups if (inside := [n for n in names if n in g.split(",")])),
            *([n] for n in names if not any(n in g.split(",") for g in groups)),
        ]
        print(f"\n{count} references")
        for number, arm in enumerate(arms):
            print(f"  [{number}] {arm.text}")
        heads = "".join(f"{f'[{i}]':>8}" for i in range(len(arms)))
        print(f"{'':20}" + "  ".join(f"{title:{8 * len(arms)}}" for title in _FIGURES.values()))
        print(f"{'':20}" + "  ".join([heads] * len(_FIGURES)))
        for name in names:
            print_line(name, [[mean_of(table[arm.text, name], f) for arm in arms] for f in _FIGURES])
        sets = {"surfaces": alone, "groups": grouped}
        for title, members in sets.items():
            print_line(
                f"mean of {title}",
                [
                    [average({n: mean_of(table[arm.text, n], f) for n in names}, members) for arm in arms]
                    for f in _FIGURES
                ],
            )
        for number, arm in enumerate(arms[1:], start=1):
            for title, members in sets.items():
                differences = {n: bootstrap(table[arm.text, n], table[arms[0].text, n]) for n in names}
                low, high = central_interval(average(differences, members))
                gap = average(
                    {
                        n: mean_of(table[arm.text, n], "auroc") - mean_of(table[arms[0].text, n], "auroc")
                        for n in names
                    },
                    members,
                )
                print(
                    f"[{number}] - [0], mean of {title}: {100 * gap:+.1f} points"
                    f" ({100 * low:+.1f} to {100 * high:+.1f})"
                )
        for number, arm in enumerate(arms):
            all_rows = [r for r in rows if r.arm == arm.text and r.num_references == count]
            print(
                f"[{number}] enrolment {mean_of(all_rows, 'enrol_s'):.2f} s,"
                f" an image {mean_of(all_rows, 'ms_per_image'):.1f} ms"
            )


def print_line(title: str, figures: Sequence[Sequence[float]]) -> None:
    """Every figure of every arm."""
    print(f"{title:20}" + "  ".join("".join(f"{v:8.3f}" for v in each) for each in figures), flush=True)


def parse_options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("arms", nargs="+", metavar="ARM")
    parser.add_argument("--data", required=True, help="data folder or URI")
    parser.add_argument("--domains", type=lambda text: text.split(","), help="only these, A,B")
    parser.add_argument("--groups", nargs="*", default=[], help="surfaces that count as one: A,B")
    parser.add_argument("--draws", type=int, default=3, help="of references")
    parser.add_argument("--num-references", type=lambda text: [int(n) for n in text.split(",")], default=[10])
    parser.add_argument("--num-good", type=int, help="test photographs at most")
    parser.add_argument("--num-defective", type=int, help="test photographs at most")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--device", default="auto")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    options = parse_options(arguments)
    try:
        arms = [parse_arm(text) for text in options.arms]
        rows = list(gather(options, arms))
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    print_tables(rows, arms, options.groups)
    return 0


if __name__ == "__main__":
    sys.exit(main())
