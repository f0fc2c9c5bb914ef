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

_DEMO_DOMAINS = ("grid", "leather", "marble", "wood")


class _Counts(NamedTuple):
    """Images per synthetic domain."""

    train: int
    good: int
    defective: int


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
        temporary_data = Path(temporary) / DATA_FOLDER
        counts = _QUICK_COUNTS if quick else _DEMO_COUNTS
        synthesize(
            temporary_data,
            seed=study.seed,
            domains=_DEMO_DOMAINS,
            num_train=counts.train,
            num_good=counts.good,
            num_defective=counts.defective,
            size_px=study.features.geometry.drawn_px,
        )
        yield str(temporary_data)


def keep_demo_data(data: str, study: Study, folder: Path) -> str:
    """Bring the demo's data into the run folder; other data stays where it is."""
    made = folder / DATA_FOLDER
    if study.data is None and not made.is_dir():
        with replace_folder_atomic(made) as temporary:
            shutil.copytree(data, temporary, dirs_exist_ok=True)
    return study.data or str(made)
