"""Whose photograph is decoded next: processes and memory go in turn to clients, and to a client's requests.

In order of arrival, one request of many photographs, or one client with many, would make all others wait.
"""

import asyncio
import dataclasses
from collections.abc import Iterable
from typing import Generic, TypeVar

_MOST_COUNTED = 16
"""Photographs of one request, as far as it keeps others out: it waits longer itself, the others do not."""
P = TypeVar("P")


class _Share:
    """What a client has had, among clients; or what a request has had, among those of its client."""

    def __init__(self, siblings: Iterable["_Share"]) -> None:
        self.num_busy = 0
        self.num_there = 0
        """Photographs that wait or are decoded."""
        # What it had before it came counts for nothing, and so does what they had.
        self.had_s: float = min((share.had_s for share in siblings), default=0.0)
        self.requests: dict[object, _Share] = {}

    @property
    def rank(self) -> tuple[int, float]:
        """The lowest one is next."""
        return self.num_busy, self.had_s


@dataclasses.dataclass(eq=False, kw_only=True, slots=True)
class Turn(Generic[P]):
    """A process, and memory, for one photograph."""

    client: str
    request: object
    num_bytes: int
    """Of the memory that is shared."""
    came: asyncio.Future[P]
    began_s: float = 0.0


class Turns(Generic[P]):
    """Processes and bytes for those who take turns at them; belongs to one event loop."""

    def __init__(self, num_bytes: int, *, free_below: int, most_at_once: int) -> None:
        """`free_below`: who needs less memory needs no share of it; `most_at_once`: so many of the others."""
        self._left = num_bytes
        self._total = num_bytes
        self._free_below = free_below
        self._least = -(-num_bytes // most_at_once)
        self._idle: list[P] = []
        self._waiting: list[Turn[P]] = []
        self._clients: dict[str, _Share] = {}

    def count(self, client: str) -> int:
        """Photographs of a client that wait or are decoded; of each request only so many count."""
        share = self._clients.get(client)
        if share is None:
            return 0
        return sum(min(request.num_there, _MOST_COUNTED) for request in share.requests.values())

    def add(self, process: P) -> None:
        """Hand it to whoever is next."""
        self._idle.append(process)
        self._let_in()

    async def take(self, client: str, request: object, num_bytes: int) -> tuple[Turn[P], P]:
        """Wait for a process and so much memory; the turn is to be given back."""
        wanted = 0 if num_bytes < self._free_below else min(self._total, max(num_bytes, self._least))
        came: asyncio.Future[P] = asyncio.get_running_loop().create_future()
        turn = Turn(client=client, request=request, num_bytes=wanted, came=came)
        for share in self._join(turn):
            share.num_there += 1
        self._waiting.append(turn)
        self._let_in()
        try:
            return turn, await came
        except asyncio.CancelledError:
            if came.done() and not came.cancelled():  # its turn came at the same moment
                self._idle.append(came.result())
                self.give_back(turn)
            else:
                self._waiting.remove(turn)
                self._leave(turn)
                self._let_in()
            raise

    def give_back(self, turn: Turn[P]) -> None:
        """Let in who is next; the process is given back by `add`, unless it has ended."""
        self._left += turn.num_bytes
        had_s = asyncio.get_running_loop().time() - turn.began_s
        for share in self._join(turn):
            share.num_busy -= 1
            share.had_s += had_s
        self._leave(turn)
        self._let_in()

    def _let_in(self) -> None:
        while self._idle and (turn := self._find_next()) is not None:
            self._waiting.remove(turn)
            self._left -= turn.num_bytes
            for share in self._join(turn):
                share.num_busy += 1
            turn.began_s = asyncio.get_running_loop().time()
            turn.came.set_result(self._idle.pop())  # the last one used is warm

    def _find_next(self) -> Turn[P] | None:
        """Who had least; of those who need memory nobody passes the one whose turn it is."""
        memory_is_due = False
        for turn in sorted((t for t in self._waiting if not t.came.cancelled()), key=self._rank):
            if not turn.num_bytes:
                return turn
            if not memory_is_due and turn.num_bytes <= self._left:
                return turn
            memory_is_due = True
        return None

    def _rank(self, turn: Turn[P]) -> tuple[tuple[int, float], ...]:
        return tuple(share.rank for share in self._join(turn))

    def _join(self, turn: Turn[P]) -> tuple[_Share, _Share]:
        """The shares of its client and its request, made if they are the first."""
        if turn.client not in self._clients:
            self._clients[turn.client] = _Share(self._clients.values())
        client = self._clients[turn.client]
        if turn.request not in client.requests:
            client.requests[turn.request] = _Share(client.requests.values())
        return client, client.requests[turn.request]

    def _leave(self, turn: Turn[P]) -> None:
        client, request = self._join(turn)
        client.num_there -= 1
        request.num_there -= 1
        if not request.num_there:
            del client.requests[turn.request]
        if not client.num_there:
            del self._clients[turn.client]
