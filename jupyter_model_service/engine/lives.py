"""Services that are stopped because the administrator says for how long one may run, or lie idle; and public ones that
are made private because she does not allow them any more.

When a service was called last is kept in the store, once a minute for those that were: a gateway that begins anew goes
on from there. Nobody could call while it was not there, and nobody was warned of a limit with which it begins: so
nothing is stopped in the first hour after its start.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import replace

from ..core.lives import End, end_of
from ..core.policy import whose
from ..core.sentences import duration
from ..errors import ModelServiceError, StoreError
from ..ports import Rules, ServiceRecord
from .ledger import Ledger
from .scaling import Scaling
from .state import Parts, Service
from .tasks import Tasks
from .turns import Turns

__all__ = ["Lives"]

log = logging.getLogger(__name__)

EVERY = 60.0  # seconds between two looks
AFTER_A_START = 3600.0  # seconds; of a limit of less than four hours, a quarter of it


class Lives:
    """``rules`` tell what holds for an owner. Belongs to the engine."""

    def __init__(
        self,
        parts: Parts,
        tasks: Tasks,
        ledger: Ledger,
        turns: Turns,
        scaling: Scaling,
        services: Callable[[], Iterable[Service]],
        rules: Rules,
    ) -> None:
        self._parts = parts
        self._tasks = tasks
        self._ledger = ledger
        self._turns = turns
        self._scaling = scaling
        self._services = services
        self._rules = rules
        self._started_at = 0.0

    def start(self) -> None:
        self._started_at = self._parts.clock.now()
        self._tasks.start("lives", self._run())

    async def _run(self) -> None:
        while True:
            await self.close_forbidden()  # at once after a start: a site may have been closed meanwhile
            await self._parts.clock.sleep(EVERY)
            try:
                await self.look()
            except ModelServiceError as error:  # the next look is soon enough
                log.warning("What the policy says of how long services run could not be done: %s", error)

    async def look(self) -> None:
        await self._note_calls()
        for service in list(self._services()):
            await self._look_at(service)

    async def close_forbidden(self, owner: str | None = None) -> None:
        """Make those of ``owner``, or of everybody, private that are public and may not be. One that cannot be stored
        is made private at a later look."""
        for service in list(self._services()):
            if owner in (None, service.record.owner) and self._forbidden(service) is not None:
                try:
                    await self._turns.in_turn(self._close(service))
                except ModelServiceError as error:
                    log.warning("%s may not be public any more, and could not be made private: %s", service.key, error)

    def _forbidden(self, service: Service) -> str | None:
        """Whose rule it is, as the end of a sentence."""
        record = service.record
        if service.deleting or not record.public or not self._rules.knows(record.owner):
            return None
        holds = self._rules.of(record.owner)
        return None if holds.policy.allow_public else whose(holds.set_by, "allow_public")

    async def _close(self, service: Service) -> None:
        """Looked at again in turn: it may just have been made private, or allowed."""
        by = self._forbidden(service)
        if by is None:
            return
        await self._turns.want(service, lambda record: replace(record, public=False))
        said = f"made private: public services are not allowed here any more ({by})"
        self._turns.told(service, "service.closed_by_policy", said, "made private")

    async def _note_calls(self) -> None:
        called: dict[str, float] = {}
        for service in self._services():
            at, known = self._called(service), service.record.last_call_at
            if at is not None and (known is None or at > known + 1.0):
                called[service.id] = at
                service.record = replace(service.record, last_call_at=at)
        if called:
            try:
                await self._ledger.commit(lambda: self._parts.store.touch_services(called))
            except StoreError as error:  # in memory it is known, and is written with the next call
                log.warning("When services were called last could not be stored: %s", error)

    def _called(self, service: Service) -> float | None:
        """When a call last came or ended (Unix time), as of this life of the gateway; now, while there is one."""
        clock, endpoint = self._parts.clock, service.endpoint
        if endpoint.in_flight or endpoint.waiting:
            return clock.now()
        last = endpoint.traffic.last_call
        return None if last is None else clock.now() - (clock.monotonic() - last)

    async def _look_at(self, service: Service) -> None:
        end, now = self._end_of(service), self._parts.clock.now()
        if end is not None and now >= end.at:
            await self._stop(service)
            return
        near = end if end is not None and now >= end.warned_at else None
        before, service.end = service.end, near
        if near is not None and (before is None or before.kind != near.kind):
            self._turns.told(
                service, "service.ends_soon", f"will be stopped in {duration(near.at - now)}: by then {near.why}"
            )
        elif before != near:
            self._turns.touched(service)

    def _end_of(self, service: Service) -> End | None:
        """``None`` also for an owner of whom nothing is known yet: her rule may give her more than others have."""
        record = service.record
        if service.deleting or not record.running or not self._rules.knows(record.owner):
            return None
        began = record.began_at if record.began_at is not None else record.created_at
        end = end_of(self._rules.of(record.owner), began_at=began, last_call_at=record.last_call_at)
        if end is None:
            return None
        return replace(end, at=max(end.at, self._started_at + min(AFTER_A_START, end.limit / 4)))

    async def _stop(self, service: Service) -> None:
        """As her own stop does; looked at again in turn, since she may just have started it."""

        async def body() -> None:
            end = self._end_of(service)
            if end is None or self._parts.clock.now() < end.at:
                return
            said = f"stopped by the administrator's policy: {end.why}"

            def change(record: ServiceRecord) -> ServiceRecord:
                return replace(record, running=False, error=None, note=f"{said}; start it to go on")

            await self._turns.want(service, change)
            service.end = None
            self._scaling.changed(service)
            self._turns.told(service, "service.ended_by_policy", said)

        await self._turns.in_turn(body())
