"""A cluster brought up, found and taken down, by Ray's launcher and by looking for ourselves.

`ray up` and `ray down` say little of what they did not do (Ray 2.60): here nothing counts as up before its
head answers, nor as down before every host was looked at.
"""

import dataclasses
import time
from collections.abc import Callable

from cluster.file.config_file import ClusterFile
from cluster.hosts import leftovers
from cluster.hosts.launcher import list_started_nodes, run_launcher
from cluster.hosts.leftovers import Survivor
from cluster.ssh import SshAccess
from dgad.errors import ClusterError, UnreachableError

Report = Callable[[str], None]

_HEAD_TIMEOUT_S = 60.0
_ASK_TIMEOUT_S = 30.0

# Bash alone, since a host need not have curl; the health page asks for no token.
_ASK_HEALTH = """
exec 3<>/dev/tcp/127.0.0.1/{port} || exit 1
printf 'GET /api/gcs_healthz HTTP/1.0\\r\\nHost: localhost\\r\\n\\r\\n' >&3
timeout 10 cat <&3
"""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Head:
    """The head of a cluster that runs, and the way to its dashboard."""

    address: str
    """Address of the head, as this machine reaches it."""
    dashboard_port: int
    """Port on the head's own loopback, where the Jobs API answers too."""
    ssh: SshAccess
    """The way to the head by ssh."""


def find_head(file: ClusterFile) -> Head | None:
    """Find the head of the file's cluster and ask whether Ray runs on it; None where it does not.

    Raises `UnreachableError` where the head's host cannot be asked, `ClusterError` where its provider cannot.
    """
    remote, address = file.ssh, next(iter(file.standing_hosts), None)
    if address is None:
        nodes, remote = list_started_nodes(file)
        address = next((n.address for n in nodes if n.is_head and n.address), None)
        if address is None:
            return None
    script = _ASK_HEALTH.format(port=file.dashboard_port)
    answer = remote.run(address, "bash -s", timeout_s=_ASK_TIMEOUT_S, stdin=script)
    if not answer.stdout.rstrip().endswith("success"):
        return None
    return Head(address=address, dashboard_port=file.dashboard_port, ssh=remote)


def bring_up(file: ClusterFile, *, report: Report) -> Head:
    """Bring the file's cluster up, or find it up and leave it as it is; workers may join later.

    Raises `UnreachableError` where the head's host cannot be reached, `ClusterError` where `ray up` fails.
    """
    if (running := find_head(file)) is not None:
        report(f"The cluster {file.name} runs already; its head is {running.address}.")
        return running
    # Ray's launcher says nothing of a worker that it cannot reach.
    for survivor in leftovers.find_survivors(file):
        if survivor.state == "unknown":
            report(f"{survivor.host} will not take part: {survivor.details}")
    run_launcher(file, "up", report=report)
    deadline = time.monotonic() + _HEAD_TIMEOUT_S
    while (head := find_head(file)) is None:
        if time.monotonic() > deadline:
            raise ClusterError(
                f"`ray up` says that the cluster {file.name} is up, but its head does not answer on port"
                f" {file.dashboard_port} of its own: see `head_start_ray_commands` in {file.path}."
            )
        time.sleep(1.0)
    report(f"The cluster {file.name} is up; its head is {head.address}.")
    return head


def take_down(file: ClusterFile, *, report: Report) -> tuple[Survivor, ...]:
    """End the file's cluster, look on every host, and return what still lives or may.

    On a cloud it is the provider that is asked. Jobs and files are not looked after here.
    """
    if not file.standing_hosts:
        _launch_down(file, report)
        return _living_on_cloud(file)
    head = file.standing_hosts[0]
    try:
        file.ssh.run(head, "true", timeout_s=_ASK_TIMEOUT_S)
    except UnreachableError as error:  # `ray down` would wait for it for minutes
        report(f"{error} The workers are stopped without it.")
    else:
        _launch_down(file, report)
    report(f"Ray is ended on {len(file.standing_hosts)} hosts, one by one.")
    leftovers.stop_ray(file)
    # Once more, now that all were told: a head that lived on may have started a worker again.
    return leftovers.find_survivors(file)


def find_living(file: ClusterFile) -> tuple[Survivor, ...]:
    """Find what lives of the file's cluster, or may; stops nothing."""
    return leftovers.find_survivors(file) if file.standing_hosts else _living_on_cloud(file)


def _launch_down(file: ClusterFile, report: Report) -> None:
    try:
        run_launcher(file, "down", report=report)
    except ClusterError as error:  # not the end: what lives is looked for in any case
        report(str(error))


def _living_on_cloud(file: ClusterFile) -> tuple[Survivor, ...]:
    try:
        nodes, _ = list_started_nodes(file)
    except ClusterError as error:
        return (Survivor(host=file.name, state="unknown", details=str(error)),)
    return tuple(
        Survivor(
            host=node.address or node.id,
            state="alive",
            details=f"the {'head' if node.is_head else 'worker'} {node.id} of provider {file.provider}",
        )
        for node in nodes
    )
