"""Starting one replica: written down before, launched, written down after, and contact made."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

from ..core import replica as life
from ..core.environment import check_read
from ..core.replica import Phase
from ..core.sentences import duration
from ..errors import LaunchError, ModelServiceError
from ..ports import Placement, StartRequest
from .contact import Contact, Emit
from .ledger import Ledger
from .state import Parts, Replica
from .tasks import within

log = logging.getLogger(__name__)

# Stages of a start that is no fault of the replica's: it is made again when there may be room.
NO_ROOM = frozenset({"gpus", "room"})


Refusal = Callable[[Replica], str | None]


class Launching:
    def __init__(self, parts: Parts, ledger: Ledger, contact: Contact, emit: Emit, refusal: Refusal) -> None:
        """``refusal``: why it may not be started now, by what the launcher's :meth:`~.ports.Launcher.refusal` says."""
        self._parts = parts
        self._ledger = ledger
        self._contact = contact
        self._emit = emit
        self._refusal = refusal

    async def run(self, replica: Replica) -> None:
        """Ends with ``Launched`` or ``GaveUp``; cancelled, it leaves what ``Ending`` ends."""
        await self._ledger.save_replica(replica.record)
        self._emit(replica, life.LaunchBegun())
        limit = self._parts.settings.launch_timeout
        try:
            placement = await within(self._parts.clock, self._start(replica), limit)
        except TimeoutError:
            self._emit(replica, life.GaveUp(f"could not be started within {duration(limit)}"))
            return
        except ModelServiceError as error:
            replica.placed = not (isinstance(error, LaunchError) and error.stage in NO_ROOM)
            replica.refusal = str(error).rstrip(".")
            self._emit(replica, life.GaveUp(f"could not be started: {error}"))
            return
        except Exception as error:  # a launcher's fault must not leave a replica that starts for ever
            log.exception("Starting replica %s failed", replica.id)
            self._emit(replica, life.GaveUp(f"could not be started: {type(error).__name__}: {error}"))
            return
        replica.record = replace(replica.record, placement=placement)
        self._emit(replica, life.Launched())
        self._contact.open(replica)  # now: the disk need not be waited for
        await self._ledger.save_replica(replica.record)

    async def _start(self, replica: Replica) -> Placement:
        check_read(replica.revision.unread)
        if (refusal := self._refusal(replica)) is not None:
            raise LaunchError(refusal, stage="room")
        service, secret = replica.service.record, replica.record.secret

        def tell(reason: str) -> None:
            if replica.phase is Phase.STARTING:
                self._emit(replica, life.Waiting(reason))

        return await self._parts.launcher.start(
            StartRequest(replica.id, service.owner, service.name, replica.revision, secret, service.id, tell)
        )
