"""The whole service on a real Ray Serve: two ingresses, two scorers, one writer. One start for all tests."""

import base64
import contextlib
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import requests
from PIL import Image

from tests import decode_bombs
from tests.conftest import Run
from tests.other_user import REFUSED, TRY, needs_another_user, run_as_other
from tests.serve.support.service import Service, load, running_service, wait_for
from tests.serve.support.surfaces import bundled, large_bitmap, photographs

pytestmark = pytest.mark.ray

NORMAL, DEFECT = photographs(24), photographs(1, defect=True, seed=9)[0]


@pytest.fixture(scope="module")
def service(patch_knn_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("service")
    limits = ("--limit", "header_timeout_s=2", "--limit", "upload_grace_s=2")
    with running_service(
        patch_knn_bundle, folder / "store", "--replicas", "2", *limits, log=folder / "log"
    ) as running:
        running.domain("carpet", NORMAL[:6])
        yield running


def test_what_was_acknowledged_is_in_every_next_answer(service: Service) -> None:
    assert service.told["key"] is None, "on loopback none is needed"
    ready = {"ready": True, "bundle_id": service.told["bundle_id"], "can_enroll": True}
    assert service.ask("GET", "/readyz").json() == ready
    for i in range(6, 12):
        enrolled = service.enroll("carpet", [NORMAL[i]])
        assert enrolled.status_code == 201
        for _ in range(4):  # ingresses and scorers take turns
            scored = service.score("carpet", DEFECT)
            assert scored.status_code == 200, scored.text
            assert scored.json()["version"] == enrolled.json()["version"]
            assert scored.json()["num_references"] == i + 1
    assert scored.headers["x-request-id"].count(",") == 0
    named = service.ask("GET", "/v1/domains", headers={"X-Request-Id": "line-7.part-12"})
    assert named.headers["x-request-id"] == "line-7.part-12"
    wait_for(lambda: bool(lines_about("line-7.part-12", service)))  # written after the answer, with its time
    (line,) = lines_about("line-7.part-12", service)
    assert (line["method"], line["route"], line["status"]) == ("GET", "/v1/domains", 200)
    repeated = [
        service.enroll("carpet", [NORMAL[12]], headers={"Idempotency-Key": "one"}).json() for _ in range(2)
    ]
    assert [r["repeated"] for r in repeated] == [False, True]
    wait_for(lambda: service.ask("GET", "/v1/domains/carpet").json()["recent"]["num_scores"] > 0)
    assert service.ask("GET", "/v1/domains/missing").status_code == 404


def lines_about(request_id: str, service: Service) -> list[dict[str, Any]]:
    logs = [p.read_text() for p in Path(service.told["logs_folder"]).glob("worker-*.err")]
    # What follows a file's last line break is still being written.
    whole = [line for log in logs for line in log.rpartition("\n")[0].splitlines()]
    return [json.loads(line) for line in whole if request_id in line]


def test_a_photograph_of_five_megapixels_is_scored_within_a_region(service: Service) -> None:
    """At half its resolution: blocks, a region of interest and a heatmap go through all processes."""
    made = service.ask("PUT", "/v1/domains/belt", json={"scale": "0.5"})
    assert made.json()["settings"]["scale"] == "0.5"
    assert service.enroll("belt", NORMAL[:3]).status_code == 201
    pixels = np.tile(np.asarray(Image.open(io.BytesIO(NORMAL[5]))), (31, 20, 1))[:1944, :2560]
    pixels[900:940, 1000:1040] = 255
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
    left = {"polygons": [[[0.0, 0.0], [0.25, 0.0], [0.25, 1.0], [0.0, 1.0]]]}

    def score(**query: str) -> dict[str, Any]:
        path = "/v1/domains/belt/score?" + urllib.parse.urlencode(query)
        answer = service.ask("POST", path, data=buffer.getvalue(), headers={"Content-Type": "image/png"})
        assert answer.status_code == 200, answer.text
        return dict(answer.json()["results"][0])

    whole = score(heatmap="map", heatmap_px="640")
    box = whole["regions"][0]
    assert box["x"] <= 1020 <= box["x"] + box["width"]
    assert box["y"] <= 920 <= box["y"] + box["height"]
    drawn = Image.open(io.BytesIO(base64.b64decode(whole["heatmap"].partition(",")[2])))
    assert max(drawn.size) == 640
    assert score(region=json.dumps(left))["score"] < whole["score"], "the defect lies outside"
    version = service.ask("GET", "/v1/domains/belt").json()["version"]
    put = service.ask("PUT", "/v1/domains/belt/region", json=left)
    assert (put.json()["region"], put.json()["version"]) == (left, version + 1)
    assert score()["score"] < whole["score"]
    assert service.ask("DELETE", "/v1/domains/belt/region").json()["region"] is None
    assert service.ask("DELETE", "/v1/domains/belt").status_code in (200, 204)


def test_only_the_host_that_was_named_is_listened_on(service: Service) -> None:
    table = subprocess.run(["ss", "-Hltn"], capture_output=True, text=True, check=True).stdout.splitlines()
    listening = [line.split()[3].rpartition(":") for line in table]
    port = str(service.running.port)
    assert [host for host, _, p in listening if p == port] == ["127.0.0.1"]
    dashboard = service.told["dashboard_url"].rpartition(":")[2]
    assert [host for host, _, p in listening if p == dashboard] == ["127.0.0.1"]
    ours = set(map(int, _children(service.process.pid)))
    names = {Path(f"/proc/{pid}/comm").read_text().strip() for pid in ours if Path(f"/proc/{pid}").exists()}
    assert not any("haproxy" in name for name in names), names
    assert not service.serve_details()["proxies"]
    mine = os.getpriority(os.PRIO_PROCESS, 0)
    replicas = [pid for name in ("Scorer", "Keeper", "Ingress") for pid in service.replicas(name)]
    assert [os.getpriority(os.PRIO_PROCESS, pid) for pid in replicas] == [mine] * 5, "Ray's would be nice +15"
    # Serve's own gRPC ingress stays closed; between replicas Ray's ports ask for the token.
    assert not [p for _, _, p in listening if p == "9000"]
    _check_replica_ports(service, table)


def _children(pid: int) -> list[str]:
    found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True).stdout.split()
    return [*found, *(below for child in found for below in _children(int(child)))]


def _check_replica_ports(service: Service, table: list[str]) -> None:
    """Whoever has no token is turned away by a scorer's port for calls between deployments."""
    import grpc
    from ray.serve.generated import serve_pb2, serve_pb2_grpc

    del table
    owned = subprocess.run(["ss", "-Hltnp"], capture_output=True, text=True, check=True).stdout.splitlines()
    pid = service.replicas("Scorer")[0]
    ports = [line.split()[3].rpartition(":")[2] for line in owned if f"pid={pid}," in line]
    assert ports
    codes = []
    for port in ports:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            stub = serve_pb2_grpc.ASGIServiceStub(channel)
            with pytest.raises(grpc.RpcError) as refused:
                stub.HandleRequest(serve_pb2.ASGIRequest(pickled_request_metadata=b"x"), timeout=20)
            codes.append(refused.value.code())
    assert grpc.StatusCode.UNAUTHENTICATED in codes
    assert set(codes) <= {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.UNIMPLEMENTED}


def test_a_killed_scorer_is_not_seen_by_any_client(service: Service) -> None:
    assert failed_while_killed(service, "Scorer") == []


def test_a_killed_ingress_closes_the_port_to_nobody(service: Service) -> None:
    victim = service.replicas("Ingress")[0]
    decoders = decoders_of(victim)
    assert len(decoders) >= 2
    # What it had in its hands is lost, for the client's library to ask again; nobody is refused.
    failed = failed_while_killed(service, "Ingress")
    assert len(failed) <= 4
    assert not any("refused" in failure for failure in failed)
    wait_for(lambda: not any(decoder.is_running() for decoder in decoders))


def decoders_of(ingress: int) -> list[psutil.Process]:
    """The processes that decode what is sent to it."""
    children = psutil.Process(ingress).children()
    return [child for child in children if "serve.decoding.worker" in child.cmdline()]


BOMBS = {
    "scans": (lambda: [decode_bombs.progressive_jpeg(side=2000, num_scans=2000)] * 2, "more than 100 scans"),
    "tile": (lambda: [decode_bombs.tiff_tile()], "in tiles of 32768 x 32000"),
    "work": (lambda: [decode_bombs.flat_tiff("group4", "1")] * 32, "s to decode, with what was sent"),
}


@pytest.mark.parametrize("kind", BOMBS)
def test_a_photograph_that_is_too_much_work_leaves_the_service_to_others(service: Service, kind: str) -> None:
    make, reason = BOMBS[kind]
    files = make()
    ingresses = service.replicas("Ingress")
    with load(lambda: service.ask("GET", "/v1/domains/carpet"), clients=1) as others:
        for path in ("score", "references") if kind != "work" else ("score",):
            form = [("files", (f"{i}.x", data)) for i, data in enumerate(files)]
            answer = service.ask("POST", f"/v1/domains/carpet/{path}", files=form)
            assert answer.status_code == 422
            error = answer.json()["error"]
            assert error["code"] == "image_unreadable"
            assert error["message"].split()[0] in {name for _, (name, _) in form}
            assert reason in error["message"]
            assert kind != "work" or len(others.answers) > 1, "who reads does not wait for it"
    assert others.failed == []
    assert service.score("carpet", DEFECT).status_code == 200
    assert service.replicas("Ingress") == ingresses


def failed_while_killed(service: Service, deployment: str) -> list[str]:
    """What four clients saw fail when one of two replicas was killed, before there were two again."""
    victim = service.replicas(deployment)[0]
    with load(lambda: service.score("carpet", DEFECT), clients=4) as made:
        wait_for(lambda: len(made.answers) >= 20)
        os.kill(victim, signal.SIGKILL)
        so_far = len(made.answers)
        wait_for(lambda: len(made.answers) >= so_far + 60)
    wait_for(lambda: len(set(service.replicas(deployment)) - {victim}) == 2)
    return made.failed


def test_a_killed_writer_carries_an_enrolment_out_once(service: Service) -> None:
    before = service.ask("GET", "/v1/domains/carpet").json()
    victim = service.replicas("Keeper")[0]
    answers: list[int] = []
    enrolling = threading.Thread(
        target=lambda: answers.append(service.enroll("carpet", NORMAL[13:24]).status_code)
    )
    enrolling.start()
    time.sleep(0.05)
    os.kill(victim, signal.SIGKILL)
    removed = service.ask("DELETE", f"/v1/domains/carpet/references/{_ids(service)[0]}")
    enrolling.join(180)
    assert answers[0] in (200, 201)
    assert removed.status_code == 200
    after = service.ask("GET", "/v1/domains/carpet").json()
    assert after["num_references"] == before["num_references"] + 11 - 1
    assert after["sequence"] == before["sequence"] + 2


def _ids(service: Service) -> list[str]:
    answer = service.ask("GET", "/v1/domains/carpet/references").json()
    return [reference["id"] for reference in answer["references"]]


def test_unfinished_requests_keep_nobody_out(service: Service) -> None:
    port = service.running.port
    head = b"POST /v1/domains/carpet/score HTTP/1.1\r\nHost: localhost\r\nContent-Length: 60000000\r\n"
    with contextlib.ExitStack() as stack:

        def begin(data: bytes) -> socket.socket:
            client = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=30))
            client.sendall(data)
            return client

        half = [begin(head) for _ in range(1200)]
        bodies = [begin(head + b"\r\n" + b"x" * 1_000_000) for _ in range(8)]
        assert [service.score("carpet", DEFECT).status_code for _ in range(4)] == [200] * 4
        for client, code in ((half[-1], b"headers_timed_out"), *((b, b"upload_timed_out") for b in bodies)):
            answer = _read_all(client)
            assert answer.startswith(b"HTTP/1.1 408 ")
            assert code in answer
    assert service.score("carpet", DEFECT).status_code == 200


def _read_all(client: socket.socket) -> bytes:
    data = b""
    while piece := client.recv(65536):
        data += piece
    return data


def test_keys_that_have_gone_open_nothing(service: Service, run: Run) -> None:
    def statuses() -> set[int]:
        asked = [("GET", "/v1/domains")] * 6 + [("PUT", "/v1/domains/new")] * 3  # of both ingresses
        return {service.ask(method, path).status_code for method, path in asked}

    store = Path(service.running.store)
    assert run("keys", "create", "line", "--store", store, script="dgad-serve").returncode == 0
    assert statuses() == {401}
    (store / "keys.json").rename(store / "elsewhere")
    assert statuses() == {503}
    (store / "elsewhere").rename(store / "keys.json")
    assert statuses() == {401}
    assert run("keys", "revoke", "line", "--store", store, script="dgad-serve").returncode == 0
    assert statuses() == {401}
    assert run("keys", "open", "--store", store, script="dgad-serve").returncode == 0
    assert service.ask("GET", "/v1/domains").status_code == 200


def test_an_enrolment_may_be_as_large_as_is_documented(service: Service) -> None:
    """64 MiB a photograph, 256 MiB a request; what is larger is refused at once, with the bound."""
    bitmaps = [large_bitmap(4600, seed) for seed in range(4)]
    assert 60 * 2**20 < len(bitmaps[0]) < 64 * 2**20
    service.domain("large", bitmaps)
    described = service.ask("GET", "/v1/domains/large/references").json()
    assert [r["num_bytes"] for r in described["references"]] == [len(b) for b in bitmaps]
    repeated = service.enroll("large", bitmaps[:1])
    assert (repeated.status_code, len(repeated.json()["already_there"])) == (200, 1)
    refused = service.enroll("large", [large_bitmap(4800)])
    assert refused.status_code == 413
    assert "67,108,864" in refused.json()["error"]["message"]
    assert service.ask("DELETE", "/v1/domains/large").status_code == 204


@needs_another_user
def test_another_user_of_the_machine_reads_and_replaces_nothing(service: Service) -> None:
    check_is_closed_to_others(service)


def check_is_closed_to_others(service: Service) -> None:
    """Of sockets, logs, references and keys."""
    logs, store = Path(service.told["logs_folder"]), Path(service.running.store)
    sockets = [path for path in (logs.parent / "sockets").iterdir() if path.is_socket()]
    assert {"raylet", "plasma_store"} <= {path.name for path in sockets}
    of_store = [path for path in store.rglob("*") if path.is_file()]
    assert of_store
    closed = [*sockets, logs / "raylet.out", Path(service.running.token_file), *of_store]
    assert set(run_as_other(TRY, *closed).splitlines()) == {REFUSED}


def test_it_is_ready_while_it_scores_and_who_hangs_or_dies_is_replaced(service: Service) -> None:
    scorers, writers = service.replicas("Scorer"), service.replicas("Keeper")
    for pid in scorers:
        os.kill(pid, signal.SIGSTOP)
    wait_for(lambda: readiness(service) == (503, False, True), 10.0)
    assert service.ask("GET", "/healthz").status_code == 200
    os.kill(scorers[0], signal.SIGKILL)
    os.kill(writers[0], signal.SIGKILL)
    wait_for(lambda: readiness(service)[2] is False, 10.0)
    # The other is found to hang, and killed, by Serve; a process that is stopped ends by no other signal.
    wait_for(lambda: not Path(f"/proc/{scorers[1]}").exists(), 60.0)
    wait_for(lambda: readiness(service) == (200, True, True), 60.0)
    assert service.score("carpet", DEFECT).status_code == 200
    wait_for(lambda: len(set(service.replicas("Scorer")) - set(scorers)) == 2, 60.0)


def readiness(service: Service) -> tuple[int, bool, bool]:
    """Status, and whether it scores and enrols."""
    answer = service.ask("GET", "/readyz")
    return answer.status_code, answer.json()["ready"], answer.json()["can_enroll"]


def test_a_new_bundle_is_rolled_out_without_a_request_lost(
    service: Service, run: Run, tmp_path: Path
) -> None:
    # Of other images, and larger ones: 16 of them have 12 MiB, their heatmaps 16 MiB.
    new = bundled(tmp_path / "new", "trivial", image_size_px=512)
    damaged = bundled(tmp_path / "damaged", neighbourhood=3)
    weights = damaged / "weights.safetensors"
    last = weights.read_bytes()[-1]
    weights.write_bytes(weights.read_bytes()[:-1] + bytes([last ^ 1]))
    port = str(service.running.port)
    refused = run("rollout", "--bundle", damaged, "--port", port, script="dgad-serve")
    assert refused.returncode == 2
    assert "differs from what was written" in refused.stderr
    with load(lambda: service.score("carpet", DEFECT), clients=2, pause_s=0.05) as made:
        wait_for(lambda: len(made.answers) >= 4)
        done = run("rollout", "--bundle", new, "--port", port, "--json", script="dgad-serve")
        assert done.returncode == 0, done.stderr
        wait_for(lambda: made.values("bundle_id")[-2:] == [json.loads(done.stdout)["bundle_id"]] * 2)
    assert made.failed == []
    ids = made.values("bundle_id")
    assert ids[0] == service.told["bundle_id"]
    assert set(ids) == {service.told["bundle_id"], json.loads(done.stdout)["bundle_id"]}
    told = run("status", "--port", port, "--json", script="dgad-serve")
    assert json.loads(told.stdout)["bundle_id"] == json.loads(done.stdout)["bundle_id"]
    assert json.loads(told.stdout)["status"] == "RUNNING"


def test_batches_of_large_images_are_scored_with_their_heatmaps(service: Service) -> None:
    assert service.ask("GET", "/v1/bundle").json()["image_size_px"] == 512
    form = [("files", (f"{i}.png", data, "image/png")) for i, data in enumerate(NORMAL[:16])]
    scored = service.ask("POST", "/v1/domains/carpet/score?heatmap=png", files=form)
    assert scored.status_code == 200, scored.text
    assert len([r for r in scored.json()["results"] if r["heatmap"]]) == 16


def test_a_signal_to_all_its_processes_ends_it_in_seconds_with_what_was_begun(service: Service) -> None:
    answers: list[int] = []
    form = [("files", (f"{i}.png", DEFECT, "image/png")) for i in range(40)]
    scoring = threading.Thread(
        target=lambda: answers.append(service.ask("POST", "/v1/domains/carpet/score", files=form).status_code)
    )
    scoring.start()
    time.sleep(0.3)
    for pid in [*map(int, _children(service.process.pid)), service.process.pid]:  # as systemd does
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    scoring.join(60)
    assert answers == [200]
    assert service.process.wait(20) == 0
    assert not Path(service.told["logs_folder"]).exists()
    with pytest.raises(requests.ConnectionError):
        service.ask("GET", "/healthz")


def test_when_its_ray_is_gone_it_says_so_and_ends(patch_knn_bundle: Path, tmp_path: Path) -> None:
    long = tmp_path / ("job-" + "7" * 90)  # as schedulers name temporary folders: too long for a socket
    long.mkdir()
    environment = {"TMPDIR": str(long)}
    with running_service(
        patch_knn_bundle, tmp_path / "store", log=tmp_path / "log", environment=environment
    ) as running:
        ours = [psutil.Process(int(pid)) for pid in _children(running.process.pid)]
        (raylet,) = (one for one in ours if one.name() == "raylet")
        raylet.kill()
        assert running.process.wait(15) == 1
        told = [line for line in (tmp_path / "log").read_text().splitlines() if "Failed" in line]
        assert len(told) == 1
        assert "Ray's raylet" in told[0]
        assert psutil.wait_procs(ours, timeout=5)[1] == [], "a successor needs the port"
        logs = Path(running.told["logs_folder"])
        assert (logs / "raylet.out").is_file(), "what it says is where to look"
        shutil.rmtree(logs.parents[2])
