"""With whom services are shared: what an owner says about it, and whom it was said of.

A share with a user is bound to the user of that name, by when the Hub made her: at once where she is known, else when
she comes. Until then nobody could have used it, so that it cannot go over to another one of her name; nor does it by a
new role or new limits: for the next one of that name it is taken back first. That tells
the owner, of a user whom she shared with, that she was deleted and that another has her name (``former``, and the code
``shared_with_former``). Whether there is a user or a group of some name is not said otherwise: an owner must not learn
from us who has an account.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace

from ..core.bounds import LONGEST_PERSON
from ..core.happenings import CHANGED
from ..core.limits import Limits, check_limits
from ..core.names import owner_from
from ..core.sharing import NOBODY, Person, Role, Share, ShareKind, Sharing
from ..errors import Conflict, InvalidRequest, NotFound, StoreError
from .ledger import Ledger
from .state import Parts, Service
from .tasks import Tasks
from .turns import Turns

__all__ = ["Sharings"]

log = logging.getLogger(__name__)

MOST_SHARES = 1_000  # of one service: a class is one group


class Sharings:
    """``made`` tells when the Hub made the user of a name; ``None`` where there is none, or it does not say. ``seen``
    does so without asking it: as of what is known. Belongs to the engine."""

    def __init__(
        self, parts: Parts, tasks: Tasks, ledger: Ledger, turns: Turns, services: Callable[[], Iterable[Service]]
    ) -> None:
        self.made: Callable[[str], Awaitable[str | None]] = _nobody_knows
        self.seen: Callable[[str], str | None] = lambda name: None
        self._parts = parts
        self._tasks = tasks
        self._ledger = ledger
        self._turns = turns
        self._services = services

    def of(self, owner: str, name: str) -> Sharing:
        """Nobody where there is no such service: this decides who may know of one."""
        endpoint = self._parts.routing.get(owner, name)
        return NOBODY if endpoint is None else endpoint.sharing

    def former(self, share: Share) -> bool:
        """Whether it is for somebody who was deleted in the Hub, and another user has her name."""
        return share.former(self.seen(share.name))

    async def set(
        self,
        owner: str,
        name: str,
        kind: ShareKind,
        whom: str,
        *,
        role: Role = Role.CALLER,
        limits: Limits | None = None,
        by: str = "",
    ) -> Share:
        """In the place of what was shared with the same user or group. Holds from the next call on. ``InvalidRequest``,
        ``NotFound``, ``Conflict`` where the one of that name whom it is shared with was deleted and another has the
        name, or ``StoreError``: then all is as it was."""
        _check_name(kind, whom)
        if role >= Role.OWNER:
            raise InvalidRequest("A service has one owner: share it with the role caller, viewer or operator.")
        if kind == "user" and owner_from(whom) == owner:
            raise InvalidRequest(f"{whom} is the owner of {owner}/{name}, and may do everything with it already.")
        limits = check_limits(limits) if limits is not None else None
        service = self._turns.find(owner, name)
        made = await self.made(whom) if kind == "user" else None
        kept_to = limits if limits is not None and limits.any else None
        wanted = Share(kind, whom, role, kept_to, made, self._parts.clock.now(), by)

        async def body() -> Share:
            self._turns.check_there(service)
            sharing = service.endpoint.sharing
            there = sharing.get(kind, whom)
            if there is not None and there.former(made):
                raise Conflict(
                    f"{service.key} is shared with another user of the name {whom}, who was deleted: take that back "
                    f"first, then share it with the {whom} of now.",
                    code="shared_with_former",
                )
            share = wanted if there is None or there.made is None else replace(wanted, made=there.made)
            if there is None and sum(1 for _ in sharing) >= MOST_SHARES:
                raise InvalidRequest(
                    f"{service.key} is shared with {MOST_SHARES:,} users and groups, which is the most: share it with "
                    "a group that they are in."
                )
            await self._ledger.commit(lambda: self._parts.store.access.set_share(service.id, share))
            service.endpoint.sharing = service.endpoint.sharing.with_share(share)
            said = f"shared with {_said(kind, whom)} as {share.role.word}"
            self._turns.told(service, "service.shared", said, CHANGED)
            return share

        return await self._turns.in_turn(body())

    async def remove(self, owner: str, name: str, kind: ShareKind, whom: str) -> Share:
        """What was shared so is not any more, from the next call on; ``NotFound`` where nothing was."""
        service = self._turns.find(owner, name)

        async def body() -> Share:
            self._turns.check_there(service)
            share = service.endpoint.sharing.get(kind, whom)
            if share is None:
                raise NotFound(f"{service.key} is not shared with {_said(kind, whom)}.")
            await self._ledger.commit(lambda: self._parts.store.access.remove_share(service.id, kind, whom))
            service.endpoint.sharing = service.endpoint.sharing.without(kind, whom)
            said = f"not shared with {_said(kind, whom)} any more"
            self._turns.told(service, "service.unshared", said, CHANGED)
            return share

        return await self._turns.in_turn(body())

    async def clear(self, owner: str, name: str) -> list[str]:
        """Shared with nobody any more, from the next call on; with whom it was, ``alice`` or ``the group ds``.
        ``NotFound``; ``StoreError``: then with some it still is, whom :meth:`of` tells."""
        gone: list[str] = []
        for share in [*self.of(owner, name)]:
            with contextlib.suppress(NotFound):  # somebody else was faster
                await self.remove(owner, name, share.kind, share.name)
                gone.append(_said(share.kind, share.name))
        return gone

    def came(self, person: Person) -> None:
        """Somebody was asked for at the Hub: what was shared with her name while nobody knew of her is hers from now
        on, and nobody else's."""
        if person.made is None:
            return
        for service in self._services():
            share = service.endpoint.sharing.users.get(person.name)
            if share is not None and share.made is None:
                bound = replace(share, made=person.made)
                service.endpoint.sharing = service.endpoint.sharing.with_share(bound)
                self._tasks.start(f"share {service.id} {person.name}", self._keep(service, bound))

    async def _keep(self, service: Service, share: Share) -> None:
        async def body() -> None:
            if not service.deleting and service.endpoint.sharing.get("user", share.name) == share:
                await self._ledger.commit(lambda: self._parts.store.access.set_share(service.id, share))

        try:
            await self._turns.in_turn(body())
        except StoreError as error:  # at the next start it is bound anew, to whoever comes first
            log.warning("With whom %s is shared could not be stored: %s", service.key, error)


async def _nobody_knows(name: str) -> str | None:
    return None


def _said(kind: ShareKind, whom: str) -> str:
    return whom if kind == "user" else f"the group {whom}"


def _check_name(kind: ShareKind, whom: str) -> None:
    if not whom or len(whom) > LONGEST_PERSON or not whom.isprintable():
        raise InvalidRequest(f"The name of a {kind} has 1 to {LONGEST_PERSON} printable characters.")
