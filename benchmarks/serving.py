r"""What serving adds to scoring, and how it stands to anomalib behind FastAPI.

`overhead`: the scorer in this process (decoding, then `SurfaceScorer`; one photograph at a time, and 16 at
once) beside the same bundle over HTTP, with 1 client (latency) and with 16 (throughput). To be met: the
median at one client is at most 1.25 times that without HTTP + 5 ms, throughput at least .75 of that in
batches of 16.
`anomalib`: our `patchcore` beside anomalib's behind a plain FastAPI, with the same weights, references, image
size and coreset ratio. To be met: the median at one client is at most 1.1 times theirs, throughput with 16
clients at least 1.5 times theirs.

Rounds of both sides take turns, and medians over rounds are shown. The load comes from a process of its own
on the same cores, the bytes of every photograph are new, and answers are read whole. The service is
`dgad-serve up` or, with `--service plain`, the application in one process without Ray. Exits 1 where a target
is missed.

    python benchmarks/serving.py overhead
    python benchmarks/serving.py anomalib --anomalib-python /tmp/anomalib/bin/python

How to make that interpreter stands in `anomalib_agreement.py`.
"""

# N images, S pixels a side

import argparse
import contextlib
import dataclasses
import itertools
import json
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from anomalib_agreement import LAYERS
from safetensors.torch import save_file
from serving_load import unique_bodies

from dgad.bundle import write_bundle
from dgad.device import resolve_device
from dgad.domains.base import EncodedImage
from dgad.domains.demo import synthesize
from dgad.domains.geometry import Geometry
from dgad.domains.images import load_encoded
from dgad.errors import UserError
from dgad.features.cache import FeatureCache
from dgad.features.settings import FeatureSettings
from dgad.methods import METHODS, parse_method
from dgad.methods.base import Context, Method
from dgad.methods.patchcore import PatchcoreMethod, PatchcoreSettings
from serve.api.client import Client
from serve.engine.backend import Query
from serve.engine.scorer import SurfaceScorer

HERE = Path(__file__).parent
CLIENTS = 16
BATCH = 16
DOMAIN = "surface"
START_TIMEOUT_S = 180.0


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Side:
    """One of what is compared, over all rounds."""

    name: str
    rounds: list["Measured"] = dataclasses.field(default_factory=list)

    @property
    def median_ms(self) -> float:
        """Of a request."""
        return statistics.median(m.percentile_ms(50) for m in self.rounds)

    @property
    def slow_ms(self) -> float:
        """What 95% of requests take at most."""
        return statistics.median(m.percentile_ms(95) for m in self.rounds)

    @property
    def per_second(self) -> float:
        """Images."""
        return statistics.median(m.num_images / m.seconds for m in self.rounds)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """One round of one side."""

    seconds: float
    latencies_s: Sequence[float]
    images_each: int = 1

    @property
    def num_images(self) -> int:
        """Images that were scored."""
        return len(self.latencies_s) * self.images_each

    def percentile_ms(self, percent: float) -> float:
        """Of the latencies."""
        return 1000 * float(np.percentile(self.latencies_s, percent))


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Photographs:
    """PNG files on disk."""

    references: tuple[Path, ...]
    queries: tuple[Path, ...]

    @property
    def queries_folder(self) -> Path:
        """What the load generator reads."""
        return self.queries[0].parent

    def query_bytes(self) -> list[bytes]:
        """All queries."""
        return [path.read_bytes() for path in self.queries]


def write_photographs(folder: Path, options: argparse.Namespace) -> Photographs:
    """A procedural surface, large as photographs are: references, and queries of which half are defective."""
    synthesize(
        folder / "data",
        domains=("leather",),
        num_train=options.num_references,
        num_good=16,
        num_defective=16,
        size_px=options.photograph_size,
    )
    found: dict[str, tuple[Path, ...]] = {}
    for name, parts in (("references", ("train",)), ("queries", ("test",))):
        (folder / name).mkdir()
        sources = [p for part in parts for p in sorted((folder / "data" / "leather" / part).rglob("*.png"))]
        for index, source in enumerate(sources):
            (folder / name / f"{index:03d}.png").write_bytes(source.read_bytes())
        found[name] = tuple(sorted((folder / name).glob("*.png")))
    return Photographs(**found)


def fitted(label: str, options: argparse.Namespace) -> Method:
    """A method that needs no training, such as `comparer:builtin`."""
    name, _, settings = parse_method(label)
    if isinstance(settings, PatchcoreSettings):
        settings = dataclasses.replace(settings, coreset_ratio=options.coreset_ratio)
    features = FeatureSettings(
        backbone=options.backbone, weights=options.weights, scale=f"squash {options.image_size}"
    )
    context = Context(features=features, device=resolve_device(options.device), cache=FeatureCache(0))
    method = METHODS[name](settings, context)
    method.fit((), seed=0)
    return method


# The sides


def bare(scorer: SurfaceScorer, files: list[bytes], seconds: float, batch: int) -> Measured:
    """Decode and score in this process, `batch` at once, nothing else."""
    size, bodies = int(scorer.description["image_size_px"]), unique_bodies(files)
    latencies_s: list[float] = []
    began = time.perf_counter()
    while (started := time.perf_counter()) < began + seconds:
        datas = list(itertools.islice(bodies, batch))
        images = load_encoded(
            [EncodedImage(path="x.png", read=lambda d=d: d) for d in datas], Geometry(scale=f"squash {size}")
        )
        assert images.keys is not None
        queries = [
            Query(
                domain=DOMAIN,
                sequence=0,
                image=image,
                scale=f"squash {size}",
                key=key,
                width_px=size,
                height_px=size,
                wants_map=False,
            )
            for image, key in zip(images.stack().numpy(), images.keys, strict=True)
        ]
        for outcome in scorer.score(queries):
            if isinstance(outcome, UserError):
                raise outcome
        latencies_s.append(time.perf_counter() - started)
    return Measured(seconds=time.perf_counter() - began, latencies_s=latencies_s, images_each=batch)


def over_http(url: str, files: Path, seconds: float, clients: int) -> Measured:
    """The load generator's view."""
    command = [sys.executable, HERE / "serving_load.py", "--url", url, "--files", files]
    done = subprocess.run(
        [*map(str, command), "--clients", str(clients), "--seconds", str(seconds)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        sys.exit(f"The load generator failed.\n{done.stderr[-2000:]}")
    return Measured(**json.loads(done.stdout))


@contextlib.contextmanager
def started(command: Sequence[object], log: Path) -> Iterator[str]:
    """The URL that a service prints as its first line of JSON; it is ended with SIGTERM."""
    with open(log, "w") as errors:
        process = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=errors, text=True)
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line.startswith("{"):
                sys.exit(f"{' '.join(map(str, command))} did not start.\n{log.read_text()[-3000:]}")
            yield str(json.loads(line)["url"])
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                process.kill()


@contextlib.contextmanager
def served(
    method: Method, photographs: Photographs, folder: Path, options: argparse.Namespace
) -> Iterator[str]:
    """The URL of the domain's scores, its references enrolled; bundle and store lie in `folder`."""
    folder.mkdir()
    bundle, store = folder / "bundle", folder / "store"
    write_bundle(bundle, method, metrics={}, card="# Benchmark\n", provenance={"training_domains": []})
    command: list[object] = [
        sys.executable,
        HERE / "serving_plain.py",
        bundle,
        store,
        "--device",
        options.device,
    ]
    if options.service == "up":
        command = [sys.executable, "-m", "serve.cli", "up", "--bundle", bundle, "--store", store]
        command += ["--port", "0", "--json", "--device", options.device]
    with started(command, folder / "service.log") as url:
        with Client(url) as client:
            wait_until_ready(client)
            client.create(DOMAIN)
            client.enroll(DOMAIN, photographs.references)
        yield f"{url}/v1/domains/{DOMAIN}/score"


def wait_until_ready(client: Client) -> None:
    """Raises where the service is not up in time."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            if client.ready().ready:
                return
        except UserError:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.2)


@contextlib.contextmanager
def anomalib(
    method: PatchcoreMethod, photographs: Photographs, folder: Path, options: argparse.Namespace
) -> Iterator[str]:
    """The URL of anomalib's service."""
    folder.mkdir()
    settings = {
        "backbone": options.backbone,
        "layers": [LAYERS[s] for s in method.settings.strides],
        "coreset_ratio": method.settings.coreset_ratio,
        "num_neighbours": method.settings.num_neighbours,
        "seed": 0,
        "num_threads": torch.get_num_threads(),
        "image_size_px": options.image_size,
        "mean": method.backbone.mean.flatten().tolist(),
        "std": method.backbone.std.flatten().tolist(),
    }
    (folder / "settings.json").write_text(json.dumps(settings))
    weights = {name: value.contiguous() for name, value in method.backbone.body.state_dict().items()}
    save_file(weights, folder / "weights.safetensors")
    (folder / "references").mkdir()
    for path in photographs.references:
        (folder / "references" / path.name).write_bytes(path.read_bytes())
    command = [options.anomalib_python, HERE / "anomalib_service.py", folder]
    with started(command, folder / "service.log") as url:
        yield url


# What is compared


def overhead(folder: Path, photographs: Photographs, label: str, options: argparse.Namespace) -> bool:
    """Whether HTTP costs no more than it may."""
    method = fitted(label, options)
    one, many = Side(name="in process, 1 at a time"), Side(name=f"in process, {BATCH} at once")
    http, loaded = Side(name="HTTP, 1 client"), Side(name=f"HTTP, {CLIENTS} clients")
    files = photographs.query_bytes()
    with served(method, photographs, folder, options) as url:
        scorer = SurfaceScorer(folder / "bundle", str(folder / "store"), device=options.device)
        scorer.warm()
        for batch in (1, BATCH):
            bare(scorer, files, 0.5, batch)
        over_http(url, photographs.queries_folder, 0.5, CLIENTS)
        take_turns(
            options,
            (one, lambda: bare(scorer, files, options.seconds, 1)),
            (http, lambda: over_http(url, photographs.queries_folder, options.seconds, 1)),
            (many, lambda: bare(scorer, files, options.seconds, BATCH)),
            (loaded, lambda: over_http(url, photographs.queries_folder, options.seconds, CLIENTS)),
        )
    print_sides(f"{method.title} ({label}), served by {options.service}", (one, http, many, loaded))
    allowed_ms, needed = 1.25 * one.median_ms + 5, 0.75 * many.per_second
    return all(
        (
            told(f"latency at one client at most {allowed_ms:.1f} ms", http.median_ms <= allowed_ms),
            told(f"throughput at least {needed:.1f} a second", loaded.per_second >= needed),
        )
    )


def against_anomalib(folder: Path, photographs: Photographs, options: argparse.Namespace) -> bool:
    """Whether ours is as quick at one client, and scores more at many."""
    method = fitted("patchcore", options)
    assert isinstance(method, PatchcoreMethod)
    ours, ours_loaded = Side(name="ours, 1 client"), Side(name=f"ours, {CLIENTS} clients")
    theirs = {e: Side(name=f"anomalib {e}, 1 client") for e in ("score", "score_async")}
    theirs_loaded = {e: Side(name=f"anomalib {e}, {CLIENTS} clients") for e in theirs}
    queries = photographs.queries_folder
    with (
        served(method, photographs, folder / "ours", options) as url,
        anomalib(method, photographs, folder / "anomalib", options) as their_url,
    ):
        difference = largest_difference(url, their_url, photographs)
        rounds = [(ours, ours_loaded, url)]
        rounds += [(theirs[e], theirs_loaded[e], f"{their_url}/{e}") for e in theirs]
        for _, _, address in rounds:
            over_http(address, queries, 0.5, CLIENTS)
        take_turns(
            options,
            *(
                (side, lambda a=address, c=clients: over_http(a, queries, options.seconds, c))
                for position, clients in ((0, 1), (1, CLIENTS))
                for *sides, address in rounds
                for side in (sides[position],)
            ),
        )
    title = (
        f"PatchCore, coreset ratio {options.coreset_ratio:g}, ours served by {options.service}; image scores"
        f" differ by at most {100 * difference:.2g}%"
    )
    print_sides(title, (ours, *theirs.values(), ours_loaded, *theirs_loaded.values()))
    allowed_ms = 1.1 * min(side.median_ms for side in theirs.values())
    needed = 1.5 * max(side.per_second for side in theirs_loaded.values())
    return all(
        (
            told(f"latency at one client at most {allowed_ms:.1f} ms", ours.median_ms <= allowed_ms),
            told(f"throughput at least {needed:.1f} a second", ours_loaded.per_second >= needed),
        )
    )


def largest_difference(url: str, their_url: str, photographs: Photographs) -> float:
    """Of an image's score, relative to theirs; the two draw different coresets unless the ratio is 1."""
    import requests

    differences = []
    for data in photographs.query_bytes():
        mine = requests.post(url, data=data, headers={"Content-Type": "image/png"}, timeout=60).json()
        other = requests.post(f"{their_url}/score", data=data, timeout=60).json()
        differences.append(abs(mine["results"][0]["score"] - other["score"]) / abs(other["score"]))
    return max(differences)


def take_turns(options: argparse.Namespace, *sides: tuple[Side, Callable[[], Measured]]) -> None:
    """Every side once a round, so that what else the machine does meets all of them."""
    for _ in range(options.rounds):
        for side, measure in sides:
            side.rounds.append(measure())


def print_sides(title: str, sides: Sequence[Side]) -> None:
    """A row a side."""
    print(f"\n{title}\n{'':32}{'p50 ms':>9}{'p95 ms':>9}{'images/s':>10}{'requests':>10}")
    for side in sides:
        count = sum(len(m.latencies_s) for m in side.rounds)
        print(
            f"{side.name:32}{side.median_ms:9.1f}{side.slow_ms:9.1f}{side.per_second:10.1f}{count:10d}",
            flush=True,
        )


def told(target: str, is_met: bool) -> bool:
    """Print whether a target is met."""
    print(f"{'met' if is_met else 'MISSED':8}{target}", flush=True)
    return is_met


def parse_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", nargs="+", choices=("overhead", "anomalib"))
    parser.add_argument("--service", choices=("up", "plain"), default="up")
    parser.add_argument(
        "--methods",
        default="comparer:builtin,patchcore",
        help="of `overhead`; such as need no training (default: %(default)s)",
    )
    parser.add_argument("--anomalib-python", help="the interpreter that has anomalib")
    parser.add_argument("--backbone", default="resnet18", help="a ResNet of timm, for `anomalib`")
    parser.add_argument("--weights", default="builtin")
    parser.add_argument("--image-size", type=int, default=128, help="px a side as methods take them")
    parser.add_argument("--photograph-size", type=int, default=512, help="px a side of the files")
    parser.add_argument("--num-references", type=int, default=20)
    parser.add_argument("--coreset-ratio", type=float, default=0.25, help="of both PatchCores")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cpu", help="of ours; anomalib's is the CPU")
    options = parser.parse_args()
    if "anomalib" in options.what and not options.anomalib_python:
        parser.error("anomalib needs --anomalib-python")
    return options


def main() -> None:
    """Print the tables; exit 1 where a target is missed."""
    options = parse_options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that services started here end with it
    all_met = True
    with tempfile.TemporaryDirectory(prefix="dgad-serving-") as name:
        folder = Path(name)
        photographs = write_photographs(folder, options)
        kilobytes = statistics.mean(len(data) for data in photographs.query_bytes()) / 1000
        print(
            f"{options.backbone}, weights {options.weights}, {options.image_size} px from PNG of"
            f" {options.photograph_size} px ({kilobytes:.0f} kB), {len(photographs.references)} references,"
            f" {options.device}, {torch.get_num_threads()} threads, {options.rounds} rounds of"
            f" {options.seconds:g} s"
        )
        if "overhead" in options.what:
            for label in options.methods.split(","):
                place = folder / label.replace(":", "_")
                all_met &= overhead(place, photographs, label, options)
        if "anomalib" in options.what:
            all_met &= against_anomalib(folder, photographs, options)
    sys.exit(0 if all_met else 1)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"{error}")
