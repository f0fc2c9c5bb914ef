"""Load on an HTTP service that scores one photograph a request; `serving.py` starts it in its own process.

    python benchmarks/serving_load.py --clients 16 --files DIR --url http://127.0.0.1:8000/v1/domains/belt/score

Every client keeps one connection and sends the next photograph when it has the answer to the last. No two
requests carry the same bytes, so that no service answers from a cache. Prints one JSON object: `seconds`,
and `latencies_s` of all requests.
"""

import argparse
import asyncio
import itertools
import json
import secrets
import struct
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import aiohttp

_PNG_END = b"\x00\x00\x00\x00IEND\xaeB`\x82"


def unique(png: bytes, text: str) -> bytes:
    """The same picture with `text` as a comment: what is known by its bytes is not known already."""
    if not png.endswith(_PNG_END):
        raise ValueError("A PNG file must end with its end chunk.")
    content = b"tEXtComment\x00" + text.encode("latin-1")
    chunk = struct.pack(">I", len(content) - 4) + content + struct.pack(">I", zlib.crc32(content))
    return png[: -len(_PNG_END)] + chunk + _PNG_END


async def load(url: str, files: list[bytes], *, clients: int, seconds: float) -> tuple[float, list[float]]:
    """(seconds it took, seconds of every request); raises where an answer is not 200."""
    latencies_s: list[float] = []
    bodies = unique_bodies(files)
    connector = aiohttp.TCPConnector(limit=clients)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def ask() -> None:
            body = next(bodies)
            began = time.perf_counter()
            async with session.post(url, data=body, headers={"Content-Type": "image/png"}) as answer:
                text = await answer.text()
                if answer.status != 200:
                    raise RuntimeError(f"{url} answered {answer.status}: {text[:300]}")
            latencies_s.append(time.perf_counter() - began)

        async def client(until: float) -> None:
            while time.perf_counter() < until:
                await ask()

        await asyncio.gather(*(ask() for _ in range(clients)))  # connections are open, and all is warm
        latencies_s.clear()
        began = time.perf_counter()
        await asyncio.gather(*(client(began + seconds) for _ in range(clients)))
        return time.perf_counter() - began, latencies_s


def unique_bodies(files: list[bytes]) -> Iterator[bytes]:
    """Endless; no two of any run are equal."""
    run = secrets.token_hex(8)
    for number, data in enumerate(itertools.cycle(files)):
        yield unique(data, f"{run}-{number}")


def main() -> None:
    """Run the load and print what it saw."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--url", required=True)
    parser.add_argument("--files", type=Path, required=True, help="folder of PNG files")
    parser.add_argument("--clients", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=10.0)
    options = parser.parse_args()
    files = [path.read_bytes() for path in sorted(options.files.glob("*.png"))]
    seconds, latencies_s = asyncio.run(
        load(options.url, files, clients=options.clients, seconds=options.seconds)
    )
    print(json.dumps({"seconds": seconds, "latencies_s": latencies_s}))


if __name__ == "__main__":
    main()
