"""Jobs on a running Ray, by name: submit, look, follow, stop.

Ray cannot take a submission id twice: deleted and submitted again at once, the old job's monitor marks the
new one failed, its supervisor stays for good and the name with it (2.60). So a name that ran before runs
again as `NAME.2`, `NAME.3`, and everything here finds the latest; each keeps its own log.
"""

import asyncio
import dataclasses
import datetime
import secrets
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cluster.jobs.client import check_version, connect_job_client, find_last_line, translate_errors
from cluster.jobs.log import Tail, mark_output, split_output
from cluster.tokens import Token
from dgad.errors import ClusterError, UnreachableError

_NAME_KEY = "dgad_job"
_ATTEMPT_KEY = "dgad_attempt"
_HELPER_KEY = "dgad_helper"
_KEPT_HELPERS_S = 10.0
"""Deleted sooner, a job comes back as a failed one without an entrypoint: Ray's monitor still holds it."""

_POLL_S = 0.5
_RECONNECT_S = 1.0
_TAIL_CHARS = 2000
_ENVIRONMENT = {
    # One byte of log that is not UTF-8, and Ray can show nothing of that log any more.
    "PYTHONIOENCODING": "utf-8:backslashreplace",
}


class AlreadyRunning(ClusterError):  # noqa: N818  # what is so, not what went wrong
    """A job of this name runs already, so nothing was submitted."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class JobState:
    """The latest run of a job, as Ray's dashboard knows it."""

    name: str
    submission_id: str
    """Ray's id of the run: `NAME`, or `NAME.2` when it runs for the second time."""
    status: str
    """One of pending, running, stopped, succeeded and failed."""
    message: str
    exit_code: int | None
    started_at: datetime.datetime | None
    """UTC, by the clock of the head."""
    ended_at: datetime.datetime | None
    """UTC, by the clock of the head."""
    metadata: Mapping[str, str]
    entrypoint: str

    @property
    def has_ended(self) -> bool:
        """Whether nothing of the job runs any more."""
        return self.status in ("stopped", "succeeded", "failed")


class Jobs:
    """The Jobs API behind one dashboard; connects when it is first asked."""

    def __init__(self, url: str, token: Token | None) -> None:
        self.url = url
        self._token = token
        self._connected: Any = None

    def read_version(self) -> str:
        """Ask for Ray's version on the cluster; `ClusterError` where it is older than dgad needs."""
        with self._readable():
            return check_version(self.url, self._client.ray_version())

    def submit(
        self,
        name: str,
        entrypoint: str,
        working_dir: Path | None,
        *,
        metadata: Mapping[str, str],
        env: Mapping[str, str],
        stop_grace_s: int = 60,
    ) -> None:
        """Start the shell command `entrypoint` on the head, in a copy of `working_dir`, under `name`.

        On `stop` it gets SIGTERM and then `stop_grace_s` (Ray's own: 3 s) until SIGKILL. Raises
        `AlreadyRunning` where a job of that name has not ended.
        """
        self.read_version()
        before = self.find(name)
        if before is not None and not before.has_ended:
            raise _already_running(before, self.url)
        attempt = 1 if before is None else int(before.metadata[_ATTEMPT_KEY]) + 1
        environment = {**_ENVIRONMENT, "RAY_JOB_STOP_WAIT_TIME_S": str(stop_grace_s), **env}
        runtime_env: dict[str, Any] = {"env_vars": environment}
        if working_dir is not None:
            runtime_env["working_dir"] = str(working_dir)
        submission_id = name if attempt == 1 else f"{name}.{attempt}"
        try:
            with self._readable():
                self._client.submit_job(
                    entrypoint=entrypoint,
                    submission_id=submission_id,
                    runtime_env=runtime_env,
                    metadata={**metadata, _NAME_KEY: name, _ATTEMPT_KEY: str(attempt)},
                )
        except UnreachableError:
            raise
        except ClusterError as error:
            if f"submission_id {submission_id} already exists" not in str(error):
                raise
            raise AlreadyRunning(  # by whoever was faster than we
                f"A job `{name}` was started at {self.url} at this very moment by someone else."
            ) from None

    def find(self, name: str) -> JobState | None:
        """The latest run of that name, or None where there was none."""
        runs = [job for job in self._all() if job.name == name]
        return max(runs, key=lambda job: int(job.metadata[_ATTEMPT_KEY]), default=None)

    def list_jobs(self, metadata_key: str) -> tuple[JobState, ...]:
        """List the latest run of every job submitted with that key in its metadata, oldest first."""
        latest: dict[str, JobState] = {}
        for job in sorted(self._all(), key=lambda job: int(job.metadata[_ATTEMPT_KEY])):
            if metadata_key in job.metadata:
                latest[job.name] = job
        return tuple(sorted(latest.values(), key=lambda job: (str(job.started_at), job.name)))

    def read_log(self, name: str) -> str:
        """Read what the latest run has printed so far, standard output and error together."""
        return self._log(self._known(name))

    def follow(self, name: str, *, patience_s: float = 120.0) -> Iterator[str]:
        """Follow the latest run's log: its lines as they come, each with its line end, until the job ends.

        A lost connection is taken up again where it broke. Raises `UnreachableError` after `patience_s`
        without any answer.
        """
        job = self._known(name)
        num_read = 0  # characters
        rest = ""  # of a line that has no end yet
        lost_since: float | None = None
        with asyncio.Runner() as runner:
            while True:
                num_seen = 0  # characters of this connection, which always begins at the start
                progress = False
                try:
                    with self._readable(), Tail(runner, self._client, job.submission_id) as tail:
                        for text in tail:
                            lost_since = None
                            if text is None and self._again(job).has_ended:
                                break
                            fresh = (text or "")[max(0, num_read - num_seen) :]
                            num_seen += len(text or "")
                            num_read = max(num_read, num_seen)
                            progress = progress or bool(fresh)
                            *lines, rest = (rest + fresh).split("\n")
                            yield from (f"{line}\n" for line in lines)
                    if self._again(job).has_ended or not progress:
                        whole = self._log(job)  # says why, where Ray cannot read it
                        if self._again(job).has_ended:
                            *lines, rest = (rest + whole[num_read:]).split("\n")
                            yield from (f"{line}\n" for line in lines)
                            yield from [rest] if rest else []
                            return
                except UnreachableError:
                    lost_since = lost_since or time.monotonic()
                    if time.monotonic() - lost_since > patience_s:
                        raise
                time.sleep(_RECONNECT_S)

    def stop(self, name: str, timeout_s: float) -> bool:
        """Ask the job to end (SIGTERM, later SIGKILL) and wait; whether it has ended by then."""
        job = self._known(name)
        if job.has_ended:
            return True
        with self._readable():
            self._client.stop_job(job.submission_id)
        return self._wait(job, timeout_s).has_ended

    def run(self, entrypoint: str, working_dir: Path | None, *, timeout_s: float) -> str:
        """Run a shell command on the head as a job of its own, and return its standard output.

        Raises `ClusterError` with the end of its output where it fails or takes longer.
        """
        name, mark = f"dgad-{secrets.token_hex(6)}", secrets.token_hex(8)
        self.submit(
            name,
            mark_output(entrypoint, mark),
            working_dir,
            metadata={_HELPER_KEY: ""},
            env={},
            stop_grace_s=5,
        )
        job = self._wait(self._known(name), timeout_s)
        if not job.has_ended:
            with self._readable():
                self._client.stop_job(job.submission_id)
        self._forget_helpers_before(job)
        output, errors = split_output(self._log(job), mark, job.submission_id, job.entrypoint)
        if job.status == "succeeded":
            return output
        how = f"exit status {job.exit_code}" if job.exit_code is not None else find_last_line(job.message)
        ended = f"failed ({how})" if job.has_ended else f"has not ended within {timeout_s:g} s"
        tail = (output + errors).strip()[-_TAIL_CHARS:]
        raise ClusterError(f"`{entrypoint}` at {self.url} {ended}: {tail or job.message}")

    @property
    def _client(self) -> Any:
        if self._connected is None:
            self._connected = connect_job_client(self.url, self._token)
        return self._connected

    def _readable(self) -> Any:
        return translate_errors(self.url, self._token)

    def _all(self) -> list[JobState]:
        """Every job of ours; those of others carry no name."""
        with self._readable():
            details = self._client.list_jobs()
        return [_state(d) for d in details if d.submission_id and _NAME_KEY in (d.metadata or {})]

    def _known(self, name: str) -> JobState:
        job = self.find(name)
        if job is None:
            names = sorted({j.name for j in self._all() if _HELPER_KEY not in j.metadata})
            raise ClusterError(f"No job `{name}` at {self.url}; there are: {', '.join(names) or 'none'}.")
        return job

    def _again(self, job: JobState) -> JobState:
        for now in self._all():
            if now.submission_id == job.submission_id:
                return now
        raise ClusterError(
            f"The job `{job.name}` is gone from {self.url}: its head started anew, or it was deleted there."
        )

    def _wait(self, job: JobState, timeout_s: float) -> JobState:
        deadline = time.monotonic() + timeout_s
        while not (now := self._again(job)).has_ended and time.monotonic() < deadline:
            time.sleep(_POLL_S)
        return now

    def _log(self, job: JobState) -> str:
        try:
            with self._readable():
                return str(self._client.get_job_logs(job.submission_id))
        except ClusterError as error:
            if "UnicodeDecodeError" not in str(error):
                raise
            raise ClusterError(
                f"Ray cannot show the log of `{job.name}`, for it holds bytes that are not UTF-8: read "
                f"logs/job-driver-{job.submission_id}.log in Ray's session folder on the head."
            ) from None

    def _forget_helpers_before(self, job: JobState) -> None:
        if job.ended_at is None:
            return
        for other in self._all():
            if _HELPER_KEY in other.metadata and other.ended_at is not None:
                age = job.ended_at - other.ended_at  # both by the head's clock
                if age.total_seconds() > _KEPT_HELPERS_S:
                    with self._readable():
                        self._client.delete_job(other.submission_id)


def _state(details: Any) -> JobState:
    metadata = dict(details.metadata or {})
    return JobState(
        name=metadata[_NAME_KEY],
        submission_id=details.submission_id,
        status=str(details.status.value).lower(),
        message=details.message or "",
        exit_code=details.driver_exit_code,
        started_at=_utc(details.start_time),
        ended_at=_utc(details.end_time),
        metadata=metadata,
        entrypoint=details.entrypoint,
    )


def _utc(milliseconds: int | None) -> datetime.datetime | None:
    return datetime.datetime.fromtimestamp(milliseconds / 1000, datetime.UTC) if milliseconds else None


def _already_running(job: JobState, url: str) -> AlreadyRunning:
    return AlreadyRunning(
        f"A job `{job.name}` is {job.status} at {url}: follow it, stop it, or choose another name."
    )
