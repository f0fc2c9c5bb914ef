"""Builtin weights for tests: of the shipped shape, drawn at random, so that they are small and at hand."""

from pathlib import Path

import timm
import torch

from dgad.comparer.model import Comparer
from dgad.comparer.settings import BUILTIN
from dgad.features.builtin import Builtin, BuiltinInfo, read_builtin, write_builtin
from dgad.settings import to_dict

STRIDES = (4, 8, 16)


def write_drawn(folder: Path, seed: int = 0) -> BuiltinInfo:
    """ResNet-18 down to stride 16, with comparer, and with no residual branch at 0."""
    torch.manual_seed(seed)
    body = timm.create_model("resnet18", features_only=True, out_indices=(1, 2, 3), zero_init_last=False)
    channels = dict(zip(STRIDES, body.feature_info.channels(), strict=True))
    comparer = Comparer([channels[s] for s in BUILTIN.strides], BUILTIN)
    return write_builtin(
        folder,
        backbone="resnet18",
        strides=STRIDES,
        backbone_state=body.state_dict(),
        comparer_settings=to_dict(BUILTIN),
        comparer_state=comparer.state_dict(),
        origin={"made": "drawn at random"},
        card="# Drawn at random\n",
    )


def drawn(folder: Path, seed: int = 0) -> Builtin:
    """The same, written and read back."""
    write_drawn(folder, seed)
    return read_builtin(folder)
