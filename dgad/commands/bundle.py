"""`dgad bundle`: look into a bundle."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.table import Table

from dgad.command_line import PlainConsole
from dgad.names import make_lines_printable
from dgad.settings import to_dict

if TYPE_CHECKING:
    from dgad.bundle import BundleInfo


@click.group()
def bundle() -> None:
    """Look into a bundle, the folder that scoring and serving need.

    Example: dgad bundle show runs/demo/bundle
    """


@bundle.command()
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def show(folder: Path, as_json: bool) -> None:
    """Check the sums of the bundle in DIR and print what it holds.

    Example: dgad bundle show runs/demo/bundle --json
    """
    from dgad.bundle import read_bundle  # torch takes seconds to import, and --help needs none of it

    info = read_bundle(folder)
    if as_json:
        click.echo(json.dumps({**to_dict(info), "path": str(info.path)}, indent=2, ensure_ascii=False))
    else:
        _print(info)


def _print(info: "BundleInfo") -> None:
    features = info.features
    joined = f" joined with {features.second}" if features.second else ""
    networks = f"{features.backbone}, weights {features.weights}{joined}"
    table = Table(show_header=False, box=None, pad_edge=False)
    rows = {
        "bundle": info.bundle_id,
        "files": f"all sums match, {info.num_bytes / 2**20:.1f} MiB",
        "method": info.method,
        "features": f"{networks}, {features.geometry.describe()}",
        "trained on": ", ".join(info.training_domains) or "nothing: this method does not learn",
        "written": f"{info.created_at} by dgad {info.versions.get('dgad', 'unknown')}",
        **{f"provenance: {k}": v for k, v in info.provenance.items()},
        **{f"setting: {k}": v for k, v in info.settings.items()},
    }
    for name, value in rows.items():
        table.add_row(name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
    PlainConsole(soft_wrap=True).print(table)
    click.echo(f"\n{make_lines_printable(info.card.rstrip())}")
