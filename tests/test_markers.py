"""Markers: a test that starts a Ray, a cluster or a browser without saying so fails; so does a skip in CI."""

import subprocess
import sys

import pytest

from tests.markers import group_of, is_skip_allowed, missing_markers, refuse_skip_in_ci


@pytest.mark.parametrize(
    ("command", "needed"),
    [
        ("/x/ray/core/src/ray/gcs/gcs_server --log_dir=y", {"ray", "cluster"}),
        ("python -m tune.cli launch --name x", {"ray", "cluster"}),
        ("python -m serve.cli up --bundle b", {"ray", "cluster"}),
        ("python -c 'from ray.scripts.scripts import main; main()' start --head", {"cluster"}),
        ("ip netns add x", {"cluster"}),
        ("/usr/bin/chromium --headless=new", {"browser"}),
        ("python -m tune.cli status x", set()),
    ],
)
def test_a_command_tells_which_marker_it_needs(command: str, needed: set[str]) -> None:
    assert missing_markers(command, frozenset({"slow"})) == needed
    for one in needed:
        assert missing_markers(command, frozenset({one})) == frozenset()


def test_a_test_without_the_marker_cannot_start_it() -> None:
    with pytest.raises(pytest.fail.Exception, match="needs the marker cluster or ray"):
        subprocess.Popen([sys.executable, "-c", "", "/somewhere/raylet"])


def _skipped(reason: str) -> pytest.TestReport:
    return pytest.TestReport("x", ("x", 1, "x"), {}, "skipped", ("x", 1, f"Skipped: {reason}"), "setup")


def test_a_skip_that_is_not_listed_fails_in_ci_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    unlisted, listed = "not installed: sshd", "no CUDA device here"
    assert not is_skip_allowed(unlisted)
    monkeypatch.delenv("CI", raising=False)
    report = _skipped(unlisted)
    refuse_skip_in_ci(report)
    assert report.skipped
    monkeypatch.setenv("CI", "true")
    refuse_skip_in_ci(report)
    assert report.failed
    assert unlisted in str(report.longrepr)
    report = _skipped(listed)
    refuse_skip_in_ci(report)
    assert report.skipped


def test_workers_share_neither_a_file_nor_a_cluster_nor_a_ray() -> None:
    assert group_of("tests/test_readme.py") == "tests/test_readme.py"
    assert (
        group_of("tests/cluster/test_connect.py") == group_of("tests/cluster/test_hosts_rig.py") == "cluster"
    )
    assert group_of("tests/tune/launcher/test_driver.py") == "ray"
    assert group_of("tests/tune/fits/test_coordinator.py") == "ray"
