"""The summary of a study, built from facts that a finished run knows or that its folder tells."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dgad.evaluation.frechet import DomainDistances
from dgad.features.origin import name_origins
from dgad.report.summary import CellSummary, StudySummary, TrialSummary
from dgad.settings import to_dict
from tune.results.importance import estimate_importance
from tune.run_folder.folder import RunInfo
from tune.run_folder.journals import load_journal
from tune.search.selection import find_front
from tune.spaces.features import choose_features
from tune.study.cell_id import CellId
from tune.study.settings import Study


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class StudyFits:
    """The fits that a study uses."""

    computed: int
    """By the study itself."""
    reused: int
    """Requests that were answered by a fit that was there."""
    elsewhere: int = 0
    """Fits that another study beside it had computed."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class StudyFacts:
    """All that a summary tells besides the study's settings and what its folder remembers."""

    data_location: str
    domains: tuple[str, ...]
    """The study's own, as far as they are known."""
    cells: tuple[CellSummary, ...]
    fits: StudyFits
    wall_s: float
    versions: Mapping[str, str]
    device: str
    not_applicable: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Why other methods of the study cannot be run on its data, by label."""
    distances: DomainDistances | None = None


def build_summary(study: Study, info: RunInfo, facts: StudyFacts) -> StudySummary:
    """Build the summary of a study, without a bundle."""
    return StudySummary(
        name=study.name,
        protocol=study.protocol[0],
        data_location=facts.data_location,
        data_fingerprint=info.data_fingerprint,
        domains=facts.domains,
        methods=study.methods,
        seeds=study.fit_seeds,
        trials_per_cell=study.trials,
        objectives=study.objectives,
        constraints=study.constraints,
        num_references=study.num_references,
        features=to_dict(study.features),
        searched_features={n: list(values) for n, values in study.searched_features.choices.items()},
        weights_origins=_name_origins(study),
        command=info.command,
        started_at=info.started_at,
        wall_s=facts.wall_s,
        versions=dict(facts.versions),
        device=facts.device,
        cells=facts.cells,
        fits_computed=facts.fits.computed,
        fits_reused=facts.fits.reused,
        fits_elsewhere=facts.fits.elsewhere,
        not_applicable=dict(facts.not_applicable),
        distances=facts.distances,
        extra_location=study.extra_targets or "",
        extra_fingerprint=info.extra_fingerprint,
        extra_targets=info.extra_targets,
    )


def build_cell_summary(
    cell: CellId,
    study: Study,
    journals: Path,
    *,
    protocol: str,
    trials: Sequence[TrialSummary],
    selected: Mapping[str, Any],
    inner_score: float | None,
    record_ids: Sequence[str],
    more_record_ids: Mapping[str, Sequence[str]],
    error: str | None = None,
) -> CellSummary:
    """Build the summary of a cell, or of a method shown beside the cells.

    `protocol` is `fixed` where nothing was chosen. Front and importance are worked out from the trials and
    their journal.
    """
    journal = load_journal(journals, str(cell)) if trials else None
    return CellSummary(
        method=cell.label,
        target=cell.target,
        protocol=protocol,
        selected=dict(selected),
        inner_score=inner_score,
        trials=tuple(trials),
        record_ids=tuple(record_ids),
        more_record_ids={count: tuple(ids) for count, ids in more_record_ids.items()},
        front=find_front(trials, study.objectives, study.bounds),
        importance={} if journal is None else estimate_importance(journal, seed=study.seed),
        error=error,
    )


def _name_origins(study: Study) -> dict[str, str]:
    """Where the weights of the study's backbone come from, and of those that it searches."""
    chosen = study.searched_features.combinations()
    each = (study.features, *(choose_features(study.features, c) for c in chosen))
    return {name: origin for features in each for name, origin in name_origins(features).items()}
