"""A study for a notebook: its leaderboard and its trials as tables, and where its bundle and report are."""

import dataclasses
import html
from pathlib import Path
from typing import Any, Literal

from dgad.api.table import Table
from dgad.records import RecordStore
from dgad.report.summary import StudySummary, TrialSummary
from dgad.report.tables import (
    LeaderboardRow,
    extra_records,
    leaderboard,
    outer_records,
    read_named_records,
)
from tune.run_folder.layout import RECORDS_FOLDER, REPORT_FILE

Metric = Literal["image_auroc", "pixel_auroc", "aupro", "f1_max"]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class Leaderboard(Table):
    """One metric by method and target, the best mean first and methods with missing targets last."""

    metric: str
    targets: tuple[str, ...]
    rows: tuple[LeaderboardRow, ...]
    caption: str

    @property
    def title(self) -> str:
        """The metric, and what the targets are."""
        return self.caption

    def to_dicts(self) -> list[dict[str, Any]]:
        """Give a row a method: its figure on every target, their mean with its interval, and its time.

        The interval is 95% over images, the time the median an image in ms. All figures but the time are 0
        to 1; None where there is none.
        """
        return [
            {
                "method": row.label,
                **{t: row.by_target[t].value if t in row.by_target else None for t in self.targets},
                "mean": row.mean.value if row.mean else None,
                "mean_low": row.mean.low if row.mean else None,
                "mean_high": row.mean.high if row.mean else None,
                "ms_per_image": row.ms_per_image,
            }
            for row in self.rows
        ]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TrialRow:
    """One configuration that was tried in one cell."""

    method: str
    target: str
    """The domain held out, or `deploy` for the search over all of them."""
    protocol: str
    trial: TrialSummary
    is_selected: bool
    """Whether the cell's winner has its settings."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class TrialTable(Table):
    """Every configuration of every searched cell."""

    rows: tuple[TrialRow, ...]

    @property
    def title(self) -> str:
        """How many there are."""
        return f"{len(self.rows)} trials"

    def to_dicts(self) -> list[dict[str, Any]]:
        """A row a trial; its settings are columns `setting.NAME`, None where it left one at its default."""
        names = sorted({name for row in self.rows for name in row.trial.settings})
        return [
            {
                "method": row.method,
                "target": row.target,
                "protocol": row.protocol,
                "number": row.trial.number,
                "status": row.trial.status,
                "value": row.trial.value,
                "is_selected": row.is_selected,
                "duration_s": row.trial.duration_s,
                "error": row.trial.error,
                **{f"setting.{name}": row.trial.settings.get(name) for name in names},
            }
            for row in self.rows
        ]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class StudyResult:
    """A study as its folder holds it, ended or on its way."""

    name: str
    folder: Path
    """Its run folder; of a study at a URI the local copy."""
    summary: StudySummary
    note: str = ""
    """What a reader must know of a study that has not ended; empty for one that has."""

    @property
    def bundle(self) -> Path | None:
        """The folder that `dgad.load_comparer` and `dgad-serve up` take; None where nothing was bundled."""
        return self.folder / self.summary.bundle.path if self.summary.bundle else None

    @property
    def report(self) -> Path | None:
        """The page; None where none has been written yet (`dgad-tune report` writes one at any time)."""
        page = self.folder / REPORT_FILE
        return page if page.is_file() else None

    def leaderboard(self, metric: Metric = "image_auroc") -> Leaderboard:
        """The winners' figures on surfaces held out.

        Args:
            metric: `image_auroc`, `pixel_auroc`, `aupro` or `f1_max`.

        Returns:
            A row a method, and a column a domain of the study.
        """
        records = outer_records(self.summary, self._records())
        targets = dict.fromkeys(c.target for c in self.summary.cells if c.target in self.summary.domains)
        return Leaderboard(
            metric=metric,
            targets=tuple(targets),
            rows=leaderboard(records, metric),
            caption=f"{metric} on surfaces held out",
        )

    def other_data(self, metric: Metric = "image_auroc") -> Leaderboard:
        """The same figures on the domains of `extra_targets`, by winners fitted on all of the study's own.

        Args:
            metric: As `leaderboard` takes it.

        Returns:
            A row a method, and a column a domain of the other data set; no rows without one.
        """
        records = extra_records(self.summary, self._records())
        return Leaderboard(
            metric=metric,
            targets=self.summary.extra_targets,
            rows=leaderboard(records, metric),
            caption=f"{metric} on another data set, fitted on all {len(self.summary.domains)} domains",
        )

    def trials(self) -> TrialTable:
        """Every configuration that was tried, cell by cell, in the order they were proposed."""
        return TrialTable(
            rows=tuple(
                TrialRow(
                    method=cell.method,
                    target=cell.target,
                    protocol=cell.protocol,
                    trial=trial,
                    is_selected=bool(cell.selected) and trial.settings.items() <= cell.selected.items(),
                )
                for cell in self.summary.cells
                for trial in cell.trials
            )
        )

    def _records(self) -> Any:
        return read_named_records(self.summary, RecordStore(self.folder / RECORDS_FOLDER))

    def _lines(self) -> list[str]:
        summary = self.summary
        lines = [f"Study {self.name}: {self.note}" if self.note else f"Study {self.name}: finished."]
        lines += [f"{c.label} on {c.target} failed: {c.error}" for c in summary.cells if c.error]
        lines += [f"{label}: not applicable: {why}" for label, why in summary.not_applicable.items()]
        lines += [f"Bundle: {self.bundle}"] if self.bundle else []
        return lines + ([f"Report: {self.report}"] if self.report else [])

    def __repr__(self) -> str:
        return "\n".join([repr(self.leaderboard()), *self._lines()])

    def _repr_html_(self) -> str:
        lines = "".join(f"<p>{html.escape(line)}</p>" for line in self._lines())
        return f"{self.leaderboard()._repr_html_()}{lines}"
