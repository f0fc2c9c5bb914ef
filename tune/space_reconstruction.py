"""Search spaces of the reconstruction family; a function per method, as in `tune.space`.

An enrolment trains, so steps and crops stay within what takes about a minute on one CPU core at 128 px.
"""

from typing import Any

import optuna

from dgad.settings import FeatureSettings

NUM_SLOTS = (64, 128, 256, 512, 1024)
ENTROPY_WEIGHTS = (0.0, 2e-5, 2e-4, 2e-3)
"""Steps here and below, because 0 (the part off) must be among them."""
SHRINKAGES = (0.0, 1.0, 2.0, 3.0)
TRUST_WEIGHTS = (0.0, 1e-3, 1e-2, 0.1)
MARGIN_WEIGHTS = (0.0, 1e-3, 1e-2, 0.1)
PERCEPTUAL_WEIGHTS = (0.0, 0.3, 1.0, 3.0)


def autoencoder(trial: optuna.Trial, features: FeatureSettings) -> dict[str, Any]:
    """The network, its training, and how a map becomes a score."""
    del features
    return {
        "encoder": trial.suggest_categorical("encoder", ["backbone", "conv"]),
        "stride": trial.suggest_categorical("stride", [4, 8, 16]),
        "width": trial.suggest_categorical("width", [8, 16, 32, 64, 128]),
        "num_steps": trial.suggest_categorical("num_steps", [75, 150, 300]),
        "learning_rate": trial.suggest_float("learning_rate", 1e-4, 1e-2, log=True),
        "crop_px": trial.suggest_categorical("crop_px", [32, 64]),
        "top_fraction": trial.suggest_float("top_fraction", 0.005, 1.0, log=True),
        "map_sigma_px": trial.suggest_categorical("map_sigma_px", [2.0, 4.0, 8.0]),
    }


def memae(trial: optuna.Trial, features: FeatureSettings) -> dict[str, Any]:
    """The same, and the memory's addressing."""
    return {
        **autoencoder(trial, features),
        "num_slots": trial.suggest_categorical("num_slots", NUM_SLOTS),
        "shrinkage": trial.suggest_categorical("shrinkage", SHRINKAGES),
        "temperature": trial.suggest_float("temperature", 0.03, 1.0, log=True),
        "entropy_weight": trial.suggest_categorical("entropy_weight", ENTROPY_WEIGHTS),
    }


def trustmae(trial: optuna.Trial, features: FeatureSettings) -> dict[str, Any]:
    """The same, and the memory's addressing and losses; radius and margin only where they matter."""
    chosen = {
        **autoencoder(trial, features),
        "num_slots": trial.suggest_categorical("num_slots", NUM_SLOTS),
        "num_nearest": trial.suggest_categorical("num_nearest", [1, 2, 4, 8]),
        "temperature": trial.suggest_float("temperature", 0.03, 1.0, log=True),
        "trust_weight": trial.suggest_categorical("trust_weight", TRUST_WEIGHTS),
        "margin_weight": trial.suggest_categorical("margin_weight", MARGIN_WEIGHTS),
        "perceptual_weight": trial.suggest_categorical("perceptual_weight", PERCEPTUAL_WEIGHTS),
        "centred": trial.suggest_categorical("centred", [True, False]),
    }
    if chosen["trust_weight"] > 0:
        chosen["trust_radius"] = trial.suggest_float("trust_radius", 0.3, 1.2)
        chosen["trust_limit"] = trial.suggest_float("trust_limit", 1.2, 3.0)
    if chosen["margin_weight"] > 0:
        chosen["margin"] = trial.suggest_categorical("margin", [0.05, 0.1, 0.3])
    return chosen
