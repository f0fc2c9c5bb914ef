"""The notebooks in docs/notebooks run from scratch, and what is kept of their outputs is fit to be kept.

To make the outputs anew: `jupyter execute --inplace docs/notebooks/NAME.ipynb`.
"""

import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parents[1] / "docs" / "notebooks").glob("*.ipynb"))
MAX_BYTES = 300_000
"""Of a whole notebook, pictures included."""


def code_cells(path: Path) -> list[Any]:
    notebook: Any = nbformat.read(path, as_version=4)
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def outputs(cells: list[Any]) -> list[str]:
    """What every cell gave, without what goes to standard error: warnings of libraries."""
    return [", ".join(o.output_type for o in cell.outputs if o.get("name", "") != "stderr") for cell in cells]


def test_there_is_one() -> None:
    assert [path.name for path in NOTEBOOKS] == ["first_surface.ipynb"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_what_is_kept_was_run_in_order_and_is_small(path: Path) -> None:
    assert path.stat().st_size < MAX_BYTES
    cells = code_cells(path)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    told = str([cell.outputs for cell in cells])
    assert "image/png" in told
    assert not re.search(r"(?<![\w.])/(tmp|home|root|work|Users|opt)/", told)


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_it_runs_from_scratch_and_gives_what_is_kept(path: Path, tmp_path: Path) -> None:
    kept = outputs(code_cells(path))
    notebook: Any = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    client = NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()  # raises for the first cell that fails
    assert outputs([cell for cell in notebook.cells if cell.cell_type == "code"]) == kept
