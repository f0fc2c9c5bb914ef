"""The search space of `comparer`, and the corner of it that the demo searches."""

from collections.abc import Mapping
from typing import Any

from dgad.comparer.settings import ADAPTED, BUILTIN, STRUCTURE, ComparerSettings
from dgad.features.settings import FeatureSettings
from dgad.settings import to_dict
from tune.spaces.base import Trial

_RANKING_WEIGHTS = (0.0, 0.03, 0.1, 0.3, 1.0, 3.0)
"""λ of Eq. 4; steps, because 0 (the loss off) must be among them."""
_ATTENTION_WEIGHTS = (0.0, 0.1, 0.3, 1.0)
_ANCHOR_WEIGHTS = (0.0, 1e-3, 1e-2, 0.1, 1.0)
_NUM_SYNTHETIC_SOURCES = (0, 8, 32)
DEMO_QUICK: Mapping[str, Any] = {"backbone_mode": "frozen", "num_steps": 30}
"""What every configuration of the demo that is learnt afresh has in common."""
DEMO_PRESETS = ("builtin", "adapted", "robust", "robust_distance")
"""The demo's first configurations, in this order."""


def comparer_space(trial: Trial, features: FeatureSettings) -> dict[str, Any]:
    """Everything about the comparer that the paper or its alternatives leave open, its start among it."""
    starts = ["difference", "random"] + (["builtin"] if features.weights == "builtin" else [])
    init = trial.suggest_categorical("init", starts)
    if init == "builtin":
        chosen = {"init": init, **{name: getattr(BUILTIN, name) for name in STRUCTURE}}
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
    chosen["num_steps"] = trial.suggest_categorical("num_steps", [0, 20, 40, 60, 120, 240])
    if chosen["num_steps"] > 0:
        chosen |= _training(trial)
    return chosen


def _structure(trial: Trial) -> dict[str, Any]:
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


def _training(trial: Trial) -> dict[str, Any]:
    return {
        "backbone_mode": trial.suggest_categorical("backbone_mode", ["fine_tuned", "frozen"]),
        "learning_rate": trial.suggest_float("learning_rate", 1e-4, 1e-2, log=True),
        "num_synthetic_sources": trial.suggest_categorical("num_synthetic_sources", _NUM_SYNTHETIC_SOURCES),
        "domains_per_step": trial.suggest_int("domains_per_step", 1, 3),
        "normals_per_domain": trial.suggest_int("normals_per_domain", 1, 4),
        "abnormals_per_domain": trial.suggest_int("abnormals_per_domain", 1, 4),
        "references_per_domain": trial.suggest_int("references_per_domain", 1, 5),
        "num_query_patches": trial.suggest_categorical("num_query_patches", [0, 64, 256]),
        "num_reference_patches": trial.suggest_categorical("num_reference_patches", [64, 256, 1024]),
        "ranking_weight": trial.suggest_categorical("ranking_weight", _RANKING_WEIGHTS),
        "attention_weight": trial.suggest_categorical("attention_weight", _ATTENTION_WEIGHTS),
        "anchor_weight": trial.suggest_categorical("anchor_weight", _ANCHOR_WEIGHTS),
        "kept_share": trial.suggest_categorical("kept_share", [1.0, 0.5]),
    }


def comparer_demo_space(trial: Trial, features: FeatureSettings) -> dict[str, Any]:
    """A small corner of `comparer_space` that two CPU cores search in minutes: frozen features, few steps.

    The shipped comparer as it is or adapted, or one learnt afresh.
    """
    if features.weights == "builtin":
        init = trial.suggest_categorical("init", ["builtin", "difference"])
        if init == "builtin":
            num_steps = trial.suggest_categorical("num_steps", [0, ADAPTED.num_steps])
            preset = BUILTIN if num_steps == 0 else ADAPTED
            chosen = {**_unlike(preset, ComparerSettings()), "num_steps": num_steps}
            if num_steps > 0:
                chosen["anchor_weight"] = trial.suggest_categorical("anchor_weight", _ANCHOR_WEIGHTS)
            return chosen
    return {
        **DEMO_QUICK,
        "head": trial.suggest_categorical("head", ["mlp", "distance"]),
        "score_pooling": trial.suggest_categorical("score_pooling", ["max", "top_fraction"]),
        "num_reference_patches": trial.suggest_categorical("num_reference_patches", [64, 256]),
        "ranking_weight": trial.suggest_categorical("ranking_weight", _RANKING_WEIGHTS[:4]),
        "learning_rate": trial.suggest_float("learning_rate", 3e-4, 3e-3, log=True),
    }


def _unlike(settings: ComparerSettings, others: ComparerSettings) -> dict[str, Any]:
    """The settings that differ."""
    kept = to_dict(others)
    return {name: value for name, value in to_dict(settings).items() if value != kept[name]}
