"""A study on another Ray: sent there as a job, followed, found again by its name.

The job's id is the study's name, its working directory is the code of this very installation, and its
metadata says where it keeps its results, so that any terminal that reaches the cluster finds all of it.
"""

import contextlib
import dataclasses
import functools
import shlex
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import yaml

from cluster.hosts.lifecycle import bring_up
from cluster.jobs.named_jobs import Jobs, JobState
from cluster.jobs.ship import pack_code
from cluster.target import ClusterTarget, connect_to_dashboard
from dgad.errors import SettingsError
from dgad.storage import without_credentials
from tune.caches.features import GIB
from tune.launcher.request import Request
from tune.run_folder.layout import STUDY_FILE
from tune.spaces.narrowing import to_plain
from tune.study.settings import make_study

RUNS_KEY, PYTHON_KEY = "dgad_runs", "dgad_python"
"""Keys of a job's metadata: where its study is kept, and the interpreter that runs it."""
_ANSWER_TIMEOUT_S = 120.0
_ENVIRONMENT = {"PYTHONUNBUFFERED": "1", "RAY_AUTH_MODE": "token", "RAY_USAGE_STATS_ENABLED": "0"}


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ConnectedCluster:
    """A cluster whose dashboard answers, while this command runs."""

    jobs: Jobs
    dashboard_url: str
    """URL on this machine."""
    python: str


@contextlib.contextmanager
def connect_to_cluster(
    target: ClusterTarget, *, report: Callable[[str], None], starts_it: bool = False
) -> Iterator[ConnectedCluster]:
    """Connect to the cluster's Jobs API; with `starts_it` a cluster that is down is brought up first.

    Raises `SettingsError` where it is down and `starts_it` is not given.
    """
    begin = f"`dgad-tune launch --cluster {target.file}` brings it up."
    find = functools.partial(bring_up, report=report) if starts_it else None
    with connect_to_dashboard(target, how_to_start=begin, find_head=find) as there:
        yield ConnectedCluster(
            jobs=Jobs(there.url, there.token), dashboard_url=there.url, python=there.python
        )


def check_shared(request: Request) -> None:
    """Raise `SettingsError` for a place that hosts of a cluster could not share, or that tells a secret.

    It will stand on the command line of the job, which everybody on the head can read.
    """
    given = request.given_study()
    places = {
        "--runs": request.runs.location,
        "--data": given.get("data"),
        "--extra-targets": given.get("extra_targets"),
        "--mlflow": request.trackers.mlflow_uri,
    }
    for option, place in places.items():
        if place is None:
            continue
        shown = without_credentials(place)
        if shown != place:
            raise SettingsError(
                f"{option} {shown} was given with credentials, which others would see: set them where the"
                " hosts' own tools look, such as AWS_ACCESS_KEY_ID or the machine's role."
            )
        if option != "--mlflow" and "://" not in place and not Path(place).is_absolute():
            raise SettingsError(
                f"{option} {place} is a folder of this machine: name a folder that every host of the cluster"
                f" sees by the same absolute path, or a URI such as s3://bucket/{option.removeprefix('--')}."
            )


def submit(cluster: ConnectedCluster, request: Request) -> str:
    """Send the study as a job of its name, which is returned; `AlreadyRunning` where one of it runs there."""
    given = request.given_study()
    name, runs = make_study(given).name, request.runs.location
    options = ["--study", STUDY_FILE, "--name", name, "--runs", runs, "--address", "auto"]
    entrypoint = _command(cluster.python, ["launch", *options, *_flags(request)])
    with _ship_code(given) as folder:
        cluster.jobs.submit(
            name,
            entrypoint,
            folder,
            metadata={RUNS_KEY: runs, PYTHON_KEY: cluster.python},
            env=_ENVIRONMENT,
        )
    return name


@contextlib.contextmanager
def _ship_code(given: Mapping[str, object] | None = None) -> Iterator[Path]:
    """Pack this installation's code and the study's settings into a job's working directory."""
    extra = {STUDY_FILE: _as_yaml(given)} if given is not None else {}
    with tempfile.TemporaryDirectory(prefix="dgad-ship-") as temporary:
        yield pack_code(Path(temporary) / "code", extra=extra)


def run_on_head(
    cluster: ConnectedCluster,
    job: JobState | None,
    arguments: Sequence[str],
    runs: str | None,
    *,
    timeout_s: float = _ANSWER_TIMEOUT_S,
) -> str:
    """Run `dgad-tune ARGUMENTS` on the head, on the runs folder of the job, and return what it prints."""
    place = runs or (job.metadata.get(RUNS_KEY) if job else None)
    if place is None:
        raise SettingsError("Nothing of this name was sent here: name where it is kept with --runs.")
    python = (job.metadata.get(PYTHON_KEY) if job else None) or cluster.python
    with _ship_code() as folder:
        command = _command(python, [*arguments, "--runs", place])
        return cluster.jobs.run(command, folder, timeout_s=timeout_s)


def _command(python: str, arguments: Sequence[str]) -> str:
    # The interpreter is a shell word of the cluster file, which may begin with ~.
    return f"{python} -m tune.cli {shlex.join(arguments)}"


def _flags(request: Request) -> list[str]:
    """What of the request is not part of the study."""
    demand, cache, trackers = request.demand, request.disk_cache, request.trackers
    values = {
        "--device": request.device,
        "--workers": demand.workers,
        "--cpus-per-trial": demand.cpus_per_trial,
        "--gpus-per-trial": demand.gpus_per_trial,
        "--cache": cache and cache.folder,
        "--cache-gib": cache.max_bytes / GIB if cache else 0,
        "--mlflow": trackers.mlflow_uri,
    }
    switches = {"--retry-failed": request.retry_failed, "--tensorboard": trackers.tensorboard}
    flags = [text for name, value in values.items() if value is not None for text in (name, str(value))]
    return [*flags, *(name for name, is_on in switches.items() if is_on)]


def _as_yaml(given: Mapping[str, object]) -> bytes:
    plain = {k: list(v) if isinstance(v, tuple) else v for k, v in given.items() if k != "spaces"}
    if given.get("spaces"):
        plain["spaces"] = to_plain(given["spaces"])  # type: ignore[arg-type]
    return yaml.safe_dump(plain, sort_keys=False).encode()
