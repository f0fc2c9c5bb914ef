"""The hosts of a cluster, reached by ssh: one command on one host, with the errors in plain words."""

import dataclasses
import os
import re
import subprocess
from pathlib import Path

from dgad.errors import ClusterError, UnreachableError

_CONNECT_TIMEOUT_S = 10
_SSH_ITSELF_FAILED = 255


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """How a command on a host ended, with all that it printed."""

    returncode: int
    stdout: str
    stderr: str


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class SshAccess:
    """How ssh gets to the hosts of one cluster; never asks for a password."""

    user: str | None
    """User to log in as; None: whom ~/.ssh/config names, else the user here."""
    key: Path | None
    """File of the private key; None: the keys that ssh tries by itself."""
    proxy_command: str | None
    """The command that the connection goes through, as ssh's ProxyCommand."""
    known_hosts: Path
    """File of the keys of hosts met before; a new host's is added, a changed one refused."""

    def command(self, host: str, *options: str) -> list[str]:
        """Build the ssh command line up to the host, with further options of ssh."""
        settings = {
            "BatchMode": "yes",
            "ConnectTimeout": str(_CONNECT_TIMEOUT_S),
            "ServerAliveInterval": "5",
            "ServerAliveCountMax": "3",
            "StrictHostKeyChecking": "accept-new",
            "UserKnownHostsFile": f'"{self.known_hosts}"',
            "LogLevel": "ERROR",
        }
        if self.proxy_command is not None:
            settings["ProxyCommand"] = self.proxy_command
        if self.key is not None:
            settings["IdentitiesOnly"] = "yes"
        line = [
            "ssh",
            "-T",
            *(part for name, value in settings.items() for part in ("-o", f"{name}={value}")),
        ]
        if self.key is not None:
            line += ["-i", str(self.key)]
        if self.user is not None:
            line += ["-l", self.user]
        return [*line, *options, host]

    def run(self, host: str, command: str, *, timeout_s: float, stdin: str = "") -> Answer:
        """Run a shell command on a host.

        Others on both machines can read `command` (in `ps`): secrets, and whatever must not find itself
        there, go through `stdin`. Raises `UnreachableError`, also where the host is too slow.
        """
        self.known_hosts.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            done = subprocess.run(
                [*self.command(host), command],
                input=stdin,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=timeout_s,
            )
        except FileNotFoundError as error:
            raise ClusterError("`ssh` is needed to reach a cluster's hosts, but is not installed.") from error
        except subprocess.TimeoutExpired as error:
            raise UnreachableError(f"{host} did not answer `{command}` within {timeout_s:g} s.") from error
        if done.returncode == _SSH_ITSELF_FAILED:
            raise self.unreachable(host, done.stderr)
        return Answer(returncode=done.returncode, stdout=done.stdout, stderr=done.stderr)

    def unreachable(self, host: str, stderr: str) -> UnreachableError:
        """Explain in one sentence why ssh gave up, from what it wrote to standard error."""
        said = (stderr.strip().splitlines() or ["no reason given"])[-1].strip().rstrip(".")
        who = f"user {self.user}" if self.user else "the user of this name"
        if "host key" in stderr.lower() or "HOST IDENTIFICATION" in stderr:
            return UnreachableError(
                f"{host} shows another ssh key than before, so it may be another machine; if that is"
                f" expected, remove {self.known_hosts}."
            )
        if "Permission denied" in stderr:
            key = f"the key {self.key}" if self.key else "the ssh keys here"
            return UnreachableError(f"{host} does not let {who} in with {key} ({said}).")
        return UnreachableError(
            f"{host} cannot be reached by ssh as {who} ({said}): see that it is on and its ssh port open to"
            " this machine."
        )


def find_state_folder(cluster_name: str) -> Path:
    """The folder of this user's logs and known host keys of a cluster; not made here."""
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "dgad" / "clusters" / re.sub(r"[^\w.-]", "_", cluster_name)
