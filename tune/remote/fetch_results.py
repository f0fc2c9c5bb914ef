"""Results that lie on a cluster's hosts, brought to this machine before the hosts go."""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from cluster.file.config_file import ClusterFile
from cluster.hosts.fetch import fetch_folder
from dgad.errors import SettingsError
from tune.run_folder.folder import read_info


def fetch_results(
    file: ClusterFile, runs: str, name: str, results: Path, *, report: Callable[[str], None]
) -> Path | None:
    """Bring a study's results to this machine; its folder, None where it is kept at a URI.

    Raises `SettingsError` where another study of that name is there already.
    """
    if "://" in runs:
        report(f"{name}: kept at {runs}, which outlives the cluster.")
        return None
    target = results / name
    with tempfile.TemporaryDirectory(prefix="dgad-fetch-") as temporary:
        brought = Path(temporary)
        fetch_folder(file, f"{runs.rstrip('/')}/{name}", brought)
        here, there = read_info(target), read_info(brought)
        if here is not None and (there is None or here.started_at != there.started_at):
            raise SettingsError(
                f"{target} holds another study of the name `{name}`: bring the cluster's to another folder"
                " with --results. No host was stopped."
            )
        # What is there of the same study, from an earlier time, is brought up to date.
        shutil.copytree(brought, target, dirs_exist_ok=True)
    report(f"{name}: results are in {target}.")
    return target
