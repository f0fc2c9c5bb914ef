"""A timm backbone as a pyramid of maps or one map of patch tokens, and where its weights come from."""

# N images, S pixels a side, C_i channels of level i, h_i = w_i = S / stride of level i

import hashlib
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dgad.errors import DgadError, SettingsError, WeightsError
from dgad.features.builtin import OTHERS, Builtin, read_builtin
from dgad.features.imagenet import IMAGENET, read_imagenet
from dgad.features.joined_body import JoinedBody, read_part
from dgad.features.levels import check_levels, level_strides
from dgad.features.normalisation import parse_normalisation
from dgad.features.settings import FeatureSettings
from dgad.features.tokens import TokenMap, has_fixed_size, nearest_multiple, size_argument
from dgad.features.weights_file import ALTERNATIVES, find_weights_file, without_loader_warnings

Body = Callable[[Tensor], Any]
"""Normalised images (N, 3, H, W) to a list of maps, as the model lays them out."""


class Backbone(nn.Module):
    """Feature maps of `strides`, finest first, with BatchNorm always in eval mode.

    With `token_layer` instead, the patch tokens of one block of a vision transformer after its last norm,
    as one map: -1 is the last block, -2 the one before. Images are then resized to the multiple of the
    patch that is nearest to their size, so that every pixel is seen and every token is a whole patch.

    With `joins_second` the levels of the settings' second backbone follow, if there is one; otherwise there
    must be none.

    Scoring a query must not depend on its batch, and an episode is too small for batch statistics.
    Maps lie in memory channels last: a CPU convolves a quarter quicker so, and patches need no copy.
    Raises `SettingsError` for levels that the model has not, `WeightsError` for weights that cannot be had.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        settings: FeatureSettings,
        strides: Sequence[int] = (),
        *,
        seed: int,
        token_layer: int | None = None,
        joins_second: bool = False,
    ) -> None:
        super().__init__()
        check_levels(settings.backbone, token_layer)
        if token_layer is not None:
            strides = level_strides(settings.backbone)[:1]
        levels = _join_strides(settings, strides, joins_second=joins_second and token_layer is None)
        names = [own.backbone for own in settings.each]
        self.name = " + ".join(names)
        self.strides = tuple(itertools.chain(*levels))
        self.input_size_px: int | None = None
        """What images are resized to; None: they are taken as they are."""
        if token_layer is not None:
            self.input_size_px = nearest_multiple(settings.geometry.input_px, self.strides[0])
        has_window = any(map(has_fixed_size, names))
        self.window_px: int | None = settings.geometry.input_px if has_window else None
        """Side of the only square that the model takes; None: it takes multiples of its strides."""
        if self.input_size_px is not None:
            self.window_px = self.input_size_px
        self.overlap_px: int | None = settings.geometry.overlap_px
        """Context that the user wants the blocks of a large image to have; None: what the model sees."""
        normalisation = parse_normalisation(settings.normalisation)
        adaptations = [normalisation.on(name) for name in names]
        self.adaptation = next((a for a in adaptations if a is not None), None)
        """How far BatchNorm is to take the statistics of the references; None: not at all."""
        parts = [
            read_part(_create(alone, own, seed, token_layer), own)
            for alone, own in zip(settings.each, levels, strict=True)
        ]
        body = parts[0].body if len(parts) == 1 else JoinedBody(parts)
        self.body: nn.Module = body.to(memory_format=torch.channels_last)
        self.channels = tuple(itertools.chain(*(part.channels for part in parts)))
        self._channels_last = len(parts) == 1 and parts[0].gives_channels_last
        self.register_buffer("mean", torch.tensor(parts[0].mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(parts[0].std).view(1, 3, 1, 1), persistent=False)
        self.train()

    def train(self, mode: bool = True) -> "Backbone":
        """Never leaves eval mode; gradients flow all the same."""
        return super().train(False)

    def forward(self, images_N3SS: Tensor, body: Body | None = None) -> list[Tensor]:
        """Compute the feature maps of uint8 images: (N, C_i, h_i, w_i), one per stride.

        Done by `body`, if one is given that does what the backbone's own does.
        """
        return self.features(self.normalise(images_N3SS), body)

    def features(self, pixels_N3SS: Tensor, body: Body | None = None) -> list[Tensor]:
        """The same of images that are normalised already, float32."""
        run = self.body if body is None else body
        maps = run(channels_last(pixels_N3SS))
        assert isinstance(maps, list)
        if self._channels_last:
            maps = [m.permute(0, 3, 1, 2) for m in maps]
        return [channels_last(m) for m in maps]

    def normalise(self, images_N3SS: Tensor) -> Tensor:
        """uint8 images as the body takes them: float32, resized and normalised as the model wants."""
        pixels = images_N3SS.float().div(255.0)
        size = self.input_size_px
        if size is not None and pixels.shape[-1] != size:
            pixels = F.interpolate(pixels, size=(size, size), mode="bilinear", antialias=True)
        return (pixels - self.mean) / self.std

    def fingerprint(self) -> str:
        """Give the SHA-256 (hex) of the weights and of what is done with them.

        Frozen features depend on this and the image alone.
        """
        digest = hashlib.sha256(f"{self.name} {self.input_size_px}".encode())
        # A file's weights may be loaded into models that differ in what they subtract from an image alone.
        constants = {"mean": self.mean, "std": self.std}
        for name, value in sorted((self.state_dict() | constants).items()):
            digest.update(name.encode())
            digest.update(value.detach().cpu().numpy().tobytes())
        return digest.hexdigest()


def channels_last(map_NChw: Tensor) -> Tensor:
    """The same values in that order of memory; not copied where they lie so already."""
    return map_NChw.contiguous(memory_format=torch.channels_last)


def check_strides(settings: FeatureSettings, strides: Sequence[int], *, joins_second: bool = False) -> None:
    """Raise `SettingsError` unless the models have levels of these strides, and their weights reach them.

    Without building them. Whether the weights are of that model, and to be had, is not looked at.
    """
    check_levels(settings.backbone, None)
    levels = _join_strides(settings, strides, joins_second=joins_second)
    for alone, own in zip(settings.each, levels, strict=True):
        _check_present(alone.backbone, own)
        if alone.weights == "builtin" and alone.backbone == read_builtin().info.backbone:
            _checked_builtin(alone.backbone, own)
    check_normalisation(settings)


def check_single(settings: FeatureSettings) -> None:
    """Raise `SettingsError` where a second backbone is to be joined to what does not take one."""
    if settings.second is not None:
        raise SettingsError(
            f"`second_backbone` {settings.second} joins levels of patch_knn alone, which brings those of both"
            " to one scale: use patch_knn without `token_layer`, or leave the second backbone out."
        )


def _join_strides(
    settings: FeatureSettings, strides: Sequence[int], *, joins_second: bool
) -> tuple[tuple[int, ...], ...]:
    """The strides of every backbone; `SettingsError` where the second one cannot be joined."""
    second = settings.second
    if second is None:
        return (tuple(strides),)
    if not joins_second:
        check_single(settings)
    check_levels(second.backbone, None)
    if second.strides[0] < min(strides):
        raise SettingsError(
            f"`second_backbone` {second} must have no finer level than the first, whose finest has stride"
            f" {min(strides)}: leave that level out, or set `finest_stride` to {second.strides[0]}."
        )
    return tuple(strides), second.strides


def check_normalisation(settings: FeatureSettings) -> None:
    """Raise `SettingsError` where the statistics of references are asked for on a model without BatchNorm."""
    for alone in settings.each:
        parse_normalisation(settings.normalisation).on(alone.backbone)


def _check_present(name: str, strides: Sequence[int]) -> None:
    reductions = level_strides(name)
    absent = [s for s in strides if s not in reductions]
    if absent:
        raise SettingsError(
            f"Backbone `{name}` has feature maps of strides {list(reductions)}, but {absent} were asked for."
        )


def _create(
    settings: FeatureSettings, strides: tuple[int, ...], seed: int, token_layer: int | None
) -> nn.Module:
    name, weights = settings.backbone, settings.weights
    reductions = level_strides(name)
    _check_present(name, strides)
    given = _given_tensors(name, weights, strides)
    from_file = weights not in ("none", "builtin", "timm", IMAGENET)
    overlay = {"file": str(find_weights_file(weights, name))} if from_file else None

    def drawn(**arguments: Any) -> nn.Module:
        torch.manual_seed(seed)
        if token_layer is not None:
            size = nearest_multiple(settings.geometry.input_px, strides[0])
            return TokenMap(name, size, len(reductions) + token_layer, **arguments)
        indices = tuple(reductions.index(s) for s in strides)
        arguments |= size_argument(name, settings.geometry.input_px)
        body: nn.Module = timm.create_model(name, features_only=True, out_indices=indices, **arguments)
        return body

    try:
        with torch.random.fork_rng(devices=[]), without_loader_warnings():
            body = drawn(pretrained=from_file or weights == "timm", pretrained_cfg_overlay=overlay)
            if from_file:
                _check_loaded(body, drawn(), weights)
            if given is not None:
                _fill(body, given, weights)
    except DgadError:
        raise
    # timm and the hub client raise whatever their own libraries do (offline, missing repository, wrong
    # keys, wrong shapes); each of them means that the asked-for weights cannot be had.
    except Exception as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        if weights == "none":
            size = settings.geometry.input_px
            what = "a feature pyramid" if token_layer is None else "a map of patch tokens"
            raise SettingsError(
                f"timm cannot give `{name}` as {what} of images of {size} px: {reason[0]}."
            ) from error
        raise WeightsError(
            f"The weights `{weights}` for backbone `{name}` cannot be had: {reason[0]}. {ALTERNATIVES}"
        ) from error
    return body


def _checked_builtin(name: str, strides: tuple[int, ...]) -> Builtin:
    """The shipped weights, if they are of that backbone and reach those strides; else `SettingsError`."""
    builtin = read_builtin()
    if name != builtin.info.backbone:
        raise SettingsError(
            f"`weights` builtin are those of `{builtin.info.backbone}`, but got backbone {name!r}: use that"
            f" one, or other weights: {OTHERS}."
        )
    absent = [s for s in strides if s not in builtin.info.strides]
    if absent:
        raise SettingsError(
            f"`weights` builtin reach the strides {list(builtin.info.strides)}, but {absent} were asked for:"
            f" take fewer or finer levels, or other weights: {OTHERS}."
        )
    return builtin


def _given_tensors(name: str, weights: str, strides: tuple[int, ...]) -> Mapping[str, Tensor] | None:
    """What dgad itself fills the body with, by timm's names; None where timm does it, or nothing is."""
    if weights == "builtin":
        return _checked_builtin(name, strides).backbone
    return read_imagenet(name) if weights == IMAGENET else None


def _fill(body: nn.Module, given: Mapping[str, Tensor], weights: str) -> None:
    """Fill every tensor of the body; what is coarser than the levels asked for is left out of the body."""
    own = body.state_dict()
    absent = [key for key in own if key not in given]
    if absent:
        raise WeightsError(
            f"The weights `{weights}` lack {len(absent)} of the backbone's {len(own)} tensors, {absent[0]}"
            f" among them: install dgad again, or use {OTHERS}."
        )
    body.load_state_dict({key: given[key] for key in own})


def _check_loaded(body: nn.Module, random: nn.Module, weights: str) -> None:
    """Raise `WeightsError` where a layer kept its random start: timm itself skips absent names silently."""
    start = dict(random.named_parameters())
    # What starts as a constant, such as an empty token, may well have stayed one where it was learnt.
    drawn = {name for name, p in start.items() if p.ndim >= 2 and bool((p != p.flatten()[0]).any())}
    layers = {name: p for name, p in body.named_parameters() if name in drawn}
    absent = [name for name, p in layers.items() if torch.equal(p, start[name])]
    if absent:
        raise WeightsError(
            f"{weights} lacks {len(absent)} of the backbone's {len(layers)} layers, {absent[0]} among them;"
            f" it must hold a timm state dict of that backbone. {ALTERNATIVES}"
        )
