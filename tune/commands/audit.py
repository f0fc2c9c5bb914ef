"""`dgad-tune audit`: whether any cell of a study saw a label of its target too early."""

import dataclasses
import json

import click

from tune.commands.options import bring_study, json_option, runs_option

_EXAMPLE = "\b\nExample:\n  dgad-tune audit my_surfaces\n"


@click.command("audit", epilog=_EXAMPLE)
@click.argument("name")
@runs_option
@json_option
@click.pass_context
def audit_command(context: click.Context, *, name: str, runs: str | None, as_json: bool) -> None:
    """Check that no cell of the study NAME saw a label of its target before its choice was sealed.

    Exits 1 where one did.
    """
    from tune.results.audit import audit  # torch takes seconds to import, and --help needs none of it

    found = audit(bring_study(runs, name))
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(found), indent=2))
    else:
        for breach in found.breaches:
            click.echo(breach)
        seen = f"{found.num_entries} ledger entries, {found.num_records} records, {found.num_cells} cells"
        if found.oracles:
            click.echo(f"Chose on their targets, as their protocol says: {', '.join(found.oracles)}.")
        if found.num_unseen_fits:
            click.echo(f"{found.num_unseen_fits} fits could not be looked at: they broke off, or are gone.")
        click.echo(
            f"{seen}: {f'{len(found.breaches)} breaches' if found.breaches else 'no label read early'}."
        )
    if found.breaches:
        context.exit(1)
