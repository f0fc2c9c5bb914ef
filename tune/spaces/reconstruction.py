"""What the spaces of the reconstruction family share.

An enrolment trains, so steps and crops stay within what takes about a minute on one CPU core at 128 px.
"""

from typing import Any

from tune.spaces.base import Trial

NUM_SLOTS = (64, 128, 256, 512, 1024)


def choose_network(trial: Trial) -> dict[str, Any]:
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
