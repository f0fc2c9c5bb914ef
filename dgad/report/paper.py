"""What the paper prints, to be shown beside a study on the same images (Chen et al., 2022, Table 1)."""

from collections.abc import Mapping, Sequence

from dgad.records import Record

TEXTURES = ("carpet", "grid", "leather", "tile", "wood")
TEST_COUNTS: Mapping[str, tuple[int, int]] = {
    "carpet": (28, 89),
    "grid": (21, 57),
    "leather": (32, 92),
    "tile": (33, 84),
    "wood": (19, 60),
}
"""Normal and abnormal test images of MVTec AD's textures."""
PRINTED: Mapping[str, tuple[str, tuple[float, ...]]] = {
    "agg": ("AGG", (0.875, 0.628, 0.981, 0.886, 0.852)),
    "epi_fcr": ("Epi-FRC", (0.916, 0.640, 0.995, 0.947, 0.909)),
    "eisnet": ("EISNet", (0.991, 0.662, 1.000, 0.850, 0.986)),
    "agg_pair": ("AGG+", (0.891, 0.608, 0.992, 0.912, 0.865)),
    "epi_fcr_pair": ("Epi-FRC+", (0.916, 0.725, 1.000, 0.951, 0.941)),
    "eisnet_pair": ("EISNet+", (0.982, 0.728, 1.000, 0.858, 0.979)),
    "comparer": ("ours", (0.943, 0.730, 1.000, 0.956, 0.962)),
}
"""By registry name: what the paper calls the row, and its image AUROC on `TEXTURES`."""


def printed(method: str) -> dict[str, float]:
    """The paper's image AUROC of a method by texture; empty for a method it has not."""
    row = PRINTED.get(method.partition(" [")[0].partition(":")[0])
    return dict(zip(TEXTURES, row[1], strict=True)) if row else {}


def why_not(records: Sequence[Record]) -> str | None:
    """Why the paper's numbers cannot stand beside these records; None where they can.

    Names alone prove nothing: the test images of every texture must be as many as MVTec AD has.
    """
    targets = {r.target for r in records}
    shared = [t for t in TEXTURES if t in targets]
    if not shared:
        return "no target is one of MVTec AD's textures"
    for target in shared:
        record = next(r for r in records if r.target == target)
        if record.status != "ok":
            continue
        counts = (record.labels.count(0), record.labels.count(1))
        if counts != TEST_COUNTS[target]:
            normal, abnormal = TEST_COUNTS[target]
            return (
                f"{target} has {counts[0]} normal and {counts[1]} abnormal test images, where MVTec AD's has"
                f" {normal} and {abnormal}"
            )
    return None
