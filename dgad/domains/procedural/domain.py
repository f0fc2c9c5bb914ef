"""Whole procedural domains: flawless and defective photographs of one surface, with exact masks."""

# N images, S pixels a side

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from dgad.domains.procedural.appearance import paint
from dgad.domains.procedural.camera import Exposure, draw_exposure
from dgad.domains.procedural.defects import DEFECTS, TRAINING_DEFECTS, Flawless
from dgad.domains.procedural.fields import Canvas, gaussian_blur
from dgad.domains.procedural.surfaces import FAMILIES, TRAINING_FAMILIES, Style, Surface, log_uniform
from dgad.seeds import seed_for
from dgad.settings import require

VISIBLE_STEP = 5 / 255
"""A pixel is marked where its surroundings changed by at least this much, before noise."""
_MIN_DEFECT_SHARE = 20 / 128**2
"""Of the image, that a defect covers at least."""
_MAX_TRIES = 6


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ProceduralDomain:
    """Normal images first, then abnormal ones, each of some kind of defect."""

    name: str
    images: Tensor
    """uint8 RGB (N, 3, S, S)."""
    labels: Tensor
    """int64 (N,): 0 normal, 1 abnormal."""
    masks: Tensor
    """bool (N, S, S): pixels that a defect changed visibly."""
    kinds: tuple[str, ...]
    """(N,): `good`, or the name of the defect."""


def draw_domain(
    seed: int,
    *,
    image_size_px: int,
    num_normal: int,
    num_abnormal: int,
    families: Sequence[str] = TRAINING_FAMILIES,
    defects: Sequence[str] = TRAINING_DEFECTS,
    device: torch.device | None = None,
) -> ProceduralDomain:
    """One domain that depends on the seed and the device's kind alone.

    Raises `SettingsError` for a size that is not a multiple of 8 of at least 32, a negative count, or a
    family or defect that does not exist.
    """
    size_rule = "a multiple of 8, at least 32"
    require(image_size_px >= 32 and image_size_px % 8 == 0, "image_size_px", size_rule, image_size_px)
    require(num_normal >= 0 and num_abnormal >= 0, "num_normal", "0 or more", (num_normal, num_abnormal))
    for name in families:
        require(name in FAMILIES, "families", f"among {', '.join(FAMILIES)}", name)
    for name in defects:
        require(name in DEFECTS, "defects", f"among {', '.join(DEFECTS)}", name)
    style = np.random.default_rng(seed)
    generator = torch.Generator(device=device or torch.device("cpu")).manual_seed(seed_for(seed, "images"))
    canvas = Canvas(num_images=num_normal + num_abnormal, size_px=image_size_px, generator=generator)
    family = str(style.choice(list(families)))
    surface = FAMILIES[family](canvas, style)
    pixels = paint(canvas, style, surface)
    exposure = draw_exposure(canvas, style)
    # The domain is fixed by now: how many defects follow changes none of its flawless images.
    exposed = exposure.expose(pixels)
    masks = torch.zeros((len(pixels), image_size_px, image_size_px), dtype=torch.bool, device=canvas.device)
    kinds = ["good"] * num_normal
    if num_abnormal:
        stranger = _stranger(canvas.take(num_abnormal), style, families)
        for i in range(num_normal, len(pixels)):
            one = exposure.of(i)
            flawless = Flawless(
                pixels=pixels[i : i + 1],
                stranger=stranger[i - num_normal : i - num_normal + 1],
                pitch_px=surface.pitch_px,
                angle_rad=surface.angle_rad,
            )
            kind, exposed[i : i + 1], masks[i] = _spoilt(
                flawless, exposed[i : i + 1], one, canvas, style, defects
            )
            kinds.append(kind)
    labels = torch.zeros(len(pixels), dtype=torch.int64)
    labels[num_normal:] = 1
    return ProceduralDomain(
        name=f"{family}-{seed}", images=exposure.take(exposed), labels=labels, masks=masks, kinds=tuple(kinds)
    )


def _stranger(canvas: Canvas, style: Style, families: Sequence[str]) -> Tensor:
    surface: Surface = FAMILIES[str(style.choice(list(families)))](canvas, style)
    return paint(canvas, style, surface)


def _spoilt(
    flawless: Flawless,
    exposed: Tensor,
    exposure: Exposure,
    canvas: Canvas,
    style: Style,
    defects: Sequence[str],
) -> tuple[str, Tensor, Tensor]:
    """(kind, exposed image with a visible defect, mask (S, S)).

    A defect that does not show is drawn again, stronger, up to six times.
    """
    strength = log_uniform(style, 0.5, 4.0)
    for _ in range(_MAX_TRIES):
        kind = str(style.choice(list(defects)))
        changed = exposure.expose(DEFECTS[kind](flawless, canvas.take(1), style, strength).clamp(0, 1.2))
        change = gaussian_blur((changed - exposed).abs().amax(1, keepdim=True), 0.7)[0, 0]
        mask = change >= VISIBLE_STEP
        if float(mask.float().mean()) >= _MIN_DEFECT_SHARE:
            return kind, changed, mask
        strength = 1.5 * strength
    return kind, changed, mask
