"""What stores and scorers say, as the JSON that goes out."""

import dataclasses
from collections.abc import Iterable, Sequence

from dgad.domains.wide_values import WideRange, find_narrow_range
from dgad.references.domain import Change, Reference
from serve.api import schemas
from serve.engine.backend import Outcome, RecentScores, Threshold
from serve.engine.threshold_text import describe_threshold

_THUMBNAIL_PX = 96


def render_threshold(threshold: Threshold) -> schemas.ThresholdAnswer:
    """A threshold with its sentence."""
    return schemas.ThresholdAnswer(**dataclasses.asdict(threshold), sentence=describe_threshold(threshold))


def render_reference(reference: Reference) -> schemas.ReferenceAnswer:
    """Render one reference as its answer."""
    return schemas.ReferenceAnswer(**dataclasses.asdict(reference))


def render_domain(
    name: str,
    change: Change,
    bundle_id: str,
    *,
    threshold: Threshold | None = None,
    recent: RecentScores | None = None,
) -> schemas.DomainAnswer:
    """A domain after a change."""
    first = change.references[0].id if change.references else None
    return schemas.DomainAnswer(
        name=name,
        settings=change.settings,
        version=change.version,
        sequence=change.sequence,
        num_references=len(change.references),
        created_at=change.created_at,
        updated_at=change.made_at,
        threshold=None if threshold is None else render_threshold(threshold),
        recent=None if recent is None else schemas.RecentAnswer(**dataclasses.asdict(recent)),
        thumbnail=first and f"/v1/domains/{name}/references/{first}?thumbnail={_THUMBNAIL_PX}",
        region=None if change.settings.region is None else dict(change.settings.region),
        bundle_id=bundle_id,
    )


def render_result(
    name: str,
    outcome: Outcome,
    threshold: schemas.ThresholdAnswer,
    *,
    heatmap: str | None,
    milliseconds: float,
) -> schemas.ResultAnswer:
    """The answer for one photograph."""
    regions = tuple(schemas.RegionAnswer(**dataclasses.asdict(r)) for r in outcome.regions)
    scale = None if heatmap is None else schemas.HeatmapScale(low=outcome.heat_low, high=outcome.heat_high)
    return schemas.ResultAnswer(
        name=name,
        score=outcome.score,
        p_value=outcome.p_value,
        verdict=outcome.verdict,
        threshold=threshold,
        levels=outcome.levels,
        regions=regions,
        heatmap=heatmap,
        heatmap_scale=scale,
        version=outcome.version,
        bundle_id=outcome.bundle_id,
        milliseconds=milliseconds,
        same_as_reference=outcome.same_as_reference,
    )


def list_range_warnings(ranges: Iterable[WideRange | None], *, are_queries: bool = False) -> list[str]:
    """What whoever sent photographs should know of their values, where all are read as too dark."""
    narrow = find_narrow_range(ranges, are_queries=are_queries)
    if narrow is None:
        return []
    found = narrow.describe(
        lambda depth: f"set the bit depth to {depth} in a new domain, for one with references keeps its own"
    )
    return [f"The request has {found}."]


def list_enrolment_warnings(
    added: Sequence[Reference], threshold: Threshold | None, ranges: Iterable[WideRange | None]
) -> list[str]:
    """What whoever enrolled should know."""
    warnings = list_range_warnings(ranges)
    alike = sum(reference.near_duplicate_of is not None for reference in added)
    if alike:
        warnings.append(
            f"{alike} of the {len(added)} photographs are nearly equal to others: such make the threshold too"
            " tight. Photograph different parts, or the same part placed anew."
        )
    if threshold is not None and threshold.value is None:
        warnings.append(describe_threshold(threshold))
    return warnings
