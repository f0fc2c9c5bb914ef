"""Search over methods, folds and settings with Ray Tune and Optuna, and the command `dgad-tune`.

    import tune

    result = tune.launch(data="photographs", name="first", trials=12)
    result.leaderboard().to_pandas()

Names are imported when they are first used: `import tune` alone loads neither Ray nor torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from cluster.embedded import prepare_environment

if TYPE_CHECKING:
    from tune.api import launch, load_study
    from tune.results.study_result import Leaderboard, StudyResult, TrialTable
    from tune.study.settings import Study

__all__ = ["Leaderboard", "Study", "StudyResult", "TrialTable", "launch", "load_study"]

_MODULES = {
    "Leaderboard": "tune.results.study_result",
    "Study": "tune.study.settings",
    "StudyResult": "tune.results.study_result",
    "TrialTable": "tune.results.study_result",
    "launch": "tune.api",
    "load_study": "tune.api",
}
"""Where each name is defined (PEP 562); the imports above say the same to type checkers and editors."""

prepare_environment()  # before any module of this package imports Ray, which reads it once


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
