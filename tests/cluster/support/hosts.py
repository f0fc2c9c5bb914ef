"""Three hosts on one Linux machine, for tests of what needs several: ssh, a cluster file for them, faults.

Each host is a set of namespaces: its own network (joined by a bridge), processes, mounts, names and IPC, so
that `ray stop` on one sees nothing of another. Private are /tmp, /dev/shm, /run and the home; the rest of the
file system, the interpreter too, is the machine's. Needs root, `ip`, `unshare`, `sshd` and `rsync`.

    python tests/cluster/support/hosts.py up FOLDER           # leaves them running, prints how to use them
    python tests/cluster/support/hosts.py down FOLDER
    python tests/cluster/support/hosts.py run FOLDER COMMAND  # hosts for as long as the command runs
"""

import argparse
import contextlib
import dataclasses
import functools
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

# The cluster file is YAML; JSON is YAML too, so that this script needs nothing installed.

_SSHD = "/usr/sbin/sshd"
_NUM_HOSTS = 3
_BOOT_TIMEOUT_S = 20.0
_OBJECT_STORE_BYTES = 100 * 1024**2
_RIG_FILE = "rig.json"

_INIT = """
set -euo pipefail
hostname {name}
for file in passwd shadow hosts; do mount --bind {host}/etc/$file /etc/$file; done
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/sshd
mount -t tmpfs -o mode=1777,size=256m tmpfs /dev/shm
{binds}
mount --rbind {host}/tmp /tmp
{sshd} -f {host}/sshd_config -E {host}/sshd.log
while :; do sleep 3600 & wait $! || true; done
"""

_SSHD_CONFIG = """
Port 22
HostKey {host}/ssh_host_key
AuthorizedKeysFile {folder}/key.pub
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
UsePAM no
StrictModes no
PidFile none
PrintMotd no
MaxStartups 100
MaxSessions 100
"""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Hosts:
    """Three running hosts, the first meant as head; indices count from 0."""

    folder: Path
    name: str
    """Of the cluster."""
    number: int
    """Third byte of the addresses, and part of every name the machine sees."""

    @property
    def addresses(self) -> tuple[str, ...]:
        return tuple(f"10.77.{self.number}.{11 + i}" for i in range(_NUM_HOSTS))

    @property
    def user(self) -> str:
        return "root"

    @property
    def ssh_key(self) -> Path:
        return self.folder / "key"

    @property
    def cluster_file(self) -> Path:
        return self.folder / "cluster.yaml"

    @property
    def token_file(self) -> Path:
        return self.laptop_home / ".ray" / "auth_token"

    @property
    def laptop_home(self) -> Path:
        """A home for whoever uses the cluster, so that tests leave the real one alone."""
        return self.folder / "laptop"

    @property
    def shared(self) -> Path:
        """A folder that all hosts and the machine see under the same path."""
        return self.folder / "shared"

    @property
    def environment(self) -> dict[str, str]:
        """To be set by a command on the machine that uses the cluster."""
        return {"HOME": str(self.laptop_home), "RAY_AUTH_MODE": "token", "RAY_USAGE_STATS_ENABLED": "0"}

    def host_folder(self, index: int) -> Path:
        """Where a host's private home and tmp (with Ray's logs) lie, seen from outside."""
        return self.folder / "hosts" / str(index)

    def ssh(self, index: int, command: str, *, timeout_s: float = 60.0) -> subprocess.CompletedProcess[str]:
        """Run a shell command on a host."""
        options = [f"UserKnownHostsFile={os.devnull}", "StrictHostKeyChecking=no", "BatchMode=yes"]
        options += ["LogLevel=ERROR", "ConnectTimeout=5", "IdentitiesOnly=yes"]
        command_line = ["ssh", "-i", str(self.ssh_key), *(part for o in options for part in ("-o", o))]
        return subprocess.run(
            [*command_line, f"{self.user}@{self.addresses[index]}", command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
        )

    def pids(self, index: int) -> tuple[int, ...]:
        """Every process of a host, by the machine's numbers."""
        found = subprocess.run(
            ["ip", "netns", "pids", self._namespace(index)], capture_output=True, text=True
        )
        return tuple(map(int, found.stdout.split()))

    def unplug(self, index: int) -> None:
        """Take a host off the network; it runs on."""
        _call("ip", "link", "set", self._cable(index), "down")

    def plug_in(self, index: int) -> None:
        _call("ip", "link", "set", self._cable(index), "up")

    def power_off(self, index: int) -> None:
        """Every process of a host ends at once, as when its power fails."""
        deadline = time.monotonic() + 60.0
        seen: set[int] = set()
        while pids := self.pids(index):
            seen.update(pids)
            for pid in pids:
                # `unshare` ends by itself after its host's first process, which nobody else would reap.
                with contextlib.suppress(ProcessLookupError, FileNotFoundError):
                    if Path(f"/proc/{pid}/comm").read_text() != "unshare\n":
                        os.kill(pid, signal.SIGKILL)
            if time.monotonic() > deadline:
                raise RuntimeError(f"Host {index} of {self.folder} still has the processes {pids}.")
            time.sleep(0.1)
        for pid in seen:  # the one that this process started, if it did, is a zombie until asked for
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)

    def boot(self, index: int, *, visible: Sequence[Path] = ()) -> None:
        """Start a host that is off, and wait until it takes ssh; its /tmp and home are as it left them."""
        host = self.host_folder(index)
        private_tmp = host / "tmp"
        binds = []
        for path in {self.folder, *visible, Path(sys.prefix), Path(sys.base_prefix)}:
            if path.is_relative_to("/tmp"):
                inside = private_tmp / path.relative_to("/tmp")
                binds.append(f"mkdir -p {inside} && mount --bind {path} {inside}")
        script = _INIT.format(name=f"host-{index}", host=host, binds="\n".join(sorted(binds)), sshd=_SSHD)
        (host / "init.sh").write_text(script)
        apart = ["unshare", "-u", "-i", "-p", "-m", "-f", "--mount-proc", "bash", str(host / "init.sh")]
        with open(host / "init.log", "ab") as log:
            process = subprocess.Popen(
                ["ip", "netns", "exec", self._namespace(index), *apart],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
            )
        deadline = time.monotonic() + _BOOT_TIMEOUT_S
        while not _takes_ssh(self.addresses[index]):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"Host {index} did not start: {(host / 'init.log').read_text()}")
            time.sleep(0.1)

    def _namespace(self, index: int) -> str:
        return f"dgad{self.number}-{index}"

    def _cable(self, index: int) -> str:
        return f"dgad{self.number}v{index}"

    def _bridge(self) -> str:
        return f"dgad{self.number}"


@functools.cache
def permitted() -> str | None:
    """Why this machine cannot raise hosts, in a few words; None where it can."""
    if not sys.platform.startswith("linux"):
        return "network namespaces need Linux"
    if os.geteuid() != 0:
        return "network namespaces need root"
    missing = [
        p for p in ("ip", "unshare", "mount", "ssh", "ssh-keygen", "rsync", _SSHD) if not shutil.which(p)
    ]
    if missing:
        return f"not installed: {', '.join(missing)}"
    name = f"dgadtry{secrets.token_hex(2)}"
    try:
        _call("ip", "netns", "add", name)
        try:
            _call("ip", "netns", "exec", name, "unshare", "-u", "-i", "-p", "-m", "-f", "--mount-proc")
            _call("ip", "link", "add", name, "type", "bridge")
            _call("ip", "link", "del", name)
        finally:
            _call("ip", "netns", "del", name)
    except RuntimeError as error:
        return f"namespaces are not permitted here ({error})"
    return None


@contextlib.contextmanager
def three_hosts(folder: Path, *, ray: Path | None = None) -> Iterator[Hosts]:
    """Three hosts that take ssh, and a cluster file for them; everything is gone on leaving.

    `ray` is the command named in the cluster file, by default that of this interpreter. What lies in
    `folder` (logs too) stays.
    """
    hosts = up(folder, ray=ray)
    try:
        yield hosts
    finally:
        down(folder)


def up(folder: Path, *, ray: Path | None = None) -> Hosts:
    """Raise three hosts that stay until `down(folder)`."""
    folder = folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / _RIG_FILE).exists():
        raise RuntimeError(f"{folder} has hosts already; take them down first.")
    number = _take_number()
    hosts = Hosts(folder=folder, name=f"dgad-hosts-{number}-{secrets.token_hex(2)}", number=number)
    (folder / _RIG_FILE).write_text(json.dumps({"name": hosts.name, "number": number}))
    try:
        _write_files(hosts, ray or Path(sys.executable).parent / "ray")
        _lay_network(hosts)
        for index in range(_NUM_HOSTS):
            hosts.boot(index, visible=(Path(__file__).parents[2],))
    except BaseException:
        down(folder)
        raise
    return hosts


def running(folder: Path) -> Hosts:
    """The hosts that `up` raised in `folder`."""
    saved: Mapping[str, object] = json.loads((folder.absolute() / _RIG_FILE).read_text())
    return Hosts(folder=folder.absolute(), name=str(saved["name"]), number=int(str(saved["number"])))


def down(folder: Path) -> None:
    """End the hosts' processes and remove their network, and what Ray keeps about the cluster in /tmp."""
    hosts = running(folder)
    for index in range(_NUM_HOSTS):
        hosts.power_off(index)
        subprocess.run(["ip", "netns", "del", hosts._namespace(index)], capture_output=True)
    for link in [*map(hosts._cable, range(_NUM_HOSTS)), hosts._bridge()]:
        subprocess.run(["ip", "link", "del", link], capture_output=True)
    for left in [*Path("/tmp/ray").glob(f"cluster-{hosts.name}.*"), *Path("/tmp").glob("ray-config-*")]:
        if hosts.name in left.name or hosts.name in left.read_text():
            left.unlink()
    (hosts.folder / _RIG_FILE).unlink()


def _take_number() -> int:
    """Claim the first free subnet by making its bridge, which only one process can."""
    for number in range(1, 250):
        if (
            subprocess.run(
                ["ip", "link", "add", f"dgad{number}", "type", "bridge"], capture_output=True
            ).returncode
            == 0
        ):
            return number
    raise RuntimeError("No subnet 10.77.N.0/24 is free.")


def _lay_network(hosts: Hosts) -> None:
    bridge = hosts._bridge()
    _call("ip", "addr", "add", f"10.77.{hosts.number}.1/24", "dev", bridge)
    _call("ip", "link", "set", bridge, "up")
    for index, address in enumerate(hosts.addresses):
        namespace, cable = hosts._namespace(index), hosts._cable(index)
        _call("ip", "netns", "add", namespace)
        _call("ip", "link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", namespace)
        _call("ip", "link", "set", cable, "master", bridge, "up")
        _call("ip", "-n", namespace, "addr", "add", f"{address}/24", "dev", "eth0")
        for device in ("lo", "eth0"):
            _call("ip", "-n", namespace, "link", "set", device, "up")
        # Ray finds its own address by asking which way leads out.
        _call("ip", "-n", namespace, "route", "add", "default", "via", f"10.77.{hosts.number}.1")


def _write_files(hosts: Hosts, ray: Path) -> None:
    hosts.shared.mkdir(exist_ok=True)
    hosts.token_file.parent.mkdir(parents=True, exist_ok=True)
    hosts.token_file.write_text(secrets.token_hex(32))
    hosts.token_file.chmod(0o600)
    _make_key(hosts.ssh_key)
    names = "127.0.0.1 localhost\n" + "".join(f"{a} host-{i}\n" for i, a in enumerate(hosts.addresses))
    for index in range(_NUM_HOSTS):
        host = hosts.host_folder(index)
        for part in ("etc", "home", "tmp"):
            (host / part).mkdir(parents=True, exist_ok=True)
        (host / "tmp").chmod(0o1777)
        (host / "home" / ".bashrc").touch()
        (host / "etc" / "hosts").write_text(names)
        others = [
            line for line in Path("/etc/passwd").read_text().splitlines() if not line.startswith("root:")
        ]
        root = f"root:x:0:0:root:{host}/home:/bin/bash"
        (host / "etc" / "passwd").write_text("\n".join([root, *others]) + "\n")
        (host / "etc" / "shadow").write_text("root:*:19000:0:99999:7:::\nsshd:*:19000:0:99999:7:::\n")
        (host / "etc" / "shadow").chmod(0o600)
        _make_key(host / "ssh_host_key")
        (host / "sshd_config").write_text(_SSHD_CONFIG.format(host=host, folder=hosts.folder))
    hosts.cluster_file.write_text(json.dumps(_cluster(hosts, ray), indent=2) + "\n")


def _cluster(hosts: Hosts, ray: Path) -> dict[str, object]:
    """Ray's own cluster file for the three hosts, one CPU each."""
    guarded = "export RAY_AUTH_MODE=token RAY_USAGE_STATS_ENABLED=0;"
    small = f"--num-cpus=1 --num-gpus=0 --object-store-memory={_OBJECT_STORE_BYTES}"
    head = f"{ray} start --head --port=6379 --dashboard-host=127.0.0.1 --dashboard-port=8265 {small}"
    return {
        "cluster_name": hosts.name,
        "max_workers": _NUM_HOSTS - 1,
        "provider": {"type": "local", "head_ip": hosts.addresses[0], "worker_ips": list(hosts.addresses[1:])},
        "auth": {"ssh_user": hosts.user, "ssh_private_key": str(hosts.ssh_key)},
        "file_mounts": {"~/.ray/auth_token": str(hosts.token_file)},
        "head_start_ray_commands": [
            f"{ray} stop",
            f"{guarded} {head} --disable-usage-stats --autoscaling-config=~/ray_bootstrap_config.yaml",
        ],
        "worker_start_ray_commands": [
            f"{ray} stop",
            f"{guarded} {ray} start --address=$RAY_HEAD_IP:6379 {small}",
        ],
    }


def _make_key(path: Path) -> None:
    path.unlink(missing_ok=True)
    _call("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "dgad tests", "-f", str(path))


def _takes_ssh(address: str) -> bool:
    try:
        with socket.create_connection((address, 22), timeout=1.0) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def _call(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise RuntimeError(f"`{' '.join(command)}`: {done.stderr.strip() or done.stdout.strip()}")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("action", choices=("up", "down", "run"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("command", nargs=argparse.REMAINDER)
    asked = parser.parse_args()
    if asked.action == "down":
        down(asked.folder)
        return 0
    if reason := permitted():
        print(f"No hosts here: {reason}.", file=sys.stderr)
        return 2
    if asked.action == "up":
        hosts = up(asked.folder)
        exports = " ".join(f"{k}={v}" for k, v in hosts.environment.items())
        print(
            f"hosts    {' '.join(hosts.addresses)}\nssh      ssh -i {hosts.ssh_key} root@{hosts.addresses[0]}"
        )
        print(f"cluster  {hosts.cluster_file}\nshared   {hosts.shared}\nuse it   env {exports} COMMAND")
        return 0
    with three_hosts(asked.folder) as hosts:
        environment = {**os.environ, **hosts.environment, "CLUSTER_FILE": str(hosts.cluster_file)}
        return subprocess.run(asked.command, env=environment).returncode


if __name__ == "__main__":
    sys.exit(main())
