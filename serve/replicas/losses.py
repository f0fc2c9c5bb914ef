"""Which failed calls between replicas are losses, to be asked again, and which are answers."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from ray.exceptions import RayError, RayTaskError
from ray.serve.exceptions import RayServeException

from dgad.errors import DgadError
from serve.engine.backend import TooLargeError, UnavailableError
from serve.replicas.environment import MAX_MESSAGE_BYTES

logger = logging.getLogger(__name__)

MAX_LOSSES = 6
"""Deaths of whoever had it after which a request is given up: it may be what kills them."""
_RETRY_PAUSE_S = 0.5

_LOST = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.CANCELLED,  # by a replica that is being ended
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.INTERNAL,  # a connection that was reset in the middle of a call
        grpc.StatusCode.DEADLINE_EXCEEDED,
    }
)
"""What gRPC says when the other side has gone. All else is said by somebody who lives, and says it again."""


class ParcelLostError(RayServeException):
    """Who had received a part of an enrolment has died before it was whole."""


def is_loss(error: BaseException) -> bool:
    """Whether nobody answered, so that another may be asked; False for what a replica itself raised."""
    if isinstance(error, RayTaskError | DgadError):
        return False
    if isinstance(error, grpc.RpcError):
        return _find_code(error) in _LOST
    return isinstance(error, RayError | RayServeException)


async def ask_again(ask: Callable[[bool], Awaitable[Any]]) -> Any:
    """Ask until somebody who lives answers; `ask` hears whether it is asked again."""
    for num_losses in range(MAX_LOSSES + 1):
        try:
            return await ask(num_losses > 0)
        except Exception as error:
            if not is_loss(error) or num_losses == MAX_LOSSES:
                raise
            logger.warning("asked again after a loss: %s", type(error).__name__)
        await asyncio.sleep(_RETRY_PAUSE_S)
    raise AssertionError


def explain(error: Exception) -> DgadError:
    """What the asker is told of a call that nobody answered."""
    if _is_too_large(error):
        logger.warning("a call was too large: %s", error)
        return TooLargeError(
            f"This request, or its answer, has more than the {MAX_MESSAGE_BYTES:,} bytes that the parts of"
            " this service send each other at once: send fewer or smaller photographs at a time."
        )
    if is_loss(error):
        logger.warning("no replica answers: %s", error)
        return UnavailableError("No replica answers, not even at another try: try again later.")
    logger.error("a call between replicas was refused: %s", error)
    return UnavailableError(
        f"A replica refuses what another one asks of it ({_describe_code(error)}); the log of the service"
        " says more."
    )


def _is_too_large(error: BaseException) -> bool:
    """Whether a message was larger than its receiver takes."""
    # gRPC has the same code for a peer that asks too often.
    return _find_code(error) is grpc.StatusCode.RESOURCE_EXHAUSTED and "larger than max" in _find_details(
        error
    )


def _describe_code(error: BaseException) -> str:
    """How a message calls it: gRPC's code, or the type."""
    code = _find_code(error)
    return type(error).__name__ if code is None else str(code.name)


def _find_code(error: BaseException) -> grpc.StatusCode | None:
    return error.code() if isinstance(error, grpc.RpcError) and hasattr(error, "code") else None


def _find_details(error: BaseException) -> str:
    return str(error.details() or "") if hasattr(error, "details") else ""
