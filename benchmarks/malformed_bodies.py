"""Malformed requests against the service: `python benchmarks/malformed_bodies.py --count 300`.

A generated corpus (cut, flipped, huge and hollow images, files that are two things at once, broken forms,
odd names, lengths, headers, paths, JSON, and what is no HTTP at all) is sent by a raw socket to the real
application with a small bundle, in this process, or to a running service of yours at `--url` (it gets a
domain `malformed`). Then schemathesis makes requests of the OpenAPI document. No answer may be a 500, and
what must be refused must be. Exits 1 otherwise.

Last come decode bombs: bodies of at most 1 MB that would take far more time or memory than that to decode,
each alone and as often as 1 MB holds it, while somebody else asks for the domain. Shown are the longest time
and the largest memory that any takes, of this process and its children over what they have before (Linux;
not of a service at `--url`). Aims: 2 s, 512 MiB, and .5 s for the other's longest answer.
"""

import argparse
import collections
import contextlib
import dataclasses
import itertools
import logging
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import psutil
import requests

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests import decode_bombs
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


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Felt:
    """What one body did."""

    name: str
    status: int
    seconds: float
    cpu_s: float
    """Of this process's children."""
    mib: float
    """The most that this process and its children had at one moment, over what they had before."""
    message: str


def send_bombs(url: str, count: int, *, is_ours: bool) -> int:
    """Prints what each body took, and the most; how many answers were wrong."""
    felt = []
    with asking(f"{url}/v1/domains/{DOMAIN}") as other_s:
        for name, make in itertools.islice(decode_bombs.BOMBS.items(), count):
            bomb = make()
            copies = max(1, min(256, decode_bombs.MOST_BYTES // len(bomb)))
            for times in sorted({1, copies}):
                one = send_bomb(url, f"{name} x {times}", [bomb] * times, is_ours=is_ours)
                felt.append(one)
                figures = f"{one.seconds:6.2f} s {one.cpu_s:6.2f} CPU s {one.mib:6.0f} MiB"
                print(f"{one.name:42} {one.status} {figures}  {one.message}")
    longest, largest = max(felt, key=lambda f: f.seconds), max(felt, key=lambda f: f.mib)
    print(f"Longest of {len(felt)} bodies: {longest.seconds:.2f} s ({longest.name}).")
    if is_ours:
        busiest = max(felt, key=lambda f: f.cpu_s)
        print(f"Most CPU time: {busiest.cpu_s:.2f} s ({busiest.name}).")
        print(f"Most memory: {largest.mib:.0f} MiB ({largest.name}).")
    slowest = sorted(other_s)
    print(
        f"Another's {len(slowest)} answers meanwhile: median {1e3 * slowest[len(slowest) // 2]:.0f} ms,"
        f" longest {1e3 * slowest[-1]:.0f} ms."
    )
    return sum(one.status not in (200, 422) for one in felt)


def send_bomb(url: str, name: str, files: list[bytes], *, is_ours: bool) -> Felt:
    """Score photographs of one body."""
    time.sleep(0.5)  # processes that were ended are started again
    with watching(is_ours) as used:
        form = [("files", (f"{i}.x", data)) for i, data in enumerate(files)]
        started = time.perf_counter()
        answer = requests.post(f"{url}/v1/domains/{DOMAIN}/score", files=form, timeout=600)
        seconds = time.perf_counter() - started
    return Felt(
        name=name,
        status=answer.status_code,
        seconds=seconds,
        cpu_s=sum(peak.cpu_s for peak in used.peaks.values()),
        mib=max(used.together_mib, *(peak.mib for peak in used.peaks.values())) if used.peaks else 0.0,
        message="" if answer.ok else str(answer.json()["error"]["message"])[:100],
    )


@dataclasses.dataclass(kw_only=True, slots=True)
class Peak:
    """What a process used since it was first looked at."""

    first_mib: float
    first_cpu_s: float
    mib: float = 0.0
    cpu_s: float = 0.0


@dataclasses.dataclass(kw_only=True, slots=True)
class Used:
    """What this process and its children used."""

    peaks: dict[int, Peak] = dataclasses.field(default_factory=dict)
    """By number of the process; their peaks need not be of one moment."""
    together_mib: float = 0.0
    """The most at one moment, of a hundred a second."""


@contextlib.contextmanager
def watching(is_ours: bool) -> Iterator[Used]:
    """What this process and its children use meanwhile."""
    used = Used()
    stop = threading.Event()

    def look() -> None:
        ours = psutil.Process()
        together_mib = 0.0
        for process in (ours, *ours.children(recursive=True)):
            with contextlib.suppress(OSError, psutil.Error, KeyError):  # it has ended, or is about to
                lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
                told = (line.partition(":") for line in lines if line.startswith("Vm"))
                sizes = {name: int(value.split()[0]) / 1024 for name, _, value in told}
                times = process.cpu_times()
                cpu_s = times.user + times.system
                new = Peak(first_mib=sizes["VmRSS"], first_cpu_s=cpu_s)
                peak = used.peaks.setdefault(process.pid, new)
                together_mib += max(0.0, sizes["VmRSS"] - peak.first_mib)
                peak.mib = max(peak.mib, sizes["VmHWM"] - peak.first_mib)
                peak.cpu_s = cpu_s - peak.first_cpu_s if process.pid != ours.pid else 0.0
        used.together_mib = max(used.together_mib, together_mib)

    def go_on() -> None:
        while not stop.wait(0.01):
            look()

    if is_ours:
        for process in (psutil.Process(), *psutil.Process().children(recursive=True)):
            with contextlib.suppress(OSError):  # forget the peak of what came before
                Path(f"/proc/{process.pid}/clear_refs").write_text("5")
        look()
        watcher = threading.Thread(target=go_on)
        watcher.start()
    try:
        yield used
    finally:
        stop.set()
        if is_ours:
            watcher.join()
            look()


@contextlib.contextmanager
def asking(url: str) -> Iterator[list[float]]:
    """Seconds that each answer took to somebody who asks all the time."""
    seconds: list[float] = []
    stop = threading.Event()

    def ask() -> None:
        with requests.Session() as session:
            while not stop.wait(0.02):
                started = time.perf_counter()
                session.get(url, timeout=600).raise_for_status()
                seconds.append(time.perf_counter() - started)

    asker = threading.Thread(target=ask)
    asker.start()
    try:
        yield seconds
    finally:
        stop.set()
        asker.join()


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
    parser.add_argument("--bombs", type=int, default=1000, help="decode bombs of so many kinds; 0: none")
    parser.add_argument("--url", help="a running service without keys, instead of one in this process")
    given = parser.parse_args()
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # one line for each that is no HTTP
    warnings.filterwarnings("ignore", module="PIL")
    with contextlib.ExitStack() as stack:
        url = given.url or stack.enter_context(small_service())
        num_wrong = send_corpus(url, given.count, given.seed)
        if given.examples:
            num_wrong += run_schemathesis(url, given.examples, given.seed)
        if given.bombs:
            num_wrong += send_bombs(url, given.bombs, is_ours=given.url is None)
    sys.exit(1 if num_wrong else 0)


if __name__ == "__main__":
    main()
