"""What the spaces of the domain-generalisation methods share."""

from typing import Any

from tune.spaces.base import Trial

WEIGHT_DECAYS = (0.0, 2e-5, 1e-4, 1e-3)
REFERENCES_PER_DOMAIN = (1, 2, 4)
PAIR_HIDDEN = (32, 64, 128)


def choose_training(trial: Trial) -> dict[str, Any]:
    """Batches and SGD."""
    return {
        "learning_rate": trial.suggest_float("learning_rate", 3e-4, 3e-2, log=True),
        "weight_decay": trial.suggest_categorical("weight_decay", WEIGHT_DECAYS),
        "normals_per_domain": trial.suggest_int("normals_per_domain", 1, 4),
        "abnormals_per_domain": trial.suggest_int("abnormals_per_domain", 1, 4),
    }


def choose_pair(trial: Trial) -> dict[str, Any]:
    """What a query-reference variant has besides."""
    return {
        "references_per_domain": trial.suggest_categorical("references_per_domain", REFERENCES_PER_DOMAIN),
        "pair_hidden": trial.suggest_categorical("pair_hidden", PAIR_HIDDEN),
    }
