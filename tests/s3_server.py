"""A real local S3 server for tests: moto's, in an environment of its own, since its libraries differ."""

import contextlib
import dataclasses
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

_ROOT = Path(__file__).parents[1]
_START_TIMEOUT_S = 60.0
KEYS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class S3Server:
    """A running server with one bucket."""

    port: int
    process: "subprocess.Popen[bytes]"

    def uri(self, path: str) -> str:
        """Of a place in the bucket `shelf`."""
        return f"s3://{path}?endpoint_override=127.0.0.1:{self.port}&scheme=http&region=us-east-1"


def program() -> str | None:
    """`moto_server`: of `.venv-s3`, which `.ci/run` makes, or whichever is installed."""
    own = _ROOT / ".venv-s3" / "bin" / "moto_server"
    return str(own) if own.is_file() else shutil.which("moto_server")


def missing() -> str | None:
    """Why there is no server here."""
    if program() is None:
        return "there is no S3 server: python3 -m venv .venv-s3 && .venv-s3/bin/pip install 'moto[server]'"
    return None


@contextlib.contextmanager
def s3_server(log: Path) -> Iterator[S3Server]:
    """A server on a free port with the bucket `shelf`; the environment must hold `KEYS`."""
    from pyarrow import fs

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(program()), "-H", "127.0.0.1", "-p", str(port)], stdout=output, stderr=output
        )
    try:
        deadline = time.monotonic() + _START_TIMEOUT_S
        while True:
            with contextlib.suppress(urllib.error.URLError, ConnectionError):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/moto-api/").close()
                break
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        store = fs.S3FileSystem(
            endpoint_override=f"127.0.0.1:{port}",
            scheme="http",
            region="us-east-1",
            access_key=KEYS["AWS_ACCESS_KEY_ID"],
            secret_key=KEYS["AWS_SECRET_ACCESS_KEY"],
            allow_bucket_creation=True,
        )
        store.create_dir("shelf")
        yield S3Server(port=port, process=process)
    finally:
        process.kill()
        process.wait()
