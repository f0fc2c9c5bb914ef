"""What bringing a cluster up and down needs to know from its file."""

import dataclasses
import re
from pathlib import Path

from cluster.hosts import Remote, state_folder
from dgad.errors import SettingsError
from dgad.yaml_file import load_yaml


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """Of one cluster file."""

    path: Path
    name: str
    provider: str
    head_ip: str | None
    """Of hosts that stand there already; None where a provider starts them."""
    worker_ips: tuple[str, ...]
    external_head_ip: str | None
    """Where this machine must use another address for the head than the workers do."""
    ssh_user: str | None
    ssh_private_key: Path | None
    ssh_proxy_command: str | None
    container_name: str | None
    dashboard_port: int
    interpreter: str
    """The Python beside the head's `ray`, as a shell word; `python` where `ray` is named bare."""

    @property
    def remote(self) -> Remote:
        """How ssh gets to its hosts."""
        return Remote(
            user=self.ssh_user,
            key=self.ssh_private_key,
            proxy_command=self.ssh_proxy_command,
            known_hosts=state_folder(self.name) / "known_hosts",
        )

    @property
    def standing_hosts(self) -> tuple[str, ...]:
        """Addresses of hosts that stand there already, as this machine reaches them, the head first."""
        if self.head_ip is None:
            return ()
        return (self.external_head_ip or self.head_ip, *self.worker_ips)


def read_facts(path: Path) -> Facts:
    """The facts in the cluster file at `path`; raises `SettingsError` where it is none."""
    values, _ = load_yaml(path)
    try:
        provider = values["provider"]
        auth = values.get("auth") or {}
        key = auth.get("ssh_private_key")
        start = " ; ".join(map(str, values.get("head_start_ray_commands") or ()))
        port = re.search(r"--dashboard-port[= ](\d+)", start)
        ray = re.search(r"(\S*)/ray start", start)
        return Facts(
            path=path,
            name=str(values["cluster_name"]),
            provider=str(provider["type"]),
            head_ip=provider.get("head_ip"),
            worker_ips=tuple(provider.get("worker_ips") or ()),
            external_head_ip=provider.get("external_head_ip"),
            ssh_user=auth.get("ssh_user"),
            ssh_private_key=Path(key).expanduser() if key else None,
            ssh_proxy_command=auth.get("ssh_proxy_command"),
            container_name=(values.get("docker") or {}).get("container_name") or None,
            dashboard_port=int(port[1]) if port else 8265,
            interpreter=f"{ray[1]}/python" if ray else "python",
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise SettingsError(f"{path} is not a cluster file of Ray's: it lacks {error}.") from error
