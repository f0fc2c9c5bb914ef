"""The search spaces of the nearest-patch methods and of `trivial`, which learn nothing on sources."""

from typing import Any

from dgad.features.levels import has_tokens, num_token_layers
from dgad.features.settings import FeatureSettings
from tune.spaces.base import Trial

_NUM_LAST_LAYERS = 4
"""Of a vision transformer; earlier blocks are searched no more."""


def patch_knn_space(trial: Trial, features: FeatureSettings) -> dict[str, Any]:
    """Which features the nearest neighbour sees, and how patches become an image score."""
    chosen = _token_features(trial, features) if has_tokens(features.backbone) else _pyramid_features(trial)
    chosen["reference_norm"] = trial.suggest_categorical("reference_norm", ["none", "scalar", "channel"])
    chosen["score_pooling"] = trial.suggest_categorical("score_pooling", ["max", "top_fraction"])
    if chosen["score_pooling"] == "top_fraction":
        chosen["top_fraction"] = trial.suggest_float("top_fraction", 0.005, 0.2, log=True)
    chosen["density_correction"] = trial.suggest_categorical("density_correction", [True, False])
    return chosen


def patchcore_space(trial: Trial, features: FeatureSettings) -> dict[str, Any]:
    """Which features the memory holds, how many of them, and whether the image score is re-weighted."""
    del features
    stride = trial.suggest_categorical("finest_stride", [4, 8])
    return {
        "finest_stride": stride,
        "num_levels": trial.suggest_int("num_levels", 1, 3 if stride == 4 else 2),
        "neighbourhood": trial.suggest_categorical("neighbourhood", [1, 3, 5]),
        "coreset_ratio": trial.suggest_categorical("coreset_ratio", [0.05, 0.1, 0.25, 0.5, 1.0]),
        "num_neighbours": trial.suggest_categorical("num_neighbours", [1, 3, 9]),
    }


def trivial_space(trial: Trial, features: FeatureSettings) -> dict[str, Any]:
    """Nothing: it has no settings, and is not searched."""
    del trial, features
    return {}


def _pyramid_features(trial: Trial) -> dict[str, Any]:
    stride = trial.suggest_categorical("finest_stride", [4, 8])
    return {
        "token_layer": None,
        "finest_stride": stride,
        "num_levels": trial.suggest_int("num_levels", 1, 3 if stride == 4 else 2),
        "neighbourhood": trial.suggest_categorical("neighbourhood", [1, 3, 5]),
    }


def _token_features(trial: Trial, features: FeatureSettings) -> dict[str, Any]:
    """Tokens are large and seldom averaged; the map follows the recipe they come from."""
    num_layers = min(_NUM_LAST_LAYERS, num_token_layers(features.backbone))
    layers = [-1 - i for i in range(num_layers)]
    return {
        "token_layer": trial.suggest_categorical("token_layer", layers),
        "distance": trial.suggest_categorical("distance", ["cosine", "euclidean"]),
        "neighbourhood": trial.suggest_categorical("neighbourhood", [1, 3]),
        "map_upsampling": "bilinear",
    }
