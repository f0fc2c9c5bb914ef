"""What readers of a reference store ask: which domains there are, and what their references are and were."""

import json
from collections.abc import Mapping
from pathlib import Path

from dgad.errors import MissingError, SettingsError, StoreError
from dgad.references.domain import FORMAT_VERSION, Change, Version, check_domain_name
from dgad.references.history import live_references, replay_versions
from dgad.references.log import Log, gone_store_error
from dgad.references.log_file import check_format, is_reference_id
from dgad.references.photographs import Photographs
from dgad.storage import REFERENCES, Storage


class StoreReader:
    """A store at a folder or URI, for reading: makes nothing, and sees every change at once."""

    def __init__(self, location: str | Path) -> None:
        """`StoreError` where the place cannot be used or a newer dgad has written it."""
        self.storage = Storage(location, REFERENCES)
        self.location = self.storage.location
        if self.storage.is_local and Path(self.location).exists() and not Path(self.location).is_dir():
            raise StoreError(f"A reference store must be a folder, but {self.location} is a file.")
        self._log = Log(self.storage)
        self._photographs = Photographs(self.storage)
        self._live: dict[str, tuple[int, frozenset[str]]] = {}
        self._has_begun = self._is_begun()

    def domains(self) -> tuple[str, ...]:
        """Names of the domains there are, those that cannot be read left out: see `damaged`."""
        found = self._states()
        if not found:
            self._check_is_there()
        return tuple(n for n, state in found if isinstance(state, Change) and not state.is_deleted)

    def damaged(self) -> Mapping[str, str]:
        """By name of a domain that cannot be read: why, and what to do."""
        return {name: str(state) for name, state in self._states() if isinstance(state, StoreError)}

    def head(self, domain: str) -> Change:
        """The newest change; `MissingError` where there is no such domain. About the cost of one `stat`."""
        check_domain_name(domain)
        change = self._log.newest(domain)
        if change is None:
            self._check_is_there()
        else:
            self._has_begun = True
        if change is None or change.is_deleted:
            raise MissingError(f"There is no domain {domain!r}: create it first.")
        return change

    def log(self, domain: str) -> tuple[Change, ...]:
        """Every change, the oldest first, also those before it was deleted and made again."""
        self.head(domain)
        return self._log.all(domain)

    def versions(self, domain: str) -> tuple[Version, ...]:
        """Every version since the domain was last made, by number."""
        return replay_versions(self.log(domain))

    def image(self, domain: str, reference_id: str) -> bytes:
        """The photograph as it came; `MissingError` unless a version of the domain has it."""
        head = self.head(domain)
        if is_reference_id(reference_id) and self._lists(head, domain, reference_id):
            data = self._photographs.read(domain, reference_id)
            if data is not None:
                return data
            self._check_is_there()
        raise no_reference_error(domain, reference_id)

    def forget(self) -> None:
        """Keep nothing in memory of what was read: photographs may have been purged since."""
        self._log.forget()
        self._live.clear()

    def _states(self) -> list[tuple[str, Change | StoreError]]:
        def state(name: str) -> Change | StoreError | None:
            try:
                return self._log.newest(name)
            except StoreError as error:
                return error

        names = [n for n in self.storage.folders("domains") if is_domain_name(n)]
        return [(n, s) for n, s in zip(names, self.storage.each(state, names), strict=True) if s is not None]

    def _lists(self, head: Change, domain: str, reference_id: str) -> bool:
        """Whether any version has it."""
        kept = self._live.get(domain)
        if kept is None or kept[0] != head.sequence:
            if any(r.id == reference_id for r in head.references):
                return True
            kept = (head.sequence, frozenset(live_references(self._log.all(domain))))
            self._live[domain] = kept
        return reference_id in kept[1]

    def _check_is_there(self) -> None:
        """Raise `GoneStoreError` where the store was there before."""
        if self._has_begun and not self.storage.exists("store.json"):
            raise gone_store_error(self.location)

    def _is_begun(self) -> bool:
        data = self.storage.read("store.json")
        if data is None:
            return False
        path = self.storage.path("store.json")
        try:
            format_version = int(json.loads(data)["format_version"])
        except (ValueError, KeyError, TypeError):
            raise StoreError(
                f"{path} is damaged: put {store_file().decode().strip()} in its place, or name another store."
            ) from None
        check_format(format_version, path, FORMAT_VERSION)
        return True


def no_reference_error(domain: str, reference_id: str) -> MissingError:
    """What is raised for one that no version has."""
    return MissingError(f"Domain {domain!r} has no reference {reference_id[:80]!r}.")


def is_domain_name(name: str) -> bool:
    """Whether a folder may be a domain's."""
    try:
        check_domain_name(name)
    except SettingsError:
        return False
    return True


def store_file() -> bytes:
    """Render `store.json`, by which a store and its format version are recognised."""
    return json.dumps({"format_version": FORMAT_VERSION}).encode() + b"\n"
