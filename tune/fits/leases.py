"""Whose turn it is to compute a fit that several workers want."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from filelock import FileLock


class Leases(Protocol):
    """At most one holder a fit."""

    def hold(self, fit_id: str) -> AbstractContextManager[object]:
        """Wait until nobody else computes the fit, then hold it."""
        ...


class FileLeases:
    """A lock file per fit on a local disk, freed by the system when its holder dies."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def hold(self, fit_id: str) -> AbstractContextManager[object]:
        """Wait until nobody else computes the fit, then hold it."""
        self._folder.mkdir(parents=True, exist_ok=True)
        return FileLock(self._folder / f"{fit_id}.lock")
