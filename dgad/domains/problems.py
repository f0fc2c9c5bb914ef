"""What can be wrong with a data set, as typed values."""

import dataclasses
from typing import Literal

Severity = Literal["fatal", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("fatal", "warning", "note")
"""Fatal: no number measured on the data could be trusted. Warning: some would be missing or weak."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """One problem of one place."""

    severity: Severity
    code: str
    """Stable, for programs: `unreadable_file`, `same_image_in_train_and_test`, ..."""
    domain: str
    path: str
    message: str
    """One sentence without the path."""
