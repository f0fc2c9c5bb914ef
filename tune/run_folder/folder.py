"""The folder of one study: made only when everything has been checked, held by one process at a time."""

import contextlib
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import yaml
from filelock import FileLock, Timeout

from dgad.errors import RecordError, SettingsError
from dgad.files import check_can_write, write_atomic
from dgad.provenance import utc_now
from dgad.settings import from_dict, to_dict
from tune.run_folder.layout import INFO_FILE, LOCK_FILE, STUDY_FILE
from tune.spaces.narrowing import to_plain
from tune.study.settings import Study, read_study_file


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
    domain_fingerprints: dict[str, str] = dataclasses.field(default_factory=dict)
    """Of each domain, so that one that changes can be named; empty where an earlier version began it."""
    weights_sha256: str = ""
    """Of the backbone's weights file; empty without one."""
    searched_weights_sha256: dict[str, str] = dataclasses.field(default_factory=dict)
    """Of further weights files that the study searches, by path."""
    format_version: int = 1


def check_run_folder(runs: Path, name: str) -> Path:
    """Where the study `name` lives; `SettingsError` where something else is there."""
    folder = runs / name
    check_can_write(folder if folder.is_dir() else runs)
    # Hidden files are ours: a run that broke off before it wrote anything leaves its lock.
    is_free = not folder.exists() or (
        folder.is_dir() and all(p.name.startswith(".") for p in folder.iterdir())
    )
    if not is_free and not (folder / STUDY_FILE).is_file():
        raise SettingsError(f"{folder} exists and is no study of dgad-tune: choose another --name or --runs.")
    return folder


@contextlib.contextmanager
def hold_folder(folder: Path, name: str) -> Iterator[None]:
    """The folder, for this process alone; `RecordError` while another one runs the same study."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / LOCK_FILE, timeout=2):
            yield
    except Timeout:
        raise RecordError(
            f"The study `{name}` in {folder} is being run by another process: wait for it or stop it."
        ) from None


def read_info(folder: Path) -> RunInfo | None:
    """Read what the folder remembers; None before the first run, `RecordError` where it is damaged."""
    path = folder / INFO_FILE
    if not path.is_file():
        return None
    try:
        return from_dict(RunInfo, json.loads(path.read_bytes()))
    except (ValueError, SettingsError) as error:
        raise RecordError(f"{path} is damaged: {error}") from error


def write_info(folder: Path, info: RunInfo) -> None:
    """Write what the folder remembers besides its study, whole or not at all."""
    write_atomic(folder / INFO_FILE, json.dumps(to_dict(info), indent=2).encode())


def write_study(folder: Path, study: Study) -> None:
    """Write `study.yaml` into the run folder; it can be given to `--study` again."""
    values = {k: v for k, v in to_dict(study).items() if v is not None and k != "spaces"}
    if study.spaces:
        values["spaces"] = to_plain(study.spaces)
    write_atomic(folder / STUDY_FILE, yaml.safe_dump(values, sort_keys=False).encode())


def read_study(folder: Path) -> Study | None:
    """The study of a run folder, or None where there is none."""
    path = folder / STUDY_FILE
    if not path.exists():
        return None
    values = read_study_file(path)
    if "name" not in values:
        raise RecordError(f"{path} is damaged: it lacks the study's `name`.")
    return Study(**values)
