"""What a study did, as `summary.json` keeps it: the search writes it, the report reads it."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dgad.errors import RecordError, SettingsError
from dgad.evaluation.frechet import DomainDistances
from dgad.files import write_atomic
from dgad.settings import from_dict, to_dict

FORMAT_VERSION = 1
FILE_NAME = "summary.json"


def label_with_protocol(method: str, protocol: str) -> str:
    """A method with the protocol that chose its settings in brackets, unless that is `nested`."""
    return method if protocol in ("nested", "fixed") else f"{method} [{protocol}]"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TrialSummary:
    """One configuration of one cell."""

    number: int
    settings: dict[str, Any]
    """What the search chose; settings left at their default may be missing."""
    value: float | None
    """Mean of the first objective over the inner folds it finished; None if it finished none."""
    inner_scores: dict[str, float]
    """The first objective by inner domain."""
    status: str
    """`complete`, `stopped` (early) or `failed`."""
    duration_s: float
    error: str | None = None
    """Why it failed, or None."""
    values: dict[str, float] = dataclasses.field(default_factory=dict)
    """Mean over inner folds of every objective and of what is bounded, by name."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class CellSummary:
    """One row of the leaderboard on one target (or `deploy`): a searched method, or a fixed one."""

    method: str
    """Variant label: `comparer`, `comparer:untrained`, `patch_knn`."""
    target: str
    """A domain, or `deploy`."""
    protocol: str
    """`nested`, `source-validation`, `oracle`, or `fixed` where nothing was selected."""
    selected: dict[str, Any]
    """Complete settings of the winner."""
    inner_score: float | None
    """The winner's value; None where nothing was selected."""
    trials: tuple[TrialSummary, ...] = ()
    record_ids: tuple[str, ...] = ()
    """The records of the winner on the target, one per seed. A record may be shared by cells under
    another label or role, so every table follows these ids; none for `deploy` or without a winner."""
    more_record_ids: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    """The same with further numbers of references, by the number as asked for."""
    front: tuple[int, ...] = ()
    """Trials on the Pareto front, by number; empty with one objective."""
    importance: dict[str, float] = dataclasses.field(default_factory=dict)
    """Share of the first objective's variance by setting; empty where too few trials tell."""
    error: str | None = None
    """Why the cell gave no result, or None."""

    @property
    def label(self) -> str:
        """The method as tables print it."""
        return label_with_protocol(self.method, self.protocol)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class BundleSummary:
    """What the deploy cell bundled."""

    path: str
    """Relative to the run folder."""
    bundle_id: str
    method: str
    expected_image_auroc: float | None
    """The nested estimate: mean over targets of the bundled method's outer results."""
    was_trained: bool = True
    """False where the settings chosen take the method as it comes, without a training step."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class StudySummary:
    """What a study came to: settings, cells, bundle, and what went wrong."""

    name: str
    protocol: str
    data_location: str
    data_fingerprint: str
    domains: tuple[str, ...]
    methods: tuple[str, ...]
    seeds: tuple[int, ...]
    trials_per_cell: int
    objectives: tuple[str, ...] = ("image_auroc",)
    constraints: tuple[str, ...] = ()
    num_references: str
    """As asked for: a count, `P%`, or `all`; records hold the count it meant."""
    features: dict[str, Any]
    """The study's own; what a winner chose of those that were searched is among its settings."""
    command: str
    started_at: str
    """UTC, ISO 8601."""
    wall_s: float
    versions: dict[str, str]
    device: str
    cells: tuple[CellSummary, ...]
    fits_computed: int
    fits_reused: int
    """Requests that were answered by a fit that was there, whoever had computed it."""
    bundle: BundleSummary | None = None
    fits_elsewhere: int = 0
    """Fits that another study had computed."""
    not_applicable: dict[str, str] = dataclasses.field(default_factory=dict)
    """Why a method of the study could not be run on its data, by its label."""
    distances: DomainDistances | None = None
    """Between the study's domains; None where they were not measured."""
    extra_targets: tuple[str, ...] = ()
    """Domains of another data set, on which winners fitted on all of `domains` were scored, and no more."""
    extra_location: str = ""
    """Where that data set is."""
    extra_fingerprint: str = ""
    searched_features: dict[str, Any] = dataclasses.field(default_factory=dict)
    """Lists of scales, tiles and backbones that the search chose from, by name."""
    weights_origins: dict[str, str] = dataclasses.field(default_factory=dict)
    """Where weights come from and their licence, by `BACKBONE WEIGHTS`; earlier versions wrote none."""
    format_version: int = FORMAT_VERSION


def write_summary(run_folder: Path | str, summary: StudySummary) -> None:
    """Write `summary.json`, whole or not at all."""
    text = json.dumps(to_dict(summary), indent=2, ensure_ascii=False, allow_nan=False)
    write_atomic(Path(run_folder) / FILE_NAME, text.encode() + b"\n")


def read_summary(run_folder: Path | str) -> StudySummary:
    """Read `summary.json`; `RecordError` when it is missing, damaged or of a newer format."""
    path = Path(run_folder) / FILE_NAME
    try:
        values = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise RecordError(f"{path} is missing: {run_folder} is not the folder of a finished study.") from None
    except ValueError as error:
        raise RecordError(f"{path} is damaged: {error}.") from error
    version = values.get("format_version") if isinstance(values, Mapping) else None
    if not isinstance(version, int):
        raise RecordError(f"{path} is damaged: it carries no format version.")
    if version > FORMAT_VERSION:
        raise RecordError(
            f"{path} has format version {version}, but this dgad reads up to {FORMAT_VERSION}: update dgad."
        )
    try:
        return from_dict(StudySummary, values)
    except SettingsError as error:
        raise RecordError(f"{path} is damaged: {error}") from error
