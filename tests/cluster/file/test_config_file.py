"""A cluster file means what Ray takes it for, and is refused with its line where Ray would refuse it."""

import copy
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from cluster.file.config_file import ClusterFile, read_cluster_file
from cluster.file.schema import find_autoscaler_folder, list_providers
from dgad.errors import SettingsError
from tests.cluster.support.cluster_files import SOUND, write

CLOUD = """\
cluster_name: cloud
max_workers: 3
provider:
    type: gcp
    region: us-west1
    project_id: p
auth:
    ssh_user: ubuntu
available_node_types:
    head:
        resources: {"CPU": 2}
        node_config: {machineType: n1}
    big:
        resources: {"CPU": 8, "GPU": 1}
        min_workers: 1
        max_workers: 2
        node_config: {machineType: n2}
    small:
        resources: {"CPU": 4}
        node_config: {machineType: n3}
head_node_type: head
"""


def _ships_token(file: ClusterFile) -> bool:
    return bool(file.token_mount("head") and file.token_mount("worker"))


def _read(tmp_path: Path, text: str) -> ClusterFile:
    return read_cluster_file(write(tmp_path / "cluster.yaml", text))


def _ray_accepts(values: dict[str, Any]) -> bool:
    """Whether `ray up` would go on, as far as it gets without a cloud."""
    import jsonschema
    from ray.autoscaler._private.providers import _NODE_PROVIDERS
    from ray.autoscaler._private.util import prepare_config, validate_config

    if values["provider"].get("type") not in _NODE_PROVIDERS:
        return False
    try:
        validate_config(prepare_config(copy.deepcopy(values)))
    # In this order: its schema, its rules, those of provider local, of containers, and a crash over a type.
    except (jsonschema.ValidationError, ValueError, click.ClickException, AssertionError, TypeError):
        return False
    return True


def test_hosts_that_stand_there_already(tmp_path: Path, home: Path) -> None:
    file = _read(tmp_path, SOUND)
    assert (file.name, file.provider, file.head_node_type) == ("small", "local", None)
    assert (file.head_ip, file.worker_ips) == ("10.0.0.1", ("10.0.0.2", "10.0.0.3"))
    assert (file.max_workers, file.max_hosts) == (2, 3)
    assert [(t.name, t.is_head, t.min_workers, t.max_workers) for t in file.node_types] == [
        ("head", True, 0, 0),
        ("workers", False, 2, 2),
    ]
    assert {t.offers("CPU") for t in file.node_types} == {None}
    assert (file.ssh_user, file.ssh_private_key) == ("ada", home / ".ssh/key")
    assert (file.interpreter, file.dashboard_port) == ("python", 8265)
    assert file.dashboard_host == "127.0.0.1"
    assert file.token_mount("worker") == ("~/.ray/auth_token", home / ".ray/auth_token")
    assert file.line("head_start_ray_commands", 1) == 15
    assert file.line("auth", "ssh_user") == 7


def test_fewer_workers_than_addresses_where_the_file_says_so(tmp_path: Path) -> None:
    file = _read(tmp_path, SOUND + "max_workers: 1\nmin_workers: 0\n")
    assert file.max_workers == 1
    assert (file.node_types[1].min_workers, file.node_types[1].max_workers) == (0, 1)
    alone = _read(tmp_path, SOUND.replace("[10.0.0.2, 10.0.0.3]", "[]"))
    assert [t.name for t in alone.node_types] == ["head"]


def test_hosts_that_are_started(tmp_path: Path) -> None:
    file = _read(tmp_path, CLOUD)
    head, big, small = file.node_types
    assert (head.name, head.is_head, head.max_workers) == ("head", True, 0)
    assert (big.offers("CPU"), big.offers("GPU"), big.min_workers, big.max_workers) == (8, 1, 1, 2)
    assert (small.offers("GPU"), small.max_workers) == (0, 3)
    assert file.max_workers == 3
    assert file.ssh_private_key is None
    # What the file leaves out is Ray's default, and no line of the file.
    assert file.dashboard_host == "0.0.0.0"
    assert file.line("head_start_ray_commands", 0) is None


def test_aws_looks_up_what_a_type_does_not_name(tmp_path: Path) -> None:
    text = CLOUD.replace("type: gcp", "type: aws").replace('        resources: {"CPU": 4}\n', "")
    head, _, small = _read(tmp_path, text).node_types
    assert (head.offers("CPU"), head.offers("GPU")) == (2, None)
    assert small.resources is None


def test_ports_interpreter_and_token_path_as_the_start_command_names_them(tmp_path: Path) -> None:
    text = SOUND.replace(
        "ray start --head --port=6379", "~/e/bin/ray start --head --port 7 --dashboard-port=8"
    )
    text = text.replace("RAY_AUTH_MODE=token", "RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=/etc/ray/token")
    file = _read(tmp_path, text)
    assert (file.interpreter, file.dashboard_port) == ("~/e/bin/python", 8)
    assert not _ships_token(file)
    assert _ships_token(_read(tmp_path, text.replace('"~/.ray/auth_token":', "/etc/ray/token:")))
    # The worker would still look in its home.
    half = text.replace('"~/.ray/auth_token":', "/etc/ray/token:")
    before, after = half.split("worker_start_ray_commands")
    other = _read(tmp_path, before + "worker_start_ray_commands" + after.replace("/etc/ray", "/etc/other"))
    assert other.token_mount("head")
    assert not _ships_token(other)


@pytest.mark.parametrize(
    ("remote", "found"), [("/home/ada/.ray/auth_token", True), ("/data/.ray/auth_token", False)]
)
def test_the_token_counts_where_ray_looks_for_it(tmp_path: Path, remote: str, found: bool) -> None:
    assert _ships_token(_read(tmp_path, SOUND.replace('"~/.ray/auth_token":', f"{remote}:"))) is found


def test_variables_of_containers(tmp_path: Path) -> None:
    docker = """\
docker:
    image: i
    container_name: c
    run_options: ["--env=A=1", "-e B=2", --env, "C=3 4", -e, D]
    head_run_options: [--env A=5]
"""
    file = _read(tmp_path, SOUND + docker.replace("C=3 4", "'C=3 4'"))
    assert file.container_environment("worker") == {"A": "1", "B": "2", "C": "3 4", "D": ""}
    assert file.container_environment("head")["A"] == "5"
    assert file.container_name == "c"


LET_PASS_BY_RAY = {
    "the key `cluster_name` is missing",  # Ray takes "default", and every such cluster for the same
    "the host 10.0.0.2 stands here twice",
    "a host must be text, but is 10",
    "stands here twice (first in line 1)",
}


@pytest.mark.parametrize(
    ("base", "old", "new", "line", "message"),
    [
        (SOUND, "cluster_name: small\n", "", 1, "the key `cluster_name` is missing"),
        (SOUND, "cluster_name: small", "cluster_name: 3", 1, "`cluster_name` must be text, but is 3"),
        (SOUND, "file_mounts:", "file_mount:", 9, "unknown key `file_mount`. Did you mean `file_mounts`?"),
        (
            SOUND,
            "ssh_user: ada",
            "ssh_usr: ada",
            7,
            "unknown key `ssh_usr` in `auth`. Did you mean `ssh_user`?",
        ),
        (SOUND, "    - ray stop", "    - 3", 14, "`head_start_ray_commands.0` must be text, but is 3"),
        (SOUND, "    type: local\n", "", 2, "`provider` lacks the key `type`"),
        (SOUND, "type: local", "type: locl", 3, "unknown provider `locl`. Did you mean `local`?"),
        (SOUND, "    head_ip: 10.0.0.1\n", "", 2, "`provider` lacks the key `head_ip`"),
        (SOUND, "10.0.0.3]", "10.0.0.2]", 5, "the host 10.0.0.2 stands here twice"),
        (SOUND, "10.0.0.3]", "10]", 5, "a host must be text, but is 10"),
        (
            SOUND,
            "auth:\n",
            "auth:\n    ssh_proxy_use_node_id: true\n",
            6,
            "`auth` lacks the key `ssh_proxy_command`",
        ),
        (
            SOUND,
            "cluster_name: small",
            "cluster_name: small\ncluster_name: b",
            2,
            "stands here twice (first in line 1)",
        ),
        (CLOUD, "auth:", "docker: {image: i}\nauth:", 7, "`docker` lacks the key `container_name`"),
        (CLOUD, "auth:", "docker: {container_name: c}\nauth:", 7, "`docker` lacks the key `image`"),
        (CLOUD, "max_workers: 3", "max_workers: -1", 2, "`max_workers` must be at least 0, but is -1"),
        (CLOUD, "max_workers: 3", "max_workers:", 2, "`max_workers` must be a whole number, but is empty"),
        (CLOUD, '"GPU": 1}', '"GPU": 0.5}', 14, "big.resources.GPU` must be a whole number, but is 0.5"),
        (CLOUD, '        resources: {"CPU": 4}\n', "", 18, "types.small` lacks the key `resources`"),
        (
            CLOUD,
            "min_workers: 1",
            "min_wrkers: 1",
            15,
            "unknown key `min_wrkers` in `available_node_types.big`",
        ),
        (CLOUD, "head_node_type: head", "head_node_type: haed", 21, "one of head, big, small, but is 'haed'"),
        (
            CLOUD,
            "max_workers: 3",
            "max_workers: 0",
            2,
            "`max_workers` is 0, but the node types ask for 1 workers",
        ),
        (
            CLOUD,
            "type: gcp",
            "type: local",
            9,
            "`available_node_types` is not for hosts that stand there already",
        ),
    ],
)
def test_a_fault_is_told_with_its_line_and_ray_refuses_it_too(
    tmp_path: Path, base: str, old: str, new: str, line: int, message: str
) -> None:
    assert old in base
    text = base.replace(old, new, 1)
    with pytest.raises(SettingsError) as caught:
        _read(tmp_path, text)
    assert str(caught.value).startswith(f"{tmp_path / 'cluster.yaml'}, line {line}: ")
    assert message in str(caught.value)
    assert _ray_accepts(yaml.safe_load(base))
    assert _ray_accepts(yaml.safe_load(text)) is (message in LET_PASS_BY_RAY)


def test_the_deepest_fault_is_told_and_the_others_are_counted(tmp_path: Path) -> None:
    text = CLOUD.replace('"GPU": 1}', '"GPU": x}').replace("max_workers: 3", "max_workers: x")
    with pytest.raises(SettingsError, match=r"line 14: .*GPU.* 1 more place is wrong\."):
        _read(tmp_path, text)


@pytest.mark.parametrize("legacy", ["min_workers: 1\n", "head_node: {}\n", "worker_nodes:\n"])
def test_legacy_keys_that_ray_drops_are_let_pass(tmp_path: Path, legacy: str) -> None:
    assert _ray_accepts(yaml.safe_load(CLOUD + legacy))
    assert _read(tmp_path, CLOUD + legacy).name == "cloud"


@pytest.mark.parametrize("provider", ["aws", "azure", "gcp"])
def test_rays_own_files_are_read(provider: str) -> None:
    path = find_autoscaler_folder() / provider / "defaults.yaml"
    file = read_cluster_file(path)
    assert file.provider == provider
    assert file.node_types[0].is_head
    assert file.ssh_user


def test_every_provider_of_rays_launcher_is_known() -> None:
    from ray.autoscaler._private.providers import _NODE_PROVIDERS

    # Two are for Ray's own use; of aliyun its wheel lacks the defaults, without which `ray up` breaks off.
    assert set(list_providers()) == set(_NODE_PROVIDERS) - {"kuberay", "readonly", "aliyun"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("apiVersion: ray.io/v1\nkind: RayJob\n", "line 1: this is a file for Kubernetes"),
        ("- a\n", "must hold a mapping"),
        ("a: [\n", "not valid YAML"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        _read(tmp_path, text)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        read_cluster_file(tmp_path / "none.yaml")
