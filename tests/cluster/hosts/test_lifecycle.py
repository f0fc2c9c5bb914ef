"""A cluster of three hosts brought up by Ray's launcher, used through a tunnel, and taken down for good."""

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cluster.file.config_file import read_cluster_file
from cluster.hosts.leftovers import Survivor
from cluster.hosts.lifecycle import bring_up, find_head, find_living, take_down
from cluster.hosts.tunnel import open_tunnel
from cluster.ssh import SshAccess
from dgad.errors import ClusterError, UnreachableError
from tests.cluster.support.hosts import Hosts, permitted, three_hosts

REASON = permitted()
needs_hosts = pytest.mark.skipif(REASON is not None, reason=f"three hosts cannot be raised: {REASON}")


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    """Three hosts without Ray, and a home of its own for whoever uses them."""
    with three_hosts(tmp_path_factory.mktemp("hosts")) as raised, pytest.MonkeyPatch.context() as patched:
        patched.delenv("XDG_STATE_HOME", raising=False)
        for name, value in raised.environment.items():
            patched.setenv(name, value)
        yield raised


@pytest.fixture
def remote(hosts: Hosts) -> SshAccess:
    return SshAccess(
        user=hosts.user, key=hosts.ssh_key, proxy_command=None, known_hosts=hosts.folder / "known_hosts"
    )


def _get(url: str, token: str | None) -> tuple[int, str]:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, ""


def _nodes_alive(url: str, token: str) -> set[str]:
    nodes = json.loads(_get(f"{url}/api/v0/nodes", token)[1])["data"]["result"]["result"]
    return {n["node_ip"] for n in nodes if n["state"] == "ALIVE"}


def _is_refused(url: str) -> bool:
    try:
        _get(url, None)
    except OSError:
        return True
    return False


def _wait_for(condition: Callable[[], bool], timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "this did not come true in time"
        time.sleep(1.0)


@needs_hosts
def test_hosts_without_ray_have_no_head_and_nothing_lives(hosts: Hosts, remote: SshAccess) -> None:
    assert find_head(read_cluster_file(hosts.cluster_file)) is None
    assert find_living(read_cluster_file(hosts.cluster_file)) == ()
    with (
        pytest.raises(ClusterError, match=r"Nothing answers on port 8265 of 10\.77\.\d+\.11"),
        open_tunnel(remote, hosts.addresses[0], timeout_s=2.0),
    ):
        pass


@needs_hosts
def test_ssh_says_why_a_host_cannot_be_used(hosts: Hosts, remote: SshAccess, tmp_path: Path) -> None:
    assert remote.run(hosts.addresses[0], "hostname; exit 3", timeout_s=120).returncode == 3
    assert remote.run(hosts.addresses[0], "cat", timeout_s=120, stdin="secret").stdout == "secret"
    stranger = SshAccess(
        user="nobody", key=hosts.ssh_key, proxy_command=None, known_hosts=tmp_path / "with space" / "known"
    )
    with pytest.raises(UnreachableError, match=r"does not let user nobody in with the key .*/key"):
        stranger.run(hosts.addresses[0], "true", timeout_s=120)
    assert "ssh-ed25519" in stranger.known_hosts.read_text()
    with pytest.raises(UnreachableError, match=r"did not answer `sleep 9` within 1 s\."):
        remote.run(hosts.addresses[0], "sleep 9", timeout_s=1)
    met = remote.known_hosts.read_text()
    other = (hosts.host_folder(1) / "ssh_host_key.pub").read_text()
    remote.known_hosts.write_text(f"{hosts.addresses[0]} {other}")
    with pytest.raises(UnreachableError, match=r"another ssh key than before.*known_hosts"):
        remote.run(hosts.addresses[0], "true", timeout_s=120)
    remote.known_hosts.write_text(met)
    hosts.unplug(0)
    why = r"cannot be reached by ssh as user root .*see that it is on"
    try:
        with pytest.raises(UnreachableError, match=why):
            bring_up(read_cluster_file(hosts.cluster_file), report=print)
    finally:
        hosts.plug_in(0)


@needs_hosts
def test_a_tunnel_ends_with_whoever_opened_it_even_killed(hosts: Hosts, remote: SshAccess) -> None:
    hosts.ssh(1, f"nohup {sys.executable} -m http.server 8265 --bind 127.0.0.1 >/dev/null 2>&1 &")
    program = f"""
import time
from pathlib import Path
from cluster.ssh import SshAccess
from cluster.hosts.tunnel import open_tunnel
remote = SshAccess(user="root", key=Path({str(remote.key)!r}), proxy_command=None,
    known_hosts=Path({str(remote.known_hosts)!r}))
with open_tunnel(remote, {hosts.addresses[1]!r}) as url:
    print(url, flush=True)
    time.sleep(600)
"""
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert _get(url, None)[0] == 200
    finally:
        process.kill()
        process.wait()
    _wait_for(lambda: _is_refused(url), timeout_s=120)


@needs_hosts
def test_a_failing_ray_up_is_told_with_its_last_words(hosts: Hosts, tmp_path: Path) -> None:
    values = json.loads(hosts.cluster_file.read_text())
    values["head_start_ray_commands"] = ["/nowhere/ray start --head"]
    (tmp_path / "cluster.yaml").write_text(json.dumps(values))
    told: list[str] = []
    with pytest.raises(
        ClusterError, match=r"`ray up` for the cluster .* failed \(exit 1\).*up\.log, at last: "
    ):
        bring_up(read_cluster_file(tmp_path / "cluster.yaml"), report=told.append)
    assert len(told) == 1
    assert "/nowhere/ray: No such file" in (Path(told[0].split()[-1].rstrip("."))).read_text()


@needs_hosts
def test_up_guarded_found_again_and_down_with_nothing_left(hosts: Hosts) -> None:
    token = hosts.token_file.read_text()
    told: list[str] = []
    head = bring_up(read_cluster_file(hosts.cluster_file), report=told.append)
    assert (head.address, head.dashboard_port) == (hosts.addresses[0], 8265)
    assert "is up; its head is" in told[-1]

    with open_tunnel(head.ssh, head.address, port=head.dashboard_port) as url:
        assert url.startswith("http://127.0.0.1:")
        _wait_for(lambda: _nodes_alive(url, token) == set(hosts.addresses), timeout_s=300)
        assert _get(f"{url}/api/jobs/", None)[0] == 401
        assert _get(f"{url}/api/jobs/", "wrong")[0] in (401, 403)
        assert _get(f"{url}/api/jobs/", token) == (200, "[]")
    with pytest.raises(OSError, match=r"refused"):
        _get(url, token)

    # The dashboard is on the head's loopback alone; the other hosts do reach the head's ssh.
    for port, reached in ((22, True), (8265, False)):
        door = f"timeout 5 bash -c '</dev/tcp/{hosts.addresses[0]}/{port}'"
        assert (hosts.ssh(1, door).returncode == 0) is reached
    assert token not in "".join(
        hosts.ssh(i, "cat /proc/[0-9]*/cmdline | tr '\\0' ' '").stdout for i in range(3)
    )
    logs = [*hosts.laptop_home.rglob("*.log"), *hosts.folder.rglob("sshd.log")]
    assert {"up.log", "sshd.log"} <= {log.name for log in logs}
    assert not any(token in log.read_text(errors="replace") for log in logs)

    told.clear()
    gcs = hosts.ssh(0, "grep -l gcs_server /proc/[0-9]*/comm").stdout
    assert gcs != ""
    again = bring_up(read_cluster_file(hosts.cluster_file), report=told.append)
    assert again == head
    assert "runs already" in told[0]
    assert hosts.ssh(0, "grep -l gcs_server /proc/[0-9]*/comm").stdout == gcs

    # A worker that cannot be asked is no success, however much of Ray `ray down` says to have ended.
    hosts.unplug(2)
    try:
        survivors = take_down(read_cluster_file(hosts.cluster_file), report=told.append)
    finally:
        hosts.plug_in(2)
    assert [(s.host, s.state) for s in survivors] == [(hosts.addresses[2], "unknown")]
    assert "cannot be reached by ssh" in survivors[0].details
    assert find_head(read_cluster_file(hosts.cluster_file)) is None
    hosts.ssh(1, "RAY_RAYLET_PID=1 nohup sleep 4321 >/dev/null 2>&1 &")  # what a trial may leave behind
    assert Survivor(host=hosts.addresses[1], state="alive", details="job") in find_living(
        read_cluster_file(hosts.cluster_file)
    )
    assert take_down(read_cluster_file(hosts.cluster_file), report=told.append) == ()
    for index in range(3):
        left = hosts.ssh(index, "cat /proc/[0-9]*/comm; cat /proc/[0-9]*/cmdline | tr '\\0' ' '").stdout
        for name in ("raylet", "gcs_server", "log_monitor.py", "dashboard", "ray::", "sleep 4321"):
            assert name not in left
