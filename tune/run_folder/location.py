"""Where studies are kept: a folder, or a URI that is worked on in a local folder and kept up to date there.

Records, ledger, weights and tracebacks go straight to the URI, from every host. What only the driver writes
(study, journals, summary, report, bundle) is written locally, where Optuna finds the locks that an object
store lacks, and mirrored.
"""

import contextlib
import dataclasses
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

from dgad.storage import Storage
from dgad.user_dirs import temporary_user_folder, user_cache_folder
from tune.run_folder.mirror import Mirror, list_studies_at, pull

DEFAULT = "runs"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Runs:
    """A folder or URI in which studies are kept."""

    location: str
    """As the user names it."""

    @property
    def is_remote(self) -> bool:
        """Whether it is a URI."""
        return "://" in self.location

    @property
    def folder(self) -> Path:
        """The folder itself, or the driver's working folder of a URI."""
        return self._cached("runs") if self.is_remote else Path(self.location)

    def store(self, name: str) -> str:
        """Where the workers of the study `name` read and write."""
        if not self.is_remote:
            return str((self.folder / name).absolute())
        return Storage(self.location).child(name).location

    def names(self) -> tuple[str, ...]:
        """The studies that are kept there."""
        return list_studies_at(Storage(self.location))

    def fetch_study(self, name: str) -> Path:
        """The folder in which a study is worked on, up to date with a URI; it need not be there."""
        if self.is_remote:
            pull(Storage(self.store(name)), self.folder / name)
        return self.folder / name

    def view(self, *names: str) -> Path:
        """The folder of all studies, those named up to date: for whoever looks at them.

        Of a URI it is another one than the driver's, which may run on the same host and be ahead of the URI.
        """
        if not self.is_remote:
            return self.folder
        for name in names:
            pull(Storage(self.store(name)), self._cached("views") / name)
        return self._cached("views")

    def _cached(self, kind: str) -> Path:
        cache = user_cache_folder() or temporary_user_folder()
        return cache / kind / hashlib.sha256(self.location.encode()).hexdigest()[:16]

    @contextlib.contextmanager
    def keep_mirrored(self, name: str, *, report: Callable[[str], None]) -> Iterator[Mirror | None]:
        """Mirror what the driver writes for as long as the block lasts; None where no URI wants it."""
        if not self.is_remote:
            yield None
            return
        with Mirror(self.folder / name, Storage(self.store(name)), report=report) as mirror:
            yield mirror
