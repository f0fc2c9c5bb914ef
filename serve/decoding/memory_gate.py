"""Memory that the decoding processes of a service share: who needs much waits for it, in order."""

import asyncio
import collections


class MemoryGate:
    """Bytes for those who need many; belongs to one event loop."""

    def __init__(self, total: int, *, free_below: int, most_at_once: int) -> None:
        """`free_below`: who needs less never waits; `most_at_once`: so many of the others."""
        self._left = total
        self._total = total
        self._free_below = free_below
        self._least = -(-total // most_at_once)
        self._waiting: collections.deque[tuple[asyncio.Future[None], int]] = collections.deque()

    async def take(self, num_bytes: int) -> int:
        """Wait for so many; what to give back."""
        if num_bytes < self._free_below:
            return 0
        taken = min(self._total, max(num_bytes, self._least))
        if not self._waiting and taken <= self._left:
            self._left -= taken
            return taken
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((turn, taken))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # its turn came at the same moment
                self.give_back(taken)
            else:
                self._waiting.remove((turn, taken))
                self._let_in()
            raise
        return taken

    def give_back(self, taken: int) -> None:
        """Let in who waits for it."""
        self._left += taken
        self._let_in()

    def _let_in(self) -> None:
        while self._waiting and self._waiting[0][1] <= self._left:
            turn, taken = self._waiting.popleft()
            if not turn.cancelled():
                self._left -= taken
                turn.set_result(None)
