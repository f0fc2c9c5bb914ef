"""The coordinator: one named actor per running study, which orders its ledger and leases its fits.

An object store has neither locks nor exclusive creation, and those of a network file system are not to be
relied on. So every worker on a cluster asks the coordinator before it reads labels or computes a fit. Records
and weights do not pass through it: they are immutable, and every worker writes its own.
"""

import contextlib
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from dgad.errors import RecordError
from tune.fits.lease_table import LeaseTable
from tune.fits.leases import Leases
from tune.fits.run import Run
from tune.run_folder.ledger import Entry, Ledger, Purpose

_TERM_S = 30.0
"""How long after its holder's last word a lease ends: a killed worker's fit waits this long at most."""
RENEW_S = 5.0
"""How often a holder says that it is still at it."""
ASK_S = (0.1, 2.0)
"""First and longest pause between two questions for a lease that another worker holds."""


class Coordinator:
    """The actor itself; its state is on the shared storage, but for the leases, which their holders renew."""

    def __init__(self, ledger_location: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._ledger = Ledger(ledger_location)
        self._leases = LeaseTable(term_s=_TERM_S, clock=clock)

    def append(
        self,
        cell: str,
        purpose: Purpose,
        domains: tuple[str, ...],
        record_id: str | None,
        detail: dict[str, Any] | None,
    ) -> Entry:
        """The next entry of the ledger; it is on the storage when this returns."""
        return self._ledger.append(cell, purpose, domains=domains, record_id=record_id, detail=detail)

    def acquire(self, fit_id: str, holder: str) -> bool:
        """Lease a fit to `holder`; False where another worker computes it."""
        return self._leases.acquire(fit_id, holder)

    def renew(self, fit_id: str, holder: str) -> bool:
        """Prolong the lease of a fit; False where another worker holds it by now."""
        return self._leases.renew(fit_id, holder)

    def release(self, fit_id: str, holder: str) -> None:
        """Give the lease of a fit back, which is done or given up."""
        self._leases.release(fit_id, holder)


@contextlib.contextmanager
def start_coordinator(study: str, ledger_location: str) -> Iterator[str]:
    """The study's coordinator, on the driver's node and gone with it; its name, by which workers find it.

    Raises `RecordError` where the cluster runs the study already.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    name = f"dgad-coordinator-{study}"
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    # What was asked of a coordinator that was killed is asked again of the next one: an entry written
    # twice is two reads of the same labels, and no breach.
    remote: Any = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(Coordinator)
    try:
        actor = remote.options(name=name, scheduling_strategy=here).remote(ledger_location)
    except ValueError:  # Ray's word for a name that is taken
        raise RecordError(
            f"The study `{study}` is being run on this cluster already: look with `dgad-tune status {study}`,"
            " wait for it or stop it."
        ) from None
    try:
        yield name
    finally:
        ray.kill(actor)


def open_ledger(run: Run) -> Ledger:
    """The ledger of a study that is being run, written by its coordinator where it has one."""
    return (
        Ledger(run.ledger_location)
        if run.coordinator is None
        else _CoordinatedLedger(run.ledger_location, run.coordinator)
    )


def open_leases(run: Run) -> Leases | None:
    """The coordinator's leases; None where files do."""
    return None if run.coordinator is None else _CoordinatedLeases(run.coordinator)


class _CoordinatedLedger(Ledger):
    """A ledger whose entries the coordinator writes; read straight from the storage."""

    def __init__(self, location: str, coordinator_name: str) -> None:
        super().__init__(location)
        self._actor = _find_actor(coordinator_name)

    def append(
        self,
        cell: str,
        purpose: Purpose,
        *,
        domains: Sequence[str] = (),
        record_id: str | None = None,
        detail: dict[str, Any] | None = None,
    ) -> Entry:
        """Ask the coordinator to write the next entry; it is on the storage when this returns."""
        import ray

        entry: Entry = ray.get(
            self._actor.append.remote(cell, purpose, tuple(domains), record_id, detail or {})
        )
        return entry


class _CoordinatedLeases:
    """`Leases` of the coordinator, held by this process and renewed for as long as it lives."""

    def __init__(self, coordinator_name: str) -> None:
        self._actor = _find_actor(coordinator_name)
        self._holder = secrets.token_hex(8)

    @contextlib.contextmanager
    def hold(self, fit_id: str) -> Iterator[None]:
        """Wait until nobody else computes the fit, then hold it."""
        import ray

        pause_s, longest_s = ASK_S
        while not ray.get(self._actor.acquire.remote(fit_id, self._holder)):
            time.sleep(pause_s)
            pause_s = min(longest_s, 1.5 * pause_s)
        ended = threading.Event()
        renewing = threading.Thread(target=self._renew, args=(fit_id, ended), daemon=True)
        renewing.start()
        try:
            yield
        finally:
            ended.set()
            renewing.join()
            ray.get(self._actor.release.remote(fit_id, self._holder))

    def _renew(self, fit_id: str, ended: threading.Event) -> None:
        import ray

        while not ended.wait(RENEW_S):
            # A fit that another worker was given meanwhile is finished all the same: both write the same.
            ray.get(self._actor.renew.remote(fit_id, self._holder))


def _find_actor(coordinator_name: str) -> Any:
    import ray

    return ray.get_actor(coordinator_name)
