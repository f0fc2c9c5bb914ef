"""Search spaces: per method one define-by-run function from a trial and a study's features to settings.

Each parameter is called like the setting it chooses, so that a preset can be read back as a point of the
space (`tune.opening`). Parameters that others make meaningless are not asked for. No level is coarser than
stride 16: the builtin weights reach no further, and coarser levels have not earned their place.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import optuna

from dgad.comparer.settings import ADAPTED, BUILTIN, STRUCTURE
from dgad.settings import FeatureSettings, to_dict
from tune.space_generalisation import agg, agg_pair, eisnet, eisnet_pair, epi_fcr, epi_fcr_pair
from tune.space_peers import patch_knn, patchcore
from tune.space_reconstruction import autoencoder, memae, trustmae

SpaceFunction = Callable[[optuna.Trial], dict[str, Any]]
"""Settings that a trial chooses; those it does not mention keep their defaults."""
FeatureSpace = Callable[[optuna.Trial, FeatureSettings], dict[str, Any]]
"""The same for any features; what can be chosen may depend on them."""

RANKING_WEIGHTS = (0.0, 0.03, 0.1, 0.3, 1.0, 3.0)
"""λ of Eq. 4; steps, because 0 (the loss off) must be among them."""
ATTENTION_WEIGHTS = (0.0, 0.1, 0.3, 1.0)
ANCHOR_WEIGHTS = (0.0, 1e-3, 1e-2, 0.1, 1.0)
NUM_SYNTHETIC_SOURCES = (0, 8, 32)
SHIPPED = (*STRUCTURE, "num_reference_patches_scoring")
"""What a comparer that starts from the shipped one takes from it."""
DEMO_QUICK: Mapping[str, Any] = {"backbone_mode": "frozen", "num_steps": 30}
"""What every configuration of the demo that is learnt afresh has in common."""
DEMO_PRESETS = ("builtin", "adapted", "robust", "robust_distance")
"""The demo's first configurations, in this order."""


def comparer(trial: optuna.Trial, features: FeatureSettings) -> dict[str, Any]:
    """Everything about the comparer that the paper or its alternatives leave open, its start among it."""
    starts = ["difference", "random"] + (["builtin"] if features.weights == "builtin" else [])
    init = trial.suggest_categorical("init", starts)
    if init == "builtin":
        chosen = {"init": init, **{name: getattr(BUILTIN, name) for name in SHIPPED}}
    else:
        chosen = {"init": init, **_structure(trial)}
        if chosen["head"] == "distance":
            chosen["init"] = "difference"  # nothing of this head is drawn: one configuration, not two
    if (chosen["head"], chosen["aggregation"]) == ("distance", "min"):
        chosen["density_correction"] = trial.suggest_categorical("density_correction", [False, True])
    if chosen["aggregation"] == "softmin":
        chosen["temperature"] = trial.suggest_float("temperature", 0.05, 2.0, log=True)
    chosen["score_pooling"] = trial.suggest_categorical("score_pooling", ["max", "top_fraction"])
    if chosen["score_pooling"] == "top_fraction":
        chosen["top_fraction"] = trial.suggest_float("top_fraction", 0.005, 0.2, log=True)
    if chosen["num_levels"] > 1 and chosen["scored_levels"] == "all":
        chosen["level_calibration"] = trial.suggest_categorical("level_calibration", [False, True])
    chosen["num_steps"] = trial.suggest_categorical("num_steps", [0, 20, 40, 60, 120])
    if chosen["num_steps"] > 0:
        chosen |= _training(trial)
    return chosen


def _structure(trial: optuna.Trial) -> dict[str, Any]:
    """What is free unless the comparer starts from shipped weights."""
    stride = trial.suggest_categorical("finest_stride", [4, 8])
    num_levels = trial.suggest_int("num_levels", 1, 3 if stride == 4 else 2)
    several = num_levels > 1
    return {
        "finest_stride": stride,
        "num_levels": num_levels,
        "scored_levels": trial.suggest_categorical("scored_levels", ["all", "finest"]) if several else "all",
        "reference_norm": trial.suggest_categorical("reference_norm", [True, False]),
        "head": trial.suggest_categorical("head", ["mlp", "distance", "mlp_difference"]),
        "aggregation": trial.suggest_categorical("aggregation", ["min", "softmin", "max"]),
    }


def _training(trial: optuna.Trial) -> dict[str, Any]:
    return {
        "backbone_mode": trial.suggest_categorical("backbone_mode", ["fine_tuned", "frozen"]),
        "learning_rate": trial.suggest_float("learning_rate", 1e-4, 1e-2, log=True),
        "num_synthetic_sources": trial.suggest_categorical("num_synthetic_sources", NUM_SYNTHETIC_SOURCES),
        "domains_per_step": trial.suggest_int("domains_per_step", 1, 3),
        "normals_per_domain": trial.suggest_int("normals_per_domain", 1, 4),
        "abnormals_per_domain": trial.suggest_int("abnormals_per_domain", 1, 4),
        "references_per_domain": trial.suggest_int("references_per_domain", 1, 5),
        "num_query_patches": trial.suggest_categorical("num_query_patches", [0, 64, 256]),
        "num_reference_patches": trial.suggest_categorical("num_reference_patches", [64, 256, 1024]),
        "ranking_weight": trial.suggest_categorical("ranking_weight", RANKING_WEIGHTS),
        "attention_weight": trial.suggest_categorical("attention_weight", ATTENTION_WEIGHTS),
        "anchor_weight": trial.suggest_categorical("anchor_weight", ANCHOR_WEIGHTS),
    }


def comparer_demo(trial: optuna.Trial, features: FeatureSettings) -> dict[str, Any]:
    """A small corner of `comparer` that two CPU cores search in minutes: frozen features, few steps.

    The shipped comparer as it is or adapted, or one learnt afresh.
    """
    if features.weights == "builtin":
        init = trial.suggest_categorical("init", ["builtin", "difference"])
        if init == "builtin":
            preset = BUILTIN if trial.suggest_categorical("num_steps", [0, 40]) == 0 else ADAPTED
            chosen = {**to_dict(preset)}
            if preset is ADAPTED:
                chosen["anchor_weight"] = trial.suggest_categorical("anchor_weight", ANCHOR_WEIGHTS)
            return chosen
    return {
        **DEMO_QUICK,
        "head": trial.suggest_categorical("head", ["mlp", "distance"]),
        "score_pooling": trial.suggest_categorical("score_pooling", ["max", "top_fraction"]),
        "num_reference_patches": trial.suggest_categorical("num_reference_patches", [64, 256]),
        "ranking_weight": trial.suggest_categorical("ranking_weight", RANKING_WEIGHTS[:4]),
        "learning_rate": trial.suggest_float("learning_rate", 3e-4, 3e-3, log=True),
    }


def nothing(trial: optuna.Trial, features: FeatureSettings) -> dict[str, Any]:
    """For a method without free settings: it is not searched."""
    del trial, features
    return {}


SPACES: Mapping[str, FeatureSpace] = {
    "agg": agg,
    "agg_pair": agg_pair,
    "autoencoder": autoencoder,
    "comparer": comparer,
    "eisnet": eisnet,
    "eisnet_pair": eisnet_pair,
    "epi_fcr": epi_fcr,
    "epi_fcr_pair": epi_fcr_pair,
    "memae": memae,
    "patch_knn": patch_knn,
    "patchcore": patchcore,
    "trivial": nothing,
    "trustmae": trustmae,
}
DEMO_SPACES: Mapping[str, FeatureSpace] = {**SPACES, "comparer": comparer_demo}


def space_for(method: str, kind: str, features: FeatureSettings) -> SpaceFunction:
    """The `full` or `demo` space of a method on these features."""
    return functools.partial((DEMO_SPACES if kind == "demo" else SPACES)[method], features=features)
