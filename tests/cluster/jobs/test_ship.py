"""The code of this installation, packed and run on a real Ray whose nodes have an older dgad installed."""

import importlib.metadata
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import dgad
from cluster.jobs.named_jobs import Jobs
from cluster.jobs.ship import PACKAGES, pack_code
from cluster.tokens import Token
from dgad.errors import ClusterError, SettingsError
from tests.cluster.support.older_install import OLDER
from tests.cluster.support.ray_nodes import RayNodes

PROBE = """
import importlib.metadata, importlib.util, json, os, sys
from pathlib import Path
from cluster.connect import connect_to_ray, call_on_every_node

def found():
    files = [importlib.util.find_spec(p).origin for p in ("cluster", "dgad", "serve", "tune")]
    (folder,) = {Path(file).parents[1] for file in files}
    assert (folder / "study.yaml").read_text() == "name: shipped"
    return [folder.name, importlib.metadata.version("dgad")]

def running():
    import cluster, dgad, serve, tune, tune.fits.run  # and torch, in many seconds
    (folder,) = {Path(m.__file__).parents[1] for m in (cluster, dgad, serve, tune)}
    return [folder.name, tune.fits.run.compute_code_version()]

def trial(config):
    from ray import tune as ray_tune
    ray_tune.report({"running": json.dumps(running())})

os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
driver = running()
with connect_to_ray("auto") as connected:
    from ray import tune as ray_tune
    results = call_on_every_node(found, timeout_s=300)
    # A node's own address is a resource there, so this trial runs on the one that is not the head.
    other = connected.nodes[1].address
    fitted = ray_tune.Tuner(
        ray_tune.with_resources(trial, {"CPU": 1, f"node:{other}": 0.01}),
        run_config=ray_tune.RunConfig(storage_path=sys.argv[1], verbose=0),
    ).fit()
    print("FOUND" + json.dumps({
        "found": {node.address: r.value or r.error for node, r in results.items()},
        "driver": driver,
        "trial": json.loads(fitted[0].metrics["running"]) if not fitted.errors else str(fitted.errors),
    }))
"""


def test_shipped_code_goes_before_an_installed_one_on_driver_workers_and_trials(
    two_nodes: RayNodes, tmp_path: Path
) -> None:
    from tune.fits.run import compute_code_version

    jobs = Jobs(two_nodes.url, Token(value=two_nodes.token, source="test"))
    installed = "import dgad, importlib.metadata; print(dgad.OLDER, importlib.metadata.version('dgad'))"
    python = two_nodes.python
    assert jobs.run(f'{python} -c "{installed}"', None, timeout_s=300) == f"{OLDER} {OLDER}\n"

    extra = {"study.yaml": b"name: shipped", "probe.py": PROBE.encode()}
    packed = pack_code(tmp_path / "code", extra=extra)
    output = jobs.run(f"{python} -m probe {tmp_path / 'results'}", packed, timeout_s=500)
    told = json.loads(output.partition("FOUND")[2])
    folder = told["driver"][0]
    assert folder.startswith("_ray_pkg_")
    here = [folder, importlib.metadata.version("dgad")]
    assert told["found"] == {"127.0.0.2": here, "127.0.0.3": here}
    assert told["driver"] == told["trial"] == [folder, compute_code_version()]


def test_the_same_code_is_the_same_package_and_runs_alone(tmp_path: Path) -> None:
    from ray._private.runtime_env.packaging import get_uri_for_directory

    first = pack_code(tmp_path / "first", extra={"study.yaml": b"seed: 1"})
    same = pack_code(tmp_path / "same", extra={"study.yaml": b"seed: 1"})
    other = pack_code(tmp_path / "other", extra={"study.yaml": b"seed: 2"})
    uris = [get_uri_for_directory(str(folder), include_gitignore=True) for folder in (first, same, other)]
    assert uris[0] == uris[1] != uris[2]

    source = Path(dgad.__file__).parent
    weights = sorted(f.name for f in (source / "weights").iterdir() if not f.name.startswith("."))
    assert sorted(f.name for f in (first / "dgad" / "weights").iterdir()) == weights
    for file in source.rglob("*.py"):
        assert (first / "dgad" / file.relative_to(source)).read_bytes() == file.read_bytes()
    assert not [f for f in first.rglob("*") if f.name in ("__pycache__", "tests") or f.suffix == ".pyc"]
    assert sorted(f.name for f in first.iterdir() if f.is_dir() and "." not in f.name) == sorted(PACKAGES)

    # Packed again from the copy alone, as from an installed wheel: nothing is missing, and it is the same.
    script = "import sys; from pathlib import Path; from cluster.jobs.ship import pack_code as p\n"
    script += "import cluster.jobs.ship as ship; print(ship.__file__); p(Path(sys.argv[1]), extra={})"
    copied = tmp_path / "copied"
    done = subprocess.run(
        [sys.executable, "-c", script, copied],
        cwd=first,
        env={"PYTHONPATH": ""},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(first / "cluster" / "jobs" / "ship.py")
    (first / "study.yaml").unlink()
    shutil.rmtree(first / "cluster" / "__pycache__", ignore_errors=True)
    assert get_uri_for_directory(str(copied), include_gitignore=True, excludes=["__pycache__"]) == (
        get_uri_for_directory(str(first), include_gitignore=True, excludes=["__pycache__"])
    )


def test_what_cannot_be_shipped_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("keep")
    with pytest.raises(SettingsError, match="new or empty folder"):
        pack_code(tmp_path / "full", extra={})
    for name in ("/etc/passwd", "../up.yaml", "tune/cli.py", ".env", ""):
        with pytest.raises(SettingsError, match="outside of dgad, tune, serve, cluster"):
            pack_code(tmp_path / "new", extra={name: b""})
    monkeypatch.setenv("RAY_max_grpc_message_size", str(3 * 1024**2))
    with pytest.raises(ClusterError, match=r"Ray takes 3\.0 MiB: the largest file is big\.bin \(6\.5 MiB\)"):
        pack_code(tmp_path / "new", extra={"big.bin": bytes(13 * 1024**2 // 2)})
    assert not (tmp_path / "new").exists()
