"""The connections of one HTTP server: how many there may be, and which one goes when there is no room."""

import collections
import resource
from typing import Protocol

from serve.settings import Limits

_OTHER_FILES = 256
"""That the process keeps open beside its connections."""


class _Closable(Protocol):
    def close_for_others(self) -> None:
        """Close it; no request is under way on it."""


class Connections:
    """Who is connected; those without a request under way stand in a queue, the longest waiting first."""

    def __init__(self, limits: Limits) -> None:
        self._most_of_one = limits.max_connections_per_client
        # Each is a file to the system; without one left, a server could not even refuse.
        num_files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._most = limits.max_connections
        if num_files != resource.RLIM_INFINITY:
            self._most = min(self._most, max(num_files - _OTHER_FILES, 1))
        self._address_of: dict[_Closable, str] = {}
        self._by_address: collections.Counter[str] = collections.Counter()
        self._waiting: dict[_Closable, None] = {}

    def __len__(self) -> int:
        return len(self._address_of)

    def add(self, connection: _Closable, address: str) -> bool:
        """Count a connection in, if need be in place of one that waits; False where all have work."""
        while self._by_address[address] >= self._most_of_one:
            if not self._make_room(address):
                return False
        while len(self) >= self._most:
            if not self._make_room(None):
                return False
        self._address_of[connection] = address
        self._by_address[address] += 1
        self._waiting[connection] = None
        return True

    def remove(self, connection: _Closable) -> None:
        """Count it no more; nothing where it is not counted."""
        address = self._address_of.pop(connection, None)
        self._waiting.pop(connection, None)
        if address is not None:
            self._by_address[address] -= 1
            if not self._by_address[address]:
                del self._by_address[address]

    def mark_waiting(self, connection: _Closable) -> None:
        """No request is under way on it from now on; one that waits already keeps its place."""
        if connection in self._address_of:
            self._waiting.setdefault(connection)

    def mark_working(self, connection: _Closable) -> None:
        """A request is under way on it."""
        self._waiting.pop(connection, None)

    def _make_room(self, address: str | None) -> bool:
        for connection in self._waiting:
            if address is None or self._address_of[connection] == address:
                self.remove(connection)
                connection.close_for_others()
                return True
        return False
