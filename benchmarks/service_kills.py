"""What clients of a whole service see when parts of it are killed.

    python benchmarks/service_kills.py [--requests 1000] [--kills 5] [--clients 4] [--json FILE]

Scoring: clients send requests to a service with two scorers, and in their midst one scorer is killed
(SIGKILL); how many requests failed? Enrolling: a client enrols photograph after photograph, each request with
an idempotency key of its own, and every process of the service is killed at a random moment, again and again;
after each restart everything that was acknowledged must be there, the enrolment that was broken off is sent
again with its key, and the domain must score.
"""

import argparse
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import requests

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.serve.support.service import Service, load, running_service, wait_for
from tests.serve.support.surfaces import bundled, photographs


def main() -> None:
    """Run both parts and print what they found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="dgad-kills-") as temporary:
        folder = Path(temporary)
        bundle = bundled(folder / "bundle")
        if options.requests:
            found["scoring"] = killed_scorer(folder, bundle, options.requests, options.clients)
            print(f"scoring with one of two scorers killed: {found['scoring']}", flush=True)
        if options.kills:
            found["enrolling"] = killed_service(folder, bundle, options.kills, options.seed)
            print(f"enrolling with the whole service killed: {found['enrolling']}", flush=True)
    if options.json:
        options.json.write_text(json.dumps(found, indent=2))


def killed_scorer(folder: Path, bundle: Path, num_requests: int, clients: int) -> dict[str, Any]:
    """A third into the requests one of two scorers is killed."""
    part = photographs(1, defect=True, seed=9)[0]
    with running_service(
        bundle, folder / "scoring", "--replicas", "2", log=folder / "scoring.log"
    ) as service:
        service.domain("carpet", photographs(8))
        began = time.monotonic()
        with load(lambda: service.score("carpet", part), clients=clients) as made:
            wait_for(lambda: len(made.answers) >= num_requests // 3, 3600)
            os.kill(service.replicas("Scorer")[0], signal.SIGKILL)
            wait_for(lambda: len(made.answers) >= num_requests, 3600)
        return {
            "requests": len(made.answers),
            "failed": len(made.failed),
            "first_failures": made.failed[:3],
            "seconds": round(time.monotonic() - began, 1),
        }


def killed_service(folder: Path, bundle: Path, num_kills: int, seed: int) -> dict[str, Any]:
    """Every process of the service at once, `num_kills` times."""
    draw = random.Random(seed)
    files = iter(photographs(400, seed=1))
    acknowledged: list[str] = []
    broken_off: tuple[str, bytes] | None = None
    lost = doubled = again = 0
    for kill in range(num_kills + 1):
        with running_service(bundle, folder / "enrolling", log=folder / f"enrolling{kill}.log") as service:
            if kill == 0:
                service.domain("carpet", [next(files)])
            before = _references(service)
            lost += len(set(acknowledged) - set(before))
            if broken_off is not None:
                answer = _enroll(service, *broken_off)
                again += 1
                after = _references(service)
                doubled += len(after) != len(set(after)) or len(after) > len(set(before)) + 1
                acknowledged += _ids(answer)
            assert service.score("carpet", next(files)).status_code == 200
            if kill == num_kills:
                break
            killer = threading.Timer(draw.uniform(0.3, 4.0), _kill_all, args=(service,))
            killer.start()
            while True:
                broken_off = (f"key-{kill}-{len(acknowledged)}", next(files))
                try:
                    answer = _enroll(service, *broken_off)
                except requests.RequestException:
                    break
                if answer.status_code not in (200, 201):
                    break
                acknowledged += _ids(answer)
            killer.join()
    return {
        "kills": num_kills,
        "acknowledged": len(acknowledged),
        "sent_again": again,
        "lost": lost,
        "doubled": doubled,
    }


def _enroll(service: Service, key: str, data: bytes) -> requests.Response:
    return service.enroll("carpet", [data], headers={"Idempotency-Key": key})


def _ids(answer: requests.Response) -> list[str]:
    assert answer.status_code in (200, 201), answer.text
    return [reference["id"] for reference in answer.json()["added"]]


def _references(service: Service) -> list[str]:
    answer = service.ask("GET", "/v1/domains/carpet/references").json()
    return [reference["id"] for reference in answer["references"]]


def _kill_all(service: Service) -> None:
    """The process that was started, and all below it: those of Ray too."""
    found = _below(service.process.pid)
    for pid in (service.process.pid, *found):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _below(pid: int) -> list[int]:
    said = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True).stdout.split()
    return [below for child in map(int, said) for below in (child, *_below(child))]


if __name__ == "__main__":
    main()
