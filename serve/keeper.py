"""What runs in the keeper's process: the one writer of the stores, and the watch over recent scores."""

import asyncio
import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

from dgad.errors import UserError
from dgad.references.domain import Change
from dgad.references.store import ReferenceStore
from serve.backend import Recent
from serve.settings import ServeSettings

logger = logging.getLogger(__name__)

Write = Literal["create", "enroll", "remove", "rollback", "delete"]


class KeeperReplica:
    """Constructed, what a killed keeper had begun is finished."""

    def __init__(self, settings: ServeSettings) -> None:
        from serve.enrolment import Writer

        self._writer = Writer(settings.bundle, settings.store, device=settings.device, limits=settings.limits)
        self._store = ReferenceStore(settings.store)
        # One thread: writes of one domain must follow each other, and each uses the whole machine.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="write")

    async def write(self, action: Write, arguments: Mapping[str, Any], *, is_retry: bool = False) -> Any:
        """What the writer answers, or the user's mistake.

        `is_retry`: a keeper died with the same write, which it may have carried out already. An enrolment
        is known by its idempotency key; the others by what the log says last.
        """
        try:
            if is_retry and (done := self._done(action, arguments)) is not None:
                return done
            function = getattr(self._writer, action)
            return await asyncio.get_running_loop().run_in_executor(
                self._thread, lambda: function(**arguments)
            )
        except UserError as error:
            return error

    async def recent(self, domain: str) -> Recent:
        """The watch over the domain's last scores."""
        del domain
        return Recent(num_scores=0, is_drifting=False, reason="")

    def _done(self, action: Write, arguments: Mapping[str, Any]) -> Change | None:
        log = self._store.log(arguments["domain"])
        if action in ("create", "enroll") or not log or log[-1].by != arguments["by"]:
            return None
        last = log[-1]
        if action == "delete":
            return last if last.is_deleted else None
        if action == "rollback":
            return last if last.action == "rollback" and last.version == arguments["version"] else None
        wanted = "purge" if arguments["purge"] else "remove"
        before = log[-2].references if len(log) > 1 else ()
        was_there = any(r.id == arguments["reference_id"] for r in before)
        is_there = any(r.id == arguments["reference_id"] for r in last.references)
        # A purge may take what no current version holds; then doing it again is refused as missing.
        return last if last.action == wanted and not is_there and (was_there or wanted == "purge") else None
