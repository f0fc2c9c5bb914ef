"""What the paper prints, to be shown beside a study on the same images (Chen et al., 2022, Table 1)."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from dgad.records import Record


class Counts(NamedTuple):
    """Numbers of test images of one domain, normal and abnormal."""

    train: int
    good: int
    """Normal test images."""
    defective: int


TEXTURES: Mapping[str, Counts] = {
    "carpet": Counts(280, 28, 89),
    "grid": Counts(264, 21, 57),
    "leather": Counts(245, 32, 92),
    "tile": Counts(230, 33, 84),
    "wood": Counts(247, 19, 60),
}
"""MVTec AD's five."""
BTAD: Mapping[str, Counts] = {
    "01": Counts(400, 21, 49),
    "02": Counts(399, 30, 200),
    "03": Counts(1000, 400, 41),
}
"""The other data set that the paper scores."""
PRINTED: Mapping[str, tuple[str, tuple[float, ...]]] = {
    "agg": ("AGG", (0.875, 0.628, 0.981, 0.886, 0.852)),
    "epi_fcr": ("Epi-FRC", (0.916, 0.640, 0.995, 0.947, 0.909)),
    "eisnet": ("EISNet", (0.991, 0.662, 1.000, 0.850, 0.986)),
    "agg_pair": ("AGG+", (0.891, 0.608, 0.992, 0.912, 0.865)),
    "epi_fcr_pair": ("Epi-FRC+", (0.916, 0.725, 1.000, 0.951, 0.941)),
    "eisnet_pair": ("EISNet+", (0.982, 0.728, 1.000, 0.858, 0.979)),
    "comparer": ("Ours", (0.943, 0.730, 1.000, 0.956, 0.962)),
}
"""By registry name: what the paper calls the row, and its image AUROC on `TEXTURES`."""


def find_printed_figures(label: str) -> tuple[str, dict[str, float]] | None:
    """(the paper's name of a row, its image AUROC by texture); None for a row that the paper has not.

    `comparer` and `comparer:paper` are the paper's method, `comparer:untrained` is not.
    """
    name, _, preset = label.partition(" [")[0].partition(":")
    if name not in PRINTED or preset not in ("", "paper"):
        return None
    theirs, values = PRINTED[name]
    return theirs, dict(zip(TEXTURES, values, strict=True))


def explain_no_comparison(records: Sequence[Record]) -> str | None:
    """Why the paper's figures cannot stand beside these records; empty without a texture, None if they can.

    Names alone prove nothing: of every texture there must be as many test images as MVTec AD has.
    """
    counts = {r.target: (r.labels.count(0), r.labels.count(1)) for r in records if r.status == "ok"}
    shared = [t for t in TEXTURES if t in counts]
    for target in shared:
        own, theirs = counts[target], TEXTURES[target]
        if own != (theirs.good, theirs.defective):
            return (
                f"`{target}` has {own[0]} normal and {own[1]} abnormal test images, where MVTec AD's has"
                f" {theirs.good} and {theirs.defective}: other images, so the paper's figures are not shown"
                " beside it."
            )
    return None if shared else ""
