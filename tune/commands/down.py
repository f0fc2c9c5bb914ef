"""`dgad-tune down`: bring results home, stop every host, and say what still lives."""

from pathlib import Path

import click

from cluster.target import ClusterTarget, add_cluster_options
from dgad.errors import SettingsError
from tune.run_folder.location import DEFAULT


@click.command("down", epilog="\b\nExample:\n  dgad-tune down my_surfaces --cluster cluster.yaml\n")
@click.argument("names", metavar="[NAME]...", nargs=-1)
@add_cluster_options()
@click.option("--force", is_flag=True, help="Also while a study runs; what it has finished is kept.")
@click.option(
    "--results",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(DEFAULT),
    show_default=True,
    help="Where results that lie on the hosts are brought first.",
)
@click.pass_context
def down_command(
    context: click.Context,
    *,
    names: tuple[str, ...],
    target: ClusterTarget | None,
    force: bool,
    results: Path,
) -> None:
    """Take a cluster down: bring the results of its studies (or of NAME) here, stop head and workers, look.

    Exits 1 where something still lives, and names it.
    """
    if target is None:
        raise SettingsError("Which cluster? Give its file: dgad-tune down --cluster cluster.yaml.")
    from tune.remote.watch import take_cluster_down  # Ray takes seconds to import

    left = take_cluster_down(target, names, results, force=force, report=click.echo)
    for survivor in left:
        click.echo(f"Still there: {survivor.host}: {survivor.details}")
    if left:
        context.exit(1)
    click.echo("Every host was asked: nothing of this cluster lives any more.")
