"""MkDocs hook: one reference page for every package of the code, made from its docstrings.

Pages follow the folders, so that a module that is added, moved or renamed needs no change here.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
PACKAGES = ("dgad", "tune", "serve", "cluster")
_OPTIONS = "    options: {heading_level: 2}\n"


def packages() -> Iterator[str]:
    """Dotted names of all packages that hold code, outermost first."""
    for root in PACKAGES:
        for init in sorted((ROOT / root).rglob("__init__.py")):
            package = ".".join(init.parent.relative_to(ROOT).parts)
            if modules_of(package):
                yield package


def modules_of(package: str) -> list[str]:
    """Dotted names of the public modules that lie directly in a package."""
    folder = ROOT / package.replace(".", "/")
    return [f"{package}.{file.stem}" for file in sorted(folder.glob("*.py")) if not file.stem.startswith("_")]


def page_of(package: str) -> str:
    """Markdown of a package's page: its own members, then those of each of its modules."""
    parts = [f"# {package}\n"]
    if (ROOT / package.replace(".", "/") / "__init__.py").read_text().strip():
        parts.append(f"::: {package}\n    options: {{heading_level: 2, show_submodules: false}}\n")
    parts += [f"::: {module}\n{_OPTIONS}" for module in modules_of(package)]
    return "\n".join(parts)


def on_config(config: Any) -> Any:
    """Append the packages' pages to the navigation, a section for each of the four."""
    (reference,) = (section["Reference"] for section in config.nav if "Reference" in section)
    for root in PACKAGES:
        own = [name for name in packages() if name.split(".")[0] == root]
        reference.append({f"All of {root}": [{name: f"reference/{name}.md"} for name in own]})
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add the packages' pages, which lie in no folder."""
    for package in packages():
        files.append(File.generated(config, f"reference/{package}.md", content=page_of(package)))
    return files
