"""The documentation names files that exist, and its pages fetch nothing from elsewhere."""

import importlib.util
import re
import shutil
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [p for p in sorted((ROOT / "docs").rglob("*.md")) if "lab" not in p.relative_to(ROOT / "docs").parts]
PLACEHOLDERS = ("NAME", "DIR")


def _tool(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    "page", [*PAGES, ROOT / "README.md", ROOT / "CONTRIBUTING.md"], ids=lambda p: str(p.relative_to(ROOT))
)
def test_files_and_modules_that_a_page_names_exist(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    paths = re.findall(r"\b((?:dgad|tune|serve|cluster|tests|tools|docs|benchmarks)/[\w/.-]+)", text)
    for path in paths:
        if not any(word in path for word in PLACEHOLDERS):
            assert (ROOT / path.rstrip(".")).exists(), path


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_tests_that_a_page_tells_to_run_exist(page: Path) -> None:
    for line in re.findall(r"^python -m pytest (.*?)(?:#.*)?$", page.read_text(), flags=re.MULTILINE):
        for path in (word for word in line.split() if word.startswith("tests/")):
            assert (ROOT / path).exists(), path


@pytest.mark.parametrize(
    ("html", "num_found"),
    [
        ('<a href="https://example.org">read</a><img src="picture.png">', 0),
        ('<link rel="canonical" href="https://example.org">', 0),
        ('<script src="https://unpkg.com/x.js"></script>', 1),
        ('<link rel="stylesheet" href="//fonts.example.org/css">', 1),
        ("<style>@import 'https://example.org/a.css';</style>", 1),
        ('<p style="background: url(https://example.org/a.png)">', 1),
        ('<pre class="mermaid">graph TD</pre>', 1),
    ],
)
def test_what_a_page_would_fetch_from_elsewhere_is_found(html: str, num_found: int, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text(html)
    assert len(_tool("check_site").outside_requests(tmp_path)) == num_found


def test_the_picture_leaves_out_what_follows_and_shows_circles() -> None:
    draw = _tool("draw_architecture")
    edges = {"a.top": {"a.middle", "a.low"}, "a.middle": {"a.low"}, "a.low": set()}
    assert draw.circles(edges) == set()
    assert draw.without_implied(edges) == {"a.top": {"a.middle"}, "a.middle": {"a.low"}, "a.low": set()}
    assert draw.depths(edges) == {"a.top": 0, "a.middle": 1, "a.low": 2}
    assert draw.circles({**edges, "a.low": {"a.middle"}}) in (
        {("a.low", "a.middle")},
        {("a.middle", "a.low")},
    )


def test_every_package_has_a_reference_page() -> None:
    packages = set(_tool("reference_pages").packages())
    assert {"dgad", "dgad.methods", "tune.spaces", "serve.api", "cluster.jobs"} <= packages


@pytest.mark.slow
def test_the_first_notebook_runs_as_it_stands(
    tmp_path: Path, demo_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (ROOT / "docs" / "tutorial" / "first_notebook.md").read_text()
    shutil.copytree(demo_data / "wood" / "train" / "good", tmp_path / "good_parts")
    for number, kind in enumerate(sorted((demo_data / "wood" / "test").iterdir())[:2], start=1):
        shutil.copy(kind / "000.png", tmp_path / f"part{number}.png")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for block in re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL):
        exec(compile(block, "first_notebook.md", "exec"), names)
    assert len(list(tmp_path.glob("*_heatmap.png"))) == 2
    rows = names["table"].to_dicts()  # type: ignore[attr-defined]
    assert {row["method"] for row in rows} == {"comparer:builtin", "patch_knn", "trivial"}
