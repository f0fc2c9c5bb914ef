"""`dgad domains`: look at data sets, make them, pack them."""

import dataclasses
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from dgad.command_line import PlainConsole
from dgad.domains.checks import CheckResult, check_dataset
from dgad.domains.demo import SURFACES, SynthesisSettings, parse_defect_px, parse_size, synthesize
from dgad.domains.geometry import DEFAULT_SCALE, Geometry
from dgad.domains.layouts import LAYOUTS
from dgad.domains.pack import pack
from dgad.names import make_printable

_STYLE = {"fatal": "bold red", "warning": "yellow", "note": "dim"}
_MAX_ALIKE = 20
"""Problems of one kind and domain that are printed, so that no other is lost among them."""
_WHOLE_NAME = 30
"""Columns that a domain's name may take before it is broken over lines."""
_DEFAULTS = SynthesisSettings()
_LOOK = _DEFAULTS.look
_LAYOUT = click.option(
    "--layout", metavar="NAME", help=f"One of {', '.join(LAYOUTS)}; found by itself unless given."
)


@click.group()
def domains() -> None:
    """Check, make and pack data sets.

    \b
    Example:
      dgad domains check photographs/
    """


@domains.command("check")
@click.argument("directory", metavar="DIR")
@_LAYOUT
@click.option(
    "--scale",
    default=DEFAULT_SCALE,
    show_default=True,
    help="How a study would look at it: auto, native, a factor such as 0.5, `fit N`, or `squash N`.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
def check_command(directory: str, layout: str | None, scale: str, as_json: bool) -> None:
    """List the domains in DIR with their counts and sizes, and every problem with its path.

    DIR is a folder of domains, or a folder or URI of packed ones. Exit status 2 if a problem is fatal.

    \b
    Example:
      dgad domains check photographs/
    """
    geometry = Geometry(scale=scale)
    with _progress("checking") as progress:
        result = check_dataset(directory, layout=layout, geometry=geometry, progress=progress)
    if as_json:
        click.echo(json.dumps(_check_as_dict(result), indent=2))
    else:
        _print_check(result)
    if result.num_fatal:
        sys.exit(2)


@domains.command("synthesize")
@click.argument("directory", metavar="DIR")
@click.option("--seed", type=int, default=0, show_default=True, help="Another seed, other surfaces.")
@click.option("--domains", "names", metavar="A,B", help=f"Some of {', '.join(SURFACES)}; all unless given.")
@click.option(
    "--num-train", type=int, default=_DEFAULTS.num_train, show_default=True, help="Normal train images."
)
@click.option(
    "--num-good", type=int, default=_DEFAULTS.num_good, show_default=True, help="Normal test images."
)
@click.option(
    "--num-defective",
    type=int,
    default=_DEFAULTS.num_defective,
    show_default=True,
    help="Defective test images.",
)
@click.option(
    "--size",
    metavar="N|WxH",
    default="128",
    show_default=True,
    help="Pixels a side, or width and height. A larger image shows more of the material, not larger threads.",
)
@click.option(
    "--defect-px",
    metavar="LEAST-GREATEST",
    help="Extents of defects in pixels, drawn log-uniformly. Unless given, each kind has its usual size, some"
    " 10 to 100 px on 128.",
)
@click.option(
    "--contrast",
    type=float,
    default=_LOOK.contrast,
    show_default=True,
    help="How much of a defect shows, 0.1 to 1; below 1 it is fainter.",
)
@click.option(
    "--variation",
    type=float,
    help="How much flawless images differ: sessions of the camera, seams, smudges, dust; 0 to 3."
    "  [default: 1 with --defect-px, otherwise 0]",
)
@click.option(
    "--photometric",
    type=float,
    default=_LOOK.photometric,
    show_default=True,
    help="How much light differs between images; 0 keeps it constant.",
)
def synthesize_command(
    directory: str,
    seed: int,
    names: str | None,
    num_train: int,
    num_good: int,
    num_defective: int,
    size: str,
    defect_px: str | None,
    contrast: float,
    variation: float | None,
    photometric: float,
) -> None:
    """Write procedural textures with defects and exact masks into the new folder DIR.

    The size of each defect is in DIR/DOMAIN/defects.json.

    \b
    Example:
      dgad domains synthesize textures/ --domains woven,grid,leather,tile
      dgad domains synthesize large/ --size 1600x1200 --defect-px 8-40
    """
    with _progress("writing") as progress:
        synthesize(
            directory,
            seed=seed,
            domains=_split(names),
            num_train=num_train,
            num_good=num_good,
            num_defective=num_defective,
            size_px=parse_size(size),
            defect_px=None if defect_px is None else parse_defect_px(defect_px),
            contrast=contrast,
            variation=variation,
            photometric=photometric,
            progress=progress,
        )
    click.echo(f"Wrote {directory}; look at it with `dgad domains check {directory}`.")


@domains.command("pack")
@click.argument("source", metavar="SRC")
@click.argument("destination", metavar="DST")
@_LAYOUT
@click.option("--domains", "names", metavar="A,B", help="Only these; all unless given.")
def pack_command(source: str, destination: str, layout: str | None, names: str | None) -> None:
    """Pack the domains in SRC into one Parquet file each, in the new folder or URI DST.

    \b
    Example:
      dgad domains pack photographs/ s3://bucket/photographs
    """
    done = pack(source, destination, layout=layout, domains=_split(names))
    num_images = sum(len(d.samples) for d in done.domains.values())
    click.echo(f"Packed {len(done.domains)} domains with {num_images} images into {destination}.")


def _split(names: str | None) -> tuple[str, ...] | None:
    return None if names is None else tuple(n.strip() for n in names.split(",") if n.strip())


@contextmanager
def _progress(verb: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on the error stream where that is a terminal; nothing in a pipe."""
    console = PlainConsole(stderr=True)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(verb, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _check_as_dict(result: CheckResult) -> dict[str, Any]:
    return {
        "location": result.location,
        "layout": result.layout,
        "domains": [dataclasses.asdict(d) for d in result.domains],
        "problems": [dataclasses.asdict(p) for p in result.problems],
        "num_fatal": result.num_fatal,
    }


def _print_check(result: CheckResult) -> None:
    console = PlainConsole()
    table = Table(title=f"{result.location} ({result.layout})", title_justify="left")
    for heading in ("domain", "train normals", "test normals", "defects", "masks", "kinds"):
        is_text = heading in ("domain", "kinds")
        # A long name takes several lines: on one, the figures beside it would be lost.
        is_whole = heading == "domain" and all(len(row.domain) <= _WHOLE_NAME for row in result.domains)
        table.add_column(heading, justify="left" if is_text else "right", overflow="fold", no_wrap=is_whole)
    for row in result.domains:
        kinds = ", ".join(f"{kind} {count}" for kind, count in row.defects.items())
        counts = (row.train_normals, row.test_normals, sum(row.defects.values()), row.masks)
        table.add_row(make_printable(row.domain), *map(str, counts), make_printable(kinds))
    console.print(table)
    _print_sizes(result, console)
    num_alike = Counter((p.domain, p.code) for p in result.problems)
    shown: Counter[tuple[str, str]] = Counter()
    for problem in result.problems:
        alike = (problem.domain, problem.code)
        shown[alike] += 1
        if shown[alike] > _MAX_ALIKE:
            continue
        severity = Text(problem.severity, style=_STYLE[problem.severity])
        told = make_printable(f": {problem.path} {problem.message}.")
        console.print(severity + Text(told), soft_wrap=True)  # a path is never broken over lines
        if shown[alike] == _MAX_ALIKE < num_alike[alike]:
            rest = f": {num_alike[alike] - _MAX_ALIKE} more such in {problem.domain}; --json lists all."
            console.print(severity + Text(make_printable(rest)), soft_wrap=True)
    if not result.problems:
        console.print("No problems.")


def _print_sizes(result: CheckResult, console: PlainConsole) -> None:
    """A table of what the scale makes of photographs and of their smallest defects."""
    table = Table(
        box=None,
        pad_edge=False,
        title="Sizes in px; a defect as the side of a square of its area",
        title_justify="left",
    )
    for heading in ("domain", "photographs", "scale", "scaled", "smallest defects", "scaled"):
        is_text = heading in ("domain", "scale")
        table.add_column(heading, justify="left" if is_text else "right", overflow="fold")
    for row in result.domains:
        sizes = row.sizes
        if sizes is None:
            continue
        defects = ("n/a", "n/a")
        if sizes.defect_px is not None and sizes.scaled_defect_px is not None:
            defects = (f"{sizes.defect_px:.0f}", f"{sizes.scaled_defect_px:.1f}")
        photographs = _describe_range(sizes.smallest, sizes.largest)
        scaled = _describe_range(sizes.scaled_smallest, sizes.scaled_largest)
        table.add_row(make_printable(row.domain), photographs, sizes.scale, scaled, *defects)
    if table.row_count:
        console.print(table)


def _describe_range(smallest: tuple[int, int], largest: tuple[int, int]) -> str:
    first, last = (f"{width} x {height}" for width, height in (smallest, largest))
    return first if first == last else f"{first} to {last}"
