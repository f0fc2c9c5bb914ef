"""The demo's data: made for a study that has none, and kept in its folder."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from dgad.domains.demo import synthesize
from dgad.errors import DataError
from dgad.files import replace_folder_atomic
from tune.run_folder.layout import DATA_FOLDER
from tune.study.settings import Study


class _Counts(NamedTuple):
    """Images per synthetic domain."""

    train: int
    good: int
    defective: int


class _Surfaces(NamedTuple):
    """Domains photographed alike."""

    names: tuple[str, ...]
    size_px: int | tuple[int, int]
    defect_px: tuple[int, int]
    contrast: float
    """Of defects: how much of them shows."""


# Hard enough that methods differ: small and faint defects on surfaces with seams, smudges and dust,
# in several sessions of the camera. Half of the surfaces are seen by a camera that shows more of them.
_SURFACES = (
    _Surfaces(names=("grid", "marble"), size_px=96, defect_px=(8, 40), contrast=0.9),
    _Surfaces(names=("leather", "wood"), size_px=(208, 160), defect_px=(6, 24), contrast=1.0),
)
_VARIATION = 0.6
_DEMO_DOMAINS = tuple(sorted(name for group in _SURFACES for name in group.names))
_DEMO_COUNTS = _Counts(train=20, good=16, defective=16)
_QUICK_COUNTS = _Counts(train=12, good=8, defective=8)


@contextlib.contextmanager
def provide_data(study: Study, folder: Path, *, quick: bool = False) -> Iterator[str]:
    """Where the study's data is; the demo's is made in a temporary folder unless it is in `folder`.

    `quick` makes only as many images as an estimate needs.
    """
    if study.data is not None:
        yield study.data
        return
    for name in study.folds:
        if name not in _DEMO_DOMAINS:
            raise DataError(f"The demo has no domain `{name}`; it has: {', '.join(_DEMO_DOMAINS)}.")
    made = folder / DATA_FOLDER
    if made.is_dir():
        yield str(made)
        return
    with tempfile.TemporaryDirectory(prefix="dgad-demo-") as temporary:
        made_data = Path(temporary) / DATA_FOLDER
        synthesize_demo(made_data, seed=study.seed, quick=quick)
        yield str(made_data)


def synthesize_demo(destination: Path, *, seed: int, quick: bool = False) -> None:
    """Write the demo's domains into the new folder `destination`; `quick` makes only a few images of each."""
    counts = _QUICK_COUNTS if quick else _DEMO_COUNTS
    destination.mkdir()
    for number, group in enumerate(_SURFACES):
        part = destination.with_name(f"part-{number}")
        synthesize(
            part,
            seed=seed,
            domains=group.names,
            num_train=counts.train,
            num_good=counts.good,
            num_defective=counts.defective,
            size_px=group.size_px,
            defect_px=group.defect_px,
            contrast=group.contrast,
            variation=_VARIATION,
        )
        for name in group.names:
            (part / name).rename(destination / name)


def keep_demo_data(data: str, study: Study, folder: Path) -> str:
    """Bring the demo's data into the run folder; other data stays where it is."""
    made = folder / DATA_FOLDER
    if study.data is None and not made.is_dir():
        with replace_folder_atomic(made) as temporary:
            shutil.copytree(data, temporary, dirs_exist_ok=True)
    return study.data or str(made)
