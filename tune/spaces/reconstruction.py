"""The search spaces of the reconstruction family: autoencoder, MemAE and TrustMAE.

An enrolment trains, so steps and crops stay within what takes about a minute on one CPU core at 128 px.
"""

from typing import Any

from dgad.features.settings import FeatureSettings
from tune.spaces.base import Trial

_NUM_SLOTS = (64, 128, 256, 512, 1024)
_SHRINKAGES = (0.0, 1.0, 2.0, 3.0)
"""Steps here and below, because 0 (the part off) must be among them."""
_ENTROPY_WEIGHTS = (0.0, 2e-5, 2e-4, 2e-3)
_TRUST_WEIGHTS = (0.0, 1e-3, 1e-2, 0.1)
"""Steps here and below, because 0 (the part off) must be among them."""
_MARGIN_WEIGHTS = (0.0, 1e-3, 1e-2, 0.1)
_PERCEPTUAL_WEIGHTS = (0.0, 0.3, 1.0, 3.0)


def autoencoder_space(trial: Trial, features: FeatureSettings) -> dict[str, Any]:
    """What the family shares, and nothing else."""
    del features
    return _choose_network(trial)


def memae_space(trial: Trial, features: FeatureSettings) -> dict[str, Any]:
    """What the family shares, and the memory's addressing."""
    del features
    return {
        **_choose_network(trial),
        "num_slots": trial.suggest_categorical("num_slots", _NUM_SLOTS),
        "shrinkage": trial.suggest_categorical("shrinkage", _SHRINKAGES),
        "temperature": trial.suggest_float("temperature", 0.03, 1.0, log=True),
        "entropy_weight": trial.suggest_categorical("entropy_weight", _ENTROPY_WEIGHTS),
    }


def trustmae_space(trial: Trial, features: FeatureSettings) -> dict[str, Any]:
    """What the family shares, and the memory's addressing and losses; radius and margin where they matter."""
    del features
    chosen = {
        **_choose_network(trial),
        "num_slots": trial.suggest_categorical("num_slots", _NUM_SLOTS),
        "num_nearest": trial.suggest_categorical("num_nearest", [1, 2, 4, 8]),
        "temperature": trial.suggest_float("temperature", 0.03, 1.0, log=True),
        "trust_weight": trial.suggest_categorical("trust_weight", _TRUST_WEIGHTS),
        "margin_weight": trial.suggest_categorical("margin_weight", _MARGIN_WEIGHTS),
        "perceptual_weight": trial.suggest_categorical("perceptual_weight", _PERCEPTUAL_WEIGHTS),
        "centred": trial.suggest_categorical("centred", [True, False]),
    }
    if chosen["trust_weight"] > 0:
        chosen["trust_radius"] = trial.suggest_float("trust_radius", 0.3, 1.2)
        chosen["trust_limit"] = trial.suggest_float("trust_limit", 1.2, 3.0)
    if chosen["margin_weight"] > 0:
        chosen["margin"] = trial.suggest_categorical("margin", [0.05, 0.1, 0.3])
    return chosen


def _choose_network(trial: Trial) -> dict[str, Any]:
    """The network, its training, and how a map becomes a score."""
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
