"""The pages of docs/howto carried out on a copy of the code."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
_COPIED = ("dgad", "tune", "serve", "cluster", "docs", "tests")


def copy_code(folder: Path) -> None:
    """Copy what the pages change, and what is run then."""
    for name in _COPIED:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", ".*"))


def python_blocks(page: str) -> list[str]:
    """Every Python block of a page, in order, as it stands there."""
    text = (ROOT / "docs" / "howto" / f"{page}.md").read_text()
    return re.findall(r"^```python\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


def add_line(path: Path, before: str, line: str) -> None:
    """Insert a line ahead of the first that begins with `before`."""
    head, found, tail = path.read_text().partition(f"\n{before}")
    assert found, f"{path.name} has no line that begins with {before!r}"
    path.write_text(f"{head}\n{line.rstrip()}{found}{tail}")


def append_block(folder: Path, block: str) -> None:
    """Append a block to the file that its first line names; a file that is not there is made of it."""
    name = re.match(r"# (\S+\.py)\n", block)
    assert name is not None, block
    path = folder / name[1]
    text = path.read_text() + "\n\n" if path.exists() else ""
    path.write_text(text + block[name.end() :])


def run_in(folder: Path, *arguments: str) -> str:
    """Run Python on the copy in `folder`; what it printed."""
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
