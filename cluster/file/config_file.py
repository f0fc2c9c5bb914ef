"""A cluster.yaml as Ray defines it: read with its lines, validated by Ray's schema, asked by name."""

import dataclasses
import re
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, NoReturn

from cluster.file.node_types import NodeType, list_standing_types, list_started_types
from cluster.file.schema import (
    DETECTS_RESOURCES,
    list_providers,
    read_provider_defaults,
    validate_cluster_file,
)
from cluster.file.start_commands import StartCommand, find_start_commands
from cluster.ssh import SshAccess, find_state_folder
from dgad.errors import SettingsError
from dgad.settings import did_you_mean
from dgad.yaml_file import KeyPath, line_at, load_yaml

Role = Literal["head", "worker"]

_TOKEN_IN_HOME = re.compile(r"(~|/root|/home/[^/]+)/\.ray/auth_token")
"""Where Ray looks for the token on a host unless told."""
_LEGACY_KEYS = ("head_node", "worker_nodes", "available_node_types")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ClusterFile:
    """A valid cluster file. Commands and ssh paths are as the file spells them."""

    path: Path
    values: Mapping[str, Any]
    """The file's content, with the defaults left out."""
    lines: Mapping[KeyPath, int]
    defaults: Mapping[str, Any]
    """What Ray takes for top-level keys that the file leaves out."""

    def get(self, key: str) -> Any:
        """Get a top-level key's value, or Ray's default for the provider; None where there is neither."""
        return self.values.get(key, self.defaults.get(key))

    def line(self, *path: object) -> int | None:
        """The line of what stands at the path; None where its top-level key is Ray's default."""
        return line_at(self.lines, path) if path and path[0] in self.values else None

    @property
    def name(self) -> str:
        """The cluster's name: with the provider, what `ray down` finds it by."""
        return str(self.get("cluster_name"))

    @property
    def provider(self) -> str:
        """The type of the provider, such as local, aws or gcp."""
        return str(self.values["provider"]["type"])

    @property
    def head_ip(self) -> str | None:
        """The head's address, for hosts that stand there already; None for a cloud."""
        return self.values["provider"].get("head_ip") if self.provider == "local" else None

    @property
    def worker_ips(self) -> tuple[str, ...]:
        """The workers' addresses, for hosts that stand there already; empty for a cloud."""
        return tuple(self.values["provider"].get("worker_ips") or ()) if self.provider == "local" else ()

    @property
    def standing_hosts(self) -> tuple[str, ...]:
        """Addresses of hosts that stand there already, as this machine reaches them, the head first."""
        if self.head_ip is None:
            return ()
        return (self.values["provider"].get("external_head_ip") or self.head_ip, *self.worker_ips)

    @property
    def head_node_type(self) -> str | None:
        """The name of the head's node type; None where the hosts stand there already."""
        return None if self.provider == "local" else self.get("head_node_type")

    @property
    def node_types(self) -> tuple[NodeType, ...]:
        """Every kind of host that the file may start, the head's first."""
        if self.provider == "local":
            fewest = int(self.values.get("min_workers", self.max_workers))
            return list_standing_types(
                min_workers=min(fewest, self.max_workers), max_workers=self.max_workers
            )
        return list_started_types(
            self.get("available_node_types"),
            head=self.head_node_type,
            max_workers=self.most_workers,
            detects=self.provider in DETECTS_RESOURCES,
        )

    @property
    def max_workers(self) -> int:
        """The most hosts beside the head."""
        if self.provider != "local":
            return min(self.most_workers, sum(t.max_workers for t in self.node_types))
        if "coordinator_address" in self.values["provider"]:
            return int(self.values["max_workers"])
        return min(int(self.values.get("max_workers", len(self.worker_ips))), len(self.worker_ips))

    @property
    def max_hosts(self) -> int:
        """The most hosts in all, the head among them."""
        return 1 + self.max_workers

    @property
    def most_workers(self) -> int:
        """The file's own bound on all workers of started hosts together, whatever their types allow."""
        given = self.get("max_workers")
        return 2 if given is None else int(given)  # 2 is the default of every provider of Ray's

    @property
    def ssh_user(self) -> str | None:
        """The user that ssh logs in as; None: whom ~/.ssh/config names."""
        return (self.get("auth") or {}).get("ssh_user")

    @property
    def ssh_private_key(self) -> Path | None:
        """The path of the ssh key on this machine; None where the file names none.

        On a cloud Ray then makes one, and elsewhere ssh uses its own.
        """
        given = (self.get("auth") or {}).get("ssh_private_key")
        return Path(given).expanduser() if given else None

    @property
    def ssh_proxy_command(self) -> str | None:
        """The command that ssh to a host goes through; None for a direct connection."""
        return (self.get("auth") or {}).get("ssh_proxy_command")

    @property
    def ssh(self) -> SshAccess:
        """The way to its hosts by ssh."""
        return SshAccess(
            user=self.ssh_user,
            key=self.ssh_private_key,
            proxy_command=self.ssh_proxy_command,
            known_hosts=find_state_folder(self.name) / "known_hosts",
        )

    @property
    def container_name(self) -> str | None:
        """The container that commands run in on each host; None without Docker."""
        docker = self.get("docker") or {}
        return docker.get("container_name") or None

    def start_commands(self, role: Role) -> tuple[StartCommand, ...]:
        """Every `ray start` of the head or of a worker; none where a script hides it."""
        key = f"{role}_start_ray_commands"
        return find_start_commands(
            (text, self.line(key, index)) for index, text in enumerate(self.get(key) or ())
        )

    def container_environment(self, role: Role) -> dict[str, str]:
        """The variables that `docker` sets in every container of the role."""
        docker = self.get("docker") or {}
        options = [*(docker.get("run_options") or ()), *(docker.get(f"{role}_run_options") or ())]
        words = shlex.split(" ".join(map(str, options)))
        found = {}
        for index, word in enumerate(words):
            flag, equals, value = word.partition("=")
            if flag not in ("-e", "--env"):
                continue
            given = value if equals else "".join(words[index + 1 : index + 2])
            name, _, setting = given.partition("=")
            found[name] = setting
        return found

    def _head_option(self, name: str, default: str) -> str:
        return next((c.options[name] for c in self.start_commands("head") if name in c.options), default)

    @property
    def interpreter(self) -> str:
        """The Python beside the head's `ray`, as a shell word; `python` where `ray` is found by PATH."""
        return next((c.interpreter for c in self.start_commands("head")), "python")

    @property
    def dashboard_port(self) -> int:
        """The port of the dashboard and the Jobs API on the head."""
        return int(self._head_option("dashboard-port", "8265"))

    @property
    def dashboard_host(self) -> str:
        """The address on the head that the dashboard listens on."""
        return self._head_option("dashboard-host", "127.0.0.1")

    def token_mount(self, role: Role) -> tuple[str, Path] | None:
        """The token's path on the role's hosts and on this machine, where `file_mounts` ship it."""
        paths = [c.environment.get("RAY_AUTH_TOKEN_PATH") for c in self.start_commands(role)]
        for remote, local in (self.get("file_mounts") or {}).items():
            if remote in paths or (not any(paths) and _TOKEN_IN_HOME.fullmatch(remote)):
                return remote, Path(local).expanduser()
        return None


def read_cluster_file(path: Path) -> ClusterFile:
    """Read and validate the cluster file at `path`.

    Raises `SettingsError` "FILE, line N: ..." for what Ray's schema or launcher refuses.
    """
    values, lines = load_yaml(path)
    if "apiVersion" in values:
        raise SettingsError(
            f"{path}, line {line_at(lines, ('apiVersion',))}: this is a file for Kubernetes, not Ray's"
            " cluster file: start it with `kubectl apply -f`."
        )
    validate_cluster_file(values, lines, path)
    provider = values["provider"]["type"]
    known = list_providers()
    if provider not in known:
        raise SettingsError(
            f"{path}, line {line_at(lines, ('provider', 'type'))}: unknown provider `{provider}`."
            f"{did_you_mean(provider, known)} Ray knows {', '.join(known)}."
        )
    file = ClusterFile(path=path, values=values, lines=lines, defaults=read_provider_defaults(provider))
    _require_what_the_launcher_does(file)
    return file


def _require_what_the_launcher_does(file: ClusterFile) -> None:
    """Raise `SettingsError` for what no schema tells and `ray up` refuses."""

    def refuse(sentence: str, *at: object) -> NoReturn:
        raise SettingsError(f"{file.path}, line {file.line(*at) or 1}: {sentence}")

    docker = file.get("docker") or {}
    has_image = docker.get("image") or (docker.get("head_image") and docker.get("worker_image"))
    if bool(has_image) != bool(docker.get("container_name")):
        missing = "container_name" if has_image else "image"
        refuse(f"`docker` lacks the key `{missing}`.", "docker")
    if file.provider == "local":
        _require_hosts(file, refuse)
        return
    types = file.get("available_node_types")
    if types is None or file.head_node_type is None:
        missing = "available_node_types" if types is None else "head_node_type"
        refuse(f"the key `{missing}` is missing.", "provider")
    if file.head_node_type not in types:
        refuse(
            f"`head_node_type` must be one of {', '.join(types)}, but is {file.head_node_type!r}."
            f"{did_you_mean(str(file.head_node_type), types)}",
            "head_node_type",
        )
    wanted = sum(t.min_workers for t in file.node_types)
    if wanted > file.most_workers:
        refuse(
            f"`max_workers` is {file.most_workers}, but the node types ask for {wanted} workers at least.",
            *(["max_workers"] if "max_workers" in file.values else ["available_node_types"]),
        )


def _require_hosts(file: ClusterFile, refuse: Callable[..., NoReturn]) -> None:
    provider = file.values["provider"]
    for key in _LEGACY_KEYS:
        if file.values.get(key):
            refuse(f"`{key}` is not for hosts that stand there already (provider local): remove it.", key)
    if "coordinator_address" in provider:
        if "max_workers" not in file.values:
            refuse("with a `coordinator_address` the key `max_workers` is required.", "provider")
        return
    for key in ("head_ip", "worker_ips"):
        if key not in provider:
            refuse(f"`provider` lacks the key `{key}`.", "provider")
    seen = {provider["head_ip"]}
    for index, address in enumerate(provider["worker_ips"]):
        if not isinstance(address, str):
            refuse(f"a host must be text, but is {address!r}.", "provider", "worker_ips", index)
        if address in seen:
            refuse(f"the host {address} stands here twice.", "provider", "worker_ips", index)
        seen.add(address)
