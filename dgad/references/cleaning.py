"""Removal for good: of purged photographs, of deleted domains, of what killed writers left."""

import logging
import time
from collections.abc import Collection

from dgad.errors import StoreError
from dgad.references.domain_locks import FOLDERS, DomainLocks
from dgad.references.enrolled_files import drop_made_with
from dgad.references.history import count_earlier_purges, live_references, purged_ids
from dgad.references.log import Log
from dgad.references.photographs import Photographs
from dgad.storage import Storage

logger = logging.getLogger(__name__)

_OLD_S = 3600.0
"""No enrolment takes so long from its first photograph to its commit."""


def mark_removal(storage: Storage, domain: str) -> None:
    """Note that something is about to be removed for good, so that a crash in between is seen."""
    storage.write(_mark(domain), b"")


def finish_removal(storage: Storage, log: Log, domain: str, reference_ids: Collection[str] | None) -> None:
    """Remove photographs, all made with them, and their names and digests in the log; holds no lock itself.

    `reference_ids` None: all of the domain.
    """
    delete_photographs(storage, domain, reference_ids)
    _redact_log(storage, log, domain)


def _redact_log(storage: Storage, log: Log, domain: str) -> None:
    """The log keeps that something was purged or deleted, when and by whom."""
    changes = log.all(domain)
    if gone := purged_ids(changes):
        # How many references each version lost is written down before the ids go, else a crash would lose it.
        if counts := count_earlier_purges(changes):
            log.redact(domain, (), counts)
        log.redact(domain, gone, {})
    # Whoever writes to the log holds the lock that the caller holds: what lies there unfinished, and may name
    # what was purged, is of the dead.
    storage.remove_leftovers(f"domains/{domain}/changes", older_than_s=0.0)
    storage.delete(_mark(domain))


def _mark(domain: str) -> str:
    return f"domains/{domain}/changes/removing"


def delete_photographs(storage: Storage, domain: str, reference_ids: Collection[str] | None) -> None:
    """Remove photographs (None: all of the domain) and every file made with them. The caller holds the lock.

    Enrolled files go first and photographs last: one that still lies there shows that this is not finished.
    """
    photographs = Photographs(storage)
    if reference_ids is None:
        storage.delete(*storage.sizes(f"domains/{domain}/enrolled"))
        storage.delete(*storage.sizes(f"domains/{domain}/fingerprints"))
        photographs.drop(domain, photographs.ids(domain))
    else:
        drop_made_with(storage, domain, reference_ids)
        photographs.drop(domain, reference_ids)
    for folder in ("images", "enrolled"):
        storage.remove_leftovers(f"domains/{domain}/{folder}")


def finish_domain(storage: Storage, locks: DomainLocks, log: Log, domain: str) -> None:
    """Finish what a crash broke off in one domain; one that cannot be read is left alone."""
    try:
        last = log.newest(domain)
        if last is None:
            return
        for folder in FOLDERS:
            storage.remove_leftovers(f"domains/{domain}/{folder}")
        photographs = Photographs(storage)
        present = photographs.ids(domain)
        is_marked = storage.exists(_mark(domain))
        if not is_marked and present <= {r.id for r in last.references}:
            return  # the common case costs no look at the log
        with locks.hold(domain):
            changes = log.all(domain)
            orphans = present - live_references(changes).keys()
            # Young ones may be another writer's, about to be committed: a roll-out has one beside the writer.
            orphans &= purged_ids(changes) | photographs.ids_before(domain, time.time() - _OLD_S)
            if orphans:
                delete_photographs(storage, domain, orphans)
            if is_marked:
                _redact_log(storage, log, domain)
    except StoreError as error:
        logger.warning("Left as it is: %s", error)
