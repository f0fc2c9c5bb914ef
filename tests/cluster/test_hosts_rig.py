"""The three hosts that other tests run on: apart from each other, and gone without a trace."""

import subprocess
from pathlib import Path

import pytest

from tests.cluster.support.hosts import Hosts, down, permitted, three_hosts, up

REASON = permitted()
pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(REASON is not None, reason=f"three hosts cannot be raised: {REASON}"),
]


def _links_and_namespaces() -> str:
    return subprocess.run(
        "ip -br link | cut -d' ' -f1; ip netns list", shell=True, capture_output=True, text=True
    ).stdout


def test_hosts_are_apart_and_leave_nothing(tmp_path: Path) -> None:
    with three_hosts(tmp_path / "hosts") as hosts:
        assert [hosts.ssh(i, "hostname").stdout.strip() for i in range(3)] == ["host-0", "host-1", "host-2"]
        assert _is_running(hosts, 0, "sleep 1234")
        assert not _is_running(hosts, 1, None)
        for private in ("~", "/tmp", "/dev/shm"):
            hosts.ssh(0, f"touch {private}/mine")
            assert hosts.ssh(1, f"ls {private}/mine").returncode == 2
        hosts.ssh(0, f"echo ours > {hosts.shared}/file")
        assert hosts.ssh(2, f"cat {hosts.shared}/file").stdout == "ours\n"
        # The head starts the workers by ssh.
        door = f"timeout 5 bash -c '</dev/tcp/{hosts.addresses[2]}/22'"
        assert hosts.ssh(0, door).returncode == 0
        pids = [p for i in range(3) for p in hosts.pids(i)]
        network = f"10.77.{hosts.number}.1/24"
    assert [Path(f"/proc/{p}/stat").read_text() for p in pids if Path(f"/proc/{p}").exists()] == []
    addresses = subprocess.run(["ip", "-br", "addr"], capture_output=True, text=True).stdout
    assert network not in addresses
    assert f"dgad{hosts.number}-" not in _links_and_namespaces()
    assert f"dgad{hosts.number}v" not in _links_and_namespaces()


def test_a_host_can_lose_its_network_and_its_power(tmp_path: Path) -> None:
    with three_hosts(tmp_path / "hosts") as hosts:
        hosts.unplug(1)
        assert hosts.ssh(1, "true").returncode == 255
        assert hosts.pids(1) != ()
        hosts.plug_in(1)
        assert hosts.ssh(1, "touch ~/kept").returncode == 0
        hosts.power_off(1)
        assert hosts.pids(1) == ()
        assert hosts.ssh(0, "true").returncode == 0
        hosts.boot(1)
        assert hosts.ssh(1, "ls ~/kept").returncode == 0


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), three_hosts(tmp_path / "hosts") as hosts:
        raise ZeroDivisionError
    assert f"dgad{hosts.number}-" not in _links_and_namespaces()
    up(tmp_path / "hosts")  # the folder can be used again
    with pytest.raises(RuntimeError, match="has hosts already"):
        up(tmp_path / "hosts")
    down(tmp_path / "hosts")


def _is_running(hosts: Hosts, index: int, start: str | None) -> bool:
    """Whether `sleep 1234` runs on a host, after starting it there."""
    if start:
        hosts.ssh(index, f"nohup {start} >/dev/null 2>&1 &")
    found = hosts.ssh(index, "cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
    return "sleep 1234" in found.stdout
