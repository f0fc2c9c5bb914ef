"""The model card of weights that `dgad pretrain` makes."""

from collections.abc import Mapping
from typing import Any


def weights_card(backbone: str, origin: Mapping[str, Any]) -> str:
    """Markdown for `MODEL_CARD.md` beside the weights, from what `builtin.json` says of their origin."""
    settings, quality = origin["settings"], origin["held_out_patch_knn"]
    sections = (
        "# Model card: builtin weights",
        f"`{backbone}`, feature maps of strides {', '.join(map(str, settings['strides']))} px, and a comparer"
        " on them.",
        "## How they were made",
        f"`{origin['command']}` with seed {settings['seed']}: {origin['steps']} steps,"
        f" {origin['images']} images of {settings['image_size_px']} px, {settings['comparer_steps']} steps of"
        f" the comparer, on {origin['device']}. In each episode the patches of query images are compared"
        " with reference images of the same procedural domain, and the exact masks of the drawn defects say"
        " which must lie far from them.",
        "## What they saw",
        "Procedural images alone. No photograph, no third party's image and no third party's weights were"
        " used, neither for training nor for choosing the recipe.",
        f"Surfaces: {', '.join(origin['training_families'])}."
        f" Defects: {', '.join(origin['training_defects'])}.",
        "## What they reach where they were not trained",
        f"On surfaces ({', '.join(origin['held_out_families'])}) and defects"
        f" ({', '.join(origin['held_out_defects'])} beside the others) that were kept out of training,"
        f" `patch_knn` has a mean image AUROC of {quality['image_auroc']:.3f} and a pixel AUROC of"
        f" {quality['pixel_auroc']:.3f}. Real surfaces are harder: docs/guide/backbone.md.",
        "## Licence and limits",
        "Apache-2.0, as dgad. The features know textures, not objects; strides coarser than those above are"
        " not part of the weights.",
    )
    return "\n\n".join(sections) + "\n"
