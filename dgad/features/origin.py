"""Where the weights of a backbone come from, and under which licence: what cards and reports say of it."""

from dgad.features.imagenet import IMAGENET, find_weights_package
from dgad.features.settings import FeatureSettings

_TEXTS = {
    "none": (
        "The backbone was drawn at random from a seed, and what was learnt was learnt from the training"
        " domains above: no third party's weights or images are in this bundle."
    ),
    "builtin": (
        "The backbone, and the comparer where `init` is builtin, started from the weights that ship with"
        " dgad (Apache-2.0). dgad made them from procedural images alone: no third party's weights or images"
        " are in this bundle."
    ),
    "timm": (
        "The backbone started from weights that timm fetched under the model's name (`{backbone}`); their"
        " licence and training data are those of that model's page, and bind this bundle too."
    ),
    IMAGENET: (
        "The backbone (`{backbone}`) started from the weights that the package {package} carries (SHA-256 of"
        " its file: `{sha256}`). Its licence, {licence}, binds this bundle too. They were learnt from the"
        " photographs of ImageNet (ILSVRC 2012), which have terms of their own; none is in this bundle."
    ),
}
_FILE = (
    "The backbone started from the weights file `{weights}`; its licence and training data are not known to"
    " dgad, and bind this bundle too."
)
_NAMES = {
    "none": "drawn at random from the seed",
    "builtin": "shipped with dgad, Apache-2.0, learnt from procedural images",
    "timm": "fetched by timm under the model's name, whose page has their licence",
    IMAGENET: "{package}, {licence}, learnt from ImageNet",
}


def describe_origin(features: FeatureSettings) -> str:
    """What a model card says of the weights that each backbone started from."""
    return " ".join(_filled(_TEXTS.get(own.weights, _FILE), own) for own in features.each)


def name_origins(features: FeatureSettings) -> dict[str, str]:
    """The same in a line each, name, version and licence, by `BACKBONE WEIGHTS`."""
    unknown = "a file; its licence is not known to dgad"
    return {
        f"{own.backbone} {own.weights}": _filled(_NAMES.get(own.weights, unknown), own)
        for own in features.each
    }


def _filled(text: str, features: FeatureSettings) -> str:
    package = find_weights_package(features.backbone) if features.weights == IMAGENET else None
    return text.format(
        backbone=features.backbone,
        weights=features.weights,
        package=package,
        sha256=package.sha256 if package else "",
        licence=package.licence if package else "",
    )
