"""The service by the size of the photograph: `python benchmarks/resolution_http.py --megapixels 1,5,20`.

For every size and number of clients: the median and the longest latency of a request that scores one JPEG
photograph, megapixels a second, and the memory that the scorer has at most, idle and over that. Every client
sends its next photograph when it has the answer to the last, and no two bodies are equal. The service is
`dgad-serve up`, or with `--service plain` the application in one process without Ray, whose memory is then
that of scorer and ingress together. References are photographs of one megapixel.
"""

# H, W rows and columns of a photograph

import argparse
import dataclasses
import io
import secrets
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import psutil
import requests
import torch
from PIL import Image
from serving import DOMAIN, HERE, started, wait_until_ready

from dgad.bundle import write_bundle
from dgad.device import resolve_device
from dgad.domains.procedural import draw_domain
from dgad.errors import UserError
from dgad.features.cache import FeatureCache
from dgad.features.settings import FeatureSettings
from dgad.methods import METHODS, parse_method
from dgad.methods.base import Context
from serve.api.client import Client

MIB = 2**20
_SCORER = "scorer"
_IDLE_AFTER_S = 15.0
"""A service gives freed memory back some ten seconds after its last work."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """One size with one number of clients."""

    latencies_s: Sequence[float]
    seconds: float
    idle_mib: float
    peak_mib: float


def photograph(megapixels: float, seed: int) -> bytes:
    """A JPEG of 4 to 3: one procedural surface, continued by mirror images of itself."""
    drawn = draw_domain(seed, image_size_px=512, num_normal=1, num_abnormal=0, families=("cellular",))
    height = round((megapixels * 1e6 * 3 / 4) ** 0.5)
    width = round(megapixels * 1e6 / height)
    pixels = np.pad(
        drawn.images[0].permute(1, 2, 0).numpy(),
        ((0, max(0, height - 512)), (0, max(0, width - 512)), (0, 0)),
        mode="symmetric",
    )
    file = io.BytesIO()
    Image.fromarray(pixels[:height, :width]).save(file, "JPEG", quality=92)
    return file.getvalue()


def unique(jpeg: bytes) -> bytes:
    """The same picture with a comment of its own."""
    comment = secrets.token_hex(8).encode()
    return jpeg[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + jpeg[2:]


def load(url: str, jpeg: bytes, *, clients: int, requests_each: int) -> tuple[float, list[float]]:
    """(seconds it took, seconds of every request); raises where an answer is not 200."""
    latencies_s: list[float] = []
    failures: list[str] = []

    def client() -> None:
        with requests.Session() as session:
            for _ in range(requests_each):
                body, began = unique(jpeg), time.perf_counter()
                answer = session.post(url, data=body, headers={"Content-Type": "image/jpeg"}, timeout=900)
                if answer.status_code != 200:
                    failures.append(f"{answer.status_code}: {answer.text[:300]}")
                    return
                latencies_s.append(time.perf_counter() - began)

    began = time.perf_counter()
    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise RuntimeError(f"{url} answered {failures[0]}")
    return time.perf_counter() - began, latencies_s


def scorer_processes() -> Iterator[psutil.Process]:
    """Of the service that this process started: those whose name tells that they score, or all."""
    children = psutil.Process().children(recursive=True)
    named = [p for p in children if _SCORER in " ".join(p.cmdline()).lower() and "ray::" in p.cmdline()[0]]
    yield from named or [p for p in children if "serving_plain.py" in " ".join(p.cmdline())]


def status_mib(process: psutil.Process, name: str) -> float:
    """`VmRSS` or `VmHWM` of a process."""
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{name}:"))


def measure(url: str, jpeg: bytes, clients: int, options: argparse.Namespace) -> Measured:
    """One size with one number of clients; the memory is the largest of the scorers."""
    load(url, jpeg, clients=1, requests_each=1)  # what is made once is made by now
    scorers = list(scorer_processes())
    if not scorers:
        raise RuntimeError("No process of the service is known by its name as a scorer.")
    time.sleep(_IDLE_AFTER_S)
    idle_mib = max(status_mib(p, "VmRSS") for p in scorers)
    for process in scorers:
        Path(f"/proc/{process.pid}/clear_refs").write_text("5")  # forgets the peak of what came before
    seconds, latencies_s = load(url, jpeg, clients=clients, requests_each=options.requests)
    return Measured(
        latencies_s=latencies_s,
        seconds=seconds,
        idle_mib=idle_mib,
        peak_mib=max(status_mib(p, "VmHWM") for p in scorers),
    )


def write_service(folder: Path, options: argparse.Namespace) -> list[object]:
    """Write the bundle; the command that serves it."""
    name, _, settings = parse_method(options.method)
    features = FeatureSettings(backbone=options.backbone, weights=options.weights, scale=options.scale)
    context = Context(features=features, device=resolve_device(options.device), cache=FeatureCache(0))
    method = METHODS[name](settings, context)
    method.fit((), seed=0)
    bundle, store = folder / "bundle", folder / "store"
    write_bundle(bundle, method, metrics={}, card="# Benchmark\n", provenance={"training_domains": []})
    if options.service == "plain":
        command: list[object] = [sys.executable, HERE / "serving_plain.py", bundle, store]
        return [*command, "--device", options.device, "--request-timeout", options.request_timeout]
    command = [sys.executable, "-m", "serve.cli", "up", "--bundle", bundle, "--store", store]
    return [*command, "--port", "0", "--json", "--device", options.device]


def parse_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--megapixels", default="1,5,20")
    parser.add_argument("--clients", default="1,8")
    parser.add_argument("--requests", type=int, default=3, help="of each client")
    parser.add_argument("--service", choices=("up", "plain"), default="up")
    parser.add_argument("--request-timeout", type=float, default=600.0, help="seconds; of `plain`")
    parser.add_argument("--method", default="patch_knn", help="such as needs no training")
    parser.add_argument("--scale", default="auto")
    parser.add_argument("--num-references", type=int, default=10)
    parser.add_argument("--backbone", default="resnet18")
    parser.add_argument("--weights", default="builtin")
    parser.add_argument("--device", default="cpu")
    return parser.parse_args()


def main() -> None:
    """Print the table."""
    options = parse_options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that a service started here ends with it
    print(
        f"{options.method}, {options.backbone}, `{options.scale}`, {options.num_references} references of one"
        f" megapixel, {options.device}, {torch.get_num_threads()} threads, served by {options.service}\n"
        f"{'megapixels':>10}{'clients':>9}{'p50 s':>9}{'longest s':>11}{'Mpx/s':>8}{'idle MiB':>10}"
        f"{'peak MiB':>10}{'over idle':>11}{'requests':>10}"
    )
    with tempfile.TemporaryDirectory(prefix="dgad-resolution-http-") as name:
        folder = Path(name)
        command = write_service(folder, options)
        with started(command, folder / "service.log") as url:
            with Client(url) as client:
                wait_until_ready(client)
                client.create(DOMAIN)
                references = []
                for index in range(options.num_references):
                    references.append(folder / f"{index}.jpg")
                    references[-1].write_bytes(photograph(1, seed=index))
                client.enroll(DOMAIN, references)
            for megapixels in map(float, options.megapixels.split(",")):
                jpeg = photograph(megapixels, seed=1000)
                for clients in map(int, options.clients.split(",")):
                    found = measure(f"{url}/v1/domains/{DOMAIN}/score", jpeg, clients, options)
                    done = len(found.latencies_s)
                    print(
                        f"{megapixels:10g}{clients:9d}{statistics.median(found.latencies_s):9.2f}"
                        f"{max(found.latencies_s):11.2f}{done * megapixels / found.seconds:8.2f}"
                        f"{found.idle_mib:10.0f}{found.peak_mib:10.0f}{found.peak_mib - found.idle_mib:11.0f}"
                        f"{done:10d}",
                        flush=True,
                    )


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"{error}")
