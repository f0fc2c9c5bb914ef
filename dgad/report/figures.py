"""Small SVG drawings; every figure they show stands beside them as text."""

import math
from collections.abc import Sequence

from markupsafe import Markup, escape

from dgad.report.summary import TrialSummary
from dgad.report.tables import Estimate

_WIDTH, _HEIGHT, _MARGIN = 340, 130, 34


def bar(estimate: Estimate, *, title: str) -> Markup:
    """A bar from 0 to 1 with a line at 0.5 (chance) and a whisker where the estimate has one."""
    parts = [
        f'<rect class="track" width="100" height="14"/>'
        f'<rect class="fill" width="{100 * _clipped(estimate.value):.2f}" height="14"/>'
        f'<line class="chance" x1="50" x2="50" y1="0" y2="14"/>'
    ]
    if estimate.low is not None and estimate.high is not None:
        low, high = 100 * _clipped(estimate.low), 100 * _clipped(estimate.high)
        parts.append(
            f'<line class="whisker" x1="{low:.2f}" x2="{high:.2f}" y1="7" y2="7"/>'
            f'<line class="whisker" x1="{low:.2f}" x2="{low:.2f}" y1="3" y2="11"/>'
            f'<line class="whisker" x1="{high:.2f}" x2="{high:.2f}" y1="3" y2="11"/>'
        )
    return Markup(
        f'<svg class="bar" viewBox="0 0 100 14" preserveAspectRatio="none" role="img">'
        f"<title>{escape(title)}</title>{''.join(parts)}</svg>"
    )


def search_history(trials: Sequence[TrialSummary], *, title: str) -> Markup:
    """Value by trial: a dot each, hollow where it was stopped early, and the best complete one so far."""
    shown = [(t, t.value) for t in trials if t.value is not None and math.isfinite(t.value)]
    if not shown:
        return Markup("")
    values = [value for _, value in shown]
    low, high = min(values), max(values)
    pad = max(0.02, 0.1 * (high - low))
    low, high = max(0.0, low - pad), min(1.0, high + pad)
    last = max(t.number for t in trials)

    def x(number: int) -> float:
        return _MARGIN + (_WIDTH - _MARGIN - 10) * (number / last if last else 0.5)

    def y(value: float) -> float:
        return 8 + (_HEIGHT - 30) * (1 - (value - low) / (high - low))

    dots: list[str] = []
    line: list[str] = []
    best = -math.inf
    for trial, value in sorted(shown, key=lambda pair: pair[0].number):
        complete = trial.status == "complete"
        if complete:
            if line:  # a step: the best so far holds until a trial beats it
                line.append(f"{x(trial.number):.1f},{y(best):.1f}")
            best = max(best, value)
            line.append(f"{x(trial.number):.1f},{y(best):.1f}")
        dots.append(
            f'<circle class="{"dot" if complete else "dot stopped"}" cx="{x(trial.number):.1f}"'
            f' cy="{y(value):.1f}" r="3.5"><title>trial {trial.number}: {value:.3f} ({escape(trial.status)})'
            "</title></circle>"
        )
    if line:
        line.append(f"{x(last):.1f},{y(best):.1f}")
    axis = "".join(
        f'<line class="grid" x1="{_MARGIN}" x2="{_WIDTH - 10}" y1="{y(v):.1f}" y2="{y(v):.1f}"/>'
        f'<text x="{_MARGIN - 4}" y="{y(v) + 4:.1f}" text-anchor="end">{v:.2f}</text>'
        for v in (low, high)
    )
    ends = "".join(
        f'<text x="{x(n):.1f}" y="{_HEIGHT - 6}" text-anchor="middle">{n}</text>' for n in sorted({0, last})
    )
    return Markup(
        f'<svg class="history" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img"><title>{escape(title)}</title>'
        f'{axis}{ends}<polyline class="best" points="{" ".join(line)}"/>{"".join(dots)}</svg>'
    )


def _clipped(value: float) -> float:
    return min(1.0, max(0.0, value))
