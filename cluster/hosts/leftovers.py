"""What lives of Ray on a host that stands there already: looked for in its process table, and ended.

Processes count that belong to the user of ssh and are Ray's, or were started by Ray's workers (a job's
driver, a data loader). Two clusters of one user on the same hosts are not told apart, as `ray stop` does not.
"""

import dataclasses
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

from cluster.file.config_file import ClusterFile
from dgad.errors import ClusterError

_LOOK_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 120.0
_DONE = "looked at all"

# Comes to the host by the shell's input: in its command line it would find itself.
_LOOK = r"""
living() {
    for process in /proc/[0-9]*; do
        [ -O "$process" ] || continue
        command=$(tr '\0' ' ' 2>/dev/null < "$process/cmdline") || continue
        case $command in
            "") continue ;;
            */ray/raylet/raylet\ *) name=raylet ;;
            */ray/gcs/gcs_server\ *) name=gcs_server ;;
            *ray-dashboard-*|*/ray/dashboard/*.py*|*ray.dashboard.subprocesses*) name=dashboard ;;
            */ray/_private/log_monitor.py*) name=log_monitor ;;
            */ray/autoscaler/*/monitor.py*) name=monitor ;;
            *ray.util.client.server*) name=client_server ;;
            ray::*|*/ray/_private/*.py*) name=worker ;;
            *)
                tr '\0' '\n' 2>/dev/null < "$process/environ" | grep -q '^RAY_RAYLET_PID=' || continue
                name=job ;;
        esac
        echo "${process#/proc/} $name"
    done
}
[ -r /proc/self/cmdline ] || { echo "the host has no /proc to look in" >&2; exit 3; }
"""

_STOP = r"""
end_all() {
    living | while read -r pid _; do kill "-$1" "$pid" 2>/dev/null; done
    for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        [ -z "$(living)" ] && return
        sleep 0.25
    done
}
end_all TERM
[ -z "$(living)" ] || end_all KILL
"""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Survivor:
    """A host on which something of Ray's still lives, or may."""

    host: str
    state: Literal["alive", "unknown"]
    """`unknown`: the host could not be asked."""
    details: str
    """The processes that live there, or why the host could not be asked."""


def find_survivors(file: ClusterFile) -> tuple[Survivor, ...]:
    """Find every standing host of the file on which something of Ray's lives, or that could not be asked."""
    return _on_all(file, file.standing_hosts, stop=False)


def stop_ray(file: ClusterFile) -> tuple[Survivor, ...]:
    """End Ray on every standing host, the head first; what lives there afterwards."""
    # The head first: its autoscaler would start the workers again.
    head, workers = file.standing_hosts[:1], file.standing_hosts[1:]
    return (*_on_all(file, head, stop=True), *_on_all(file, workers, stop=True))


def _on_all(file: ClusterFile, hosts: tuple[str, ...], *, stop: bool) -> tuple[Survivor, ...]:
    if not hosts:
        return ()
    with ThreadPoolExecutor(max_workers=min(16, len(hosts))) as pool:
        found = pool.map(lambda host: _on_one(file, host, stop=stop), hosts)
        return tuple(survivor for survivor in found if survivor is not None)


def _on_one(file: ClusterFile, host: str, *, stop: bool) -> Survivor | None:
    try:
        if stop and not file.container_name:
            ray = file.interpreter.removesuffix("python") + "ray"
            # A login shell, for a `ray` that is named bare; what this leaves, the next step ends.
            file.ssh.run(host, f"bash -lc '{ray} stop --grace-period 10'", timeout_s=_STOP_TIMEOUT_S)
        script = _LOOK + (_STOP if stop else "") + _containers(file) + f'living\necho "{_DONE}"\n'
        answer = file.ssh.run(host, "sh -s", timeout_s=_LOOK_TIMEOUT_S, stdin=script)
    except ClusterError as error:
        return Survivor(host=host, state="unknown", details=str(error))
    lines = answer.stdout.splitlines()
    if answer.returncode != 0 or lines[-1:] != [_DONE]:
        said = answer.stderr.strip().splitlines()[-1:] or ["it did not look to the end"]
        return Survivor(host=host, state="unknown", details=said[0])
    if len(lines) == 1:
        return None
    names = Counter(line.split(" ", 1)[1] for line in lines[:-1])
    what = ", ".join(name if count == 1 else f"{count} x {name}" for name, count in sorted(names.items()))
    return Survivor(host=host, state="alive", details=what)


def _containers(file: ClusterFile) -> str:
    """Shell that lists the file's container as another thing that lives."""
    if not file.container_name:
        return ""
    docker = f"docker ps --no-trunc --quiet --filter 'name=^{file.container_name}$'"
    return f"""
containers=$({docker}) || {{ echo "docker cannot be asked" >&2; exit 4; }}
for container in $containers; do echo "$container container"; done
"""
