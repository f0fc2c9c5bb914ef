"""Drawings of a report by matplotlib: SVG for the page, in its light and dark colours, and files to keep."""

import dataclasses
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dgad.files import write_atomic
from dgad.report.reference_curves import ReferencePoint
from dgad.report.roc import Curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Annotation
    from matplotlib.transforms import Bbox

_INK, _FAINT = "#010203", "#c0c1c2"
"""Stand for the page's text and grid colours while matplotlib draws."""
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f", "#8c564b")
"""Okabe and Ito's, which colour-blind eyes tell apart; markers and dashes tell lines apart too."""
_MARKERS, _DASHES = "osD^vPX*", ("-", "--", "-.", ":")
_PNG_DPI = 200
_THEME = (
    "<style>:root{--ink:#1b1f24;--faint:#c9ced6}"
    "@media (prefers-color-scheme:dark){:root{--ink:#e6e8eb;--faint:#4a515c}}</style>"
)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Plot:
    """One drawing of the report, in each of the formats it is kept in."""

    name: str
    """Of its files, without ending."""
    title: str
    """What it shows, for whoever cannot see it."""
    svg: str
    """On white, to be kept."""
    page_svg: str
    """In the page's colours, light or dark."""
    png: bytes


def write_plots(folder: Path, plots: Sequence[Plot]) -> None:
    """`NAME.svg` and `NAME.png` of each."""
    for plot in plots:
        write_atomic(folder / f"{plot.name}.svg", plot.svg.encode())
        write_atomic(folder / f"{plot.name}.png", plot.png)


def reference_curves(points: Sequence[ReferencePoint], *, metric: str, name: str) -> Plot:
    """A metric by the number of references, a line a method (the paper's Figures 3 and 4)."""
    figure, axes = _figure(3.6, 2.9)
    for i, label in enumerate(dict.fromkeys(p.label for p in points)):
        own = sorted((p for p in points if p.label == label), key=lambda p: p.num_references)
        x = [p.num_references for p in own]
        axes.plot(x, [p.mean for p in own], label=label, **_line(i), **_marker(i))
        low = [p.mean - (p.standard_error or 0) for p in own]
        high = [p.mean + (p.standard_error or 0) for p in own]
        axes.fill_between(x, low, high, color=_COLOURS[i % len(_COLOURS)], alpha=0.15, linewidth=0)
    asked = {p.num_references: p.asked for p in points}
    axes.set_xscale("log")
    axes.set_xticks(list(asked), list(asked.values()))
    axes.minorticks_off()
    axes.set_xlabel("references" + (" (mean over surfaces)" if any(n % 1 for n in asked) else ""))
    axes.set_ylabel(metric)
    _legend(axes)
    return _plot(figure, name, f"{metric} by number of references")


def curves(drawn: Mapping[str, Curve], *, kind: str, target: str, name: str) -> Plot:
    """ROC or precision-recall curves of several methods on one target; `kind` is `roc` or `pr`."""
    figure, axes = _figure(3.4, 3.2)
    for i, (label, curve) in enumerate(drawn.items()):
        x, y = (curve.fpr, curve.tpr) if kind == "roc" else (curve.recall, curve.precision)
        area = curve.auroc if kind == "roc" else curve.average_precision
        style = "default" if kind == "roc" else "steps-pre"
        axes.plot(x, y, label=f"{label} ({area:.3f})", drawstyle=style, **_line(i))
    if kind == "roc":
        axes.plot([0, 1], [0, 1], color=_FAINT, linewidth=0.8, zorder=0)
        axes.set_xlabel("false positive rate")
        axes.set_ylabel("true positive rate")
    else:
        axes.set_xlabel("recall")
        axes.set_ylabel("precision")
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.02)
    _legend(axes, loc="lower right" if kind == "roc" else "lower left")
    what = "ROC" if kind == "roc" else "Precision-recall"
    return _plot(figure, name, f"{what} curves on {target}")


def score_distribution(
    normal: Sequence[float],
    abnormal: Sequence[float],
    thresholds: Mapping[str, float],
    *,
    target: str,
    name: str,
) -> Plot:
    """Scores of normal and abnormal test images of one target, with thresholds by name."""
    figure, axes = _figure(3.6, 2.9)
    every = np.array([*normal, *abnormal])
    bins = np.histogram_bin_edges(every, bins=min(30, max(8, len(every) // 4))).tolist()
    for i, (values, label) in enumerate(((normal, "normal"), (abnormal, "abnormal"))):
        axes.hist(values, bins=bins, alpha=0.55, color=_COLOURS[i], label=f"{label} ({len(values)})")
        axes.plot(values, np.full(len(values), -0.35 - 0.5 * i), "|", color=_COLOURS[i], markersize=6)
    for i, (label, value) in enumerate(thresholds.items()):
        axes.axvline(
            value, color=_INK, linewidth=1, linestyle=_DASHES[(i + 1) % 4], label=f"{label}: {value:.3g}"
        )
    axes.set_xlabel("image score")
    axes.set_ylabel("images")
    _legend(axes, loc="lower left", bbox_to_anchor=(0, 1), ncols=2)  # above, where no bar is
    return _plot(figure, name, f"Scores of normal and abnormal images of {target}, with thresholds")


def accuracy_by_latency(points: Sequence[tuple[str, float, float, bool]], *, name: str) -> Plot:
    """Mean AUROC by ms per image; points are (label, ms, AUROC, whether no other is better in both)."""
    figure, axes = _figure(4.6, 3.2)
    front = sorted((ms, auroc) for _, ms, auroc, is_best in points if is_best)
    if len(front) > 1:
        axes.plot(*zip(*front, strict=True), color=_INK, linewidth=0.8, linestyle=":", zorder=0)
    labels = []
    for i, (label, ms, auroc, is_best) in enumerate(points):
        style = _marker(i)
        axes.plot([ms], [auroc], color=_COLOURS[i % len(_COLOURS)], linestyle="", **style)
        labels.append(_label(axes, label, (ms, auroc), fontweight="bold" if is_best else "normal"))
    if all(ms > 0 for _, ms, _, _ in points):
        axes.set_xscale("log")
        times = [ms for _, ms, _, _ in points]
        is_narrow = max(times) < 20 * min(times)  # else labels between the powers of ten would overlap
        formatters = [axes.xaxis.set_major_formatter]
        formatters += [axes.xaxis.set_minor_formatter] if is_narrow else []
        for which in formatters:
            which(lambda value, _: f"{value:g}")
        axes.tick_params(axis="x", which="minor", labelsize=6, colors=_INK)
    axes.margins(0.25, 0.12)
    axes.set_xlabel("ms per image")
    axes.set_ylabel("mean image AUROC")
    _separate_labels(figure, labels)
    return _plot(figure, name, "Mean image AUROC by milliseconds per image, and the Pareto front")


def distance_by_auroc(points: Sequence[tuple[str, float, float]], *, title: str, name: str) -> Plot:
    """AUROC by a target's mean distance to the other domains; points are (target, distance, AUROC)."""
    figure, axes = _figure(4.6, 3.0)
    labels = []
    for target, distance, auroc in points:
        axes.plot([distance], [auroc], "o", color=_COLOURS[0])
        labels.append(_label(axes, target, (distance, auroc)))
    axes.margins(0.18, 0.12)
    axes.set_xlabel("mean Fréchet distance to the other domains")
    axes.set_ylabel("image AUROC")
    _separate_labels(figure, labels)
    return _plot(figure, name, title)


def _label(axes: "Axes", text: str, point: tuple[float, float], **style: Any) -> "Annotation":
    return axes.annotate(
        text, point, xytext=(5, 4), textcoords="offset points", fontsize=7, color=_INK, **style
    )


def _separate_labels(figure: "Figure", labels: "Sequence[Annotation]") -> None:
    """Move down each label that would lie on one before it; points of equal figures are frequent."""
    figure.canvas.draw()  # labels have a place only once they are drawn
    placed: list[Bbox] = []
    for label in sorted(labels, key=lambda label: -label.xy[1]):
        box = label.get_window_extent()
        while any(box.overlaps(other) for other in placed):
            x, y = label.xyann
            label.xyann = (x, y - 1)
            box = box.translated(0, -figure.dpi / 72)
        placed.append(box)


def _figure(width_in: float, height_in: float) -> "tuple[Figure, Axes]":
    # Not pyplot: it keeps figures in a global list and asks for a display.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_in, height_in), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.tick_params(colors=_INK, labelsize=8)
    axes.xaxis.label.set(color=_INK, fontsize=9)
    axes.yaxis.label.set(color=_INK, fontsize=9)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(_INK)
    axes.grid(color=_FAINT, linewidth=0.5)
    axes.set_axisbelow(True)
    figure.patch.set_alpha(0)
    axes.patch.set_alpha(0)
    return figure, axes


def _legend(axes: "Axes", **where: Any) -> None:
    axes.legend(fontsize=7, frameon=False, labelcolor=_INK, **where)


def _line(index: int) -> dict[str, Any]:
    return {
        "color": _COLOURS[index % len(_COLOURS)],
        "linestyle": _DASHES[(index // len(_COLOURS)) % len(_DASHES)],
        "linewidth": 1.6,
    }


def _marker(index: int) -> dict[str, Any]:
    return {"marker": _MARKERS[index % len(_MARKERS)], "markersize": 5}


def _plot(figure: "Figure", name: str, title: str) -> Plot:
    from matplotlib import rc_context

    # Text as text, so that it can be searched; equal ids for equal drawings, so that a page is reproducible.
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": name, "font.family": "sans-serif"}):
        sink = io.StringIO()
        figure.savefig(sink, format="svg", metadata={"Date": None, "Title": title})
        drawn = sink.getvalue()
        figure.set_layout_engine("none")  # it is laid out
        raster = io.BytesIO()
        figure.savefig(raster, format="png", dpi=_PNG_DPI, facecolor="white", transparent=False)
    kept = drawn.replace(_INK, "#1b1f24").replace(_FAINT, "#d0d4da")
    coloured = drawn.replace(_INK, "var(--ink)").replace(_FAINT, "var(--faint)")
    page = re.sub(r"<defs>", lambda found: _THEME + found.group(), coloured, count=1)
    return Plot(name=name, title=title, svg=kept, page_svg=page, png=raster.getvalue())
