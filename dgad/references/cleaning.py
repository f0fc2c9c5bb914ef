"""Removal for good: of purged photographs, of deleted domains, of what killed writers left."""

import logging
from collections.abc import Collection

from dgad.errors import StoreError
from dgad.references.enrolled_files import drop_made_with
from dgad.references.history import live_references, purged_ids
from dgad.references.log import Log
from dgad.references.photographs import FOLDERS, Photographs
from dgad.references.place import Place

logger = logging.getLogger(__name__)


def forget(place: Place, domain: str, reference_ids: Collection[str] | None) -> None:
    """Remove photographs (None: all of the domain) and every file made with them. The caller holds the lock.

    Enrolled files go first and photographs last: one that still lies there shows that this is not finished.
    """
    photographs = Photographs(place)
    if reference_ids is None:
        place.delete(list(place.sizes(f"domains/{domain}/enrolled")))
        place.delete(list(place.sizes(f"domains/{domain}/fingerprints")))
        photographs.drop(domain, photographs.ids(domain))
    else:
        drop_made_with(place, domain, reference_ids)
        photographs.drop(domain, reference_ids)
    for folder in ("images", "enrolled"):
        place.remove_leftovers(f"domains/{domain}/{folder}")


def finish_domain(place: Place, log: Log, domain: str) -> None:
    """Finish what a crash broke off in one domain; one that cannot be read is left alone."""
    try:
        last = log.newest(domain)
        if last is None:
            return
        for folder in FOLDERS:
            place.remove_leftovers(f"domains/{domain}/{folder}")
        present = Photographs(place).ids(domain)
        if present <= {r.id for r in last.references}:
            return  # the common case costs no look at the log
        with place.locked(domain):
            changes = log.all(domain)
            orphans = present - live_references(changes).keys()
            if place.is_local:  # young ones may be another writer's, about to be committed
                orphans = (orphans & purged_ids(changes)) | place.old(f"domains/{domain}/images", orphans)
            if orphans:
                forget(place, domain, orphans)
    except StoreError as error:
        logger.warning("Left as it is: %s", error)
