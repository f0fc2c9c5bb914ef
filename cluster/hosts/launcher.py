"""Ray's own cluster launcher (`ray up`, `ray down`) and node providers, each in a process of its own."""

import dataclasses
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from cluster.file.config_file import ClusterFile
from cluster.ssh import SshAccess, find_state_folder
from dgad.errors import ClusterError

_REPORT_EVERY_S = 30.0
_NUM_LAST_LINES = 6
_ASK_TIMEOUT_S = 180.0
_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class StartedNode:
    """A machine that a cloud provider has started and not ended."""

    id: str
    is_head: bool
    address: str | None
    """Address as this machine reaches it; None while it has none yet."""


def run_launcher(
    file: ClusterFile, action: str, *arguments: str, report: Callable[[str], None] = lambda text: None
) -> None:
    """Run `ray up`, `ray down` or `ray rsync-down` to its end; what it says goes to a log file.

    Raises `ClusterError` with its last lines where it fails.
    """
    log = find_state_folder(file.name) / f"{action}.log"
    log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    report(f"`ray {action}` runs; it writes to {log}.")
    began = time.monotonic()
    with open(log, "wb") as out:
        process = subprocess.Popen(
            [
                *(sys.executable, "-P", "-m", "ray.scripts.scripts", action),
                *(["--yes"] if action in ("up", "down") else []),
                *(str(file.path), *arguments),
            ],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env=_environment(file),
        )
        try:
            while True:
                try:
                    returncode = process.wait(timeout=_REPORT_EVERY_S)
                    break
                except subprocess.TimeoutExpired:
                    report(f"`ray {action}` still runs after {time.monotonic() - began:.0f} s.")
        except BaseException:  # Ctrl-C too: not to go on behind the user's back
            process.terminate()
            process.wait()
            raise
    if returncode != 0:
        lines = _ANSI.sub("", log.read_text(errors="replace")).replace("\r", "\n").splitlines()
        last = [line.strip() for line in lines if line.strip()][-_NUM_LAST_LINES:]
        raise ClusterError(
            f"`ray {action}` for the cluster {file.name} failed (exit {returncode}); all it said is in"
            f" {log}, at last: {' | '.join(last)}"
        )


def list_started_nodes(file: ClusterFile) -> tuple[tuple[StartedNode, ...], SshAccess]:
    """List the machines that the file's provider has started and not ended, and how ssh gets to them.

    Raises `ClusterError` where the provider cannot be asked.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "cluster.hosts.started_nodes", str(file.path)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_ASK_TIMEOUT_S,
            env=_environment(file),
        )
    except subprocess.TimeoutExpired as error:
        raise ClusterError(
            f"The provider {file.provider} did not say within {_ASK_TIMEOUT_S:g} s which machines of"
            f" {file.name} run; look in its console."
        ) from error
    if done.returncode != 0:
        said = (_ANSI.sub("", done.stderr).strip().splitlines() or ["no reason given"])[-1]
        raise ClusterError(
            f"The provider {file.provider} cannot be asked which machines of {file.name} run ({said});"
            " see that your credentials for it hold here."
        )
    answer = json.loads(done.stdout.splitlines()[-1])
    key = answer["ssh_private_key"]
    remote = dataclasses.replace(
        file.ssh, user=answer["ssh_user"], key=Path(key).expanduser() if key else None
    )
    return tuple(StartedNode(**node) for node in answer["nodes"]), remote


def _environment(file: ClusterFile) -> dict[str, str]:
    environment = {**os.environ, "RAY_AUTH_MODE": "token", "RAY_USAGE_STATS_ENABLED": "0"}
    if file.provider == "local":
        # Ray's second autoscaler brings up one such worker only (Ray 2.60).
        environment["RAY_UP_enable_autoscaler_v2"] = "0"
    return environment
