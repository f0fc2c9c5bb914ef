"""A service put by `dgad-serve deploy --cluster` on hosts of their own namespaces, and asked from outside."""

import json
from pathlib import Path

import pytest
import requests

from tests.cluster.support.commands import output_of
from tests.cluster.support.hosts import Hosts, permitted, three_hosts
from tests.serve.support.surfaces import bundled, photographs

pytestmark = [pytest.mark.cluster, pytest.mark.skipif(permitted() is not None, reason=permitted() or "")]
_ROOT = Path(__file__).parents[2]
PORT = 8000


class Laptop:
    """Runs commands as the user of the cluster."""

    def __init__(self, hosts: Hosts) -> None:
        self.hosts = hosts
        self.key = ""
        """Of the service."""

    def serve(self, *arguments: object, expect: int = 0) -> str:
        """`dgad-serve`."""
        return self._run("-m", "serve.cli", *arguments, expect=expect)

    def ray(self, *arguments: object) -> str:
        """`ray`."""
        return self._run("-c", "from ray.scripts.scripts import main; main()", *arguments)

    def _run(self, *arguments: object, expect: int = 0) -> str:
        environment = {**self.hosts.environment, "PYTHONPATH": str(_ROOT), "DGAD_API_KEY": self.key}
        said = output_of(*arguments, environment=environment, folder=self.hosts.laptop_home, expect=expect)
        assert self.hosts.token_file.read_text().strip() not in said
        return said


@pytest.mark.timeout(900)
def test_a_service_is_put_on_a_cluster_and_asked_from_outside(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with three_hosts(tmp_path_factory.mktemp("hosts")) as hosts:
        laptop = Laptop(hosts)
        cluster = ("--cluster", hosts.cluster_file)
        bundle, photos = bundled(hosts.laptop_home / "bundle"), hosts.laptop_home / "photos"
        photos.mkdir()
        for i, data in enumerate(photographs(6)):
            (photos / f"{i}.png").write_bytes(data)
        (hosts.laptop_home / "defect.png").write_bytes(photographs(1, defect=True, seed=9)[0])
        store = hosts.shared / "references"
        store.mkdir()
        service = (
            "--bundle",
            bundle,
            "--store",
            store,
            "--device",
            "cpu",
            "--host",
            "0.0.0.0",
            "--port",
            PORT,
        )

        said = laptop.serve("deploy", *service, *cluster, expect=2)
        assert f"is not up: bring it up with `ray up {hosts.cluster_file}`" in said
        laptop.ray("up", hosts.cluster_file, "--yes")
        told = json.loads(laptop.serve("deploy", *service, *cluster, "--json"))

        url = f"http://{hosts.addresses[0]}:{PORT}"
        assert requests.get(f"{url}/v1/domains", timeout=60).status_code == 401
        laptop.key = told["key"]
        laptop.serve("enroll", "belt", photos, "--create", "--url", url)
        scored = json.loads(laptop.serve("score", "belt", "defect.png", "--url", url, "--json"))
        assert scored["results"][0]["verdict"] in ("normal", "abnormal")
        status = json.loads(laptop.serve("status", *cluster, "--json"))
        assert (status["status"], status["bundle_id"]) == ("RUNNING", told["bundle_id"])
        assert "has ended" in laptop.serve("down", *cluster)
        assert "No service is deployed there" in laptop.serve("status", *cluster, expect=2)
