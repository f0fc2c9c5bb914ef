"""How much each setting mattered to a cell's search, as Optuna estimates it (fANOVA)."""

import math

import optuna

from tune.quiet import quiet_optuna

FEWEST_TRIALS = 8
"""Complete trials below which an estimate would be noise."""
_NUM_TREES = 32
"""Half of Optuna's: a study has a cell for every method and surface."""


def estimate_importance(study: optuna.Study, *, seed: int) -> dict[str, float]:
    """Share of the variance of the first objective by setting, highest first; they sum to 1.

    Empty where too few trials were completed, they all came out alike, or no setting is common to them.
    """
    quiet_optuna()
    complete = study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))
    values = [t.values[0] for t in complete if t.values and math.isfinite(t.values[0])]
    common = set.intersection(*(set(t.params) for t in complete)) if complete else set()
    if len(values) < FEWEST_TRIALS or max(values) - min(values) < 1e-12 or not common:
        return {}
    evaluator = optuna.importance.FanovaImportanceEvaluator(n_trees=_NUM_TREES, seed=seed % 2**32)
    several = len(study.directions) > 1
    target = (lambda trial: trial.values[0]) if several else None
    found = optuna.importance.get_param_importances(study, evaluator=evaluator, target=target)
    return {name: float(share) for name, share in found.items()}
