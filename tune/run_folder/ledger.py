"""The ledger: every read of labels by a cell, one immutable file each, in one order for the whole study.

Whoever is about to use labels appends an entry first. Sequence numbers are taken by creating the file of
that number, which only one process can do, so the order holds across workers and restarts.
"""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from dgad.errors import RecordError, SettingsError
from dgad.provenance import utc_now
from dgad.settings import from_dict
from dgad.storage import Storage
from tune.study.cell_id import CellId

FORMAT_VERSION = 1
Purpose = Literal["fit", "objective", "seal", "outer", "report"]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One read of labels, or a seal."""

    sequence: int
    """Position in the study's one order, from 0."""
    cell: str
    purpose: Purpose
    """`fit`: a model trained on these labels is used; `objective`: a configuration is judged by them;
    `seal`: the cell's selection is final; `outer`: the winner is scored on the target."""
    domains: tuple[str, ...] = ()
    """Whose labels are read."""
    record_id: str | None = None
    detail: dict[str, Any] = dataclasses.field(default_factory=dict)
    """`fit`: the fit's id; `seal`: the selected settings, the trial and its inner score; `outer`: the number
    of references as asked for, where it is another than the study's."""
    at: str
    format_version: int = FORMAT_VERSION


class Ledger:
    """Append-only entries in a folder, or at a URI, where one process alone may append."""

    def __init__(self, location: str | Path) -> None:
        self._storage = Storage(location)
        self._next = 0
        self._known: list[Entry] = []
        """Entries never change, so that each is read once, however often a seal is asked for."""

    def append(
        self,
        cell: str,
        purpose: Purpose,
        *,
        domains: Sequence[str] = (),
        record_id: str | None = None,
        detail: dict[str, Any] | None = None,
    ) -> Entry:
        """Write the next entry; it is on disk when this returns."""
        if self._next == 0:
            self._next = len(self._sequences())
        while True:
            entry = Entry(
                sequence=self._next,
                cell=cell,
                purpose=purpose,
                domains=tuple(domains),
                record_id=record_id,
                detail=detail or {},
                at=utc_now(),
            )
            self._next += 1
            if self._create(entry):
                return entry

    def entries(self) -> tuple[Entry, ...]:
        """All entries in order; `RecordError` for a damaged or missing one."""
        sequences = self._sequences()
        if sequences != list(range(len(sequences))):
            raise RecordError(f"The ledger {self._storage.location} has a gap: an entry was removed.")
        names = [_file_name(sequence) for sequence in sequences[len(self._known) :]]
        self._known += self._storage.each(self._read, names)
        return tuple(self._known[: len(sequences)])

    def entry(self, sequence: int) -> Entry | None:
        """One entry, or None where it is not there; no other is looked at."""
        name = _file_name(sequence)
        return self._read(name) if self._storage.exists(name) else None

    def seals(self) -> dict[str, Entry]:
        """The seals by cell, of those that are sealed; one without a selection gives way to a later."""
        found: dict[str, Entry] = {}
        for entry in self.entries():
            kept = found.get(entry.cell)
            if entry.purpose == "seal" and (kept is None or (entry.detail and not kept.detail)):
                found[entry.cell] = entry
        return found

    def seal_of(self, cell: str) -> Entry | None:
        """The seal of a cell, or None before it is sealed."""
        return self.seals().get(cell)

    def _sequences(self) -> list[int]:
        names = self._storage.sizes()
        return sorted(int(n.removesuffix(".json")) for n in names if n.endswith(".json"))

    def _create(self, entry: Entry) -> bool:
        """False where another process has taken the number."""
        return self._storage.create(
            _file_name(entry.sequence), json.dumps(dataclasses.asdict(entry)).encode()
        )

    def _read(self, name: str) -> Entry:
        return _decode(self._storage.read(name) or b"", self._storage.path(name))


def read_growing_ledger(folder: Path) -> list[Entry]:
    """The entries of a folder as far as they are written, in order; `RecordError` for a damaged one.

    A ledger that grows may be listed with a gap, which `Ledger` takes for damage.
    """
    return [_decode(path.read_bytes(), str(path)) for path in sorted(folder.glob("*.json"))]


def _decode(data: bytes, path: str) -> Entry:
    try:
        return from_dict(Entry, json.loads(data))
    except (ValueError, SettingsError) as error:
        reason = str(error).rstrip(".")
        raise RecordError(f"The ledger entry {path} is damaged: {reason}.") from error


def _file_name(sequence: int) -> str:
    return f"{sequence:08d}.json"


def find_leaks(entries: Sequence[Entry]) -> tuple[str, ...]:
    """One sentence per breach of the order: what a cell may read before and after its seal.

    Before its seal a cell reads no label of its target; it is sealed once; it is scored on its target only
    afterwards, and judges no configuration any more. A seal without a selection closes nothing: such a cell
    has no winner to score. A cell whose name says `oracle` may judge by its target, and nothing else.
    """
    sealed: set[str] = set()
    found = []
    for entry in entries:
        cell = CellId.parse(entry.cell)
        if entry.purpose == "seal":
            if entry.cell in sealed:
                found.append(f"Entry {entry.sequence}: {entry.cell} was sealed a second time.")
            if entry.detail:
                sealed.add(entry.cell)
        elif entry.purpose == "objective" and entry.cell in sealed:
            found.append(f"Entry {entry.sequence}: {entry.cell} judged a configuration after its seal.")
        elif entry.purpose == "objective" and cell.peeks:
            continue  # it says so wherever its figures stand
        elif cell.target in entry.domains and entry.cell not in sealed:
            found.append(
                f"Entry {entry.sequence}: {entry.cell} read labels of its target before its seal"
                f" ({entry.purpose})."
            )
        elif cell.target in entry.domains and entry.purpose != "outer":
            found.append(f"Entry {entry.sequence}: {entry.cell} used its target's labels to {entry.purpose}.")
    return tuple(found)
