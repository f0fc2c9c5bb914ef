"""The HTTP application in one process, without Ray: `python benchmarks/serving_plain.py BUNDLE STORE`.

Prints one line of JSON with its `url` and serves until it is ended; `serving.py --service plain` starts it.
"""

import argparse
import json
import socket

import uvicorn

from serve.engine.in_process import InProcessBackend
from serve.http.app import make_app
from serve.settings import ServeSettings


def main() -> None:
    """Serve on a free port of this machine."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle")
    parser.add_argument("store")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--request-timeout", type=float, default=30.0, help="seconds")
    options = parser.parse_args()
    settings = ServeSettings(
        bundle=options.bundle,
        store=options.store,
        device=options.device,
        request_timeout_s=options.request_timeout,
    )
    # A protocol of 0 would leave TCP_NODELAY unset, and every second answer 40 ms late.
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.bind(("127.0.0.1", 0))
    app = make_app(settings, InProcessBackend(settings))
    print(json.dumps({"url": f"http://127.0.0.1:{listening.getsockname()[1]}"}), flush=True)
    uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False)).run([listening])


if __name__ == "__main__":
    main()
