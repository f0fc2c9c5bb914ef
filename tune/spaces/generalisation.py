"""The search spaces of AGG, Epi-FCR and EISNet, which generalise over domains, and of their `_pair` forms."""

from typing import Any

from dgad.features.settings import FeatureSettings
from tune.spaces.base import Trial

_WEIGHT_DECAYS = (0.0, 2e-5, 1e-4, 1e-3)
_REFERENCES_PER_DOMAIN = (1, 2, 4)
_PAIR_HIDDEN = (32, 64, 128)
_RANDOM_WEIGHTS = (0.0, 0.03, 0.1, 0.3, 1.0)
"""Steps here and below, because 0 (the loss off) must be among them."""
_CLASSIFIER_WEIGHTS = (0.0, 0.05, 0.2, 1.0)
_FEATURE_WEIGHTS = (0.0, 0.5, 1.0, 2.0, 4.0)
_JIGSAW_WEIGHTS = (0.0, 0.3, 0.7, 1.0)
"""Steps here and below, because 0 (the loss off) must be among them."""
_TRIPLET_WEIGHTS = (0.0, 0.1, 0.5, 1.0)


def agg_space(trial: Trial, features: FeatureSettings) -> dict[str, Any]:
    """Batches and SGD; there is nothing else to choose."""
    del features
    return {"num_steps": trial.suggest_categorical("num_steps", [60, 120, 240]), **_choose_training(trial)}


def agg_pair_space(trial: Trial, features: FeatureSettings) -> dict[str, Any]:
    """Choose what `agg_space` does, and how many references a pair is made with."""
    return {**agg_space(trial, features), **_choose_pair(trial)}


def epi_fcr_space(trial: Trial, features: FeatureSettings) -> dict[str, Any]:
    """Batches and SGD, the warm-up, and the weights of the three episodic losses."""
    del features
    return {
        "num_steps": trial.suggest_categorical("num_steps", [30, 60, 120]),
        "num_warmup_steps": trial.suggest_categorical("num_warmup_steps", [0, 10, 20]),
        "random_weight": trial.suggest_categorical("random_weight", _RANDOM_WEIGHTS),
        "classifier_weight": trial.suggest_categorical("classifier_weight", _CLASSIFIER_WEIGHTS),
        "feature_weight": trial.suggest_categorical("feature_weight", _FEATURE_WEIGHTS),
        **_choose_training(trial),
    }


def epi_fcr_pair_space(trial: Trial, features: FeatureSettings) -> dict[str, Any]:
    """Choose what `epi_fcr_space` does, and how many references a pair is made with."""
    return {**epi_fcr_space(trial, features), **_choose_pair(trial)}


def eisnet_space(trial: Trial, features: FeatureSettings) -> dict[str, Any]:
    """Batches and SGD, and the weights of the jigsaw and the triplet loss with what each of them needs."""
    del features
    chosen: dict[str, Any] = {
        "num_steps": trial.suggest_categorical("num_steps", [45, 90, 180]),
        "jigsaw_weight": trial.suggest_categorical("jigsaw_weight", _JIGSAW_WEIGHTS),
        "identity_probability": trial.suggest_categorical("identity_probability", [0.7, 0.9, 1.0]),
        "triplet_weight": trial.suggest_categorical("triplet_weight", _TRIPLET_WEIGHTS),
        **_choose_training(trial),
    }
    if chosen["triplet_weight"] > 0:
        chosen["margin"] = trial.suggest_categorical("margin", [0.5, 1.0, 2.0])
        chosen["ema_decay"] = trial.suggest_categorical("ema_decay", [0.9, 0.99, 0.999])
    return chosen


def eisnet_pair_space(trial: Trial, features: FeatureSettings) -> dict[str, Any]:
    """Choose what `eisnet_space` does, and how many references a pair is made with."""
    return {**eisnet_space(trial, features), **_choose_pair(trial)}


def _choose_training(trial: Trial) -> dict[str, Any]:
    """Batches and SGD."""
    return {
        "learning_rate": trial.suggest_float("learning_rate", 3e-4, 3e-2, log=True),
        "weight_decay": trial.suggest_categorical("weight_decay", _WEIGHT_DECAYS),
        "normals_per_domain": trial.suggest_int("normals_per_domain", 1, 4),
        "abnormals_per_domain": trial.suggest_int("abnormals_per_domain", 1, 4),
    }


def _choose_pair(trial: Trial) -> dict[str, Any]:
    """What a query-reference variant has besides."""
    return {
        "references_per_domain": trial.suggest_categorical("references_per_domain", _REFERENCES_PER_DOMAIN),
        "pair_hidden": trial.suggest_categorical("pair_hidden", _PAIR_HIDDEN),
    }
