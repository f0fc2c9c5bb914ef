"""Machines that a provider starts: Ray's own provider mechanism is asked what lives, before and after."""

import json
from pathlib import Path

import pytest
import yaml

from cluster.file.config_file import read_cluster_file
from cluster.hosts.leftovers import Survivor
from cluster.hosts.lifecycle import find_head, find_living, take_down
from dgad.errors import ClusterError

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def machines(tmp_path: Path) -> Path:
    path = tmp_path / "machines.json"
    kinds = {"i-1": "head", "i-2": "worker", "i-3": "worker", "i-4": "unmanaged"}
    path.write_text(json.dumps({name: {"ray-node-type": kind} for name, kind in kinds.items()}))
    return path


@pytest.fixture
def cluster_file(tmp_path: Path, machines: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    path = tmp_path / "cloud.yaml"
    key = tmp_path / "key"
    key.touch(mode=0o600)
    node = {"node_config": {}, "resources": {"CPU": 1}, "max_workers": 3}
    values: dict[str, object] = {
        "cluster_name": "cloud",
        "max_workers": 3,
        "provider": {
            "type": "external",
            "module": "tests.cluster.support.file_provider.FileProvider",
            "machines": str(machines),
        },
        "auth": {"ssh_user": "nobody", "ssh_private_key": str(key)},
        "available_node_types": {"ray.head.default": node, "ray.worker.default": node},
        "head_node_type": "ray.head.default",
    }
    lists = ("initialization", "setup", "head_setup", "worker_setup", "head_start_ray", "worker_start_ray")
    values.update({f"{name}_commands": [] for name in lists})
    values.update({"file_mounts": {}, "cluster_synced_files": [], "rsync_exclude": [], "rsync_filter": []})
    path.write_text(yaml.safe_dump(values))
    return path


def test_what_lives_is_what_the_provider_says(cluster_file: Path, machines: Path) -> None:
    assert [(s.host, s.state, s.details) for s in find_living(read_cluster_file(cluster_file))] == [
        ("127.0.0.1", "alive", "the head i-1 of provider external"),
        ("127.0.0.1", "alive", "the worker i-2 of provider external"),
        ("127.0.0.1", "alive", "the worker i-3 of provider external"),
        ("127.0.0.1", "alive", "the worker i-4 of provider external"),
    ]
    machines.write_text("{}")
    assert find_living(read_cluster_file(cluster_file)) == ()
    assert find_head(read_cluster_file(cluster_file)) is None


@pytest.mark.cluster
def test_what_ray_down_leaves_is_told(cluster_file: Path, machines: Path, tmp_path: Path) -> None:
    told: list[str] = []
    survivors = take_down(read_cluster_file(cluster_file), report=told.append)
    # Ray ends heads and workers, and says that no nodes remain.
    assert survivors == (
        Survivor(host="127.0.0.1", state="alive", details="the worker i-4 of provider external"),
    )
    assert "No nodes remaining" in (tmp_path / "state/dgad/clusters/cloud/down.log").read_text()
    assert list(json.loads(machines.read_text())) == ["i-4"]


@pytest.mark.cluster
def test_a_provider_that_cannot_be_asked_is_no_success(cluster_file: Path, machines: Path) -> None:
    machines.unlink()
    told: list[str] = []
    survivors = take_down(read_cluster_file(cluster_file), report=told.append)
    assert [(s.host, s.state) for s in survivors] == [("cloud", "unknown")]
    assert "cannot be asked which machines of cloud run (FileNotFoundError" in survivors[0].details
    assert any("`ray down` for the cluster cloud failed (exit 1)" in sentence for sentence in told)
    with pytest.raises(ClusterError, match="see that your credentials for it hold here"):
        find_head(read_cluster_file(cluster_file))
