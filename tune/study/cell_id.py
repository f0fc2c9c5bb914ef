"""What names a cell in journals, ledger, records and tables, and how its settings were chosen.

A module beside `objectives`, since whoever only reads a run folder needs nothing that that one imports.
"""

import dataclasses
from typing import Literal, Self, get_args

from dgad.errors import RecordError
from dgad.report.summary import label_with_protocol
from dgad.report.tables import DEPLOY as DEPLOY

Protocol = Literal["nested", "source-validation", "oracle"]
"""`nested`: judged on inner folds over the sources, the default. `source-validation`: one fit on all
sources, judged on test images of theirs that were held back. `oracle`: judged on the target itself, as much
published work does; no figure to expect, there to show what peeking is worth."""

PROTOCOLS: tuple[str, ...] = get_args(Protocol)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class CellId:
    """The identity of a cell in its study; its text is `METHOD[:PRESET][ [PROTOCOL]]@TARGET`.

    The text is a format: journals are named by it, and ledger entries carry it. The target is all behind the
    first `@`, which no method's name has.
    """

    label: str
    """A method, or `name:preset`."""
    protocol: str = "nested"
    """One of `PROTOCOLS`. Settings that nothing was chosen of are `nested` here, since a name does not tell
    the two apart: such a cell has read no label at all."""
    target: str
    """The domain held out, or `deploy`."""

    @classmethod
    def of(cls, label: str, protocol: str, target: str) -> Self:
        """Make the identity of a cell or of a row of the leaderboard, whose protocol may be `fixed`."""
        return cls(label=label, protocol="nested" if protocol == "fixed" else protocol, target=target)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what `str` gave; `RecordError` for a text that names no cell."""
        titled, at, target = text.partition("@")
        label, bracket, protocol = titled.partition(" [")
        chosen_by = protocol.removesuffix("]") if bracket else "nested"
        found = cls(label=label, protocol=chosen_by, target=target)
        if not (at and label and target) or chosen_by not in PROTOCOLS or str(found) != text:
            raise RecordError(
                f"A cell is named METHOD[:PRESET][ [PROTOCOL]]@TARGET, with one of {', '.join(PROTOCOLS)},"
                f" but got {text!r}."
            )
        return found

    def __str__(self) -> str:
        return f"{self.title}@{self.target}"

    @property
    def title(self) -> str:
        """The method as tables print it: its label, and the protocol in brackets unless it is `nested`."""
        return label_with_protocol(self.label, self.protocol)

    @property
    def method(self) -> str:
        """The method's registry name, without preset."""
        return self.label.partition(":")[0]

    @property
    def is_deploy(self) -> bool:
        """Whether its winner is fitted on every domain and bundled, instead of scored on one held out."""
        return self.target == DEPLOY

    @property
    def peeks(self) -> bool:
        """Whether it chooses by labels of its own target, as its name says."""
        return self.protocol == "oracle"
