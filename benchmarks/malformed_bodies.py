"""Malformed requests against the service: `python benchmarks/malformed_bodies.py --count 300`.

A generated corpus (cut, flipped, huge and hollow images, files that are two things at once, broken forms,
odd names, lengths, headers, paths, JSON, and what is no HTTP at all) is sent by a raw socket to the real
application with a small bundle, in this process, or to a running service of yours at `--url` (it gets a
domain `malformed`). Then schemathesis makes requests of the OpenAPI document. No answer may be a 500, and
what must be refused must be. Exits 1 otherwise.
"""

import argparse
import collections
import contextlib
import logging
import subprocess
import sys
import sysconfig
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import requests

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.serve.support.live import serving  # the corpus is that of the tests
from tests.serve.support.malformed import DOMAIN, complaint, corpus, send
from tests.serve.support.malformed_images import valid

_CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,"
    "response_schema_conformance,negative_data_rejection,missing_required_header,unsupported_method,"
    "allow_header_conformance"
)


@contextlib.contextmanager
def small_service() -> Iterator[str]:
    """The application over one process with drawn weights; its URL."""
    from serve.engine.in_process import InProcessBackend
    from serve.http.app import make_app
    from serve.settings import ServeSettings
    from tests.serve.support.surfaces import bundled

    with tempfile.TemporaryDirectory() as folder:
        bundled(Path(folder) / "bundle", "patch_knn")
        settings = ServeSettings(bundle=f"{folder}/bundle", store=f"{folder}/store", device="cpu", port=0)
        backend = InProcessBackend(settings)
        with contextlib.closing(backend), serving(make_app(settings, backend)) as url:
            yield url


def send_corpus(url: str, count: int, seed: int) -> int:
    """Prints a table of kinds and statuses; how many answers were wrong."""
    requests.put(f"{url}/v1/domains/{DOMAIN}", timeout=60).raise_for_status()
    requests.post(f"{url}/v1/domains/{DOMAIN}/references", data=valid("PNG"), timeout=60).raise_for_status()
    statuses: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    wrong = []
    for case in corpus(count, seed):
        answered = send(url, case)
        statuses[case.name][str(answered.status or "closed")] += 1
        if (reason := complaint(case, answered)) is not None:
            wrong.append(f"{case.name}: {reason}")
    for name, counted in sorted(statuses.items()):
        print(f"{name:22} " + "  ".join(f"{status} x{n}" for status, n in sorted(counted.items())))
    total: collections.Counter[str] = sum(statuses.values(), collections.Counter())
    num_500 = sum(n for status, n in total.items() if status.startswith("5"))
    print(f"{count} malformed requests (seed {seed}): {num_500} answers of 5xx, {len(wrong)} wrong.")
    for line in wrong:
        print(f"  {line}")
    scored = requests.post(f"{url}/v1/domains/{DOMAIN}/score", data=valid("PNG"), timeout=60)
    print(f"A good photograph afterwards: {scored.status_code}.")
    return len(wrong) + num_500 + (scored.status_code != 200)


def run_schemathesis(url: str, max_examples: int, seed: int) -> int:
    """Its own report; 0 where it found nothing."""
    program = Path(sysconfig.get_path("scripts")) / "schemathesis"
    command = [str(program), "run", f"{url}/openapi.json", "--checks", _CHECKS, "--no-color"]
    command += ["--max-examples", str(max_examples), "--seed", str(seed), "--warnings", "off"]
    with tempfile.TemporaryDirectory() as folder:  # it keeps its examples where it runs
        return subprocess.run(command, cwd=folder, check=False).returncode


def main() -> None:
    """Send both; exit 1 where an answer was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=300, help="malformed requests of the corpus")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--examples", type=int, default=100, help="per operation, by schemathesis; 0: none")
    parser.add_argument("--url", help="a running service without keys, instead of one in this process")
    given = parser.parse_args()
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # one line for each that is no HTTP
    warnings.filterwarnings("ignore", module="PIL")
    with contextlib.ExitStack() as stack:
        url = given.url or stack.enter_context(small_service())
        num_wrong = send_corpus(url, given.count, given.seed)
        if given.examples:
            num_wrong += run_schemathesis(url, given.examples, given.seed)
    sys.exit(1 if num_wrong else 0)


if __name__ == "__main__":
    main()
