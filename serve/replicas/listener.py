"""One listening socket for all ingresses of a service on this machine, kept by `dgad-serve up` itself.

A replica that begins is handed it over a Unix socket, the door, which stays open for the word to drain; one
that ends closes its own copy. So there is always
someone to accept: a roll-out refuses no connection, and who comes while the only ingress is replaced waits.
(With `SO_REUSEPORT` each replica would have a queue of its own, and take what waits in it into its grave.)
"""

import asyncio
import contextlib
import dataclasses
import select
import socket
import threading
import time
from collections.abc import Sequence

from cluster.private_folder import hold_private_folder
from dgad.errors import ClusterError, SettingsError

_WAITING = 1024
"""Connections that may wait to be accepted."""
_TIMEOUT_S = 10.0
_PARTING_S = 5.0
_DRAIN, _DRAINED = b"d", b"e"


class Listener:
    """A port that is listened on, and the Unix socket `path` at which others are handed it."""

    def __init__(self, host: str, port: int) -> None:
        """`SettingsError` in one sentence where it cannot be listened on; port 0 finds a free one."""
        self._socket = _listen(host, port)
        self.port = int(self._socket.getsockname()[1])
        self._opened = contextlib.ExitStack()
        try:
            folder = self._opened.enter_context(hold_private_folder(len("/listener")))
        except BaseException:
            self._socket.close()
            raise
        self.path = str(folder / "listener")
        self._door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._door.bind(self.path)
        self._door.listen()
        self._lock = threading.Lock()
        self._inside: list[socket.socket] = []
        """To each replica that has it, or had it once."""
        self._is_draining = False
        threading.Thread(target=self._hand_out, name="dgad-listener", daemon=True).start()

    def drain(self, timeout_s: float) -> None:
        """Tell whoever has it to let no request in any more, wait for what they have begun, and close.

        Who has died is not waited for, nor is Ray asked for anything.
        """
        with self._lock:
            self._is_draining = True
            inside = list(self._inside)
        for one in inside:
            _send(one, _DRAIN)
        drained = _await_words(inside, timeout_s)
        self.close()
        _await_words(drained, _PARTING_S)  # each closes its door when its clients have heard

    def close(self) -> None:
        """Hand it out no more and let go of it: it is closed with the last ingress that has it."""
        with contextlib.suppress(OSError):
            self._door.shutdown(socket.SHUT_RDWR)  # wakes the thread
        self._door.close()
        self._socket.close()
        self._opened.close()

    def _hand_out(self) -> None:
        while True:
            try:
                who, _ = self._door.accept()
            except OSError:  # closed
                return
            with contextlib.suppress(OSError):  # it has gone meanwhile
                socket.send_fds(who, [b"."], [self._socket.fileno()])
            with self._lock:
                self._inside = [one for one in self._inside if not _is_readable(one)] + [who]
                if self._is_draining:
                    _send(who, _DRAIN)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class HandedSocket:
    """A replica's copy of the listening socket, and its door to who handed it out."""

    listening: socket.socket
    door: socket.socket

    async def wait_for_drain(self) -> bool:
        """Whether the word to drain has come; False where whoever handed it out has ended."""
        self.door.setblocking(False)
        try:
            return bool(await asyncio.get_running_loop().sock_recv(self.door, 1))
        except OSError:
            return False

    def confirm_drained(self) -> None:
        """Say that every request that was let in has been answered."""
        _send(self.door, _DRAINED)


def receive_socket(path: str) -> HandedSocket:
    """A copy of the listening socket that is handed out at `path`; `ClusterError` where nobody does."""
    door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        door.settimeout(_TIMEOUT_S)
        door.connect(path)
        _, descriptors, _, _ = socket.recv_fds(door, 1, 1)
    except OSError as error:
        door.close()
        raise ClusterError(f"No listening socket is handed out at {path} ({error}).") from None
    if not descriptors:
        door.close()
        raise ClusterError(f"No listening socket is handed out at {path}: whoever did so has ended.")
    return HandedSocket(listening=socket.socket(fileno=descriptors[0]), door=door)


def _send(door: socket.socket, word: bytes) -> None:
    with contextlib.suppress(OSError):  # who has gone needs no word
        door.sendall(word)


def _is_readable(door: socket.socket) -> bool:
    """Whether there is a word, or its end has come."""
    return bool(select.select([door], [], [], 0)[0])


def _await_words(doors: Sequence[socket.socket], timeout_s: float) -> list[socket.socket]:
    """Wait for a word or the end of each; those that gave a word."""
    deadline = time.monotonic() + timeout_s
    waiting, answered = list(doors), []
    while waiting and (left_s := deadline - time.monotonic()) > 0:
        for door in select.select(waiting, [], [], left_s)[0]:
            waiting.remove(door)
            with contextlib.suppress(OSError):
                if door.recv(1):
                    answered.append(door)
    return answered


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
