"""Options that several commands share."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from dgad.domains.geometry import DEFAULT_SCALE, DEFAULT_TILE_PX
from dgad.errors import SettingsError

F = TypeVar("F", bound=Callable[..., Any])


def feature_options(command: F) -> F:
    """Backbone, weights, geometry and normalisation: what all methods of a run share."""
    for option in (
        click.option("--backbone", help="timm model name  [default: resnet18]"),
        click.option(
            "--weights", help="builtin | imagenet | none | timm | FILE.safetensors  [default: builtin]"
        ),
        click.option(
            "--normalisation",
            help="statistics in BatchNorm: auto | pretrained | references | first | 'blend A' with A the"
            " share of the references'  [default: auto]",
        ),
        click.option(
            "--second-backbone",
            help="joins its levels in patch_knn: 'NAME WEIGHTS STRIDES', such as 'tf_efficientnet_lite0"
            " imagenet 8+16'  [none]",
        ),
        click.option("--overlap-px", type=int, help="context of a tile on each side, in scaled pixels"),
        click.option("--tile-px", type=int, help=f"pixels a side of a tile  [default: {DEFAULT_TILE_PX}]"),
        click.option("--scale", help=f"auto | native | 0.5 | 'fit N' | 'squash N'  [{DEFAULT_SCALE}]"),
    ):
        command = option(command)
    return refuse_image_size(command)


def refuse_image_size(command: F) -> F:
    """Add `--image-size`, which earlier versions had: it tells what stands for it."""

    def refuse(context: click.Context, parameter: click.Parameter, value: str | None) -> None:
        if value is not None:
            raise SettingsError(
                f"--image-size is gone: --scale 'squash {value}' does what it did, and --scale 'fit {value}'"
                " keeps the aspect ratio."
            )

    return click.option("--image-size", hidden=True, expose_value=False, callback=refuse)(command)


def bit_depth_option(command: F) -> F:
    """Add the option `--bit-depth` to a command."""
    return click.option(
        "--bit-depth",
        type=int,
        help="Of values in files of more than 8 bits a channel, such as 12 for a camera that writes 12 bits"
        " into 16-bit files  [default: the full range of the file's type]",
    )(command)


def device_option(command: F) -> F:
    """Add the option `--device` to a command."""
    return click.option("--device", default="auto", show_default=True, help="auto | cpu | cuda | cuda:N")(
        command
    )
