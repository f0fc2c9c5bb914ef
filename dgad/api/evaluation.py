"""One fold for several methods as a typed table: what `dgad evaluate` prints, for Python callers."""

import dataclasses
import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dgad.api.table import Table
from dgad.device import resolve_device
from dgad.domains.base import Dataset
from dgad.domains.checks import check_listing
from dgad.domains.layouts import open_dataset
from dgad.errors import SettingsError
from dgad.evaluation.curves import CurvePoint, curve_points
from dgad.evaluation.experiment import Evaluation, Failure, Result, find_applicable
from dgad.evaluation.experiment import evaluate as run_evaluation
from dgad.evaluation.scoring import NumReferences, parse_reference_counts
from dgad.evaluation.settings_file import SettingsFile, read_settings, settings_from
from dgad.features.settings import FeatureSettings
from dgad.folds import Fold
from dgad.methods import METHODS, SHOWN_BESIDE
from dgad.settings import to_dict

Progress = Callable[[str, int, int, float], None]
"""Called as (stage, step, number of steps, loss)."""
_IN_TITLE = ("target", "sources")
"""Columns that are equal in all rows."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class EvaluationRow:
    """One method on the target, for one seed and one number of references.

    A metric that does not apply is None: pixel metrics without masks or maps, AUROCs with one class.
    """

    method: str
    target: str
    sources: tuple[str, ...]
    num_references: int
    seed: int
    image_auroc: float | None
    """0 to 1."""
    image_auroc_low: float | None
    image_auroc_high: float | None
    """The 95% interval over images."""
    pixel_auroc: float | None
    aupro: float | None
    """Up to a false-positive rate of 30%, 0 to 1."""
    f1_max: float | None
    """Of images, at the threshold that is best on the target's own labels."""
    ms_per_image: float | None
    """Median over single images, features included."""
    fit_s: float
    enroll_s: float
    num_queries: int
    ms_per_megapixel: float | None = None
    """The same for 10^6 pixels of the photographs as they came, whatever scale they are looked at."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class EvaluationTable(Table):
    """What `evaluate` found: a row a method, seed and number of references."""

    target: str
    sources: tuple[str, ...]
    rows: tuple[EvaluationRow, ...]
    not_applicable: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Why a method cannot be had on this fold, by its label; only where all methods were asked for."""
    failed: tuple[Failure, ...] = ()
    """Methods whose training broke off."""

    @property
    def title(self) -> str:
        """Heading of the table: its target and sources."""
        return f"target {self.target} · sources {', '.join(self.sources) or 'none'}"

    @property
    def notes(self) -> tuple[str, ...]:
        """Methods without a row, and why."""
        reasons = [f"{label}: not applicable: {reason}" for label, reason in self.not_applicable.items()]
        return (*reasons, *(f"{f.label}, seed {f.seed}: failed: {f.message}" for f in self.failed))

    @property
    def has_several_counts(self) -> bool:
        """Whether there are rows with different numbers of references, which make curves."""
        return len({row.num_references for row in self.rows}) > 1

    def curves(self) -> dict[str, tuple[CurvePoint, ...]]:
        """Image and pixel AUROC by the number of references: mean and standard error over seeds."""
        return {
            "image_auroc": curve_points((r.method, r.num_references, r.image_auroc) for r in self.rows),
            "pixel_auroc": curve_points((r.method, r.num_references, r.pixel_auroc) for r in self.rows),
        }

    def to_dicts(self) -> list[dict[str, Any]]:
        """One dictionary a row, by the names of `EvaluationRow`; lists instead of tuples."""
        return [to_dict(row) for row in self.rows]

    def to_json(self) -> str:
        """Give what `dgad evaluate --json` prints.

        `results`; where there are any, `not_applicable` and `failed`; for several numbers of references,
        `curves`.
        """
        found: dict[str, Any] = {"results": self.to_dicts()}
        if self.not_applicable:
            found["not_applicable"] = [
                {"method": label, "reason": reason} for label, reason in self.not_applicable.items()
            ]
        if self.failed:
            found["failed"] = [dataclasses.asdict(failure) for failure in self.failed]
        if self.has_several_counts:
            found["curves"] = {
                name: [dataclasses.asdict(point) for point in points]
                for name, points in self.curves().items()
            }
        return json.dumps(found, indent=2, allow_nan=False)

    def shown_dicts(self) -> list[dict[str, Any]]:
        """The columns that are printed: target and sources stand in the title."""
        return [{k: v for k, v in row.items() if k not in _IN_TITLE} for row in self.to_dicts()]


def evaluate(
    data: str | os.PathLike[str] | Dataset,
    *,
    target: str,
    sources: Sequence[str] | None = None,
    methods: str | Sequence[str] | None = ("comparer",),
    num_references: NumReferences | Sequence[NumReferences] = 10,
    seed: int = 0,
    num_seeds: int = 1,
    features: FeatureSettings | None = None,
    settings: str | os.PathLike[str] | Mapping[str, Any] | SettingsFile | None = None,
    device: str = "auto",
    compiled: bool = False,
    progress: Progress = lambda stage, step, total, loss: None,
) -> EvaluationTable:
    """Fit methods on source domains and score a target domain that they have never seen.

    Everything is checked before anything is computed. The target's labels and masks reach the metrics only.

    Args:
        data: Folder or URI of a data set, or what `open_dataset` gave.
        target: The unseen domain.
        sources: Domains to train on; None takes all others, () none.
        methods: Labels such as `comparer`, `comparer:paper`, `patch_knn`, or one of `settings`; `all` takes
            every method that this fold allows; None the comparer with the rows it should be seen beside.
        num_references: How many of the target's normals are enrolled: a count, `P%` or `all`; several make
            reference curves.
        seed: First seed, 0 or more; it decides everything random.
        num_seeds: How many seeds, counted up from `seed`.
        features: Backbone, weights and image size, shared by all methods; None takes those of `settings`.
        settings: `{"features": {...}, "methods": {LABEL: {"preset": ..., ...}}}`, or a YAML file of that.
        device: `auto` (CUDA where there is one), `cpu`, `cuda` or `cuda:N`.
        compiled: Score with compiled kernels (needs a C++ compiler).
        progress: Called as (stage, step, number of steps, loss) while methods train.

    Returns:
        A row a method, seed and number of references. A training that breaks off takes no other row with it:
        it is among `failed`.

    Raises:
        SettingsError: A method, setting or device is unknown or out of range.
        DataError: The data, the fold or so many references cannot be had.
        WeightsError: The backbone's weights cannot be had.

    Warns:
        DataWarning: Folder names, masks or `sources.json` of a domain do not mean what they seem to.
    """
    if num_seeds < 1:
        raise SettingsError(f"`seeds` must be at least 1, but got {num_seeds}.")
    if seed < 0:
        raise SettingsError(f"`seed` must be at least 0, but got {seed}.")
    found = _settings(settings, features)
    where = resolve_device(device)
    dataset = data if isinstance(data, Dataset) else open_dataset(data)
    dataset.domain(target)
    others = tuple(name for name in dataset.domains if name != target)
    fold = Fold(target=target, sources=others if sources is None else tuple(sources))
    check_listing(dataset, None if sources is None else (target, *fold.sources), with_masks=True)
    evaluation = Evaluation(
        fold=fold,
        labels=_labels(methods, found),
        num_references=_counts(num_references),
        seeds=tuple(range(seed, seed + num_seeds)),
        features=found.features,
        variants=found.variants,
    )
    absent: dict[str, str] = {}
    if methods == "all":  # who names a method is told why it cannot be had; who asks for all gets the rest
        possible, absent = find_applicable(dataset, evaluation)
        evaluation = dataclasses.replace(evaluation, labels=possible)
    outcomes = list(run_evaluation(dataset, evaluation, device=where, compiled=compiled, progress=progress))
    return EvaluationTable(
        target=target,
        sources=fold.sources,
        rows=tuple(_row(o, fold) for o in outcomes if isinstance(o, Result)),
        not_applicable=absent,
        failed=tuple(o for o in outcomes if isinstance(o, Failure)),
    )


def _settings(
    given: str | os.PathLike[str] | Mapping[str, Any] | SettingsFile | None,
    features: FeatureSettings | None,
) -> SettingsFile:
    if isinstance(given, SettingsFile):
        found = given
    elif given is None or isinstance(given, Mapping):
        found = settings_from(given or {})
    else:
        found = read_settings(os.fspath(given))
    return found if features is None else dataclasses.replace(found, features=features)


def _labels(methods: str | Sequence[str] | None, settings: SettingsFile) -> tuple[str, ...]:
    shipped = ("comparer:builtin",) if settings.features.weights == "builtin" else ()
    if methods is None:
        labels: tuple[str, ...] = (*shipped, "comparer", *SHOWN_BESIDE)
    elif methods == "all":
        labels = (*shipped, *METHODS, *settings.variants)
    else:
        labels = (methods,) if isinstance(methods, str) else tuple(methods)
    if not labels:
        raise SettingsError("`methods` must name at least one method, but got none.")
    return tuple(dict.fromkeys(labels))


def _counts(wanted: NumReferences | Sequence[NumReferences]) -> tuple[NumReferences, ...]:
    each = (wanted,) if isinstance(wanted, int | str) else tuple(wanted)
    return parse_reference_counts(",".join(map(str, each)))


def _row(result: Result, fold: Fold) -> EvaluationRow:
    scores, metrics = result.scores, result.scores.metrics
    return EvaluationRow(
        method=result.label,
        target=fold.target,
        sources=fold.sources,
        num_references=result.num_references,
        seed=result.seed,
        image_auroc=metrics.image_auroc,
        image_auroc_low=metrics.image_auroc_low,
        image_auroc_high=metrics.image_auroc_high,
        pixel_auroc=metrics.pixel_auroc,
        aupro=metrics.aupro,
        f1_max=metrics.f1_max,
        ms_per_image=None if math.isnan(scores.ms_per_image) else scores.ms_per_image,
        fit_s=result.fit_s,
        enroll_s=scores.enroll_s,
        num_queries=len(scores.sample_ids),
        ms_per_megapixel=scores.ms_per_megapixel,
    )
