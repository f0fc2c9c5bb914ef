"""A Ray that already runs, from inside a job or on its head: connect, see its nodes, ask each of them."""

import contextlib
import dataclasses
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Generic, TypeVar

from cluster.embedded import prepare_environment
from cluster.tokens import Token, read_token
from dgad.errors import ClusterError, SettingsError, UnreachableError

_NAMESPACE = "dgad"
_ANSWER_TIMEOUT_S = 10.0
_HEAD = "node:__internal_head__"

_T = TypeVar("_T")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Node:
    """A machine of the cluster, and the resources it offers to trials."""

    node_id: str
    address: str
    num_cpus: int
    num_gpus: int
    memory_bytes: int
    is_head: bool
    is_alive: bool
    """Whether it takes work now; of a dead node Ray keeps only the address."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ClusterRay:
    """The Ray that this process is connected to, with its nodes."""

    dashboard_url: str | None
    """URL of the dashboard, as the head itself reaches it."""
    nodes: tuple[Node, ...]
    """Every node that ever joined, dead ones among them, the head first."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class NodeResult(Generic[_T]):
    """The outcome of a function on one node: its `value`, or the reason in one line why there is none."""

    value: _T | None
    error: str | None


@contextlib.contextmanager
def connect_to_ray(address: str) -> Iterator[ClusterRay]:
    """Connect to the Ray at `address` (HOST:PORT of its GCS, or `auto`: the one this job runs on).

    Inside a job its code, environment and files hold for every task and actor. Raises `UnreachableError`
    where no Ray answers, `ClusterError` for another version or token.
    """
    prepare_environment()
    import ray
    from ray.exceptions import AuthenticationError

    if "://" in address:
        raise SettingsError(f"`address` must be HOST:PORT of a Ray, or auto, but got {address!r}.")
    token = read_token()
    wanted = os.environ.get("RAY_ADDRESS", "auto") if address == "auto" else address
    if wanted != "auto":  # Ray itself would try a dead address for up to 14 minutes
        _check_answers(wanted, token)
    on_terminate = signal.getsignal(signal.SIGTERM)
    try:
        context = ray.init(
            address=wanted, namespace=_NAMESPACE, log_to_driver=False, logging_level=logging.ERROR
        )
    except AuthenticationError:
        raise _refused(wanted, token) from None
    except (ConnectionError, TimeoutError):
        raise UnreachableError(_no_answer(wanted)) from None
    except RuntimeError as error:
        if "Version mismatch" not in str(error):
            raise
        raise ClusterError(f"The Ray at {wanted} differs from the one here: {_joined(str(error))}") from None
    # Ray puts its own handler there, which exits at once: who has set one before wants theirs.
    if callable(on_terminate) and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, on_terminate)
    try:
        url = context.dashboard_url
        yield ClusterRay(dashboard_url=f"http://{url}" if url else None, nodes=_nodes())
    finally:
        ray.shutdown()


def list_live_nodes() -> tuple[Node, ...]:
    """List the nodes that are alive now, the head first."""
    return tuple(node for node in _nodes() if node.is_alive)


def call_on_every_node(
    function: Callable[..., _T], *args: Any, timeout_s: float
) -> Mapping[Node, NodeResult[_T]]:
    """Call `function` once on every live node, at the same time, and wait for all of them.

    It takes no resources there, so busy nodes answer too.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    remote = ray.remote(num_cpus=0, max_retries=0)(function)
    asked = {
        node: remote.options(
            scheduling_strategy=NodeAffinitySchedulingStrategy(node.node_id, soft=False)
        ).remote(*args)
        for node in list_live_nodes()
    }
    deadline = time.monotonic() + timeout_s
    results: dict[Node, NodeResult[_T]] = {}
    for node, reference in asked.items():
        results[node] = _result(reference, deadline, timeout_s)
    return results


def _result(reference: Any, deadline: float, timeout_s: float) -> NodeResult[Any]:
    import ray
    from ray.exceptions import GetTimeoutError, RayError, RayTaskError

    try:
        return NodeResult(value=ray.get(reference, timeout=max(0.0, deadline - time.monotonic())), error=None)
    except GetTimeoutError:
        ray.cancel(reference, force=True)
        return NodeResult(value=None, error=f"no answer within {timeout_s:g} s")
    except RayTaskError as error:  # raised by the function
        return NodeResult(value=None, error=_joined(f"{type(error.cause).__name__}: {error.cause}"))
    except RayError as error:  # the worker, its environment or its node failed
        return NodeResult(value=None, error=_joined(f"{type(error).__name__}: {error}"))


def _nodes() -> tuple[Node, ...]:
    import ray

    entries: list[Mapping[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return tuple(sorted(map(_node, entries), key=lambda n: (not n.is_head, n.address, n.node_id)))


def _node(entry: Mapping[str, Any]) -> Node:
    resources: Mapping[str, float] = entry["Resources"]
    return Node(
        node_id=entry["NodeID"],
        address=entry["NodeManagerAddress"],
        num_cpus=int(resources.get("CPU", 0)),
        num_gpus=int(resources.get("GPU", 0)),
        memory_bytes=int(resources.get("memory", 0)),
        is_head=_HEAD in resources,
        is_alive=bool(entry["Alive"]),
    )


def _check_answers(address: str, token: Token | None) -> None:
    """Raise unless a Ray of our version answers there and takes our token; in milliseconds."""
    import grpc
    import ray
    from ray.core.generated import gcs_service_pb2, gcs_service_pb2_grpc

    requests: Any = gcs_service_pb2  # generated code, which no checker can see into
    services: Any = gcs_service_pb2_grpc

    headers = [("authorization", token.authorization)] if token else []
    with grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)]) as channel:
        try:
            reply = services.NodeInfoGcsServiceStub(channel).CheckAlive(
                requests.CheckAliveRequest(), timeout=_ANSWER_TIMEOUT_S, metadata=headers
            )
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.UNAUTHENTICATED:
                raise _refused(address, token) from None
            raise UnreachableError(_no_answer(address)) from None
    if reply.ray_version != ray.__version__:
        raise ClusterError(
            f"Ray {reply.ray_version} runs at {address}, and {ray.__version__} is installed here: a process "
            "can only join a Ray of its own version; use the interpreter that this Ray was started with."
        )


def _no_answer(address: str) -> str:
    where = "on this machine" if address == "auto" else f"at {address}"
    return f"No Ray answers {where}: is it up, and is this the address that `ray start` printed on its head?"


def _refused(address: str, token: Token | None) -> ClusterError:
    whose = f"the token from {token.source}" if token else "anyone without a token, and there is none here"
    return ClusterError(f"The Ray at {address} does not take {whose}: it must be the one of its head.")


def _joined(text: str) -> str:
    return " ".join(text.split())
