"""`dgad pretrain`: weights of our own, from procedural surfaces alone."""

import os
from pathlib import Path

import click

from dgad.command_line import show_progress_bars
from dgad.commands.options import device_option

EXAMPLE = """\b
Example:
  dgad pretrain weights_run --steps 2000
  dgad pretrain weights_run --steps 4000       # goes on from the checkpoint
  dgad evaluate --data demo --target woven --weights weights_run/weights
"""


@click.command("pretrain", epilog=EXAMPLE)
@click.argument("folder")
@click.option(
    "--steps", default=2000, show_default=True, help="Steps in all, those of earlier calls included."
)
@click.option(
    "--settings", "settings_file", help="YAML of a recipe's settings  [default: the builtin weights']"
)
@click.option("--seed", type=int, help="Decides every image and every drawn weight  [default: 0]")
@click.option("--backbone", help="A convolutional timm model  [default: resnet18]")
@click.option(
    "--evaluate-every", default=250, show_default=True, help="Steps between looks at held-out surfaces."
)
@click.option(
    "--workers",
    type=int,
    help="Processes that draw images; 0 draws them on the device.  [default: 0 on a GPU, else cores / 2]",
)
@device_option
def pretrain_command(
    folder: str,
    steps: int,
    settings_file: str | None,
    seed: int | None,
    backbone: str | None,
    evaluate_every: int,
    workers: int | None,
    device: str,
) -> None:
    """Train a backbone, and a comparer on it, on procedural surfaces, into FOLDER.

    No photograph is needed or used. The same command goes on where it stopped; FOLDER/weights holds what
    `--weights` takes.
    """
    from dgad.device import resolve_device
    from dgad.errors import SettingsError
    from dgad.pretraining.run import Schedule, pretrain
    from dgad.pretraining.settings import PretrainSettings
    from dgad.settings import from_dict, require
    from dgad.yaml_file import load_yaml

    require(steps >= 1, "steps", "at least 1", steps)
    require(evaluate_every >= 1, "evaluate_every", "at least 1", evaluate_every)
    require(workers is None or workers >= 0, "workers", "at least 0", workers)
    where = resolve_device(device)
    values = dict(load_yaml(Path(settings_file))[0]) if settings_file else {}
    values |= {k: v for k, v in {"seed": seed, "backbone": backbone}.items() if v is not None}
    try:
        settings = from_dict(PretrainSettings, values)
    except SettingsError as error:
        raise SettingsError(f"{settings_file}: {error}" if settings_file else str(error)) from None
    if workers is None:
        workers = 0 if where.type == "cuda" else max(1, (os.cpu_count() or 2) // 2)
    schedule = Schedule(num_steps=steps, evaluate_every=evaluate_every, workers=workers)
    with show_progress_bars() as progress:
        weights = pretrain(Path(folder), settings, schedule, where, progress=progress, report=click.echo)
    click.echo(f"Weights: {weights}")
