"""Rows of the curve over the number of source domains: kept, paired, and printed as a table."""

# N queries, S seeds, D draws of references, P normal and A abnormal queries, B bootstrap replicates

import argparse
import csv
import dataclasses
import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from ablation import figure

from dgad.errors import RecordError

_NUM_REPLICATES = 2000


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One target scored once: one fit, one draw of references."""

    label: str
    settings: str
    """Digest of the method's settings, of the features and of what was drawn from the data."""
    target: str
    group: str
    sources: tuple[str, ...]
    seed: int
    draw: int
    auroc: float
    fit_s: float
    labels: tuple[int, ...]
    """(N,): 0 normal, 1 abnormal."""
    scores: tuple[float, ...]


def read_rows(path: Path | None) -> list[Row]:
    """The rows of an earlier run; a last line that was cut off is left out."""
    if path is None or not path.exists():
        return []
    data = path.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if len(whole) < len(data):
        path.write_bytes(whole)
    rows = []
    for number, line in enumerate(whole.decode().splitlines(), start=1):
        try:
            values = json.loads(line)
            read: Any = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
            rows.append(Row(**read))
        except (ValueError, TypeError, AttributeError) as error:
            raise RecordError(f"{path}, line {number} is no result of this benchmark: {error}.") from error
    return rows


def mean_auroc(rows: Iterable[Row]) -> float:
    """Mean over fits and draws."""
    return statistics.mean(r.auroc for r in rows)


def at_count(rows: Sequence[Row], count: int) -> dict[str, list[Row]]:
    """By target the rows that learnt on so many sources, or on all there are where there are fewer."""
    found = {}
    for target in sorted({r.target for r in rows}):
        own = [r for r in rows if r.target == target]
        used = min(count, max(len(r.sources) for r in own))
        found[target] = [r for r in own if len(r.sources) == used]
    return {target: own for target, own in found.items() if own}


def wins(rows: Sequence[Row]) -> npt.NDArray[np.float64]:
    """(S, P, A): 1 where the abnormal query has the higher score than the normal one, 0.5 where equal."""
    label_N = np.array(rows[0].labels)
    score_SN = np.array([r.scores for r in rows])
    normal_SP, abnormal_SA = score_SN[:, label_N == 0], score_SN[:, label_N == 1]
    higher = abnormal_SA[:, None, :] > normal_SP[:, :, None]
    equal = abnormal_SA[:, None, :] == normal_SP[:, :, None]
    return np.asarray(higher + 0.5 * equal, dtype=np.float64)


def differences(
    ours: Mapping[str, Sequence[Row]], others: Mapping[str, Sequence[Row]]
) -> tuple[float, npt.NDArray[np.float64], dict[str, float]]:
    """Mean difference of AUROC over targets, its bootstrap replicates (B,), and each target's.

    A replicate draws test images (normal and abnormal apart), draws of references and seeds anew, with the
    same images and draws for both.
    """
    rng = np.random.default_rng(0)
    by_target, replicates = {}, []
    for target in ours:
        mine, theirs = ours[target], others[target]
        draws = sorted({r.draw for r in mine} & {r.draw for r in theirs})
        seeds = sorted({r.seed for r in mine})
        # A method that learns nothing has one fit, which stands beside each of the other's.
        gains_SDPA = np.stack(
            [
                np.stack(
                    [
                        wins([r for r in mine if (r.seed, r.draw) == (seed, d)])[0]
                        - wins([r for r in theirs if r.draw == d]).mean(0)
                        for d in draws
                    ]
                )
                for seed in seeds
            ]
        )
        by_target[target] = float(gains_SDPA.mean())
        num_normal, num_abnormal = gains_SDPA.shape[2:]
        own = np.empty(_NUM_REPLICATES)
        for b in range(_NUM_REPLICATES):
            some = (
                rng.integers(len(seeds), size=len(seeds))[:, None],
                rng.integers(len(draws), size=len(draws)),
            )
            gain_PA = gains_SDPA[some].mean((0, 1))
            weight_P = np.bincount(rng.integers(num_normal, size=num_normal), minlength=num_normal)
            weight_A = np.bincount(rng.integers(num_abnormal, size=num_abnormal), minlength=num_abnormal)
            own[b] = weight_P @ gain_PA @ weight_A / (num_normal * num_abnormal)
        replicates.append(own)
    return statistics.mean(by_target.values()), np.mean(replicates, axis=0), by_target


def over_groups(values: Mapping[str, float], group_of: Mapping[str, str]) -> float:
    """Mean over groups of the mean over their targets."""
    groups = sorted({group_of[t] for t in values})
    return statistics.mean(
        statistics.mean(v for t, v in values.items() if group_of[t] == group) for group in groups
    )


def print_table(rows: Sequence[Row], options: argparse.Namespace) -> None:
    """A line for each method and number of sources, then what it gains over those beside it."""
    group_of = {r.target: r.group for r in rows}
    targets = sorted(group_of)
    width = 2 + max(len(label) for label in (*options.beside, options.method))
    print(
        f"\n{'':{width}}{'sources':>8}"
        + "".join(f"{t[:11]:>12}" for t in targets)
        + f"{'targets':>9}{'groups':>8}{'seeds':>7}"
    )
    points = [(label, 0) for label in options.beside] + [(options.method, c) for c in sorted(options.counts)]
    chosen = {}
    for label, count in points:
        own = at_count([r for r in rows if r.label == label], count)
        if not own:
            continue
        chosen[label, count] = own
        means = {t: mean_auroc(r) for t, r in own.items()}
        seeds = len({r.seed for found in own.values() for r in found})
        mean, grouped = statistics.mean(means.values()), over_groups(means, group_of)
        print(
            f"{label:{width}}{count or '-':>8}"
            + "".join(f"{figure(means.get(t)):>12}" for t in targets)
            + f"{figure(mean):>9}{figure(grouped):>8}{seeds:>7}"
        )
    for label in options.beside:
        print(f"\n{options.method} minus {label}, points of AUROC")
        for count in sorted(options.counts):
            ours = chosen.get((options.method, count))
            if ours is None or not set(ours) <= set(chosen[label, 0]):
                continue
            mean, replicates, by_target = differences(ours, chosen[label, 0])
            low, high = np.quantile(replicates, [0.025, 0.975])
            print(
                f"{count:>8} sources: {100 * mean:+.1f} ({100 * low:+.1f} to {100 * high:+.1f}),"
                f" over groups {100 * over_groups(by_target, group_of):+.1f}; "
                + ", ".join(f"{t[:11]} {100 * by_target[t]:+.1f}" for t in targets if t in by_target)
            )


def write_csv(rows: Sequence[Row], path: Path) -> None:
    """One line a row, without the single scores."""
    names = [
        "label",
        "settings",
        "target",
        "group",
        "num_sources",
        "seed",
        "draw",
        "auroc",
        "fit_s",
        "sources",
    ]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        for row in rows:
            values = dataclasses.asdict(row) | {
                "num_sources": len(row.sources),
                "sources": " ".join(row.sources),
            }
            writer.writerow([values[name] for name in names])
