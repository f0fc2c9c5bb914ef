"""A service on a Ray of several nodes: deployed, scaled under load, rolled out, ended; `serve deploy` too."""

import json
import socket
import sys
import time
from pathlib import Path

import pytest
import requests

from cluster.tokens import Token
from tests.cluster.support.commands import output_of
from tests.cluster.support.ray_nodes import RayNodes, ray_nodes
from tests.s3_server import S3Server
from tests.serve.support.service import load, running_replicas, serve_details, wait_for
from tests.serve.support.surfaces import bundled, large_bitmap, photographs

pytestmark = pytest.mark.cluster

# At nice +15, as Ray has it, a second scorer may get next to nothing beside the tests on the other core, and
# take minutes to start.
HOSTS = {"RAY_worker_niceness": "0"}
NORMAL, DEFECT = photographs(8), photographs(1, defect=True, seed=9)[0]


class Desk:
    """Runs commands as a user of a Ray that runs already, and asks the service that they put there."""

    def __init__(self, nodes: RayNodes, home: Path, port: int) -> None:
        self.nodes = nodes
        self.url = f"http://127.0.0.1:{port}"
        self._environment = {**nodes.environment, "XDG_CACHE_HOME": str(home / "cache"), "HOME": str(home)}

    def __call__(self, *arguments: object, expect: int = 0) -> str:
        """What `dgad-serve` prints on standard output."""
        return self.run("-m", "serve.cli", *arguments, expect=expect)

    def run(self, *arguments: object, expect: int = 0) -> str:
        """The same of any Python."""
        home = Path(self._environment["HOME"])
        return output_of(*arguments, environment=self._environment, folder=home, expect=expect)

    def score(self) -> requests.Response:
        """Of the defective photograph."""
        return self.ask("POST", "/v1/domains/belt/score", data=DEFECT)

    def score_many(self) -> requests.Response:
        """More than one batch, so that a few clients are work for more than one scorer."""
        form = [("files", (f"{i}.png", DEFECT, "image/png")) for i in range(40)]
        return self.ask("POST", "/v1/domains/belt/score", files=form)

    def ask(self, method: str, path: str, **options: object) -> requests.Response:
        """A new connection each time."""
        with requests.Session() as session:
            session.trust_env = False
            return session.request(method, self.url + path, timeout=120, **options)  # type: ignore[arg-type]

    def num_scorers(self) -> int:
        """That take questions."""
        details = serve_details(self.nodes.url, Token(value=self.nodes.token, source="file"))
        return len(running_replicas(details, "Scorer"))


@pytest.mark.timeout(1500)
def test_a_service_on_a_cluster_and_an_object_store(tmp_path: Path, s3: S3Server) -> None:
    first, second = bundled(tmp_path / "first"), bundled(tmp_path / "second", neighbourhood=3)
    store = s3.uri(f"shelf/{tmp_path.name}/references")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    with ray_nodes(tmp_path / "ray", 2, num_cpus_each=1, environment=HOSTS) as nodes:
        desk = Desk(nodes, tmp_path, port)
        where = ("--address", nodes.url, "--python", sys.executable)
        service = ("--store", store, "--port", port, "--max-replicas", 2, "--device", "cpu")
        desk("status", "--address", nodes.url, expect=2)

        told = json.loads(desk("deploy", "--bundle", first, *service, *where, "--json"))
        ready = {"ready": True, "bundle_id": told["bundle_id"], "can_enroll": True}
        assert desk.ask("GET", "/readyz").json() == ready
        form = [("files", (f"{i}.png", data, "image/png")) for i, data in enumerate(NORMAL)]
        assert desk.ask("PUT", "/v1/domains/belt").status_code == 201
        assert desk.ask("POST", "/v1/domains/belt/references", files=form).status_code == 201
        assert desk.score().json()["num_references"] == len(NORMAL)
        # Larger than a message between replicas may be where Serve's own bound holds.
        large = [("files", (f"{i}.bmp", large_bitmap(1060, i), "image/bmp")) for i in range(2)]
        assert desk.ask("PUT", "/v1/domains/plate").status_code == 201
        enrolled = desk.ask("POST", "/v1/domains/plate/references", files=large)
        assert (enrolled.status_code, enrolled.json()["version"]) == (201, 1)
        assert desk.ask("DELETE", "/v1/domains/plate").status_code == 204

        assert desk.num_scorers() == 1
        with load(desk.score_many, clients=3) as made:
            wait_for(lambda: desk.num_scorers() == 2)
            rolled = json.loads(desk("deploy", "--bundle", second, *service, *where, "--json"))
            wait_for(lambda: made.values("bundle_id")[-4:] == [rolled["bundle_id"]] * 4)
        assert made.failed == []
        assert set(made.values("bundle_id")) == {told["bundle_id"], rolled["bundle_id"]}
        status = json.loads(desk("status", "--address", nodes.url, "--json"))
        assert (status["status"], status["bundle_id"]) == ("RUNNING", rolled["bundle_id"])
        desk("down", "--address", nodes.url)
        assert is_closed(port)

        # What `config` prints is what Serve's own command takes; the store is as it was.
        (tmp_path / "service.yaml").write_text(desk("config", "--bundle", first, *service))
        serve = "from ray.serve.scripts import cli; cli()"
        desk.run("-c", serve, "deploy", tmp_path / "service.yaml", "--address", nodes.url)
        wait_for(lambda: not is_closed(port) and desk.ask("GET", "/readyz").status_code == 200)
        scored = desk.score().json()
        assert (scored["bundle_id"], scored["num_references"]) == (told["bundle_id"], len(NORMAL))
        desk("down", "--address", nodes.url)


def is_closed(port: int) -> bool:
    """Whether the port refuses, now or within a few seconds."""
    for _ in range(20):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
        except ConnectionRefusedError:
            return True
        time.sleep(0.5)
    return False
