"""Two studies side by side: every row that both have, image by image."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from dgad.records import Record
from dgad.report.summary import StudySummary
from dgad.report.tables import Difference, best_row, difference, leaderboard

_COMPARED = ("data_fingerprint", "protocol", "num_references", "seeds", "trials_per_cell", "objectives")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ComparedRow:
    """One method in both studies, over the targets whose test images are the same in both."""

    label: str
    targets: tuple[str, ...]
    first: float
    """Mean image AUROC over those targets."""
    second: float
    gap: Difference
    """Second minus first, 95% over images drawn together."""
    by_target: Mapping[str, Difference]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """Two studies side by side: where their settings differ, and their figures by method."""

    names: tuple[str, str]
    settings: tuple[tuple[str, str, str], ...]
    """(what, in the first, in the second) where they differ."""
    rows: tuple[ComparedRow, ...]
    only: tuple[tuple[str, ...], tuple[str, ...]]
    """Rows that one alone has."""
    unpaired: tuple[str, ...]
    """Targets of both whose test images differ: no difference over the same images can be had."""
    same_data: bool
    """Whether the data sets are the same as a whole; else images of one name are taken for the same."""
    verdict: str


def compare(
    first: StudySummary,
    records_a: Sequence[Record],
    second: StudySummary,
    records_b: Sequence[Record],
    *,
    names: tuple[str, str],
) -> Comparison:
    """`records_*` are the labelled outer results (`outer_records`) of each."""
    shared = {r.target for r in records_a} & {r.target for r in records_b}
    unpaired = tuple(sorted(t for t in shared if _images(records_a, t) != _images(records_b, t)))
    paired = shared - set(unpaired)
    labels_a, labels_b = (list(dict.fromkeys(r.label for r in rs)) for rs in (records_a, records_b))
    rows = []
    for label in labels_a:
        row = _row(label, records_a, records_b, paired) if label in labels_b else None
        if row is not None:
            rows.append(row)
    rows.sort(key=lambda r: -max(r.first, r.second))
    return Comparison(
        names=names,
        settings=tuple(_settings(first, second)),
        rows=tuple(rows),
        only=(
            tuple(x for x in labels_a if x not in labels_b),
            tuple(x for x in labels_b if x not in labels_a),
        ),
        unpaired=unpaired,
        same_data=first.data_fingerprint == second.data_fingerprint,
        verdict=_verdict(names, records_a, records_b, paired),
    )


def _images(records: Sequence[Record], target: str) -> frozenset[tuple[str, int]]:
    """Names and labels of the test images that were scored."""
    good = [r for r in records if r.target == target and r.status == "ok"]
    return frozenset(pair for r in good for pair in zip(r.sample_ids, r.labels, strict=True))


def _row(
    label: str, records_a: Sequence[Record], records_b: Sequence[Record], targets: set[str]
) -> ComparedRow | None:
    own_a, own_b = (
        [r for r in rs if r.label == label and r.target in targets and r.status == "ok"]
        for rs in (records_a, records_b)
    )
    both = sorted({r.target for r in own_a} & {r.target for r in own_b})
    pool = _pooled(own_a, own_b, both)
    gap = difference(pool, "second", "first")
    if gap is None:
        return None
    by_target = {}
    for target in both:
        one = difference([r for r in pool if r.target == target], "second", "first")
        if one is not None:
            by_target[target] = one
    means = {row.label: row.mean.value for row in leaderboard(pool) if row.mean is not None}
    return ComparedRow(
        label=label,
        targets=tuple(by_target),
        first=means["first"],
        second=means["second"],
        gap=gap,
        by_target=by_target,
    )


def _pooled(first: Sequence[Record], second: Sequence[Record], targets: Sequence[str]) -> list[Record]:
    return [
        dataclasses.replace(r, label=name)
        for name, records in (("first", first), ("second", second))
        for r in records
        if r.target in targets
    ]


def _verdict(
    names: tuple[str, str], records_a: Sequence[Record], records_b: Sequence[Record], targets: set[str]
) -> str:
    """Which study's best comparer, or best row, does better on the same images."""
    best = []
    for records in (records_a, records_b):
        row = best_row(leaderboard([r for r in records if r.target in targets]))
        if row is None:
            return "They share no scored target with the same test images, so nothing can be compared."
        best.append(row.label)
    own_a = [r for r in records_a if r.label == best[0] and r.status == "ok"]
    own_b = [r for r in records_b if r.label == best[1] and r.status == "ok"]
    both = sorted({r.target for r in own_a} & {r.target for r in own_b} & targets)
    gap = difference(_pooled(own_a, own_b, both), "second", "first")
    if gap is None:
        return "Their best rows were scored on no common target."
    a, b = f"`{best[0]}` of {names[0]}", f"`{best[1]}` of {names[1]}"
    sizes = f"{abs(gap.value):.3f} (95% over images {gap.low:+.3f} to {gap.high:+.3f}, second minus first)"
    on = f"over {gap.num_targets} target{'' if gap.num_targets == 1 else 's'}"
    if not gap.is_clear:
        return f"{b} and {a} differ by {sizes} {on}: within chance over images."
    ahead, behind = (b, a) if gap.value > 0 else (a, b)
    return f"{ahead} is ahead of {behind} by {sizes} {on}: clear of chance over images, not over surfaces."


def _settings(first: StudySummary, second: StudySummary) -> list[tuple[str, str, str]]:
    pairs: list[tuple[str, Any, Any]] = [
        (name, getattr(first, name), getattr(second, name)) for name in _COMPARED
    ]
    for name in dict.fromkeys((*first.features, *second.features)):
        pairs.append((f"features.{name}", first.features.get(name), second.features.get(name)))
    for name in dict.fromkeys((*first.searched_features, *second.searched_features)):
        one, other = (s.searched_features.get(name) for s in (first, second))
        pairs.append((f"searched {name}", one, other))
    for name in dict.fromkeys((*first.versions, *second.versions)):
        pairs.append((f"version of {name}", first.versions.get(name), second.versions.get(name)))
    return [(what, _told(a), _told(b)) for what, a, b in pairs if a != b]


def _told(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple | list) else str(value)
