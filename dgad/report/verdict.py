"""What a study's figures allow one to say, in plain sentences."""

from collections.abc import Sequence

from dgad.records import Record
from dgad.report.tables import (
    FEWEST_DOMAINS_FOR_A_TEST,
    Difference,
    LeaderboardRow,
    best_row,
    difference,
    is_oracle,
    optimism,
)

_SHOWN_AS_NOTHING = 0.0005
"""A difference that prints as 0.000."""


def verdict(rows: Sequence[LeaderboardRow], records: Sequence[Record]) -> tuple[str, ...]:
    """The best comparer beside its peers, where it fails, and what cannot be said; rows of image AUROC."""
    scored = [row for row in rows if row.mean is not None]
    if not scored:
        return ("No method was scored on any target: see the failures below.",)
    best = best_row(scored)
    assert best is not None
    sentences = [
        _level(best),
        *_beside(best, scored, records),
        _weakest(best),
        *_led_elsewhere(best, scored),
        *_other_protocols(best, records),
    ]
    return (*sentences, _how_sure(records))


def _level(row: LeaderboardRow) -> str:
    assert row.mean is not None
    missing = f" ({row.num_missing} of its targets have no result)" if row.num_missing else ""
    return (
        f"`{row.label}` reaches a mean image AUROC of {row.mean.value:.3f}{_range(row)} over"
        f" {_count(len(row.by_target), 'surface')} that it was not trained on{missing}."
    )


def _range(row: LeaderboardRow) -> str:
    assert row.mean is not None
    if row.mean.low is None or row.mean.high is None:
        return ""
    return f" (95% over images: {row.mean.low:.3f} to {row.mean.high:.3f})"


def _beside(best: LeaderboardRow, rows: Sequence[LeaderboardRow], records: Sequence[Record]) -> list[str]:
    """Who beats it, who does not, on the surfaces both were scored on."""
    better: list[tuple[str, Difference]] = []
    level: list[str] = []
    worse: list[tuple[str, Difference]] = []
    for row in rows:
        if row.label.partition(" [")[0] == best.label.partition(" [")[0] or is_oracle(row.label):
            continue
        gap = difference(records, best.label, row.label)
        if gap is None:
            continue
        if abs(gap.value) < _SHOWN_AS_NOTHING:
            level.append(f"`{row.label}`")
        else:
            (better if gap.value < 0 else worse).append((row.label, gap))
    sentences = []
    if better:
        better.sort(key=lambda pair: pair[1].value)
        named = "; ".join(f"`{label}` {_ahead(gap)}" for label, gap in better)
        clear = [label for label, gap in better if gap.is_clear]
        use = (
            f"By these figures `{clear[0]}` is the one to use, not `{best.label}`."
            if clear
            else f"No such lead is clear of chance, so these figures do not speak against `{best.label}`."
        )
        sentences.append(
            f"On these surfaces {'peers do' if len(better) > 1 else 'a peer does'} better: {named}. {use}"
        )
    if level:
        sentences.append(f"It is level with {', '.join(level)}.")
    if worse:
        worse.sort(key=lambda pair: pair[1].value)
        named = "; ".join(f"`{label}` {_ahead(gap)}" for label, gap in worse)
        sentences.append(f"It is ahead of {named}.")
    return sentences


def _ahead(gap: Difference) -> str:
    sign = -1 if gap.value < 0 else 1
    low, high = sorted((sign * gap.low, sign * gap.high))
    chance = "clear of chance over images" if gap.is_clear else "within chance over images"
    return f"by {abs(gap.value):.3f} ({low:.3f} to {high:.3f}, {chance})"


def _weakest(row: LeaderboardRow) -> str:
    target, estimate = min(row.by_target.items(), key=lambda item: item[1].value)
    spread = f" ({estimate.low:.3f} to {estimate.high:.3f})" if estimate.low is not None else ""
    level = (
        "it fails there" if estimate.value < 0.7 else "look at its pictures below before trusting the mean"
    )
    if estimate.value >= 0.9:
        level = "it holds up there too"
    return f"Its weakest surface is {target} with {estimate.value:.3f}{spread}: {level}."


def _led_elsewhere(best: LeaderboardRow, rows: Sequence[LeaderboardRow]) -> list[str]:
    """The surfaces on which another row is ahead."""
    ahead = []
    for target, own in best.by_target.items():
        others = [r for r in rows if target in r.by_target and not is_oracle(r.label)]
        leader = max(others, key=lambda r: r.by_target[target].value)
        if leader.by_target[target].value > own.value:
            ahead.append(f"on {target} `{leader.label}` leads with {leader.by_target[target].value:.3f}")
    if not ahead:
        return []
    return [f"Surface by surface it is not always first: {'; '.join(ahead)}."]


def _other_protocols(best: LeaderboardRow, records: Sequence[Record]) -> list[str]:
    """What its figure would be, had its settings been chosen otherwise."""
    method = best.label.partition(" [")[0]
    sentences = []
    for other in optimism(records):
        shown = f"{other.gap.value:+.3f} ({other.gap.low:+.3f} to {other.gap.high:+.3f})"
        if other.method != method:
            continue
        if other.protocol == "oracle":
            sentences.append(
                f"Choosing its settings on the target itself would show {shown}: that is what peeking is"
                " worth, and no figure to expect."
            )
        else:
            sentences.append(f"Choosing its settings by {other.protocol} would show {shown}.")
    return sentences


def _how_sure(records: Sequence[Record]) -> str:
    num_domains = len({r.target for r in records})
    seeds = {r.fit.seed for r in records if r.status == "ok"}
    runs = "one seed" if len(seeds) == 1 else f"{len(seeds)} seeds"
    if num_domains < FEWEST_DOMAINS_FOR_A_TEST:
        smallest = f"{min(1.0, 2 / 2**num_domains):.4f}".rstrip("0").rstrip(".")
        are = "is" if num_domains == 1 else "are"
        test = (
            f"{_count(num_domains, 'domain')} {are} too few to test: no rank test over them can reach"
            f" significance (its smallest p is {smallest}), so none is given."
        )
    else:
        test = f"No test over the {num_domains} domains was made."
    return (
        f"Intervals resample the test images, with {runs}; they say nothing about other surfaces. {test}"
        " Seeds are not independent domains."
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
