"""The folder of one study: made only when everything has been checked, held by one process at a time."""

import contextlib
import dataclasses
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock, Timeout

from dgad.domains.demo import synthesize
from dgad.errors import DataError, RecordError, SettingsError
from dgad.files import check_can_write, replace_folder_atomic, write_atomic
from dgad.provenance import utc_now
from dgad.settings import from_dict, to_dict
from tune.study.settings import FILE_NAME, Study

INFO_FILE = "run.json"
DATA_FOLDER = "data"
DEMO_DOMAINS = ("grid", "leather", "marble", "wood")


class Counts(NamedTuple):
    """Images per synthetic domain."""

    train: int
    good: int
    defective: int


DEMO_COUNTS = Counts(train=20, good=16, defective=16)
QUICK_COUNTS = Counts(train=12, good=8, defective=8)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class RunInfo:
    """What a run folder remembers besides its study."""

    data_fingerprint: str
    code_version: str
    command: str
    started_at: str = dataclasses.field(default_factory=utc_now)
    wall_s: float = 0.0
    """Of all earlier runs of the study that ended by themselves or by Ctrl-C."""
    extra_targets: tuple[str, ...] = ()
    """Domains of another data set, which no cell may choose by."""
    extra_fingerprint: str = ""
    """Of that data set."""
    format_version: int = 1


def run_folder(runs: Path, name: str) -> Path:
    """Where the study `name` lives; `SettingsError` where something else is there."""
    folder = runs / name
    check_can_write(folder if folder.is_dir() else runs)
    # Hidden files are ours: a run that broke off before it wrote anything leaves its lock.
    is_free = not folder.exists() or (
        folder.is_dir() and all(p.name.startswith(".") for p in folder.iterdir())
    )
    if not is_free and not (folder / FILE_NAME).is_file():
        raise SettingsError(f"{folder} exists and is no study of dgad-tune: choose another --name or --runs.")
    return folder


@contextlib.contextmanager
def data_of(study: Study, folder: Path, *, quick: bool = False) -> Iterator[str]:
    """Where the study's data is; the demo's is made in a temporary folder unless it is in `folder`.

    `quick` makes only as many images as an estimate needs.
    """
    if study.data is not None:
        yield study.data
        return
    for name in study.folds:
        if name not in DEMO_DOMAINS:
            raise DataError(f"The demo has no domain `{name}`; it has: {', '.join(DEMO_DOMAINS)}.")
    made = folder / DATA_FOLDER
    if made.is_dir():
        yield str(made)
        return
    with tempfile.TemporaryDirectory(prefix="dgad-demo-") as temporary:
        place = Path(temporary) / DATA_FOLDER
        counts = QUICK_COUNTS if quick else DEMO_COUNTS
        synthesize(
            place,
            seed=study.seed,
            domains=DEMO_DOMAINS,
            num_train=counts.train,
            num_good=counts.good,
            num_defective=counts.defective,
            image_size_px=study.image_size_px,
        )
        yield str(place)


def keep_data(place: str, study: Study, folder: Path) -> str:
    """Bring the demo's data into the run folder; other data stays where it is."""
    made = folder / DATA_FOLDER
    if study.data is None and not made.is_dir():
        with replace_folder_atomic(made) as temporary:
            shutil.copytree(place, temporary, dirs_exist_ok=True)
    return study.data or str(made)


@contextlib.contextmanager
def held(folder: Path, name: str) -> Iterator[None]:
    """The folder, for this process alone; `RecordError` while another one runs the same study."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / ".lock", timeout=2):
            yield
    except Timeout:
        raise RecordError(
            f"The study `{name}` in {folder} is being run by another process: wait for it or stop it."
        ) from None


def check_unchanged(info: RunInfo, now: RunInfo, study: str, place: str) -> None:
    """Raise unless the study goes on with the data and the code it began with."""
    kept, found = ((i.data_fingerprint, i.extra_fingerprint) for i in (info, now))
    if kept != found:
        where = place if kept[0] != found[0] else "`extra_targets`"
        raise DataError(
            f"The data in {where} has changed since the study `{study}` began, so its figures could not be"
            " compared: restore the data, or begin a new study with another --name."
        )
    if info.code_version != now.code_version:
        raise RecordError(
            f"The study `{study}` was begun with dgad {info.code_version}, and this is {now.code_version}:"
            " its fits would not be comparable. Go on with that version, or choose another --name."
        )


def read_info(folder: Path) -> RunInfo | None:
    """What the folder remembers, or None before its first run."""
    path = folder / INFO_FILE
    if not path.is_file():
        return None
    try:
        return from_dict(RunInfo, json.loads(path.read_bytes()))
    except (ValueError, SettingsError) as error:
        raise RecordError(f"{path} is damaged: {error}") from error


def write_info(folder: Path, info: RunInfo) -> None:
    """Remember it."""
    write_atomic(folder / INFO_FILE, json.dumps(to_dict(info), indent=2).encode())
