"""A folder of the head, brought here by Ray's own launcher, and so from inside a container too."""

from pathlib import Path

from cluster.file.config_file import ClusterFile
from cluster.hosts.launcher import run_launcher


def fetch_folder(file: ClusterFile, source: str, target: Path) -> None:
    """Copy the head's folder `source` into `target`, which is made; `ClusterError` where that fails."""
    target.mkdir(parents=True, exist_ok=True)
    # A slash at the end: the folder's content, not the folder.
    run_launcher(file, "rsync-down", f"{source.rstrip('/')}/", f"{target}/")
