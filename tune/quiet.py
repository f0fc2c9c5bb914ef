"""Ray and Optuna without their own chatter: the command tells what is needed."""

import logging
import warnings


def quiet_optuna() -> None:
    """Only errors, and no word about features that are still experimental."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)


def quiet_ray() -> None:
    """No log of Ray and Ray Tune: a worker that dies is told by the search itself, in one line."""
    for name in ("ray", "ray.tune", "ray.train", "ray.data"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", module=r"ray\..*")
