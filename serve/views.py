"""What stores and scorers say, as the JSON that goes out."""

from collections.abc import Sequence

from dgad.references.domain import Change, DomainSettings, Reference
from serve import schemas
from serve.backend import Outcome, Recent, Threshold
from serve.sentences import threshold_sentence

_THUMBNAIL_PX = 96


def settings_view(settings: DomainSettings) -> schemas.SettingsAnswer:
    """Settings."""
    return schemas.SettingsAnswer(
        false_alarm_rate=settings.false_alarm_rate,
        calibration=settings.calibration,
        coreset=settings.coreset,
        note=settings.note,
    )


def threshold_view(threshold: Threshold) -> schemas.ThresholdAnswer:
    """A threshold with its sentence."""
    return schemas.ThresholdAnswer(
        value=threshold.value,
        false_alarm_rate=threshold.false_alarm_rate,
        lowest_rate=threshold.lowest_rate,
        guarantee=threshold.guarantee,
        scheme=threshold.scheme,
        num_compared=threshold.num_compared,
        num_calibration=threshold.num_calibration,
        sentence=threshold_sentence(threshold),
    )


def reference_view(reference: Reference) -> schemas.ReferenceAnswer:
    """One reference."""
    return schemas.ReferenceAnswer(
        id=reference.id,
        name=reference.name,
        num_bytes=reference.num_bytes,
        width_px=reference.width_px,
        height_px=reference.height_px,
        added_at=reference.added_at,
        near_duplicate_of=reference.near_duplicate_of,
    )


def domain_view(
    name: str,
    change: Change,
    created_at: str,
    bundle_id: str,
    *,
    threshold: Threshold | None = None,
    recent: Recent | None = None,
) -> schemas.DomainAnswer:
    """A domain after a change."""
    first = change.references[0].id if change.references else None
    return schemas.DomainAnswer(
        name=name,
        settings=settings_view(change.settings),
        version=change.version,
        sequence=change.sequence,
        num_references=len(change.references),
        created_at=created_at,
        updated_at=change.at,
        threshold=None if threshold is None else threshold_view(threshold),
        recent=None
        if recent is None
        else schemas.RecentAnswer(
            num_scores=recent.num_scores, is_drifting=recent.is_drifting, reason=recent.reason
        ),
        thumbnail=first and f"/v1/domains/{name}/references/{first}?thumbnail={_THUMBNAIL_PX}",
        bundle_id=bundle_id,
    )


def result_view(
    name: str,
    outcome: Outcome,
    threshold: schemas.ThresholdAnswer,
    *,
    heatmap: str | None,
    milliseconds: float,
) -> schemas.ResultAnswer:
    """The answer for one photograph."""
    regions = [
        schemas.RegionAnswer(x=r.x, y=r.y, width=r.width, height=r.height, score=r.score)
        for r in outcome.regions
    ]
    return schemas.ResultAnswer(
        name=name,
        score=outcome.score,
        p_value=outcome.p_value,
        verdict=outcome.verdict,
        threshold=threshold,
        levels=list(outcome.levels),
        regions=regions,
        heatmap=heatmap,
        version=outcome.version,
        bundle_id=outcome.bundle_id,
        milliseconds=milliseconds,
    )


def enrolment_warnings(added: Sequence[Reference], threshold: Threshold | None) -> list[str]:
    """What whoever enrolled should know."""
    warnings = []
    alike = sum(reference.near_duplicate_of is not None for reference in added)
    if alike:
        warnings.append(
            f"{alike} of the {len(added)} photographs are nearly equal to others: such make the threshold too"
            " tight. Photograph different parts, or the same part placed anew."
        )
    if threshold is not None and threshold.value is None:
        warnings.append(threshold_sentence(threshold))
    return warnings
