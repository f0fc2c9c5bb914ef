"""The simulated study: a mixed matrix of the sizes that were asked for, and its run folder."""

import dataclasses
import math
from pathlib import Path

from dgad.methods import METHODS
from tune.fits.run import Run, compute_code_version
from tune.study.cells import Cell, make_cells
from tune.study.settings import Study

DOMAINS = ("carpet", "grid", "leather", "tile", "wood")
METHODS_SEARCHED = ("comparer", "agg", "epi_fcr", "eisnet", "memae", "patch_knn")
_FITS_A_TRIAL = 2.1
"""Of a method that learns, in the mean of a whole search: after early stopping and sharing."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """What is simulated."""

    fits: int = 10_000
    """As many as the search is to compute, about: the trials of a cell follow from it."""
    workers: int = 1_000
    cells: int = 0
    """The first so many cells of the matrix; 0: all, with the one that makes the bundle."""
    sampler: str = "tpe"
    seed: int = 0
    median_fit_s: float = 300.0
    death_rate: float = 0.01
    """Of all fits, those whose worker is killed before they are done."""

    @property
    def trials(self) -> int:
        """Configurations a cell."""
        cells = _matrix(Study(name="x", methods=METHODS_SEARCHED), self.cells)
        num_learning = sum(METHODS[cell.method].traits.learns for cell in cells)
        return max(1, math.ceil(self.fits / (_FITS_A_TRIAL * max(1, num_learning))))


def study_of(options: Options) -> Study:
    """A study with the defaults of `dgad-tune launch`, but for its methods and its number of trials."""
    return Study(
        name="x",
        methods=METHODS_SEARCHED,
        trials=options.trials,
        sampler=options.sampler,  # type: ignore[arg-type]
        seed=options.seed,
    )


def run_at(runs: Path, options: Options) -> Run:
    """The run of that study, in a folder of its own below `runs`."""
    return Run(
        folder=runs / "x",
        store=str(runs / "x"),
        study=study_of(options),
        data="simulated",
        domains=DOMAINS,
        data_fingerprint="simulated",
        code_version=compute_code_version(),
        device="cpu",
        num_threads=1,
        cache_bytes=0,
    )


def cells_of_run(run: Run, options: Options) -> tuple[Cell, ...]:
    """The cells that are simulated."""
    return _matrix(run.study, options.cells)


def _matrix(study: Study, number: int) -> tuple[Cell, ...]:
    cells = make_cells(study, DOMAINS, searched=study.methods)
    return cells[:number] if number else cells
