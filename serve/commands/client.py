"""`dgad-serve domains|enroll|score`: what a line engineer asks of a running service."""

import contextlib
import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from rich.table import Table

from dgad.command_line import PlainConsole, show_progress_bars
from dgad.commands.options import bit_depth_option
from dgad.domains.decoding import image_size, read_file
from dgad.domains.domain_file import read_region
from dgad.domains.image_paths import expand_image_paths, overlay_paths
from dgad.errors import DataError, DgadError, MissingError
from dgad.files import write_atomic
from dgad.names import make_printable

if TYPE_CHECKING:
    from pydantic import BaseModel

    from serve.api.client import Client, Heatmap
    from serve.api.schemas import DomainAnswer, EnrolmentAnswer, ResultAnswer, ThresholdAnswer
    from serve.api.transport import ClientError

DEFAULT_URL = "http://127.0.0.1:8000"
F = TypeVar("F", bound=Callable[..., Any])

_DOMAINS_EXAMPLE = """\b
Examples:
  dgad-serve domains
  dgad-serve domains --url http://station:8000 --json
"""
_ENROLL_EXAMPLE = """\b
Examples:
  dgad-serve enroll belt-4 good/ --create
  dgad-serve enroll belt-4 monday.png tuesday.png
  dgad-serve enroll belt-4 good/ --create --false-alarm-rate 0.05 --calibration split
"""
_SCORE_EXAMPLE = """\b
Examples:
  dgad-serve score belt-4 part1.png part2.png
  dgad-serve score belt-4 parts/ --heatmaps out --json
"""


def service_options(command: F) -> F:
    """`--url` and `--json`."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table."),
        click.option(
            "--url",
            default=DEFAULT_URL,
            envvar="DGAD_URL",
            show_default=True,
            show_envvar=True,
            help="The service. Its key is read from DGAD_API_KEY.",
        ),
    ):
        command = option(command)
    return command


def open_client(url: str) -> "Client":
    """A client of the service at `url`, with the key of the environment."""
    from serve.api.client import Client  # requests takes a moment to import, and --help needs none of it

    return Client(url, on_retry=_tell_retry)


def _tell_retry(trouble: "ClientError", pause_s: float) -> None:
    """One line on standard error, so that nobody wonders what takes so long."""
    click.echo(f"{make_printable(trouble.message)} Trying again in {pause_s:.1f} s.", err=True)


@click.command("domains", epilog=_DOMAINS_EXAMPLE)
@service_options
def domains_command(*, url: str, as_json: bool) -> None:
    """List the domains of a running service."""
    with open_client(url) as client:
        domains = client.domains()
    if as_json:
        print_json({"domains": [to_plain(domain) for domain in domains]})
        return
    if not domains:
        click.echo("No domain yet; `dgad-serve enroll DOMAIN IMAGES... --create` makes one.")
        return
    count = "1 domain" if len(domains) == 1 else f"{len(domains)} domains"
    table = _table(f"{count} at {url}", "domain", "references", "version", "changed", "note")
    for domain in domains:
        table.add_row(
            domain.name,
            str(domain.num_references),
            str(domain.version),
            make_printable(domain.updated_at),
            make_printable(domain.settings.note),
        )
    _print(table)


@click.command("enroll", epilog=_ENROLL_EXAMPLE)
@click.argument("domain")
@click.argument("images", nargs=-1, required=True)
@click.option("--create", is_flag=True, help="Make the domain where it is not there yet.")
@click.option(
    "--false-alarm-rate",
    type=float,
    help="Wanted share of normal parts called abnormal, such as 0.05  [default: the lowest that the"
    " references support, though not below 0.01]",
)
@click.option(
    "--calibration",
    type=click.Choice(["leave_one_out", "split"]),
    help="split holds half of the references back and makes the rate exact  [default: leave_one_out]",
)
@click.option("--coreset", type=int, help="Compare with at most this many references  [default: all]")
@bit_depth_option
@click.option("--scale", help="At what scale this domain is looked at, where its camera differs.")
@click.option("--region", metavar="FILE", help="Region of interest: FILE.json with polygons, or a mask.")
@click.option("--note", help="A line that is shown with the domain.")
@service_options
def enroll_command(
    *, domain: str, images: tuple[str, ...], create: bool, url: str, as_json: bool, **settings: Any
) -> None:
    """Enrol IMAGES (files or folders) of normal parts as references of DOMAIN: one new version.

    Settings that are given hold from now on, those that are not stay as they are. Sending a photograph
    again does nothing. 10 photographs support a false alarm rate of 9.1%, 19 of 5%, 99 of 1%.
    """
    from serve.api.client import MAX_ENROLLED_FILES, batches

    paths = expand_image_paths(images)
    if settings["region"] is not None:
        settings["region"] = read_region(settings["region"]).to_json()
    for path in paths:  # before anything is made at the service: a mistake leaves no empty domain
        image_size(read_file(path), path)
    answers: list[EnrolmentAnswer] = []
    with open_client(url) as client:
        settled = _ensure_domain(client, domain, {k: v for k, v in settings.items() if v is not None}, create)
        pieces = list(batches(paths, max_files=MAX_ENROLLED_FILES))
        with _tell_of_empty_domain(domain, answers, created=settled), show_progress_bars() as progress:
            num_sent = 0
            for piece in pieces:
                progress("enrolling", num_sent, len(paths), float("nan"))
                answers.append(client.enroll(domain, piece))
                num_sent += len(piece)
                progress("enrolling", num_sent, len(paths), float("nan"))
    last = answers[-1]
    added = [reference for answer in answers for reference in answer.added]
    already_there = [name for answer in answers for name in answer.already_there]
    warnings = [warning for answer in answers for warning in answer.warnings]
    if as_json:
        print_json(
            {
                "domain": domain,
                "created": settled,
                "version": last.version,
                "added": [to_plain(reference) for reference in added],
                "already_there": already_there,
                "threshold": to_plain(last.threshold),
                "warnings": warnings,
            }
        )
        return
    there = f", {len(already_there)} were there already" if already_there else ""
    click.echo(f"{domain}: {len(added)} references added{there}; version {last.version}.")
    for warning in warnings:
        click.echo(f"Warning: {make_printable(warning)}")
    click.echo(make_printable(last.threshold.sentence))


@contextlib.contextmanager
def _tell_of_empty_domain(domain: str, answers: list["EnrolmentAnswer"], *, created: bool) -> Iterator[None]:
    """Say so where the service made the domain and then took no photograph into it."""
    try:
        yield
    except DgadError:
        if created and not answers:
            click.echo(f"The domain {domain} was made, and has no references yet.", err=True)
        raise


def _ensure_domain(client: "Client", name: str, given: dict[str, Any], create: bool) -> bool:
    """Make the domain or give it the settings that were named; whether it was made."""
    from dgad.references.domain import DomainSettings
    from serve.api.transport import NotFoundError

    try:
        known: DomainAnswer | None = client.describe(name)
    except NotFoundError as error:
        if error.code.startswith("http_"):  # no domain's absence, but another service's
            raise
        known = None
    if known is None and not create:
        raise MissingError(f"There is no domain `{name}` at {client.url}; add --create to make it.")
    settings = DomainSettings(**given) if known is None else dataclasses.replace(known.settings, **given)
    if known is None or settings != known.settings:
        client.create(name, settings)
    return known is None


@click.command("score", epilog=_SCORE_EXAMPLE)
@click.argument("domain")
@click.argument("images", nargs=-1, required=True)
@click.option("--heatmaps", "heatmap_folder", help="Write an overlay NAME.png per image into this folder.")
@bit_depth_option
@service_options
def score_command(
    *,
    domain: str,
    images: tuple[str, ...],
    heatmap_folder: str | None,
    bit_depth: int | None,
    url: str,
    as_json: bool,
) -> None:
    """Score IMAGES (files or folders) against the references of DOMAIN at a running service.

    The score is a logit or a distance, higher is more anomalous. The verdict is by the domain's threshold;
    without enough references it is `uncalibrated`. The exit code does not depend on verdicts.
    """
    paths = expand_image_paths(images)
    overlays = overlay_paths(paths, heatmap_folder) if heatmap_folder else ()
    found: list[ResultAnswer] = []
    with open_client(url) as client, show_progress_bars() as progress:
        progress("scoring", 0, len(paths), float("nan"))
        heatmap: Heatmap = "overlay" if overlays else "none"
        for score in client.scores(domain, paths, heatmap=heatmap, bit_depth=bit_depth):
            if overlays:
                _write_overlay(score, overlays[len(found)])
            found.append(score.model_copy(update={"heatmap": None}))
            progress("scoring", len(found), len(paths), float("nan"))
    for path, score in zip(paths, found, strict=True):
        if score.same_as_reference is not None:
            own = make_printable(score.same_as_reference)
            click.echo(
                f"Warning: {make_printable(path)} is the reference {own}: compared with itself an image is as"
                " normal as can be, so its score says nothing.",
                err=True,
            )
    rows = [
        {
            **to_plain(score),
            "image": path,
            "heatmap": str(overlays[i]) if overlays else None,
        }
        for i, (path, score) in enumerate(zip(paths, found, strict=True))
    ]
    if as_json:
        print_json({"domain": domain, "results": rows})
        return
    versions = sorted({score.version for score in found})
    title = f"{domain}, version {', '.join(map(str, versions))}"
    table = _table(title, "image", "score", "p", "verdict", "regions")
    for path, score in zip(paths, found, strict=True):
        table.add_row(
            make_printable(path),
            f"{score.score:.3f}",
            "" if score.p_value is None else f"{score.p_value:.3f}",
            score.verdict,
            str(len(score.regions)),
        )
    _print(table)
    click.echo(_decided_by(found[-1].threshold))
    if heatmap_folder:
        click.echo(f"Heatmaps: {heatmap_folder}")


def _write_overlay(score: "ResultAnswer", path: Path) -> None:
    overlay = score.heatmap_png()
    if overlay is None:
        raise DataError(
            "The service's method gives no pixel maps, so there are no heatmaps; leave --heatmaps out."
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, overlay, flushed=False)


def _decided_by(threshold: "ThresholdAnswer") -> str:
    value = "none" if threshold.value is None else f"{threshold.value:.3f}"
    return f"Threshold: {value}. {make_printable(threshold.sentence)}"


def _table(title: str, first: str, *others: str) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column(first, overflow="fold")
    for name in others:
        table.add_column(name, justify="right" if name in _NUMBERS else "left", overflow="fold")
    return table


_NUMBERS = ("score", "p", "references", "version", "regions")


def _print(table: Table) -> None:
    PlainConsole(soft_wrap=True).print(table)


def to_plain(value: "BaseModel") -> dict[str, Any]:
    """An answer as plain JSON values, without what is for the page."""
    return value.model_dump(mode="json", exclude={"thumbnail"})


def print_json(value: Any) -> None:
    """Print the value as JSON to standard output."""
    click.echo(json.dumps(value, indent=2, allow_nan=False))
