"""A run folder as one page that opens anywhere: no scripts, no outside requests."""

import base64
import dataclasses
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup
from PIL import Image

from dgad.files import replace_folder_atomic, write_atomic
from dgad.provenance import utc_now
from dgad.records import Record, RecordStore
from dgad.report.content import Content, content
from dgad.report.examples import Example, read_examples
from dgad.report.exports import write_tables
from dgad.report.figures import bar, search_history
from dgad.report.outputs import report_plots, report_tables, texture_mean
from dgad.report.plots import Plot, write_plots
from dgad.report.summary import CellSummary, StudySummary, TrialSummary, read_summary
from dgad.report.tables import (
    DEPLOY,
    FEWEST_DOMAINS_FOR_A_TEST,
    METRIC_TITLES,
    LeaderboardRow,
    best_row,
    is_comparer,
    optimism,
    read_named_records,
)
from dgad.report.verdict import verdict

FILE_NAME = "report.html"
FILES_FOLDER = "report"
"""Tables and drawings as files, beside the page."""
_MAX_STRIP_WIDTH_PX = 720
_QUALITIES = (88, 75, 60)
"""Of JPEG, tried one after the other until the pictures of a surface fit their part of the page."""
_MAX_PICTURE_BYTES = 2_700_000
"""All pictures together; base64 adds a third, and the page stays under 5 MB."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """One strip of the gallery, ready for the page."""

    uri: str
    caption: str
    alt: str
    width: int
    height: int


def write_report(run_folder: Path | str, summary: StudySummary | None = None, *, note: str = "") -> Path:
    """Write `report.html`, and its tables and drawings under `report/`, from a run folder; the page's path.

    All comes from the folder's records, study file and examples, and from its summary unless one is given;
    `note` stands at the head of the page.
    """
    folder = Path(run_folder)
    summary = summary or read_summary(folder)
    store = RecordStore(folder / "records")
    found = content(summary, read_named_records(summary, store))
    drawn = report_plots(found)
    with replace_folder_atomic(folder / FILES_FOLDER) as fresh:
        write_tables(fresh / "tables", report_tables(found))
        write_plots(fresh / "figures", drawn)
    study_path = folder / "study.yaml"
    study = study_path.read_text() if study_path.is_file() else ""
    path = folder / FILE_NAME
    page = render(found, drawn, store.failed(), _gallery(folder), study, note=note)
    write_atomic(path, page.encode())
    return path


def render(
    found: Content,
    drawn: Sequence[Plot],
    failed: Sequence[Record],
    gallery: dict[str, list[Picture]],
    study: str,
    *,
    note: str = "",
) -> str:
    """The page's HTML; `failed` are the records of any fit of the study that failed."""
    summary, records = found.summary, found.records
    rows = found.tables.get("image_auroc", ())
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("dgad.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"figure": figure, "value": _value, "duration": _duration, "code": _code}
    return environment.get_template("report.html").render(
        summary=summary,
        note=note,
        found=found,
        plots={plot.name: plot for plot in drawn},
        uri=_svg_uri,
        verdict=verdict(rows, records),
        leader=_leader(rows),
        rows=rows,
        tables=found.tables,
        titles=METRIC_TITLES,
        optimism=optimism(records),
        targets=sorted({r.target for r in records}),
        extra_targets=sorted({r.target for r in found.extra}),
        bar=bar,
        is_comparer=is_comparer,
        searched=[c for c in summary.cells if c.trials],
        history=search_history,
        varied=_varied,
        cell_name=lambda cell: f"{cell.label} on {cell.target}",
        selected=_selected(summary.cells),
        deploy_settings=_deploy_settings(summary),
        gallery=gallery,
        failures=_failures(summary, failed),
        study=study,
        has_oracle=any(c.protocol == "oracle" for c in summary.cells),
        paper_mean=texture_mean,
        few_domains=FEWEST_DOMAINS_FOR_A_TEST,
        written_at=utc_now(),
    )


def _leader(rows: Sequence[LeaderboardRow]) -> str | None:
    """The trained comparer with the best figure."""
    best = best_row(rows)
    return best.label.partition(" [")[0] if best is not None and is_comparer(best.label) else None


def _svg_uri(plot: Plot) -> str:
    """As an image of its own: names inside several drawings of one page would collide."""
    return "data:image/svg+xml;base64," + base64.b64encode(plot.page_svg.encode()).decode()


def figure(value: float | None, digits: int = 3) -> str:
    """A figure as every table of the page prints it."""
    return "n/a" if value is None else f"{value:.{digits}f}"


def _value(value: Any) -> str:
    """A setting's value: short numbers, lists with commas."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(_value, value)) or "none"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _duration(seconds: float) -> str:
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s"
    hours, rest = divmod(whole, 3600)
    minutes = f"{rest // 60} min {rest % 60:02d} s"
    return f"{hours} h {minutes}" if hours else minutes


def _code(text: str) -> Markup:
    """Escaped text with its `quoted` words as code."""
    parts = text.split("`")
    return Markup("").join(Markup("<code>{}</code>").format(p) if i % 2 else p for i, p in enumerate(parts))


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class _SelectedTable:
    """Settings of one method by cell: those that the search chose, then the rest."""

    method: str
    cells: tuple[CellSummary, ...]
    chosen: tuple[str, ...]
    others: tuple[str, ...]


def _selected(cells: Sequence[CellSummary]) -> list[_SelectedTable]:
    tables = []
    for method in dict.fromkeys(c.method for c in cells if c.selected):
        own = tuple(c for c in cells if c.method == method and c.selected)
        names = list(dict.fromkeys(name for c in own for name in c.selected))
        searched = _varied([t for c in own for t in c.trials])
        chosen = tuple(n for n in names if n in searched)
        others = tuple(n for n in names if n not in searched)
        tables.append(_SelectedTable(method=method, cells=own, chosen=chosen, others=others))
    return tables


def _deploy_settings(summary: StudySummary) -> dict[str, Any]:
    """What the deploy cell's search chose."""
    for cell in summary.cells:
        if cell.target == DEPLOY:
            varied = _varied(cell.trials)
            return {name: value for name, value in cell.selected.items() if name in varied}
    return {}


def _varied(trials: Sequence[TrialSummary]) -> frozenset[str]:
    """The settings in which the trials differ: of each a trial keeps all that there are."""
    names = dict.fromkeys(name for t in trials for name in t.settings)
    return frozenset(
        n for n in names if len({json.dumps(t.settings.get(n), sort_keys=True) for t in trials}) > 1
    )


def _failures(summary: StudySummary, failed: Sequence[Record]) -> list[tuple[str, str]]:
    """(what, why) of every failed cell, trial and record."""
    found = [(f"cell {c.label} on {c.target}", c.error) for c in summary.cells if c.error]
    for cell in summary.cells:
        found += [
            (
                f"trial {t.number} of {cell.label} on {cell.target}",
                t.error or "no reason was kept",
            )
            for t in cell.trials
            if t.status == "failed"
        ]
    for record in failed:
        where = f"{record.label} on {record.target}, seed {record.fit.seed}, record {record.record_id}"
        why = record.error or "no reason was kept"
        why += "".join(f"; before that: {note}" for note in record.notes)
        found.append((where, why + (f" (traceback: {record.log})" if record.log else "")))
    return found


def _gallery(folder: Path) -> dict[str, list[Picture]]:
    """Strips by target, small enough together; each target gets its fair part of the room."""
    examples = read_examples(folder)
    room = _MAX_PICTURE_BYTES // max(1, len(examples))
    return {target: list(_fit_pictures(strips, room)) for target, strips in examples.items()}


def _fit_pictures(strips: Sequence[Example], room_bytes: int) -> Iterator[Picture]:
    """All of them at the best quality at which they fit together, else the first ones at the least."""
    shown = [_open_small(strip.path) for strip in strips]
    for quality in _QUALITIES:
        encoded = [_encode(image, quality) for image in shown]
        if sum(map(len, encoded)) <= room_bytes:
            break
    used = 0
    for strip, image, data in zip(strips, shown, encoded, strict=True):
        used += len(data)
        if used > room_bytes:
            return
        yield Picture(
            uri="data:image/jpeg;base64," + base64.b64encode(data).decode(),
            caption=strip.caption,
            alt=f"{strip.shows}; {strip.caption}",
            width=image.width,
            height=image.height,
        )


def _open_small(path: Path) -> Image.Image:
    with Image.open(path) as image:
        rgb = image.convert("RGB")
    if rgb.width <= _MAX_STRIP_WIDTH_PX:
        return rgb
    height = max(1, round(rgb.height * _MAX_STRIP_WIDTH_PX / rgb.width))
    return rgb.resize((_MAX_STRIP_WIDTH_PX, height), Image.Resampling.LANCZOS)


def _encode(image: Image.Image, quality: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=quality)
    return buffer.getvalue()
