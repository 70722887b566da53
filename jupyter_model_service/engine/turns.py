"""The turns that commands take: check, write to the store, change the picture in memory.

What every command needs, and nothing of what any one of them does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from ..core.backoff import Retry
from ..core.effective import check_services
from ..core.environment import check_read
from ..core.revision import Revision
from ..errors import Conflict, InvalidRequest, NotFound
from ..ports import Rules, ServiceRecord
from .controller import Controller
from .copying import Copying
from .holding import held_beside
from .journal import Journal
from .ledger import Ledger
from .state import Parts, Service

T = TypeVar("T")

#: Raises where whoever asked may not any more.
Still = Callable[[], Awaitable[object]]


async def nobody_asks() -> None:
    """Of what the gateway does by itself."""


def public_as(service: Service, wanted: bool | None) -> bool:
    return service.record.public if wanted is None else wanted


class Turns:
    """``turn``: who holds it may change what services have."""

    def __init__(
        self,
        parts: Parts,
        controller: Controller,
        ledger: Ledger,
        journal: Journal,
        turn: asyncio.Lock,
        rules: Rules,
    ) -> None:
        self.turn = turn
        self._parts = parts
        self._controller = controller
        self._ledger = ledger
        self._journal = journal
        self._rules = rules
        self._begun: set[asyncio.Task[Any]] = set()

    async def finished(self) -> None:
        """Until the commands that have begun are finished."""
        if self._begun:
            await asyncio.wait(self._begun)

    def find(self, owner: str, name: str) -> Service:
        service = self._controller.services.get((owner, name))
        if service is None:
            raise NotFound(f"There is no service {owner}/{name}.")
        return service

    async def in_turn(self, body: Coroutine[Any, Any, T]) -> T:
        async def take() -> T:
            async with self.turn:
                return await body

        return await self.begin(take())

    async def begin(self, work: Coroutine[Any, Any, T], copying: Copying | None = None) -> T:
        task = asyncio.get_running_loop().create_task(work)
        self._begun.add(task)
        task.add_done_callback(self._begun.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if copying is not None and not copying.decided:
                task.cancel()  # nobody waits for it any more, and nobody would be told of what comes of it
            raise

    async def want(self, service: Service, change: Callable[[ServiceRecord], ServiceRecord]) -> None:
        """Write, then change."""
        await self.ledger_accepts(service, change)
        service.record = change(service.record)

    async def ledger_accepts(self, service: Service, change: Callable[[ServiceRecord], ServiceRecord]) -> None:
        """The plan may change the record while the store writes: the caller then applies ``change`` to what is there,
        and what comes of that is written once more."""
        self.check_there(service)
        before = service.record
        await self._ledger.commit(lambda: self._parts.store.save_service(change(before)))
        if service.record != before:
            self._ledger.service_changed(service.id, lambda: service.record)

    def try_again(self, service: Service, revision: int) -> None:
        """Former failures count no longer."""
        service.holes = service.owed = 0
        service.retries[revision] = Retry(ever_ready=revision == service.record.stable)

    def told(self, service: Service, kind: str, message: str, others: str = "") -> None:
        """As :meth:`.journal.Journal.add`."""
        self._journal.add(service, kind, message, others=others)
        self._controller.touch(service)

    def touched(self, service: Service) -> None:
        """It is to be shown as it is now."""
        self._controller.touch(service)

    def check_there(self, service: Service) -> None:
        if service.deleting:
            raise Conflict(f"Service {service.key} is being deleted.")

    def allowed(
        self, revision: Revision, owner: str, public: bool, replicas: int, besides: Service | None = None
    ) -> tuple[str, ...]:
        """Raises ``InvalidRequest`` for what the owner may not have beside her other services, and for what cannot be
        run any more; what is not enforced."""
        check_read(revision.unread)
        held = held_beside(self._controller.services.values(), owner, besides)
        check = self._parts.launcher.check
        return tuple(check(revision, owner=owner, public=public, replicas=replicas, held=held))

    def allowed_for(
        self, service: Service, revision: Revision, public: bool | None = None, *, replicas: int | None = None
    ) -> tuple[str, ...]:
        """As it is now, or with so many replicas. One that does not run is looked at when it is started."""
        count = replicas if replicas is not None else service.record.replicas if service.record.running else 0
        return self.allowed(revision, service.record.owner, public_as(service, public), count, service)

    def check_room(self, owner: str) -> None:
        """For one more service, which may have no replica: nothing else would bound how many there are."""
        held = held_beside(self._controller.services.values(), owner, None)
        check_services(self._rules.of(owner), self._rules.user(owner), held.services)

    def check_free(self, owner: str, name: str) -> None:
        there = self._controller.services.get((owner, name))
        if there is None:
            return
        if there.deleting:
            raise Conflict(f"Service {there.key} is being deleted: try again in a few seconds, or give another name.")
        raise Conflict(f"Service {there.key} exists already: update it to change it, or give another name.")

    def check_replicas(self, replicas: int) -> None:
        most = self._parts.settings.max_replicas
        if not 0 <= replicas <= most:
            raise InvalidRequest(f"A service can have 0 to {most} replicas, not {replicas}.")
