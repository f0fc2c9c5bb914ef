"""Records as tables: the leaderboard, differences between methods, and what may be said of them."""

# D bootstrap draws

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from dgad.evaluation.metrics import bootstrap_aurocs, central_interval
from dgad.records import Record, RecordStore
from dgad.report.summary import CellSummary, StudySummary
from dgad.seeds import seed_for

METRIC_TITLES: dict[str, str] = {
    "image_auroc": "Image AUROC",
    "f1_max": "F1-max",
    "pixel_auroc": "Pixel AUROC",
    "aupro": "AUPRO 30%",
}
DEPLOY = "deploy"
FEWEST_DOMAINS_FOR_A_TEST = 6
"""A two-sided signed-rank test over n domains cannot go below p = 2 / 2**n: .0625 for five."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """A figure and how sure it is."""

    value: float
    low: float | None
    high: float | None
    spread: str
    """What low and high are: `95% over images`, `±1 SE over N seeds`, or empty where not known."""
    num_seeds: int


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class LeaderboardRow:
    """One method over all targets."""

    label: str
    by_target: Mapping[str, Estimate]
    """Only targets on which the metric applies and a record is ok."""
    mean: Estimate | None
    """Over the targets it has; None without any."""
    num_missing: int
    """Targets of the table that it has no figure for."""
    ms_per_image: float | None


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """Mean AUROC of one row minus another's, on the same images of the targets both have."""

    value: float
    low: float
    high: float
    """95% over images, resampled together; seeds averaged."""
    num_targets: int

    @property
    def is_clear(self) -> bool:
        """Whether the interval leaves zero out."""
        return self.low > 0 or self.high < 0


def leaderboard(records: Sequence[Record], metric: str = "image_auroc") -> tuple[LeaderboardRow, ...]:
    """Rows by label from the records of outer results, best mean first, incomplete rows last.

    Per target: with one seed its bootstrap interval over images, with more the mean and standard error
    over seeds. Over targets: the mean; for the image AUROC with the 95% interval over images, which
    says how well these surfaces were measured and nothing of others.
    """
    good = [r for r in records if r.status == "ok"]
    targets = sorted({r.target for r in records})
    rows = []
    for label in dict.fromkeys(r.label for r in records):
        own = [r for r in good if r.label == label]
        by_target = {}
        for target in targets:
            estimate = _estimate([r for r in own if r.target == target], metric)
            if estimate is not None:
                by_target[target] = estimate
        times = [r.ms_per_image for r in own if r.ms_per_image is not None and math.isfinite(r.ms_per_image)]
        rows.append(
            LeaderboardRow(
                label=label,
                by_target=by_target,
                mean=_mean(own, by_target, metric),
                num_missing=len(targets) - len(by_target),
                ms_per_image=float(np.median(times)) if times else None,
            )
        )
    return tuple(sorted(rows, key=lambda r: (r.num_missing, -(r.mean.value if r.mean else -1.0))))


def outer_records(summary: StudySummary, records: Sequence[Record]) -> tuple[Record, ...]:
    """The records that the study's cells name as results, each with its cell's label and protocol.

    A record can be shared by several cells; here it comes once per cell. A protocol other than nested
    follows the label in brackets: `comparer [oracle]`.
    """
    return _results([c for c in summary.cells if c.target not in summary.extra_targets], records)


def extra_records(summary: StudySummary, records: Sequence[Record]) -> tuple[Record, ...]:
    """The same of the other data set, whose domains the study only scores its winners on."""
    return _results([c for c in summary.cells if c.target in summary.extra_targets], records)


def _results(cells: Sequence[CellSummary], records: Sequence[Record]) -> tuple[Record, ...]:
    by_id = {r.record_id: r for r in records}
    result = []
    for cell in cells:
        found = [by_id[i] for i in cell.record_ids if i in by_id]
        result += [dataclasses.replace(r, label=cell.label) for r in found]
    return tuple(result)


def read_named_records(summary: StudySummary, store: RecordStore) -> tuple[Record, ...]:
    """Read the records that the study's cells name, by name.

    A search leaves a hundred times as many beside them.
    """
    named = [
        record_id
        for cell in summary.cells
        for ids in (cell.record_ids, *cell.more_record_ids.values())
        for record_id in ids
    ]
    return store.records(list(dict.fromkeys(named)))


def best_row(rows: Sequence[LeaderboardRow]) -> LeaderboardRow | None:
    """The first trained comparer, else the first row that did not choose on the target; rows best first."""
    scored = [r for r in rows if r.mean is not None]
    honest = [r for r in scored if not is_oracle(r.label)]
    return next(iter([r for r in honest if is_comparer(r.label)] or honest or scored), None)


def is_oracle(label: str) -> bool:
    """Whether the row's settings were chosen on the target itself."""
    return label.endswith("[oracle]")


def is_comparer(label: str) -> bool:
    """Whether the row is a trained comparer, chosen without the target."""
    method = label.partition(" [")[0]
    return method.partition(":")[0] == "comparer" and method != "comparer:untrained" and not is_oracle(label)


def difference(records: Sequence[Record], label_a: str, label_b: str) -> Difference | None:
    """Mean image AUROC of a minus b over the targets both were scored on; None without any."""
    values: list[float] = []
    draws: list[NDArray[np.float64]] = []
    for target in sorted({r.target for r in records}):
        a, b = (_auroc_draws(_of(records, label, target)) for label in (label_a, label_b))
        if a is not None and b is not None:
            values.append(a[0] - b[0])
            draws.append(a[1] - b[1])
    if not values:
        return None
    low, high = central_interval(np.mean(draws, axis=0))
    return Difference(value=float(np.mean(values)), low=low, high=high, num_targets=len(values))


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Optimism:
    """What another protocol shows over nested selection of the same method."""

    method: str
    protocol: str
    nested: float
    """Mean image AUROC over the targets that both were scored on."""
    gap: Difference
    """The other protocol's minus the nested one's."""


def optimism(records: Sequence[Record]) -> tuple[Optimism, ...]:
    """For every method that was chosen by nested selection and by another protocol too."""
    found = []
    labels = dict.fromkeys(r.label for r in records)
    for label in labels:
        method, bracket, protocol = label.partition(" [")
        gap = difference(records, label, method) if bracket and method in labels else None
        if gap is None:
            continue
        there = {r.target for r in records if r.status == "ok" and r.label == label}
        (row,) = leaderboard([r for r in records if r.label == method and r.target in there])
        assert row.mean is not None
        found.append(
            Optimism(method=method, protocol=protocol.removesuffix("]"), nested=row.mean.value, gap=gap)
        )
    return tuple(found)


def _of(records: Sequence[Record], label: str, target: str) -> list[Record]:
    return [r for r in records if r.status == "ok" and r.label == label and r.target == target]


def _estimate(records: Sequence[Record], metric: str) -> Estimate | None:
    """One method on one target, over seeds."""
    values = [v for r in records if (v := getattr(r.metrics, metric)) is not None]
    if not values:
        return None
    mean = float(np.mean(values))
    if len(values) > 1:
        error = float(np.std(values, ddof=1) / math.sqrt(len(values)))
        spread = f"±1 SE over {len(values)} seeds"
        return Estimate(value=mean, low=mean - error, high=mean + error, spread=spread, num_seeds=len(values))
    low, high = None, None
    if metric == "image_auroc":
        low, high = records[0].metrics.image_auroc_low, records[0].metrics.image_auroc_high
    spread = "" if low is None else "95% over images"
    return Estimate(value=mean, low=low, high=high, spread=spread, num_seeds=1)


def _mean(records: Sequence[Record], by_target: Mapping[str, Estimate], metric: str) -> Estimate | None:
    if not by_target:
        return None
    value = float(np.mean([e.value for e in by_target.values()]))
    num_seeds = min(e.num_seeds for e in by_target.values())
    draws = None
    if metric == "image_auroc":
        pairs = [_auroc_draws([r for r in records if r.target == target]) for target in by_target]
        known = [pair[1] for pair in pairs if pair is not None]
        draws = np.mean(known, axis=0) if len(known) == len(by_target) else None
    if draws is None:
        return Estimate(value=value, low=None, high=None, spread="", num_seeds=num_seeds)
    low, high = central_interval(draws)
    return Estimate(value=value, low=low, high=high, spread="95% over images", num_seeds=num_seeds)


def _auroc_draws(records: Sequence[Record]) -> tuple[float, NDArray[np.float64]] | None:
    """(mean AUROC over seeds, its draws (D,)), the same images drawn for every seed and every method."""
    kept: list[NDArray[np.float64]] = []
    values: list[float] = []
    for record in records:
        # The order of images must not decide which of them a draw takes.
        order = np.argsort(record.sample_ids)
        labels, scores = np.array(record.labels)[order], np.array(record.image_scores)[order]
        drawn = bootstrap_aurocs(labels, scores, seed=seed_for(0, record.target, "report"))
        if drawn is not None and record.metrics.image_auroc is not None:
            kept.append(drawn)
            values.append(record.metrics.image_auroc)
    return (float(np.mean(values)), np.mean(kept, axis=0)) if values else None
