"""Studies from Python: what `dgad-tune launch` does, for notebooks and scripts."""

import contextlib
import dataclasses
import inspect
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dgad.command_line import PlainConsole, reserve_stdout
from dgad.errors import SettingsError
from dgad.settings import did_you_mean
from tune.caches.features import plan_cache
from tune.launcher.request import Request
from tune.monitoring.trackers import Trackers
from tune.results.live_summary import read_current_summary
from tune.results.study_result import StudyResult
from tune.run_folder.location import DEFAULT, Runs
from tune.run_folder.status import find_study_folder
from tune.search.workers import Demand
from tune.study.paper import check_paper_data, is_paper
from tune.study.settings import Study

_FIELDS = {f.name: f for f in dataclasses.fields(Study)}
_PLAIN_WIDTH = 160
"""Columns; lines are not broken at it, tables are as wide."""


def launch(
    *,
    study: str | os.PathLike[str] | None = None,
    runs: str | os.PathLike[str] = DEFAULT,
    device: str = "auto",
    workers: int | None = None,
    cpus_per_trial: int | None = None,
    gpus_per_trial: float | None = None,
    retry_failed: bool = False,
    cache: str | os.PathLike[str] | None = None,
    cache_gib: float = 10.0,
    tensorboard: bool = False,
    mlflow: str | None = None,
    show_progress: bool = True,
    **settings: Any,
) -> StudyResult:
    """Search settings, score each held-out domain once, bundle and report, as `dgad-tune launch` does.

    Everything is kept in the folder RUNS/NAME. Interrupted or killed, the same call goes on where it was; of
    a finished study it runs nothing and gives the result, unless the data has changed since. Ray is started
    here and ended with the call, unless one runs in this process already. A study on a cluster is for the
    command.

    Args:
        study: YAML file of settings, or `paper`, the one that ships; keywords given here win.
        runs: Where studies are kept: a folder, or a URI such as `s3://bucket/runs`.
        device: Of the fits: `auto` (CUDA where there is one), `cpu`, `cuda` or `cuda:N`.
        workers: Fits side by side; None is one a core, four a GPU.
        cpus_per_trial: Cores and threads of each fit; None shares them evenly.
        gpus_per_trial: GPUs of each fit, 0.25 shares one; None shares them evenly.
        retry_failed: Try failed fits and trials of the study again.
        cache: Where frozen features are kept on disk; None is the user's cache folder.
        cache_gib: Bound of that cache in GiB; 0 keeps none.
        tensorboard: Log trials for TensorBoard in RUNS/NAME/tensorboard.
        mlflow: Log trials to MLflow: `sqlite:///FILE` or a server's address.
        show_progress: Print a line for every event; False prints nothing.
        **settings: The fields of `tune.Study`: `data`, `name`, `methods`, `trials`, ... None and what
            is left out take the study file's or the default. `domains` and `folds` take `all` too.

    Returns:
        The study's result.

    Raises:
        SettingsError: A keyword is unknown, of the wrong type or out of range, or the study was begun with
            other settings.
        DataError: The data cannot be had as asked, or has changed since the study began.
        RecordError: Another process runs the study, or its folder is damaged.
    """
    given = _checked_names(settings)
    request = Request(
        given=given,
        study_file=None if study is None else Path(study),
        runs=Runs(location=os.fspath(runs)),
        device=device,
        demand=Demand(workers=workers, cpus_per_trial=cpus_per_trial, gpus_per_trial=gpus_per_trial),
        command=_call_as_text(settings, study, runs),
        retry_failed=retry_failed,
        disk_cache=plan_cache(None if cache is None else Path(cache), cache_gib),
        trackers=Trackers(tensorboard=tensorboard, mlflow_uri=mlflow),
    )
    if is_paper(request.study_file):
        check_paper_data(request.given_study())
    from tune.launcher import driver  # Ray takes seconds to import, and a mistake is told before

    # Named now, since others lose the standard output while Ray runs. Plain lines, also in a notebook, where
    # rich would draw a table that grows with every event.
    console = PlainConsole(
        file=sys.stdout,
        quiet=not show_progress,
        force_terminal=False,
        force_jupyter=False,
        width=_PLAIN_WIDTH,
    )
    with reserve_stdout(), _kept_handlers():
        folder, summary = driver.launch(request, console)
    return StudyResult(name=summary.name, folder=folder, summary=summary)


def load_study(name: str, *, runs: str | os.PathLike[str] = DEFAULT) -> StudyResult:
    """What is kept of a study, while it runs or after; needs no Ray.

    Args:
        name: Of the study.
        runs: Where studies are kept: a folder, or a URI such as `s3://bucket/runs`.

    Returns:
        The study's result; its `note` says how far one is that has not ended.

    Raises:
        SettingsError: There is no study of that name; the message lists those there are.
        RecordError: It has not begun, or its folder is damaged.
    """
    kept = Runs(location=os.fspath(runs))
    known = kept.names() if kept.is_remote else ()
    folder = find_study_folder(kept.view(*(n for n in known if n == name)), name, kept.location)
    summary, note = read_current_summary(folder)
    return StudyResult(name=name, folder=folder, summary=summary, note=note)


@contextlib.contextmanager
def _kept_handlers() -> Iterator[None]:
    """Give signals back to the caller: Ray puts a handler for SIGTERM that ends the process."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread can set one, so Ray has not
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not None:  # one that no Python code has set
                signal.signal(number, handler)


def _checked_names(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings by the names of `Study`; their values are checked where a command's are."""
    allowed = {*inspect.signature(launch).parameters, *_FIELDS}
    for name in settings:
        if name not in _FIELDS:
            raise SettingsError(
                f"`launch` has no keyword `{name}`.{did_you_mean(name, allowed)} A study has the settings"
                f" {', '.join(_FIELDS)}."
            )
    given = {k: os.fspath(v) if isinstance(v, os.PathLike) else v for k, v in settings.items()}
    return {k: () if k in ("domains", "folds") and v == "all" else v for k, v in given.items()}


def _call_as_text(
    settings: Mapping[str, Any], study: str | os.PathLike[str] | None, runs: str | os.PathLike[str]
) -> str:
    """The call as a record keeps it, as a command's is kept."""
    told = {"study": study, "runs": None if os.fspath(runs) == DEFAULT else runs, **settings}
    plain = {k: os.fspath(v) if isinstance(v, os.PathLike) else v for k, v in told.items() if v is not None}
    return f"tune.launch({', '.join(f'{k}={v!r}' for k, v in plain.items())})"


def _signature_with_settings() -> inspect.Signature:
    """What `help` and a notebook's Shift-Tab show: the settings of a study by name, with their defaults."""
    own = inspect.signature(launch)
    placed = [p for p in own.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    settings = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None if field.default is dataclasses.MISSING else field.default,
            annotation=field.type,
        )
        for name, field in _FIELDS.items()
        if name != "format_version"
    ]
    return own.replace(parameters=[*settings, *placed])


launch.__signature__ = _signature_with_settings()  # type: ignore[attr-defined]
