"""Which feature maps a timm model has, told without drawing a weight: a pyramid, or grids of patch tokens."""

import functools
from typing import Any

import timm
import torch

from dgad.errors import SettingsError
from dgad.settings import did_you_mean

_TOKEN_EXAMPLE = "vit_small_patch14_dinov2.lvd142m"
"""A backbone with patch tokens, as messages name one."""


@functools.cache
def level_strides(name: str) -> tuple[int, ...]:
    """Stride in px of every feature map that timm's model `name` has, in the model's order.

    A vision transformer has one map a block, all of one stride. Raises `SettingsError` for a name that
    timm does not know, or a model without feature maps.
    """
    if not timm.is_model(name):
        raise SettingsError(
            f"`backbone` must be the name of a timm model, but got {name!r}."
            f"{did_you_mean(name, timm.list_models())} `timm.list_models()` lists them."
        )
    # timm raises whatever the model's own code does; some of it cannot be built without numbers.
    try:
        with torch.device("meta"):
            body: Any = timm.create_model(name, features_only=True)
    except Exception:
        try:
            with torch.random.fork_rng(devices=[]):
                body = timm.create_model(name, features_only=True)
        except Exception as error:
            reason = str(error).strip().splitlines() or [type(error).__name__]
            raise SettingsError(f"timm cannot give `{name}` as a feature pyramid: {reason[0]}.") from error
    return tuple(int(level["reduction"]) for level in body.feature_info.info)


def has_tokens(name: str) -> bool:
    """Whether all maps of the model have one stride, as a vision transformer's blocks do."""
    strides = level_strides(name)
    return len(strides) > 1 and len(set(strides)) == 1


def num_token_layers(name: str) -> int:
    """How many blocks with patch tokens the model has; 0 for a pyramid."""
    return len(level_strides(name)) if has_tokens(name) else 0


def check_levels(name: str, token_layer: int | None) -> None:
    """Raise `SettingsError` unless the model has strides to choose from (None), or that layer of tokens."""
    strides = level_strides(name)
    if token_layer is None and has_tokens(name):
        raise SettingsError(
            f"Backbone `{name}` has feature maps of one stride only, {strides[0]} px, so its levels cannot be"
            " chosen by `finest_stride` and `num_levels`: use patch_knn:anomalydino, which reads its patch"
            " tokens, or a convolutional backbone."
        )
    if token_layer is None:
        return
    if not has_tokens(name):
        raise SettingsError(
            f"Backbone `{name}` has feature maps of the strides {list(strides)} and no patch tokens, which"
            f" patch_knn:anomalydino (`token_layer`) reads: use patch_knn, or a vision transformer such as"
            f" --backbone {_TOKEN_EXAMPLE}."
        )
    if not -len(strides) <= token_layer <= -1:
        raise SettingsError(
            f"`token_layer` must be from -1, the last of the {len(strides)} blocks of `{name}`, to"
            f" {-len(strides)}, but got {token_layer}."
        )
