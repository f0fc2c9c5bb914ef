"""Who computes which fit at the moment: leases that end by themselves when their holder falls silent."""

import dataclasses
import time
from collections.abc import Callable


@dataclasses.dataclass(slots=True)
class _Lease:
    holder: str
    until_s: float


class LeaseTable:
    """At most one holder a fit; a lease lasts `term_s` from the last time its holder was heard.

    Kept in memory only: a table made anew after a crash learns the leases that still live from the next
    `renew` of their holders.
    """

    def __init__(self, *, term_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._term_s = term_s
        self._clock = clock
        self._leases: dict[str, _Lease] = {}

    def acquire(self, fit_id: str, holder: str) -> bool:
        """Whether `holder` may compute the fit: nobody else is at it, or whoever was has fallen silent."""
        now_s = self._clock()
        lease = self._leases.get(fit_id)
        if lease is not None and lease.holder != holder and lease.until_s > now_s:
            return False
        self._leases[fit_id] = _Lease(holder, now_s + self._term_s)
        return True

    def renew(self, fit_id: str, holder: str) -> bool:
        """Hold on to the fit; False where another holder has it by now."""
        return self.acquire(fit_id, holder)

    def release(self, fit_id: str, holder: str) -> None:
        """The fit is done; nothing where another holder has it by now."""
        lease = self._leases.get(fit_id)
        if lease is not None and lease.holder == holder:
            del self._leases[fit_id]
