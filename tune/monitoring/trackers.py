"""TensorBoard and MLflow, by Ray's own loggers: one run a trial, its settings, its figures by inner fold.

Ray's loggers would show what Ray Tune holds: settings as one JSON text, scores as another, and files in a
folder that is gone after the search. They are given a view of the trial instead.
"""

import dataclasses
import functools
import importlib
import importlib.util
import json
import logging
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dgad.errors import SettingsError
from tune.run_folder.layout import TENSORBOARD_FOLDER
from tune.study.cell_id import CellId

_INSTALL = "install it with: pip install 'dgad[watch]'"
_ENVIRONMENT = {  # a server that is gone must not hold the search up; nobody is told that MLflow is used
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "GIT_PYTHON_REFRESH": "quiet",
}


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Trackers:
    """Where trials are logged besides the run folder; not part of a study."""

    tensorboard: bool = False
    mlflow_uri: str | None = None
    """A database (`sqlite:///FILE`) or a server's address."""


def check_installed(trackers: Trackers) -> None:
    """Raise `SettingsError` where a package is missing."""
    for option, module, is_wanted in (
        ("--tensorboard", "tensorboardX", trackers.tensorboard),
        ("--mlflow", "mlflow", trackers.mlflow_uri is not None),
    ):
        if is_wanted and importlib.util.find_spec(module) is None:
            raise SettingsError(f"{option} needs the package {module}, which is missing; {_INSTALL}.")


def check_trackers_answer(trackers: Trackers, study: str) -> None:
    """Raise `SettingsError` unless MLflow takes the study; a database that is not there is made."""
    if trackers.mlflow_uri is None:
        return
    mlflow = _mlflow()
    try:
        client = mlflow.MlflowClient(tracking_uri=trackers.mlflow_uri)
        experiment = client.get_experiment_by_name(study)
    except (mlflow.exceptions.MlflowException, OSError) as error:
        reason = _first_sentence(error)
        raise SettingsError(
            f"--mlflow {trackers.mlflow_uri} cannot be used: {reason};"
            " name a database, such as sqlite:///mlflow.db, or the address of a server that runs."
        ) from None
    if experiment is not None and experiment.lifecycle_stage == "deleted":
        raise SettingsError(
            f"MLflow's experiment `{study}` in {trackers.mlflow_uri} is deleted: restore it or remove it"
            " for good there, or choose another --name."
        )


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TrialView:
    """A trial as Ray's loggers are shown it."""

    name: str
    """`CELL/NUMBER`: unique in the study, whenever it is resumed."""
    config: Mapping[str, Any] = dataclasses.field(compare=False)
    """Its settings, flat, and its cell."""
    local_path: str
    """Where TensorBoard's files go."""

    @property
    def evaluated_params(self) -> Mapping[str, Any]:
        """As TensorBoard's logger calls the settings."""
        return self.config

    def init_local_path(self) -> None:
        """Make the folder for TensorBoard's files."""
        Path(self.local_path).mkdir(parents=True, exist_ok=True)

    def __str__(self) -> str:
        return self.name


def _view_trial(config: Mapping[str, Any], folder: Path) -> TrialView:
    """The view of a trial by its Ray Tune configuration."""
    cell, number = str(config["cell"]), int(config["number"])
    own = CellId.parse(cell)
    name = f"{cell}/{number:04d}"
    about = {"cell": cell, "method": own.title, "target": own.target, "trial": number}
    return TrialView(
        name=name,
        config={**about, **flatten_settings(json.loads(config["settings"]))},
        local_path=str(folder / TENSORBOARD_FOLDER / re.sub(r"[^\w@.-]", "_", cell) / f"{number:04d}"),
    )


def flatten_settings(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by dotted names; lists as JSON, None as `none`."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            found |= flatten_settings(value, f"{prefix}{key}.")
        elif value is None:
            found[prefix + key] = "none"
        else:
            found[prefix + key] = value if isinstance(value, bool | int | float | str) else json.dumps(value)
    return found


def make_figures(scores: Mapping[str, float | None], mean: float | None, iteration: int) -> dict[str, Any]:
    """What is logged after an inner fold: the running mean of the first objective, and its value by fold."""
    folds = {
        "inner_fold/" + re.sub(r"[^\w./ -]", "_", domain): score  # what MLflow allows in a name
        for domain, score in scores.items()
        if score is not None
    }
    known = {} if mean is None or mean != mean else {"inner_score": mean}
    return {**known, **folds, "training_iteration": iteration}


class TensorBoardLogger:
    """Ray's logger, shown views of trials."""

    name = "TensorBoard"

    def __init__(self, logger: Any) -> None:
        self.logger = logger

    def start(self, shown: TrialView) -> None:
        """Report a trial that got a worker."""
        self.logger.log_trial_start(shown)

    def break_off(self, shown: TrialView) -> None:
        """Close a trial that the end of the run breaks off."""
        self.logger.log_trial_end(shown)


class _MlflowLogger(TensorBoardLogger):
    """The same for MLflow, with tags of each trial's own."""

    name = "MLflow"

    def start(self, shown: TrialView) -> None:
        """Report a trial that got a worker."""
        own = {key: str(shown.config[key]) for key in ("cell", "method", "target")}
        self.logger.tags = {**self.logger.tags, **own}  # Ray's logger has them for all trials alike
        self.logger.log_trial_start(shown)

    def break_off(self, shown: TrialView) -> None:
        """Close a trial that the end of the run breaks off, which MLflow would show as running for ever."""
        self.logger.mlflow_util.end_run(run_id=self.logger._trial_runs[shown], status="KILLED")


def make_loggers(trackers: Trackers, folder: Path, study: str) -> list[TensorBoardLogger]:
    """The loggers of a study; to be handed to `Tracking`."""
    loggers: list[TensorBoardLogger] = []
    if trackers.tensorboard:
        from ray.tune.logger import TBXLoggerCallback

        loggers.append(TensorBoardLogger(TBXLoggerCallback()))  # type: ignore[no-untyped-call]
    if trackers.mlflow_uri is not None:
        _mlflow()  # its environment, before Ray imports it
        from ray.air.integrations.mlflow import MLflowLoggerCallback

        tags = {"study": study, "run_folder": str(folder)}
        logger = MLflowLoggerCallback(tracking_uri=trackers.mlflow_uri, experiment_name=study, tags=tags)
        loggers.append(_MlflowLogger(logger))
    return loggers


class Tracking:
    """Tells Ray's loggers of trials; one that fails is told once and left out, and the search goes on."""

    def __init__(
        self, loggers: Sequence[TensorBoardLogger], folder: Path, report: Callable[[str], None]
    ) -> None:
        self._loggers = list(loggers)
        self._folder = folder
        self._report = report
        self._open: dict[str, TrialView] = {}

    def begin(self) -> None:
        """Begin every logger's run, before the first trial."""
        self._each(lambda own: own.logger.setup())

    def start_trial(self, config: Mapping[str, Any]) -> None:
        """A trial got a worker, perhaps not its first."""
        shown = _view_trial(config, self._folder)
        self._open[shown.name] = shown
        self._each(lambda own: own.start(shown))

    def report_scores(self, config: Mapping[str, Any], values: Mapping[str, Any]) -> None:
        """Report the figures of a trial that has finished an inner fold."""
        shown = _view_trial(config, self._folder)
        self._each(lambda own: own.logger.log_trial_result(0, shown, dict(values)))

    def end_trial(self, config: Mapping[str, Any], *, failed: bool) -> None:
        """Report a trial that is over."""
        shown = _view_trial(config, self._folder)
        if self._open.pop(shown.name, None) is not None:
            self._each(lambda own: own.logger.log_trial_end(shown, failed=failed))

    def close(self) -> None:
        """What is still open was broken off; it is asked for again under another number."""
        for shown in self._open.values():
            self._each(functools.partial(_break_off, shown))
        self._open.clear()

    def _each(self, do: Callable[[TensorBoardLogger], None]) -> None:
        for logger in tuple(self._loggers):
            try:
                do(logger)
            except _errors() as error:
                self._loggers.remove(logger)
                reason = _first_sentence(error)
                self._report(
                    f"{logger.name} is left out for the rest of this run: {reason}; the search goes on."
                )


def _break_off(shown: TrialView, logger: TensorBoardLogger) -> None:
    logger.break_off(shown)


def _errors() -> tuple[type[Exception], ...]:
    """What a full disk or a server that is gone raises."""
    if importlib.util.find_spec("mlflow") is None:
        return (OSError,)
    return (OSError, _mlflow().exceptions.MlflowException)


def _mlflow() -> Any:
    for key, value in _ENVIRONMENT.items():
        os.environ.setdefault(key, value)
    mlflow = importlib.import_module("mlflow")
    for name in ("mlflow", "alembic"):  # they tell of every table that they make
        logging.getLogger(name).setLevel(logging.ERROR)
    return mlflow


def _first_sentence(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return re.split(r"(?<=\w)\.\s", lines[0])[0].rstrip(".")[:200]
