"""What a check found, and what a trial asks of a host."""

import dataclasses
from typing import Literal

from dgad.settings import require

Severity = Literal["error", "warning", "unverified"]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """A sentence about a cluster file, with its severity and its line."""

    severity: Severity
    """`error`: it will not run, or not safely; `unverified`: only the started cluster can tell."""
    message: str
    line: int | None = None
    """Line of the file, from 1; None where no one line is meant."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TrialDemand:
    """The CPUs and GPUs that a trial asks of the host it runs on."""

    cpus: int = 1
    gpus: float = 0.0
    """Number of GPUs; below 1 several trials share one."""

    def __post_init__(self) -> None:
        require(self.cpus >= 0, "cpus_per_trial", "at least 0", self.cpus)
        whole = self.gpus <= 1 or self.gpus == int(self.gpus)
        require(self.gpus >= 0 and whole, "gpus_per_trial", "0 to 1, or a whole number", self.gpus)

    def __str__(self) -> str:
        return f"{self.cpus} CPU" if not self.gpus else f"{self.cpus} CPU and {self.gpus:g} GPU"
