"""Each check lets a sound file pass and tells a planted fault, with its line."""

import importlib.metadata
from pathlib import Path

import pytest

from cluster.checks.cluster_file import check_cluster, has_errors
from cluster.checks.findings import Finding, TrialDemand
from cluster.file.config_file import read_cluster_file
from cluster.file.schema import find_autoscaler_folder
from dgad.errors import SettingsError
from tests.cluster.file.test_config_file import CLOUD
from tests.cluster.support.cluster_files import SOUND, write

VERSION = importlib.metadata.version("ray")
LOCAL = SOUND.format(version=VERSION)
START = LOCAL[LOCAL.index("head_start") :]
CLOUD_FILE = CLOUD + LOCAL[LOCAL.index("file_mounts") :]


def _check(path: Path, text: str, demand: TrialDemand | None = None) -> tuple[Finding, ...]:
    return check_cluster(read_cluster_file(write(path / "cluster.yaml", text)), demand or TrialDemand())


def _line_of(text: str, part: str) -> int:
    return next(n for n, line in enumerate(text.splitlines(), 1) if part in line)


@pytest.mark.parametrize("text", [LOCAL, CLOUD_FILE], ids=["local", "cloud"])
def test_a_sound_file_leaves_only_what_cannot_be_seen(tmp_path: Path, home: Path, text: str) -> None:
    findings = _check(tmp_path, text)
    assert {f.severity for f in findings} == {"unverified"}
    assert not has_errors(findings)


def test_what_cannot_be_verified_is_named(tmp_path: Path, home: Path) -> None:
    docker = "docker: {image: someone/image, container_name: c}\n"
    told = "\n".join(f.message for f in _check(tmp_path, CLOUD_FILE + docker))
    for part in (
        "reaches the data and the runs",
        "machine images",
        "quota allows 4 hosts",
        "container image",
    ):
        assert part in told
    assert "answer to ssh: 10.0.0.1, 10.0.0.2, 10.0.0.3" in "\n".join(
        f.message for f in _check(tmp_path, LOCAL)
    )
    alone = LOCAL.replace("[10.0.0.2, 10.0.0.3]", "[]")
    assert "reaches the data" not in "\n".join(f.message for f in _check(tmp_path, alone))


@pytest.mark.parametrize(
    ("old", "new", "at", "severity", "message"),
    [
        (
            "RAY_AUTH_MODE=token RAY_en",
            "RAY_en",
            "    - >-",
            "error",
            "starts the head without RAY_AUTH_MODE=token",
        ),
        (
            "token RAY_en",
            "disabled RAY_en",
            "    - >-",
            "error",
            "starts the head with RAY_AUTH_MODE=disabled",
        ),
        ("- RAY_AUTH_MODE=token ray", "- ray", "start --address", "error", "starts the worker without"),
        (
            "token ray start",
            "token RAY_AUTH_TOKEN=abc ray start",
            "--address",
            "error",
            "The token itself stands",
        ),
        ('"~/.ray/auth_token":', '"~/token":', "file_mounts", "error", "does not ship the token"),
        (
            ': "~/.ray/auth_token"',
            ': "~/none"',
            '"~/.ray/auth_token"',
            "error",
            "home/none does not exist; `ray get",
        ),
        (" --disable-usage-stats", "", "    - >-", "error", "would report its usage"),
        ("--port=6379", "--dashboard-host=0.0.0.0", "    - >-", "error", "would listen on 0.0.0.0"),
        ("--port=6379", "--dashboard-host 10.0.0.1", "    - >-", "error", "would listen on 10.0.0.1"),
        ("--port=6379", "--include-dashboard=false", "    - >-", "error", "no job can be submitted"),
        (
            "--autoscaling-config=~/ray_bootstrap_config.yaml",
            "",
            "    - >-",
            "error",
            "would start no worker",
        ),
        (" RAY_enable_autoscaler_v2=0", "", "    - >-", "warning", "one of these 2 workers only"),
        ("    ssh_user: ada\n", "", "auth:", "error", "lacks `ssh_user`"),
        ("key: ~/.ssh/key", "key: ~/.ssh/none", "ssh_private_key", "error", ".ssh/none does not exist"),
        ("    ssh_private_key: ~/.ssh/key\n", "", "auth:", "warning", "names no `ssh_private_key`"),
        (f"=={VERSION}", "==2.9.0", "pip install", "error", "The hosts get Ray 2.9.0, but Ray"),
        (
            "file_mounts:",
            "file_mounts:\n    /data: /nowhere/at/all",
            "/data",
            "error",
            "/nowhere/at/all does not exist",
        ),
        ("head_ip: 10.0.0.1", 'head_ip: "<HEAD_IP>"', "head_ip", "error", "<HEAD_IP> is a placeholder"),
    ],
)
def test_a_planted_fault_is_the_only_one_told(
    tmp_path: Path, home: Path, old: str, new: str, at: str, severity: str, message: str
) -> None:
    assert old in LOCAL
    text = LOCAL.replace(old, new, 1)
    (found,) = [f for f in _check(tmp_path, text) if f.severity != "unverified"]
    assert (found.severity, found.line) == (severity, _line_of(text, at))
    assert message in found.message


def test_ray_that_is_started_out_of_sight_is_told(tmp_path: Path, home: Path) -> None:
    text = LOCAL.replace(
        START, "head_start_ray_commands: [bash start.sh]\nworker_start_ray_commands: [true]\n"
    )
    text = text.replace("[true]", "['true']")
    told = [f for f in _check(tmp_path, text) if "that can be seen here" in f.message]
    assert [(f.severity, f.line) for f in told] == [("unverified", 13), ("unverified", 14)]


def test_start_commands_that_are_left_out_are_rays_own_and_open(tmp_path: Path, home: Path) -> None:
    messages = [f.message for f in _check(tmp_path, CLOUD) if f.severity == "error"]
    for part in (
        "`head_start_ray_commands` is missing, so Ray starts the head without RAY_AUTH_MODE=token",
        "`worker_start_ray_commands` is missing, so Ray starts the worker without",
        "would listen on 0.0.0.0",
        "would report its usage",
        "`setup_commands` is missing, and Ray's default installs an unreleased version",
        "does not ship the token",
    ):
        assert any(part in message for message in messages), part


@pytest.mark.parametrize("provider", ["aws", "gcp", "azure"])
def test_rays_own_files_are_found_open(home: Path, provider: str) -> None:
    path = find_autoscaler_folder() / provider / "defaults.yaml"
    findings = check_cluster(read_cluster_file(path), TrialDemand())
    text = path.read_text()
    by_message = {f.message: f.line for f in findings if f.severity == "error"}
    lines = [line for message, line in by_message.items() if "starts the head without" in message]
    assert lines
    assert all("ray start" in "".join(text.splitlines()[line - 1 : line + 2]) for line in lines)
    assert any("would listen on 0.0.0.0" in message for message in by_message)


def test_docker_turns_token_auth_on_but_not_usage_reporting_off(tmp_path: Path, home: Path) -> None:
    text = LOCAL.replace("RAY_AUTH_MODE=token ", "").replace(" --disable-usage-stats", "")
    docker = f"""\
docker:
    image: rayproject/ray:{VERSION}-py311-gpu
    container_name: c
    run_options: ["--env RAY_AUTH_MODE=token -e RAY_USAGE_STATS_ENABLED=0"]
"""
    errors = [f.message for f in _check(tmp_path, text + docker) if f.severity == "error"]
    assert len(errors) == 1
    assert "would report its usage" in errors[0]
    other = docker.replace(VERSION, "2.9.0")
    errors = [f for f in _check(tmp_path, text + other) if "The hosts get Ray 2.9.0" in f.message]
    assert [f.line for f in errors] == [_line_of(text + other, "image:")]


def test_where_other_users_of_a_host_reach_its_sockets(tmp_path: Path, home: Path) -> None:
    def told(text: str) -> list[str]:
        return [f.severity for f in _check(tmp_path, text) if "sockets" in f.message]

    assert told(LOCAL) == ["unverified"]
    shared = LOCAL.replace("ray start --head", "ray start --head --temp-dir=/tmp/mine")
    assert told(shared) == ["warning"]
    own = LOCAL.replace("ray start --head", "ray start --head --temp-dir=/tmp/mine/r")
    assert told(own) == []
    assert told(CLOUD_FILE) == []


def test_keys_and_tokens_that_others_can_read(tmp_path: Path, home: Path) -> None:
    (home / ".ssh/key").chmod(0o644)
    (home / ".ray/auth_token").chmod(0o644)
    found = [f for f in _check(tmp_path, LOCAL) if f.severity != "unverified"]
    assert [(f.severity, f.line) for f in found] == [("error", 8), ("warning", 10)]
    assert "open to others, and ssh refuses such keys: chmod 600" in found[0].message


def test_a_key_of_aws_needs_its_name_there(tmp_path: Path, home: Path) -> None:
    text = CLOUD_FILE.replace("type: gcp", "type: aws")
    text = text.replace("ssh_user: ubuntu", "ssh_user: ubuntu\n    ssh_private_key: ~/.ssh/key")
    text = text.replace("{machineType: n1}", "{KeyName: k}").replace("{machineType: n2}", "{UserData: u}")
    found = [f for f in _check(tmp_path, text) if f.severity == "error"]
    assert [f.message for f in found] == [
        "With an `ssh_private_key` the node type `small` needs `KeyName`, its name at AWS."
    ]


@pytest.mark.parametrize(
    ("cpus", "gpus", "severity", "message"),
    [
        (8, 1, None, ""),
        (8, 0.25, None, ""),
        (4, 0, None, ""),
        (9, 0, "error", "of 9 CPU: the largest, `big`, offers 8 CPU and 1 GPU"),
        (1, 2, "error", "of 1 CPU and 2 GPU: the largest, `big`, offers 8 CPU and 1 GPU"),
    ],
)
def test_a_trial_must_fit_one_node_type(
    tmp_path: Path, home: Path, cpus: int, gpus: float, severity: str | None, message: str
) -> None:
    found = [
        f for f in _check(tmp_path, CLOUD_FILE, TrialDemand(cpus=cpus, gpus=gpus)) if "trial" in f.message
    ]
    assert [f.severity for f in found] == ([severity] if severity else [])
    if found:
        assert message in found[0].message
        assert found[0].line == _line_of(CLOUD_FILE, "    big:")


def test_a_node_type_without_workers_runs_no_trial(tmp_path: Path, home: Path) -> None:
    text = CLOUD_FILE.replace("min_workers: 1\n        max_workers: 2", "max_workers: 0")
    (found,) = [f for f in _check(tmp_path, text, TrialDemand(gpus=1)) if "trial" in f.message]
    assert "the largest, `small`, offers 4 CPU and 0 GPU" in found.message


def test_a_trial_that_only_the_head_can_run(tmp_path: Path, home: Path) -> None:
    text = CLOUD_FILE.replace('{"CPU": 2}', '{"CPU": 32}')
    (found,) = [f for f in _check(tmp_path, text, TrialDemand(cpus=16)) if "trial" in f.message]
    assert (found.severity, found.line) == ("warning", _line_of(text, "    head:"))
    assert "fits the head alone" in found.message


def test_unknown_resources_are_neither_right_nor_wrong(tmp_path: Path, home: Path) -> None:
    text = CLOUD_FILE.replace("type: gcp", "type: aws")
    found = [f for f in _check(tmp_path, text, TrialDemand(cpus=2, gpus=4)) if "trial" in f.message]
    # `big` names one GPU; the others leave theirs to be found out.
    assert [(f.severity, f.message[:60]) for f in found] == [
        ("unverified", "Whether a trial of 2 CPU and 4 GPU fits `head`, `small`: the")
    ]


def test_a_bound_that_ray_ignores(tmp_path: Path, home: Path) -> None:
    found = [f for f in _check(tmp_path, "min_workers: 1\n" + CLOUD_FILE) if f.severity == "warning"]
    assert [(f.line, "Ray ignores `min_workers` here" in f.message) for f in found] == [(1, True)]


def test_no_version_named_is_unverified(tmp_path: Path, home: Path) -> None:
    text = LOCAL.replace(f'"ray[default]=={VERSION}"', "ray")
    assert any(f"have Ray {VERSION}, as here" in f.message for f in _check(tmp_path, text))


@pytest.mark.parametrize("demand", [{"cpus": -1}, {"gpus": 1.5}, {"gpus": -0.5}])
def test_what_no_trial_can_ask_for(demand: dict[str, float]) -> None:
    with pytest.raises(SettingsError, match="_per_trial` must be"):
        TrialDemand(**demand)  # type: ignore[arg-type]
