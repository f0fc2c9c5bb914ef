"""Results that lie on a cluster's hosts, brought to this machine before the hosts go."""

import json
import tempfile
from collections.abc import Callable
from pathlib import Path

from cluster.fetch import fetch
from dgad.errors import SettingsError
from dgad.settings import from_dict
from tune.run_folder import INFO_FILE, RunInfo


def fetch_results(
    file: Path, runs: str, name: str, results: Path, *, tell: Callable[[str], None]
) -> Path | None:
    """The folder of the study here; None where it is kept at a URI, which outlives the hosts.

    Raises `SettingsError` where another study of that name is there already.
    """
    if "://" in runs:
        tell(f"{name}: kept at {runs}, which outlives the cluster.")
        return None
    target = results / name
    with tempfile.TemporaryDirectory(prefix="dgad-fetch-") as temporary:
        fetch(file, f"{runs.rstrip('/')}/{name}", Path(temporary))
        there, here = _started_at(Path(temporary)), _started_at(target)
        if here is not None and here != there:
            raise SettingsError(
                f"{target} holds another study of the name `{name}`: bring the cluster's to another folder"
                " with --results. Nothing was stopped."
            )
    fetch(file, f"{runs.rstrip('/')}/{name}", target)
    tell(f"{name}: results are in {target}.")
    return target


def _started_at(folder: Path) -> str | None:
    path = folder / INFO_FILE
    if not path.is_file():
        return None
    return from_dict(RunInfo, json.loads(path.read_bytes())).started_at
