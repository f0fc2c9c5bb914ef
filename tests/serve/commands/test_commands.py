"""The commands that need no Ray: what they print, and what they refuse in one sentence."""

import dataclasses
import json
import os
import socket
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from dgad.errors import BundleError, SettingsError
from serve.cli import cli
from serve.engine.bundle import check_bundle, fetch_bundle
from serve.keys import KeyRing
from serve.operate.deploy import deploy
from serve.operate.first_key import make_first_key
from serve.operate.local import make_url
from serve.operate.registry import RegisteredService, find_birth, find_service, list_services, register
from serve.operate.rollout import SHIPPED_BUNDLE, pack_service
from serve.settings import Limits, ServeSettings
from tests.conftest import Run
from tests.serve.support.surfaces import bundled


@pytest.fixture(scope="module")
def bundle(patch_knn_bundle: Path) -> Path:
    return patch_knn_bundle


def damaged(folder: Path) -> Path:
    bundled(folder)
    weights = folder / "weights.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(bytes(data))
    return folder


def test_a_config_is_one_that_serve_takes(bundle: Path, run: Run) -> None:
    from ray.serve.schema import ServeDeploySchema

    printed = run(
        *("config", "--bundle", bundle, "--store", "s3://bucket/references"),
        *("--replicas", "2", "--max-replicas", "4", "--host", "0.0.0.0", "--port", "8080"),
        script="dgad-serve",
    )
    assert printed.returncode == 0, printed.stderr
    values = yaml.safe_load(printed.stdout)
    schema = ServeDeploySchema.model_validate(values)
    (application,) = schema.applications
    assert application.import_path == "serve.replicas.deployments:build"
    assert (schema.http_options.host, schema.http_options.port) == ("0.0.0.0", 8080)
    assert schema.grpc_options.grpc_servicer_functions == []
    assert values["proxy_location"] == "EveryNode"
    args = application.args
    assert (args["store"], args["replicas"], args["max_replicas"]) == ("s3://bucket/references", 2, 4)
    assert Path(args["bundle"]).is_absolute()
    assert (args["keys"], args["has_domain_labels"]) == ("store", False)


def test_limits_are_given_by_name(bundle: Path) -> None:
    def config(*options: str) -> Any:
        command = ["config", "--bundle", str(bundle), *options]
        return CliRunner().invoke(cli, command, standalone_mode=False)

    given = ("--limit", "upload_timeout_s=1200", "--limit", "header_timeout_s=2.5", "--require-keys")
    args = yaml.safe_load(config(*given).stdout)["applications"][0]["args"]
    limits = args["limits"]
    assert (limits["upload_timeout_s"], limits["header_timeout_s"], args["keys"]) == (1200, 2.5, "required")
    for text, told in (
        ("upload_timeout=3", "Did you mean `upload_timeout_s`"),
        ("upload_timeout_s=0", "above 0"),
        ("min_upload_rate=1.5", "a whole number"),
        ("min_upload_rate=fast", "must be a number"),
        ("min_upload_rate", "NAME=VALUE"),
    ):
        refused = config("--limit", text)
        assert isinstance(refused.exception, SettingsError)
        assert told in str(refused.exception)


def test_a_roll_out_does_not_pass_over_what_it_would_not_change(bundle: Path) -> None:
    settings = ServeSettings(bundle=str(bundle), store="s3://bucket/references")
    state = types.SimpleNamespace(status="RUNNING", settings=settings)
    connected: Any = types.SimpleNamespace(api=types.SimpleNamespace(state=lambda: state))
    for asked, told in (
        (dataclasses.replace(settings, keys="required"), "--require-keys"),
        (dataclasses.replace(settings, has_domain_labels=True), "--domain-labels"),
        (dataclasses.replace(settings, limits=Limits(max_files=3)), "--limit"),
    ):
        with pytest.raises(SettingsError, match=told):
            deploy(connected, asked, report=print)


@pytest.mark.parametrize("command", ["up", "config", "embed", "rollout", "check"])
def test_a_damaged_bundle_is_refused(command: str, tmp_path: Path, run: Run) -> None:
    folder = damaged(tmp_path / "damaged")
    store = ("--store", str(tmp_path / "store")) if command not in ("rollout", "check") else ()
    port = ("--port", "0") if command == "up" else ()
    refused = run(command, "--bundle", folder, *store, *port, script="dgad-serve")
    assert refused.returncode == 2
    assert "differs from what was written" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_method_that_cannot_be_served_is_refused_with_those_that_can(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import dgad.methods

    known = {name: method for name, method in dgad.methods.METHODS.items() if name != "patch_knn"}
    monkeypatch.setattr("serve.engine.bundle.METHODS", known)
    with pytest.raises(BundleError, match=r"holds `patch_knn`, and what can be served is comparer, "):
        check_bundle(str(bundle))


def test_a_port_in_use_is_said_in_one_sentence(bundle: Path, run: Run) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refused = run("up", "--bundle", bundle, "--port", port, script="dgad-serve")
    assert refused.returncode == 2
    assert refused.stderr.strip().count("\n") == 0
    assert f"127.0.0.1:{port} cannot be listened on (Address already in use)" in refused.stderr
    assert make_url("0.0.0.0", 1) == "http://127.0.0.1:1"
    assert make_url("::1", 1) == "http://[::1]:1"


@pytest.mark.parametrize("command", [("status",), ("down",)])
def test_without_a_service_here_they_say_how_to_begin_one(command: tuple[str, ...], run: Run) -> None:
    refused = run(*command, "--port", "1", script="dgad-serve")
    assert refused.returncode == 2
    assert "No service runs on this machine on port 1" in refused.stderr
    two = run("deploy", "--bundle", "x", script="dgad-serve")
    assert two.returncode == 2
    assert "--cluster FILE or --address URL" in two.stderr


def test_services_that_ended_are_forgotten() -> None:
    pid = os.getpid()
    began = find_birth(pid)
    assert began is not None
    common = {"url": "u", "dashboard_url": "d", "token_file": "t", "bundle": "b", "store": "s"}
    common |= {"logs_folder": "l"}
    register(RegisteredService(port=2, pid=pid, began=began, **common))
    register(RegisteredService(port=3, pid=pid, began="another process of this number", **common))
    assert [s.port for s in list_services()] == [2]
    assert find_service(2).pid == pid
    with pytest.raises(SettingsError, match="on port 3"):
        find_service(3)
    register(RegisteredService(port=4, pid=pid, began=began, **common))
    with pytest.raises(SettingsError, match="name one with --port, of 2, 4"):
        find_service(None)
    for file in (2, 4):
        register(RegisteredService(port=file, pid=pid, began="gone", **common))
    assert list_services() == ()


def test_a_first_key_is_made_where_one_is_needed(tmp_path: Path) -> None:
    store = str(tmp_path / "store")
    assert make_first_key(ServeSettings(bundle="b", store=store)).value is None
    open_settings = ServeSettings(bundle="b", store=store, host="0.0.0.0")
    made = make_first_key(open_settings)
    assert made.value is not None
    ring = KeyRing(store)
    ring.refresh()
    key = ring.check(made.value)
    assert key is not None
    assert key.scope == "write"
    assert made.value in made.sentence
    again = make_first_key(open_settings)
    assert again.value is None
    assert "the store knows first" in again.sentence
    assert make_first_key(ServeSettings(bundle="b", store=store)).rule == "expected"


def test_no_new_key_hides_that_the_keys_are_lost(tmp_path: Path) -> None:
    store = str(tmp_path / "store")
    settings = ServeSettings(bundle="b", store=store)
    assert make_first_key(settings).rule == "store"
    KeyRing(store).create("anna", "write")
    (tmp_path / "store" / "keys.json").unlink()
    lost = make_first_key(settings)
    assert (lost.value, lost.rule) == (None, "expected")
    assert "keys.json is not there" in lost.sentence
    KeyRing(store).open_to_all()
    assert make_first_key(settings).rule == "store"
    assert make_first_key(dataclasses.replace(settings, keys="required")).value is not None


def test_a_bundle_is_fetched_from_a_uri_and_shipped_with_the_code(bundle: Path, tmp_path: Path) -> None:
    uri = bundle.as_uri()
    fetched = fetch_bundle(uri)
    assert fetched != bundle
    assert check_bundle(uri).bundle_id == check_bundle(str(bundle)).bundle_id
    folder = pack_service(tmp_path / "code", uri)
    assert check_bundle(str(folder / SHIPPED_BUNDLE)).bundle_id == check_bundle(str(bundle)).bundle_id
    assert (folder / "serve" / "deployments.py").is_file()
    assert json.loads((folder / SHIPPED_BUNDLE / "manifest.json").read_text())["format_version"] == 1
    with pytest.raises(BundleError, match="is no bundle"):
        fetch_bundle((tmp_path / "nothing").as_uri())


def test_a_process_that_has_ended_is_gone_though_nobody_asked_how() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert find_birth(child.pid) is not None
        assert child.stdin is not None
        child.stdin.close()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert find_birth(child.pid) is None


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="compares with /proc, as Linux has it")
def test_what_an_earlier_version_noted_of_a_process_is_still_that_process() -> None:
    ticks = Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]
    assert find_birth(os.getpid()) == ticks


def test_down_ends_the_process_and_waits_for_it(run: Run, user_cache: Path) -> None:
    code = "import signal, time; signal.signal(15, lambda *_: (time.sleep(0.5), exit())); print()"
    code += "; time.sleep(600)"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        register(
            RegisteredService(
                url="http://127.0.0.1:1",
                port=1,
                pid=process.pid,
                began=str(find_birth(process.pid)),
                dashboard_url="http://127.0.0.1:2",
                token_file="t",
                logs_folder="l",
                bundle="b",
                store="s",
            )
        )
        ended = run("down", "--port", "1", script="dgad-serve")
        assert (ended.returncode, process.wait(1)) == (0, 0)
        assert ended.stdout == "The service at http://127.0.0.1:1 has ended.\n"
        assert run("down", "--port", "1", script="dgad-serve").returncode == 2
    finally:
        process.kill()
        process.wait()
