"""Who may reach the cluster of a file: ssh keys, token auth, the dashboard, usage reporting.

An open dashboard or Jobs port is remote code execution, so nothing here rests on a default of Ray's.
"""

import os
import stat
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from cluster.checks.findings import Finding
from cluster.file.config_file import ClusterFile, Role
from cluster.file.start_commands import StartCommand
from cluster.loopback import is_loopback

_SHARED_FOLDERS = frozenset(map(PurePosixPath, ("/tmp", "/var/tmp", "/dev/shm")))
_WHY_TOKEN = "whoever reaches its ports could run code on it"
_PAIR = "`~/.ray/auth_token: ~/.ray/auth_token`"


def check_security(file: ClusterFile) -> Iterator[Finding]:
    """Find what is wrong with a file's ssh keys, token, dashboard and usage reporting."""
    yield from _check_ssh(file)
    roles: tuple[Role, ...] = ("head", "worker") if file.max_workers else ("head",)
    for role in roles:
        commands = file.start_commands(role)
        if not commands:
            yield _nothing_starts(file, role)
        for command in commands:
            yield from _check_token_auth(file, role, command)
    yield from _check_token_mount(file, roles)
    for command in file.start_commands("head"):
        yield from _check_head(file, command)
        yield from _check_temporary_folder(file, command)


def _check_ssh(file: ClusterFile) -> Iterator[Finding]:
    key = file.ssh_private_key
    if not file.ssh_user:
        message = "`auth` lacks `ssh_user`: name whom ssh logs in as."
        yield Finding(severity="error", message=message, line=file.line("auth"))
    if key is None:
        yield from _check_missing_key(file)
        return
    line = file.line("auth", "ssh_private_key")
    if not key.is_file():
        yield Finding(severity="error", message=f"The ssh key {key} does not exist.", line=line)
    elif not os.access(key, os.R_OK):
        yield Finding(severity="error", message=f"The ssh key {key} cannot be read by you.", line=line)
    elif _is_open_to_others(key):
        message = f"The ssh key {key} is open to others, and ssh refuses such keys: chmod 600 {key}"
        yield Finding(severity="error", message=message, line=line)
    if file.provider == "aws":
        for name, node_type in file.get("available_node_types").items():
            if not {"KeyName", "UserData"} & set(node_type.get("node_config") or {}):
                message = (
                    f"With an `ssh_private_key` the node type `{name}` needs `KeyName`, its name at AWS."
                )
                yield Finding(severity="error", message=message, line=file.line("available_node_types", name))


def _check_missing_key(file: ClusterFile) -> Iterator[Finding]:
    line = file.line("auth") or file.line("provider")
    if file.provider != "local":
        message = "The ssh key: the file names none, so Ray makes one when it starts the head."
        yield Finding(severity="unverified", message=message, line=line)
    elif file.max_workers:
        message = (
            "`auth` names no `ssh_private_key`, so Ray gives the head none: it reaches the workers only with"
            " a key that is there already."
        )
        yield Finding(severity="warning", message=message, line=line)


def _is_open_to_others(path: Path) -> bool:
    return bool(path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO))


def _nothing_starts(file: ClusterFile, role: Role) -> Finding:
    key = f"{role}_start_ray_commands"
    message = (
        f"Token auth, dashboard and usage reporting of the {role}: `{key}` calls no `ray start` that can be"
        " seen here, perhaps a script does."
    )
    return Finding(severity="unverified", message=message, line=file.line(key))


def _check_token_auth(file: ClusterFile, role: Role, command: StartCommand) -> Iterator[Finding]:
    environment = {**file.container_environment(role), **command.environment}
    mode = environment.get("RAY_AUTH_MODE")
    if mode != "token":
        key = f"{role}_start_ray_commands"
        found = f"with RAY_AUTH_MODE={mode}" if mode else "without RAY_AUTH_MODE=token"
        # A command without a line is Ray's default, and then there is nothing in the file to mend.
        what = (
            f"This line starts the {role}"
            if command.line
            else f"`{key}` is missing, so Ray starts the {role}"
        )
        how = "write" if command.line else f"write `{key}` with"
        message = f"{what} {found}: {_WHY_TOKEN}. In front of `ray start`, {how} RAY_AUTH_MODE=token."
        yield Finding(severity="error", message=message, line=command.line)
    token = environment.get("RAY_AUTH_TOKEN", "")
    if token and not token.startswith("$"):
        message = (
            "The token itself stands in this file, and on a command line of every host: take RAY_AUTH_TOKEN"
            f" out and let `file_mounts` ship {_PAIR}."
        )
        yield Finding(severity="error", message=message, line=command.line or file.line("docker"))


def _check_token_mount(file: ClusterFile, roles: tuple[Role, ...]) -> Iterator[Finding]:
    mounts = [file.token_mount(role) for role in roles]
    if None in mounts:
        message = f"`file_mounts` does not ship the token, and Ray needs it on every host: add {_PAIR}."
        yield Finding(severity="error", message=message, line=file.line("file_mounts"))
    for remote, local in dict.fromkeys(mount for mount in mounts if mount):
        line = file.line("file_mounts", remote)
        if not local.is_file():
            message = f"The token {local} does not exist; `ray get-auth-token --generate` writes it."
            yield Finding(severity="error", message=message, line=line)
        elif _is_open_to_others(local):
            message = f"The token {local} is open to others on this machine: chmod 600 {local}"
            yield Finding(severity="warning", message=message, line=line)


def _check_temporary_folder(file: ClusterFile, command: StartCommand) -> Iterator[Finding]:
    """Find where other users of a host reach Ray's sockets; a cloud's machines and containers have none."""
    if file.provider != "local" or file.get("docker"):
        return
    named = command.options.get("temp-dir")
    if named and PurePosixPath(named).parent in _SHARED_FOLDERS:
        message = (
            f"Ray opens --temp-dir {named} to every user of a host, who may replace its sockets there and run"
            " code as yours: name a folder below one of mode 0700."
        )
        yield Finding(severity="warning", message=message, line=command.line)
    elif not named:
        message = (
            "That nobody else logs in to the hosts: Ray's sockets and logs lie in /tmp/ray there, open to"
            " every user, who may replace them and run code as yours. Else make a folder of mode 0700 on"
            " every host first, and add --temp-dir with a folder below it (of at most 39 bytes, on no shared"
            " disk) to the head's `ray start`."
        )
        yield Finding(severity="unverified", message=message, line=command.line)


def _check_head(file: ClusterFile, command: StartCommand) -> Iterator[Finding]:
    def error(message: str) -> Finding:
        return Finding(severity="error", message=message, line=command.line)

    # Ray sets the variable on the head itself, so that one from a container would not hold.
    if (
        "disable-usage-stats" not in command.options
        and command.environment.get("RAY_USAGE_STATS_ENABLED") != "0"
    ):
        yield error(
            "The head would report its usage to Ray's makers: add --disable-usage-stats to `ray start`."
        )
    host = command.options.get("dashboard-host", "127.0.0.1")
    if not is_loopback(host):
        yield error(
            f"The dashboard would listen on {host}, and it runs code for whoever has the token: write"
            " --dashboard-host=127.0.0.1. `dgad-tune launch` reaches it through ssh."
        )
    if command.options.get("include-dashboard", "true").lower() in ("false", "0", "no"):
        yield error("Without the dashboard no job can be submitted: take --include-dashboard out.")
    if file.max_workers and "autoscaling-config" not in command.options:
        yield error(
            "The head would start no worker: add --autoscaling-config=~/ray_bootstrap_config.yaml to"
            " `ray start`."
        )
    v2_off = command.environment.get("RAY_enable_autoscaler_v2") == "0"
    if file.provider == "local" and file.max_workers > 1 and not v2_off:
        message = (
            f"Started by hand, `ray up` brings up one of these {file.max_workers} workers only, by its second"
            " autoscaler: write RAY_enable_autoscaler_v2=0 in front of `ray start`."
        )
        yield Finding(severity="warning", message=message, line=command.line)
