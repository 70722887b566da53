"""Ending one replica: open calls may finish, then the runner is asked, then force, then nothing is left.

A replica that is being ended stays known (and written down) until the launcher says that all of it is gone.
"""

from __future__ import annotations

import logging

from ..core import replica as life
from ..core.replica import Phase
from ..core.sentences import duration
from .contact import Emit
from .journal import Journal
from .ledger import Ledger
from .state import Parts, Replica
from .tasks import Tasks, until, within

log = logging.getLogger(__name__)

CLOSE_LIMIT = 5.0  # seconds to give a lease back
FORCE_LIMIT = 60.0  # seconds for one launcher.stop()
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0  # between two attempts to end by force


class Ending:
    def __init__(self, parts: Parts, tasks: Tasks, ledger: Ledger, journal: Journal, emit: Emit) -> None:
        self._parts = parts
        self._clock = parts.clock
        self._tasks = tasks
        self._ledger = ledger
        self._journal = journal
        self._emit = emit

    async def run(self, replica: Replica) -> None:
        """From ``draining``, ``stopping`` or ``failed`` to ``gone``."""
        await self._tasks.ended(f"{replica.id} ")  # a launch that was cancelled cleans up behind itself
        cut = ""
        if replica.phase is Phase.DRAINING:
            cut = await self._drain(replica)
        if replica.phase is Phase.DRAINING:  # else it was given up meanwhile
            self._emit(replica, life.StopBegun("; ".join(filter(None, (replica.life.reason, cut)))))
        await self._ask(replica)
        await self._give_lease_back(replica)
        if (left := await self._force(replica)) is not None:
            said = f"replica {replica.id} has ended: {left.rstrip('.')}; that is tried again, and nothing waits for it"
            log.warning("Service %s: %s", replica.service.key, said)
            self._journal.add(replica.service, "replica.left", said, replica)
        if not replica.service.deleting:
            self._ledger.remove_replica(replica.id)
        self._emit(replica, life.Ended())

    async def _drain(self, replica: Replica) -> str:
        """Until its last call is over, at most ``drain_timeout``, when the front ends those that are left; ``probing``
        ends it earlier when it hangs. What became of its calls, in words, if there is anything to say."""
        backend = replica.backend
        replica.idle.clear()
        if backend is None or backend.in_flight == 0:
            return ""
        begun = self._clock.monotonic()
        limit = replica.revision.definition.serving.drain_timeout
        await until(self._clock, limit, replica.idle, replica.exited, replica.hurry)
        if replica.hurry.is_set():
            await until(self._clock, min(limit, replica.hurried), replica.idle, replica.exited)
        given_up = backend.lost and not backend.doubtful
        if not backend.in_flight or given_up or replica.exited.is_set():  # the latter end by themselves
            return ""
        calls, took = backend.in_flight, duration(round(self._clock.monotonic() - begun, 1))
        if backend.on_drained is not None:
            backend.on_drained()
        return f"its open call was cut after {took}" if calls == 1 else f"its {calls} open calls were cut after {took}"

    async def _ask(self, replica: Replica) -> None:
        """Through its lease; the end is waited for where there is something to end."""
        lease = replica.lease
        if lease is None or not replica.lease_open or replica.exited.is_set():
            return
        grace = replica.revision.definition.serving.stop_timeout
        if replica.hurry.is_set():
            grace = min(grace, replica.hurried)
        lease.stop(grace)
        if not await until(self._clock, grace + self._parts.settings.exit_patience, replica.exited):
            log.warning("Replica %s did not end when asked; it is ended by force", replica.id)

    async def _give_lease_back(self, replica: Replica) -> None:
        lease = replica.lease
        if lease is None:
            return
        if replica.exited.is_set():
            lease.collected()
        replica.lease_open = False
        try:
            await within(self._clock, lease.close(), CLOSE_LIMIT)
        except Exception as error:  # force comes next, whatever the lease says
            log.warning("The lease of replica %s did not close: %r", replica.id, error)

    async def _force(self, replica: Replica) -> str | None:
        """Until it works: a replica that is forgotten while it lives would be an orphan. What is left, and does not."""
        pause = FIRST_PAUSE
        while True:
            try:
                stop = self._parts.launcher.stop(replica.id, replica.record.placement)
                return await within(self._clock, stop, FORCE_LIMIT)
            except Exception as error:
                log.warning("Replica %s cannot be ended yet: %s", replica.id, error or type(error).__name__)
            await self._clock.sleep(pause)
            pause = min(LONGEST_PAUSE, pause * 2)
