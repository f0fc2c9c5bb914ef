"""One listening socket for all ingresses of a service on this machine, kept by `dgad-serve up` itself.

A replica that begins is handed it over a Unix socket; one that ends closes its own copy. So there is always
someone to accept: a roll-out refuses no connection, and who comes while the only ingress is replaced waits.
(With `SO_REUSEPORT` each replica would have a queue of its own, and take what waits in it into its grave.)
"""

import contextlib
import shutil
import socket
import tempfile
import threading
from pathlib import Path

from dgad.errors import ClusterError, SettingsError

_WAITING = 1024
"""Connections that may wait to be accepted."""
_TIMEOUT_S = 10.0


class Listener:
    """A port that is listened on, and the Unix socket `path` at which others are handed it."""

    def __init__(self, host: str, port: int) -> None:
        """`SettingsError` in one sentence where it cannot be listened on; port 0 finds a free one."""
        self._socket = _listen(host, port)
        self.port = int(self._socket.getsockname()[1])
        self._folder = tempfile.mkdtemp(prefix="dgad-serve-")  # nobody else may look into it
        self.path = str(Path(self._folder) / "listener")
        self._door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._door.bind(self.path)
        self._door.listen()
        threading.Thread(target=self._hand_out, name="dgad-listener", daemon=True).start()

    def close(self) -> None:
        """Hand it out no more and let go of it: it is closed with the last ingress that has it."""
        with contextlib.suppress(OSError):
            self._door.shutdown(socket.SHUT_RDWR)  # wakes the thread
        self._door.close()
        self._socket.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _hand_out(self) -> None:
        while True:
            try:
                who, _ = self._door.accept()
            except OSError:  # closed
                return
            with who, contextlib.suppress(OSError):  # it has gone meanwhile
                socket.send_fds(who, [b"."], [self._socket.fileno()])


def receive_socket(path: str) -> socket.socket:
    """A copy of the listening socket that is handed out at `path`; `ClusterError` where nobody does."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as door:
            door.settimeout(_TIMEOUT_S)
            door.connect(path)
            _, descriptors, _, _ = socket.recv_fds(door, 1, 1)
    except OSError as error:
        raise ClusterError(f"No listening socket is handed out at {path} ({error}).") from None
    if not descriptors:
        raise ClusterError(f"No listening socket is handed out at {path}: whoever did so has ended.")
    return socket.socket(fileno=descriptors[0])


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With a protocol of 0, asyncio would not set TCP_NODELAY, and answers would wait for acknowledgements.
    found = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    # What lingers of a service that has just ended is in nobody's way.
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((host, port))
        found.listen(_WAITING)
    except (OSError, OverflowError) as error:
        found.close()
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise SettingsError(
            f"{host}:{port} cannot be listened on ({why}): name another --port (0 finds a free one) or"
            " --host."
        ) from None
    return found
