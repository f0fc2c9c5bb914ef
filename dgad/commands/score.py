"""`dgad score`: score images of a never-seen surface with a bundle and a few references."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np
from rich.table import Table

from dgad.command_line import PlainConsole
from dgad.commands.options import bit_depth_option, device_option
from dgad.domains.decoding import DEFAULT_LIMITS, decode_image, read_file
from dgad.domains.domain_file import read_region
from dgad.domains.image_paths import expand_image_paths, overlay_paths
from dgad.domains.wide_values import check_bit_depth
from dgad.errors import DataError
from dgad.evaluation.heatmaps import overlay_png
from dgad.files import write_atomic
from dgad.names import make_printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from dgad.calibration.normal_range import NormalRange
    from dgad.methods.base import Scores

EXAMPLE = """\b
Example:
  dgad score --bundle runs/demo/bundle --references good/ part1.png part2.png --heatmaps out
"""


@click.command("score", epilog=EXAMPLE)
@click.option("--bundle", "bundle_folder", required=True, help="A bundle folder, such as runs/NAME/bundle.")
@click.option(
    "--references",
    "reference_paths",
    required=True,
    multiple=True,
    help="Folder or file of normal images; may be given several times.",
)
@click.argument("images", nargs=-1, required=True)
@click.option("--heatmaps", "heatmap_folder", help="Write an overlay NAME.png per image into this folder.")
@bit_depth_option
@click.option("--scale", help="auto | native | 0.5 | 'fit N' | 'squash N'  [default: the bundle's]")
@click.option("--region", metavar="FILE", help="Region of interest: FILE.json with polygons, or a mask.")
@device_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def score_command(
    bundle_folder: str,
    reference_paths: tuple[str, ...],
    images: tuple[str, ...],
    heatmap_folder: str | None,
    bit_depth: int | None,
    scale: str | None,
    region: str | None,
    device: str,
    as_json: bool,
) -> None:
    """Score IMAGES (files or folders) of a new surface against a few normal references of it.

    The score is a logit, higher is more anomalous; `beyond normal` says how it stands to the highest
    score that a reference gets when it is left out. That is a description, not a calibrated threshold.
    """
    # torch takes seconds to import, and --help needs none of it
    from dgad.api.enrolled_references import enroll_once, find_scored_references, warn_of_duplicates
    from dgad.api.inputs import decode_inputs, list_inputs
    from dgad.bundle import load_method
    from dgad.calibration.normal_range import measure_normal_range
    from dgad.device import resolve_device

    check_bit_depth(bit_depth)
    method = load_method(bundle_folder, resolve_device(device))
    geometry = method.context.features.geometry.with_scale(scale)
    inside = None if region is None else read_region(region)
    paths = expand_image_paths(images)
    given = list_inputs(reference_paths, "references", bit_depth=bit_depth)
    decoded = {"references": decode_inputs(given, geometry, with_fingerprints=True, region=inside)}
    enrolled = enroll_once(given, decoded["references"])
    warn_of_duplicates(given, decoded["references"], enrolled)
    overlays = overlay_paths(paths, heatmap_folder) if heatmap_folder else ()
    decoded["images"] = decode_inputs(
        list_inputs(paths, "images", bit_depth=bit_depth), geometry, region=inside
    )
    for what, each in decoded.items():
        narrow = each.describe_narrow_range(
            lambda depth: f"declare that with --bit-depth {depth}", are_queries=what == "images"
        )
        if narrow:
            click.echo(f"Warning: The {what} have {narrow}.", err=True)
    own = find_scored_references(paths, decoded["images"].ids, enrolled)
    queries = decoded["images"].images
    # Each once: a copy would be compared with itself, and normal would seem to have no range at all.
    references = decoded["references"].images.take([decoded["references"].ids.index(r.id) for r in enrolled])
    scores = method.score(queries, method.enroll(references))
    normal = measure_normal_range(method, references)
    if overlays:
        _write_overlays(paths, overlays, scores, normal, bit_depth)
    rows = [
        {
            "image": path,
            "score": float(score),
            "beyond_normal": None if normal is None else float(score) > normal.image_high,
            "heatmap": str(overlays[i]) if overlays else None,
            "same_as_reference": own[i],
        }
        for i, (path, score) in enumerate(zip(paths, scores.image, strict=True))
    ]
    if as_json:
        high = None if normal is None else normal.image_high
        answer = {"num_references": len(references), "highest_normal_score": high, "results": rows}
        click.echo(json.dumps(answer, indent=2, allow_nan=False))
        return
    table = Table(title=f"{len(references)} references", title_justify="left")
    for name in ("image", "score", "beyond normal"):
        table.add_column(name, justify="left" if name == "image" else "right", overflow="fold")
    for row in rows:
        beyond = row["beyond_normal"]
        table.add_row(
            make_printable(str(row["image"])),
            f"{row['score']:.3f}",
            "unknown" if beyond is None else "yes" if beyond else "no",
        )
    PlainConsole(soft_wrap=True).print(table)
    if normal is not None:
        click.echo(f"Highest score of a left-out reference: {normal.image_high:.3f}")
    else:
        click.echo("One reference has no other to be compared with, so normal scores are unknown; give two.")
    if overlays:
        click.echo(f"Heatmaps: {heatmap_folder}")


def _write_overlays(
    paths: tuple[str, ...],
    overlays: tuple[Path, ...],
    scores: "Scores",
    normal: "NormalRange | None",
    bit_depth: int | None,
) -> None:
    """One overlay per image, in its own size, all on one scale: what normal references reach is cold."""
    if scores.pixels is None:
        raise DataError(
            "The bundle's method gives no pixel maps, so there are no heatmaps; leave --heatmaps out."
        )
    low, high = map_scale(scores.pixels) if normal is None else (normal.map_low, normal.map_high)
    for path, overlay, heat in zip(paths, overlays, scores.pixels, strict=True):
        image = np.asarray(decode_image(read_file(path, DEFAULT_LIMITS.max_bytes), path, bit_depth=bit_depth))
        overlay.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(overlay, overlay_png(image, heat.numpy(), low=low, high=high))


def map_scale(maps: "Sequence[Tensor]") -> tuple[float, float]:
    """With one reference: from the median to the maximum of the images at hand."""
    import torch

    pixels = torch.cat([own[~own.isnan()] for own in maps])
    return float(pixels.median()), float(pixels.max())
