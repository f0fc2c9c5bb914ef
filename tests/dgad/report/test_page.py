"""The report page: its numbers are the tables' numbers, and it opens anywhere."""

import dataclasses
import html
import html.parser
import json
import re
import shutil
import subprocess

import pyarrow.csv as pa_csv
import pytest

from dgad.report import leaderboard, page, write_report
from dgad.report.page import FILES_FOLDER, _gallery, figure
from dgad.report.plots import Plot
from dgad.report.summary import read_summary, write_summary
from dgad.report.tables import METRIC_TITLES, optimism, outer_records
from tests.dgad.report.synthetic_run import DOMAINS, make_record, make_records, make_run, make_summary

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Page(html.parser.HTMLParser):
    """Cells by (table, row, column), addresses, ids and headings of a page."""

    def __init__(self, text):
        super().__init__()
        self.cells, self.addresses, self.ids, self.tags = {}, [], [], []
        self._table, self._cell = None, None
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        named = dict(attrs)
        self.tags.append(tag)
        self.addresses += [named[a] for a in ("src", "href", "action", "srcset", "data") if a in named]
        if "id" in named:
            self.ids.append(named["id"])
        if tag == "table":
            self._table = named.get("id")
        if "data-row" in named:
            self._cell = (self._table, named["data-row"], named["data-column"])
            self.cells[self._cell] = ""
        elif tag == "small":
            self._cell = None

    def handle_data(self, data):
        self.text += data
        if self._cell:
            self.cells[self._cell] += data.strip()

    def handle_endtag(self, tag):
        if tag == "td":
            self._cell = None


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run folder to be; its drawings are blank, since matplotlib takes seconds a page."""

    def blank(figure, name, title):
        return Plot(name=name, title=title, svg="<svg/>", page_svg="<svg/>", png=b"")

    monkeypatch.setattr("dgad.report.plots._plot", blank)
    return tmp_path / "run"


def test_the_pages_numbers_are_the_tables_numbers(run):
    records, _ = make_run(run)
    page = Page(write_report(run).read_text())
    seen = 0
    for metric in METRIC_TITLES:
        table = pa_csv.read_csv(run / FILES_FOLDER / "tables" / f"leaderboard_{metric}.csv")
        shown = {row["method"]: row for row in table.to_pylist()}
        for row in leaderboard(records, metric):
            exported = shown[row.label]
            assert exported["mean"] == row.mean.value
            assert page.cells[f"table-{metric}", row.label, "mean"] == figure(exported["mean"])
            for target, estimate in row.by_target.items():
                assert exported[target] == estimate.value
                assert page.cells[f"table-{metric}", row.label, target] == figure(exported[target])
                seen += 1
            if metric == "image_auroc":
                shown_ms = page.cells[f"table-{metric}", row.label, "ms_per_image"]
                assert shown_ms == figure(exported["ms_per_image"], 1)
    assert seen == len(METRIC_TITLES) * 4 * len(DOMAINS)
    assert len(page.cells) == seen + len(METRIC_TITLES) * 4 + 4


def test_the_page_needs_nothing_from_outside(run):
    make_run(run)
    text = write_report(run).read_text()
    page = Page(text)
    assert page.addresses
    assert all(a.startswith(("#", "data:")) for a in page.addresses)
    assert "script" not in page.tags
    assert not re.search(r"url\(|@import|https?://(?!www\.w3\.org)", text)
    for address in page.addresses:
        if address.startswith("#"):
            assert address[1:] in page.ids


def test_what_comes_from_users_is_escaped(run):
    records = [*make_records(), make_record("comparer", "grid", seed=7, status="failed")]
    make_run(run, records=records)
    text = write_report(run).read_text()
    assert "<script" not in text
    assert "<b>here</b>" not in text
    assert "out of memory &lt;b&gt;here&lt;/b&gt;" in text
    assert "s3://bucket/&lt;surfaces&gt;" in text
    assert "# &lt;i&gt;" in text


def test_failures_and_provenance_are_told(run):
    records = [*make_records(), make_record("patch_knn", "grid", seed=7, status="failed")]
    summary = make_summary(records)
    broken = dataclasses.replace(summary.cells[0], error="all trials failed", record_ids=())
    make_run(run, records=records, summary=dataclasses.replace(summary, cells=(broken, *summary.cells[1:])))
    text = Page(write_report(run).read_text()).text
    assert "cell comparer on grid: all trials failed" in text
    assert "trial 3 of comparer on leather: the loss is not finite" in text
    assert "patch_knn on grid, seed 7" in text
    assert "30 computed, 12 reused" in text
    assert "f" * 64 in text
    assert "4 min 47 s on cpu" in text


def test_settings_split_into_chosen_and_fixed(run):
    make_run(run)
    text = Page(write_report(run).read_text()).text
    settings = text[text.index("chosen by search") : text.index("The other settings")]
    assert "learning_rate" in settings
    assert "width" not in settings
    assert "For a new surface the search over all domains chose learning_rate 0.001, aggregation min." in text


def test_a_bundle_that_was_not_trained_is_not_said_to_be(run):
    make_run(run)
    assert "holds comparer, trained on all 4 domains." in Page(write_report(run).read_text()).text
    summary = read_summary(run)
    write_summary(
        run,
        dataclasses.replace(summary, bundle=dataclasses.replace(summary.bundle, was_trained=False)),
    )
    text = Page(write_report(run).read_text()).text
    assert "holds comparer, as it comes: the settings that did best over all 4 domains train nothing." in text
    assert "trained on all" not in text


def test_a_bundle_of_another_comparer_than_the_best_is_explained(run):
    make_run(run)
    assert "did better here" not in Page(write_report(run).read_text()).text
    summary = read_summary(run)
    other = dataclasses.replace(summary.bundle, method="comparer:paper")
    write_summary(run, dataclasses.replace(summary, bundle=other))
    text = Page(write_report(run).read_text()).text
    assert "It is the first comparer that the study names. comparer did better here; to bundle that" in text


def test_other_protocols_and_pareto_fronts_have_tables_of_their_own(run):
    records = make_records()
    oracle = [make_record("comparer", d, seed=9, quality=9.0) for d in DOMAINS]
    summary = make_summary(records)
    own = [c for c in summary.cells if c.method == "comparer" and c.target != "deploy"]
    front = [
        dataclasses.replace(t, values={"image_auroc": 0.9 - 0.1 * i, "ms_per_image": 20.0 - i})
        for i, t in enumerate(own[0].trials)
    ]
    first = dataclasses.replace(own[0], trials=tuple(front), front=(front[0].number, front[1].number))
    peeking = tuple(
        dataclasses.replace(c, protocol="oracle", record_ids=(r.record_id,), trials=())
        for c, r in zip(own, oracle, strict=True)
    )
    cells = tuple(first if c is own[0] else c for c in summary.cells)
    summary = dataclasses.replace(
        summary,
        cells=(*cells, *peeking),
        objectives=("image_auroc", "ms_per_image"),
        constraints=("ms_per_image <= 20",),
    )
    make_run(run, records=[*records, *oracle], summary=summary)
    text = Page(write_report(run).read_text()).text
    assert "objectives image_auroc, ms_per_image, bounded by ms_per_image <= 20" in text
    table = text[text.index("What other ways of choosing would show") :][:600]
    (gap,) = [o for o in optimism(outer_records(summary, [*records, *oracle])) if o.protocol == "oracle"]
    assert f"comparer{gap.nested:.3f}oracle{gap.gap.value:+.3f}" in "".join(table.split())
    assert "no configuration that was tried beats these in every objective" in text
    assert "0.90020.0" in "".join(text.split())


def test_a_run_without_pictures_pixels_search_or_results_still_has_a_page(run):
    records = [make_record("trivial", d, pixels=False) for d in DOMAINS[:2]]
    make_run(run, records=records, summary=make_summary(records, bundle=None), strips_per_target=0)
    text = Page(write_report(run).read_text()).text
    assert "AUPRO" not in text
    assert "Nothing was searched" in text
    make_run(run.parent / "empty", records=[], summary=make_summary([], bundle=None), strips_per_target=0)
    assert "No method was scored" in write_report(run.parent / "empty").read_text()


def test_pictures_that_do_not_fit_at_full_quality_are_kept_at_less(run, monkeypatch):
    make_run(run, strips_per_target=4, size_px=240)
    whole = _gallery(run)
    assert [len(pictures) for pictures in whole.values()] == [4] * len(DOMAINS)
    bytes_each = sum(len(p.uri) for p in whole[DOMAINS[0]]) * 3 / 4
    monkeypatch.setattr(page, "_MAX_PICTURE_BYTES", int(0.7 * bytes_each) * len(DOMAINS))
    small = _gallery(run)
    assert [len(pictures) for pictures in small.values()] == [4] * len(DOMAINS)
    assert sum(len(p.uri) for p in small[DOMAINS[0]]) < 0.7 * sum(len(p.uri) for p in whole[DOMAINS[0]])
    assert small[DOMAINS[0]][0].alt.startswith("The whole photograph, the outline of its defect")


def test_a_large_gallery_stays_under_five_megabytes(run):
    make_run(run, strips_per_target=10, size_px=240)
    path = write_report(run)
    assert path.stat().st_size < 5_000_000
    text = path.read_text()
    assert len(re.findall("<img ", text)) >= len(DOMAINS)
    for target in DOMAINS:
        assert f'<h3>{target}</h3>\n<div class="grid">\n<figure>' in text


PROBE = """<!doctype html><body><iframe id="page" style="border:0" height="900"></iframe><script>
const views = [[1280, "light"], [1280, "dark"], [390, "light"], [390, "dark"]], found = [];
const frame = document.getElementById("page");
function ink(image) {  // how bright the darkest and the brightest pixel are that a drawing covers
  const canvas = document.createElement("canvas");
  canvas.width = 200; canvas.height = 150;
  const context = canvas.getContext("2d");
  context.drawImage(image, 0, 0, 200, 150);
  const data = context.getImageData(0, 0, 200, 150).data, bright = [];
  for (let i = 0; i < data.length; i += 4) if (data[i + 3] > 200) bright.push(data[i + 1]);
  return [Math.min(...bright), Math.max(...bright)];
}
function look() {
  const inside = frame.contentDocument, root = inside.documentElement;
  found.push({
    scheme: frame.style.colorScheme,
    paper: frame.contentWindow.getComputedStyle(inside.body).backgroundColor,
    ink: ink(inside.querySelector("figure.plot img")),
    width: frame.clientWidth, scroll: root.scrollWidth, text: inside.body.innerText.length,
    broken: [...inside.images].filter(i => !i.complete || !i.naturalWidth).length,
    images: inside.images.length,
    outside: frame.contentWindow.performance.getEntriesByType("resource")
      .map(e => e.name).filter(n => !n.startsWith("data:")),
  });
  if (views.length) next(); else {
    const out = document.createElement("pre"); out.id = "found"; out.textContent = JSON.stringify(found);
    document.body.append(out);
  }
}
function next() {
  [frame.width, frame.style.colorScheme] = views.shift(); frame.onload = look; frame.srcdoc = PAGE;
}
const PAGE = %s;
next();
</script></body>"""


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium on the PATH to look at the page")
def test_a_browser_shows_it_whole_on_a_desk_and_on_a_phone_by_day_and_by_night(tmp_path):
    run = tmp_path / "run"
    make_run(run)
    page = write_report(run).read_text()
    probe = run / "probe.html"
    probe.write_text(PROBE % json.dumps(page).replace("</", "<\\/"))
    command = [
        CHROMIUM,
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--enable-logging=stderr",
        f"--user-data-dir={run / 'browser'}",
        "--virtual-time-budget=8000",
        "--dump-dom",
        probe.as_uri(),
    ]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert "CONSOLE" not in shown.stderr
    match = re.search(r'<pre id="found">(.*?)</pre>', shown.stdout, re.DOTALL)
    views = json.loads(html.unescape(match.group(1)))
    assert [(v["width"], v["scheme"]) for v in views] == [
        (width, scheme) for width in (1280, 390) for scheme in ("light", "dark")
    ]
    for view in views:
        is_dark = view["scheme"] == "dark"
        assert view["paper"] == ("rgb(21, 25, 28)" if is_dark else "rgb(253, 253, 251)")
        darkest, brightest = view["ink"]
        assert (darkest < 60, brightest > 220) == (not is_dark, is_dark)  # the text of a drawing
        assert view["scroll"] <= view["width"]
        assert view["text"] > 2000
        assert view["broken"] == 0
        assert view["images"] == 4 * len(DOMAINS) + page.count('<figure class="plot">')
        assert view["outside"] == []
