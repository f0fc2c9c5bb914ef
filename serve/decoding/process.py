"""One decoding process, seen from the service."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile

from dgad.errors import SettingsError
from serve.decoding.messages import (
    Order,
    Pixels,
    RefusedError,
    read_pixels,
    write_order,
    write_photograph,
)

_START_TIMEOUT_S = 120.0
_KEPT_VARIABLES = ("PATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "TMPDIR")
"""What the process learns of the environment: no tokens, no credentials of a store."""
_MAX_LINE_BYTES = 64 * 1024


class ProcessEndedError(Exception):
    """The process ended, or had to be ended, before it answered."""

    def __init__(self, *, has_run_out_of_time: bool) -> None:
        super().__init__()
        self.has_run_out_of_time = has_run_out_of_time


class DecodeProcess:
    """A process that decodes one photograph at a time; belongs to one event loop."""

    def __init__(self, popen: "subprocess.Popen[bytes]", channel: socket.socket, fd: int) -> None:
        self._popen = popen
        self._channel = channel
        self._fd = fd

    @classmethod
    async def start(cls) -> "DecodeProcess":
        """Returns once it can be asked."""
        started = await asyncio.to_thread(_spawn)
        try:
            async with asyncio.timeout(_START_TIMEOUT_S):
                await started._read_line()
        except BaseException:
            started.kill()
            raise
        return started

    @property
    def pid(self) -> int:
        """Number of the process."""
        return self._popen.pid

    @property
    def has_ended(self) -> bool:
        """Whether it has ended already, killed by the system, say."""
        return self._popen.poll() is not None

    async def decode(self, order: Order, data: bytes) -> tuple[Pixels, float]:
        """The photograph, and the CPU seconds that it took.

        Raises `RefusedError`, after which the process can be asked again, or `ProcessEndedError`.
        """
        try:
            write_photograph(data, self._fd)
            # CPU time is what counts: on a busy machine a photograph may take many times as long.
            async with asyncio.timeout(10 + 10 * order.max_cpu_s):
                await asyncio.get_running_loop().sock_sendall(self._channel, write_order(order))
                told = json.loads(await self._read_line())
            if "refusal" in told:
                raise RefusedError(str(told["refusal"]), float(told["cpu_s"]))
            return read_pixels(told, self._fd), float(told["cpu_s"])
        except TimeoutError:
            raise ProcessEndedError(has_run_out_of_time=True) from None
        except (OSError, ValueError, LookupError, TypeError, SettingsError):
            raise ProcessEndedError(has_run_out_of_time=await self._was_out_of_time()) from None
        finally:
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, 0)  # frees its memory

    def kill(self) -> None:
        """End it at once."""
        self._popen.kill()
        self._popen.wait()
        self._channel.close()
        with contextlib.suppress(OSError):
            os.close(self._fd)

    async def _was_out_of_time(self) -> bool:
        self._channel.close()
        with contextlib.suppress(subprocess.TimeoutExpired):  # it has closed its end, so it is about to end
            await asyncio.to_thread(self._popen.wait, 5)
        return self._popen.returncode == -signal.SIGPROF

    async def _read_line(self) -> bytes:
        received = b""
        while not received.endswith(b"\n"):
            chunk = await asyncio.get_running_loop().sock_recv(self._channel, _MAX_LINE_BYTES)
            received += chunk
            if not chunk or len(received) > _MAX_LINE_BYTES:
                raise ChildProcessError("It has ended.")
        return received


def _spawn() -> DecodeProcess:
    own, other = socket.socketpair()
    fd = _open_memory()
    try:
        with other:
            popen = subprocess.Popen(
                # -P: a module is not looked for in whatever folder the service was started in.
                [sys.executable, "-P", "-m", "serve.decoding.worker", str(other.fileno()), str(fd)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(other.fileno(), fd),
                env=_environment(),
                start_new_session=True,  # a Ctrl-C is the service's to answer
            )
    except BaseException:
        own.close()
        os.close(fd)
        raise
    own.setblocking(False)
    return DecodeProcess(popen, own, fd)


def _open_memory() -> int:
    """A file without a name, in memory where there is such a thing."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("photograph")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    path = os.pathsep.join(place for place in sys.path if place)
    # One thread: a photograph is decoded by one, and each more would hold memory.
    return {**kept, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
