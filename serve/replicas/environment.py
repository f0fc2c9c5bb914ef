"""The environment that every process of a service starts with: guarded, and without Serve's detours.

Measured on 2 cores (docs/lab/log.md): calls between deployments by gRPC instead of by Ray's object store, and
user code, router and replica in one event loop, save a third of the time that Serve adds to a request.

No HAProxy (`RAY_SERVE_ENABLE_HA_PROXY`): its statistics and metrics listen on every interface whatever
`host` says (haproxy_templates.py of Ray 2.60: `bind *:stats_port`, `bind :metrics_port`), and it makes
every replica listen on every interface too. Nor direct ingress, which gives every replica its own port: on
one machine ingresses listen by themselves (`serve.replicas.listener`).
"""

import os
from collections.abc import Mapping

from cluster.embedded import prepare_environment

MAX_MESSAGE_BYTES = 512 * 2**20
"""Of one call between deployments, or its answer. Serve's default, 4 MiB, is less than one batch of larger
images, or than the heatmaps of 16 images of 256 px. Calls stay far below: `serve.replicas.backend` bounds a
batch, `serve.replicas.parcels` cuts enrolments. What exceeds it all the same is refused with a 413."""

SERVE_ENVIRONMENT: Mapping[str, str] = {
    "RAY_SERVE_ENABLE_HA_PROXY": "0",
    "RAY_SERVE_ENABLE_DIRECT_INGRESS": "0",
    "RAY_SERVE_USE_GRPC_BY_DEFAULT": "1",
    "RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH": str(MAX_MESSAGE_BYTES),
    "RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD": "0",
    "RAY_SERVE_RUN_ROUTER_IN_SEPARATE_LOOP": "0",
    # One that hangs would never answer to be ended; it would have its whole time for that, and a writer that
    # wakes up again would write beside its successor.
    "RAY_SERVE_FORCE_STOP_UNHEALTHY_REPLICAS": "1",
    # Every line would be written twice, to Serve's own files and to the worker's.
    "RAY_SERVE_LOG_TO_STDERR": "0",
    # Ten times a second, as they come, both would take a twentieth of a core with nothing to do.
    "RAY_SERVE_CONTROL_LOOP_INTERVAL_S": "0.5",
    "RAY_SERVE_METRICS_EXPORT_INTERVAL_MS": "1000",
    # Between two layers OpenMP's threads wait awake; between two batches they leave the cores to decoding.
    "GOMP_SPINCOUNT": "1000",
}

LOGGING = {"enable_access_log": False, "log_level": "WARNING"}
"""The application logs its requests itself, with their ids; Serve would do it twice more."""


def prepare_serve_environment() -> None:
    """To be called before Ray is first imported; every process that Ray starts inherits it."""
    prepare_environment()
    os.environ.update(SERVE_ENVIRONMENT)
