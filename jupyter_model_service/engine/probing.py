"""Asking one replica whether it is well, from the moment its start command runs until its last call is over.

First the port (cheap), then where it listens, then the health path until it passes, then every ``interval``.
A probe out of turn follows a refused connection and a lease that came back. The counting is ``core.health``'s.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace

from ..core import health
from ..core import replica as life
from ..core.listening import unreached
from ..core.replica import Phase
from ..core.sentences import duration
from ..ports import ProbeResult
from .contact import Emit
from .state import Parts, Replica
from .tasks import until, within

log = logging.getLogger(__name__)

LEAST_PAUSE = 0.5  # between two probes of a replica that was ready: hints come by the hundred
PATH_SHOWN = 100  # characters
LOOK_AGAIN = 0.05  # between two looks at who listens on a port


class Probing:
    def __init__(self, parts: Parts, emit: Emit) -> None:
        self._parts = parts
        self._clock = parts.clock
        self._emit = emit

    async def run(self, replica: Replica) -> None:
        try:
            if await self._comes_up(replica):
                await self._stays_up(replica)
        except Exception:  # a fault of ours: nobody would look after this replica any more, so another takes its place
            log.exception("Probing replica %s failed", replica.id)
            if replica.live() or replica.has_calls():
                self._emit(replica, life.GaveUp("cannot be watched any more, by an internal error (see the log)"))

    async def watch_exposure(self, replica: Replica) -> None:
        """From the start command on: a server may listen at another port than the given one, which a look at that one
        does not show (2 s after the start, then every 5 s), or open another port when it is ready (every 30 s)."""
        settings = self._parts.settings
        pause = settings.exposure_first
        while replica.live():
            await self._clock.sleep(pause)
            if not replica.live() or await self._is_exposed(replica):
                return
            await self._is_its_own(replica)
            pause = settings.exposure_loading if replica.phase is Phase.LOADING else settings.exposure_interval

    # --- until the first pass ---

    async def _comes_up(self, replica: Replica) -> bool:
        begun = self._clock.monotonic()
        deadline = self._deadline(replica, begun)
        accepted_at: float | None = None
        while replica.live():
            replica.poke.clear()
            asked: bool | None = False  # None: nothing could be asked, which is no fault of the replica's
            if replica.lease_open:
                if accepted_at is None and (asked := await self._accepts(replica)):
                    if not replica.live() or await self._is_exposed(replica):
                        return False
                    if await self._is_its_own(replica):
                        accepted_at = self._clock.monotonic()
                if accepted_at is not None and (asked := await self._passes(replica)):
                    return True
            now = self._clock.monotonic()
            if now >= deadline and asked is not None and replica.live():
                self._give_up(replica, accepted_at is not None)
                return False
            if accepted_at is None:
                pause = health.port_pause(now - begun)
            else:
                pause = health.pass_pause(now - accepted_at, replica.check.interval)
            await until(self._clock, min(pause, deadline - now) if deadline > now else pause, replica.poke)
        return False

    async def _accepts(self, replica: Replica) -> bool | None:
        """``None``: nobody knows, nothing was asked."""
        result = await self._port(replica)
        if result.ok:
            return True
        if result.ours:
            self._unasked(replica, result)
            return None
        self._not_yet(replica, self._unreached(replica))
        return False

    def _unreached(self, replica: Replica) -> str:
        """Where it listens instead is asked some time after its start, and now and then."""
        now, settings = self._clock.monotonic(), self._parts.settings
        asked = replica.ports_asked_at
        due = replica.life.since + settings.exposure_first if asked is None else asked + settings.exposure_loading
        if now >= due and replica.lease is not None:
            replica.ports_asked_at = now
            replica.lease.ask_ports()
        placement = replica.record.placement
        return unreached(placement.address, replica.ports) if placement is not None else "it has no address"

    def _unasked(self, replica: Replica, result: ProbeResult) -> None:
        log.warning("Replica %s could not be asked how it is: %s", replica.id, result.reason)

    def _not_yet(self, replica: Replica, reason: str) -> None:
        """Said once, not at every look."""
        if replica.live() and reason != replica.life.reason:
            self._emit(replica, life.ProbeFailed(reason))

    def _deadline(self, replica: Replica, now: float) -> float:
        """The grace counts from the end of the pre-start actions. An adopted replica may have been ready for days and
        be busy just now, so it gets at least the time in which a ready one would be given up."""
        check = replica.check
        if not replica.adopted:
            return now + check.initial_delay
        prepared = replica.runner.prepared_after if replica.runner is not None else None
        age = self._clock.now() - replica.record.created_at - (prepared or 0.0)
        patience = max(1, check.max_retries) * max(check.interval, check.max_wait_time)
        return now + max(check.initial_delay - max(0.0, age), patience)

    async def _passes(self, replica: Replica) -> bool | None:
        if replica.revision.definition.health_check is None:
            result = ProbeResult(True)  # its port accepts: that is all there is to know
        else:
            result = await self._http(replica, replica.check.max_wait_time)
        if not replica.live() or not replica.lease_open:
            return False
        if result.ok:
            replica.health = health.passed(replica.health)
            self._emit(replica, life.Passed())
            return True
        if result.ours:
            self._unasked(replica, result)
            return None
        self._not_yet(replica, result.reason)
        return False

    def _give_up(self, replica: Replica, accepted: bool) -> None:
        if not replica.lease_open:
            said = "its runner is out of contact"
        elif not accepted:
            said = replica.life.reason or f"nothing listens on its port {_port_of(replica)}"
            said = said.replace(" yet", "", 1)
        else:
            said = f"the last probe said: {replica.life.reason or 'nothing'}"
        grace = duration(replica.check.initial_delay)
        self._emit(replica, life.GaveUp(f"did not become healthy within {grace}: {said}"))

    # --- after it ---

    async def _stays_up(self, replica: Replica) -> None:
        check = replica.check
        while replica.has_calls():
            in_turn = not await self._pause(replica, check.interval)
            if not replica.has_calls():
                return
            if not replica.lease_open:
                continue  # out of contact is out of turn already; contact.py decides
            await self._probe(replica, in_turn)
            if replica.has_calls() and health.is_failed(replica.health, check):
                self._emit(replica, life.GaveUp(self._unhealthy_reason(replica)))
                return

    async def _pause(self, replica: Replica, interval: float) -> bool:
        """Until the next probe; True when it is one out of turn."""
        await self._clock.sleep(min(LEAST_PAUSE, interval))
        return await until(self._clock, interval - LEAST_PAUSE, replica.poke)

    async def _probe(self, replica: Replica, in_turn: bool) -> None:
        check = replica.check
        replica.poke.clear()
        begun = self._clock.monotonic()

        def busy() -> bool:
            return replica.backend is not None and replica.backend.answered_at > begun

        result = await self._watched(replica, busy)
        if not replica.has_calls() or not replica.lease_open:
            return
        if result.ok:
            replica.health = health.passed(replica.health)
            self._emit(replica, life.Passed())
            return
        if result.ours:
            self._unasked(replica, result)
            return
        timed_out = result.connected and self._clock.monotonic() - begun >= check.max_wait_time
        before = replica.health
        replica.health = health.failed(before, result.reason, timed_out=timed_out, busy=busy(), in_turn=in_turn)
        if replica.health is not before:
            self._emit(replica, life.ProbeFailed(result.reason))

    async def _watched(self, replica: Replica, busy: Callable[[], bool]) -> ProbeResult:
        """The result; meanwhile, at the soft deadline, no new calls for one that answers nobody."""
        soft = health.soft_deadline(replica.check)
        probe = asyncio.ensure_future(self._ask(replica, replica.check.max_wait_time))
        try:
            answered = asyncio.Event()
            probe.add_done_callback(lambda _: answered.set())
            if not await until(self._clock, soft, answered) and replica.has_calls():
                late = health.late(replica.health, busy())
                if late is not replica.health and not replica.health.suspect:
                    replica.health = late
                    said = _as_asked(replica, f"no answer within {duration(soft)}")
                    self._emit(replica, life.ProbeFailed(said))
            return await probe
        finally:
            probe.cancel()

    def _unhealthy_reason(self, replica: Replica) -> str:
        count = replica.health.failures
        times = "once" if count == 1 else f"{count} times in a row"
        said = f"failed its health check {times}"
        if replica.phase is not Phase.DRAINING:
            return f"{said}: {replica.health.reason}"
        calls = replica.backend.in_flight if replica.backend is not None else 0
        left = "its open call is" if calls == 1 else f"its {calls} open calls are"
        return f"{said} while it drained, {left} broken off: {replica.health.reason}"

    # --- questions to the world ---

    async def _ask(self, replica: Replica, limit: float) -> ProbeResult:
        if replica.revision.definition.health_check is None:
            return await self._port(replica)
        return await self._http(replica, limit)

    async def _http(self, replica: Replica, limit: float) -> ProbeResult:
        placement = replica.record.placement
        if placement is None:
            return ProbeResult(False, "it has no address", connected=False)
        check = replica.check
        asked = self._parts.probe.http(placement.address, check.path, check.expected_status_code, limit)
        try:
            result = await within(self._clock, asked, limit + 1.0)
        except TimeoutError:
            result = ProbeResult(False, f"no answer within {duration(limit)}", connected=True, seconds=limit)
        return result if result.ok else replace(result, reason=_as_asked(replica, result.reason))

    async def _port(self, replica: Replica) -> ProbeResult:
        placement = replica.record.placement
        if placement is None:
            return ProbeResult(False, "it has no address", connected=False)
        limit = self._parts.settings.port_timeout
        try:
            return await within(self._clock, self._parts.probe.port(placement.address, limit), limit + 1.0)
        except TimeoutError:
            return ProbeResult(False, f"its port did not accept within {duration(limit)}", connected=False)

    async def _is_exposed(self, replica: Replica) -> bool:
        """Whether it was given up because it listens where it must not."""
        placement = replica.record.placement
        if placement is None:
            return False
        asked = self._parts.launcher.exposed(replica.id, placement)
        try:
            addresses = await within(self._clock, asked, self._parts.settings.find_timeout)
        except Exception as error:  # a launcher that cannot tell does not stop a service
            log.warning("Where replica %s listens cannot be told: %s", replica.id, error)
            return False
        if not addresses or not replica.live():
            return False
        # At the next attempt it would be the same, perhaps at another port.
        replica.exposed = ", ".join(sorted({address.rpartition(":")[0] for address in addresses}))
        where, here = ", ".join(addresses), placement.address[0]
        self._emit(
            replica,
            life.GaveUp(
                f"listens on {where}, where others reach it without a token: give the server its address as an "
                f"argument in start_command (0.0.0.0 there becomes {here} here), or let it listen on {here} and its "
                "declared port only"
            ),
        )
        return True

    async def _is_its_own(self, replica: Replica) -> bool:
        """Whether the replica itself listens on its port; it is given up when somebody else does.

        Any user of the machine may take the port before the model server does, and would be sent the calls. So what
        cannot be told is no yes: nobody becomes ready by it, and nobody who is ready is given up for it.
        """
        placement = replica.record.placement
        if placement is None:
            return False
        limit = self._parts.settings.find_timeout
        try:
            if await within(self._clock, self._parts.launcher.holds(replica.id, placement), limit):
                return True
            await self._clock.sleep(LOOK_AGAIN)  # it may have begun to listen while we looked
            # Before the last look: a server that begins to listen after that look is not one that somebody else has.
            accepts = (await self._port(replica)).ok
            if await within(self._clock, self._parts.launcher.holds(replica.id, placement), limit):
                return True
        except Exception as error:
            log.warning("Who listens on the port of replica %s cannot be told: %s", replica.id, error)
            if replica.phase is Phase.LOADING:
                self._not_yet(replica, f"it cannot be told who listens on its port {_port_of(replica)}")
            return False
        if accepts and replica.live():
            self._emit(replica, life.GaveUp(f"cannot serve: its port {_port_of(replica)} is held by another process"))
        return False


def _as_asked(replica: Replica, reason: str) -> str:
    """With the path, which is often what is wrong; without its query, which may be secret."""
    if replica.revision.definition.health_check is None:
        return reason
    path = replica.check.path.partition("?")[0]
    return f"GET {path if len(path) <= PATH_SHOWN else path[: PATH_SHOWN - 1] + '…'}: {reason}"


def _port_of(replica: Replica) -> int | str:
    placement = replica.record.placement
    return placement.address[1] if placement is not None else "?"
