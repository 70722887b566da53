"""Who a bearer token belongs to, asked of the JupyterHub and remembered for a while.

A token that the Hub confirmed is good for 30 s without asking again, and for 300 s while the Hub does not answer: a
Hub that restarts takes no endpoint down. As soon as the Hub says no, it is over. Only digests are kept, and a bounded
number of them. Tokens of endpoints belong to a user of the Hub who owns nothing else: of those our own table has to
know each one besides, so that one that was revoked here is dead at once, whatever the Hub still says.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Protocol

from ..core.access import Caller
from ..core.hub_scopes import Members, caller_from
from ..core.sharing import Person
from ..errors import HubRefused, HubUnavailable
from ..ports import Clock, Identity
from .hub_models import HubUser
from .hub_users import Met

__all__ = ["HubIdentity"]

FRESH = 30.0  # seconds for which a confirmed token is not asked for again
STALE = 300.0  # seconds for which it stays good while the Hub does not answer
REFUSED = 5.0  # seconds for which a token that the Hub does not know is not asked for again
ANOTHER = 1.0  # seconds until a user is asked for again who was made anew, until the former one's services are gone
PAUSE = 5.0  # seconds between two questions about one token to a Hub that does not answer
PATIENCE = 3.0  # seconds that a Hub which is just coming up is waited for, when nothing is known of a token
SLOW = 2.0  # seconds after which a Hub counts as silent where there is a former answer to go by
MOST = 10_000  # tokens remembered, of each kind

log = logging.getLogger(__name__)


class Asked(Protocol):
    """The part of ``HubApi`` that is needed here."""

    async def user_of(self, token: str, *, patience: float = 0.0) -> HubUser | None: ...


@dataclass
class _Known:
    """``caller`` is ``None`` for a token of an endpoint: the table says, each time."""

    caller: Caller | None
    confirmed: float
    ask_again: float


def _key(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


class HubIdentity:
    """Implements ``ports.Identity``. ``endpoints`` is the table of endpoint tokens, ``system_user`` the Hub's user that
    they belong to, ``members`` the groups of the Hub, ``service_name`` ours there; ``meet`` says when a user was made,
    and whether the services of her name are hers: a former one's are not hers to manage; ``came`` is told of everybody
    who comes. Belongs to one event loop."""

    def __init__(
        self,
        api: Asked,
        clock: Clock,
        *,
        endpoints: Identity,
        system_user: str,
        meet: Callable[[str], Awaitable[Met]],
        members: Members = lambda group: (),
        service_name: str = "model-service",
        came: Callable[[Person], None] = lambda person: None,
    ) -> None:
        self._api = api
        self._clock = clock
        self._endpoints = endpoints
        self._system_user = system_user
        self._members = members
        self._meet = meet
        self._service_name = service_name
        self.came = came
        self._known: OrderedDict[bytes, _Known] = OrderedDict()
        self._refused: OrderedDict[bytes, float] = OrderedDict()  # until when
        self._asking: dict[bytes, asyncio.Task[Caller | None]] = {}
        self._silent = False  # the last question got no answer

    async def close(self) -> None:
        tasks = list(self._asking.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def known(self, token: str) -> Caller | None:
        found = self._known.get(_key(token))
        if found is None or self._clock.monotonic() >= found.ask_again:
            return None
        return found.caller or self._endpoints.known(token)

    async def resolve(self, token: str) -> Caller | None:
        """``None`` for a token that is not good; ``HubUnavailable`` when that cannot be found out now."""
        key, now = _key(token), self._clock.monotonic()
        found = self._known.get(key)
        if found is not None and now < found.ask_again:
            return found.caller or self._endpoints.known(token)
        if self._refused.get(key, 0.0) > now:
            return None
        task = self._asking.get(key)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._ask(key, token), name="who is that")
            task.add_done_callback(lambda done: self._asked(key, done))
            self._asking[key] = task
        if found is None or now >= found.confirmed + STALE:
            return await asyncio.shield(task)
        await asyncio.wait({task}, timeout=0.0 if self._silent else SLOW)
        if task.done() and not task.cancelled():
            return task.result()
        return found.caller or self._endpoints.known(token)

    def met(self, token: str) -> bool:
        found = self._known.get(_key(token))
        return found is not None and self._clock.monotonic() < found.confirmed + STALE

    def _asked(self, key: bytes, done: asyncio.Task[Caller | None]) -> None:
        self._asking.pop(key, None)
        if not done.cancelled():
            done.exception()  # whoever waits is told; nobody may be left

    async def _ask(self, key: bytes, token: str) -> Caller | None:
        before, caller, fresh = self._known.get(key), None, FRESH
        try:
            user = await self._api.user_of(token, patience=PATIENCE if before is None else 0.0)
            if user is not None:
                caller, fresh = await self._caller(user)
        except (
            HubUnavailable,
            HubRefused,
        ) as error:  # refused: an error inside the Hub, which says nothing of the token
            now = self._clock.monotonic()
            if not self._silent:
                log.warning("the Hub does not say whose a token is (%s); known ones stay good for %g s", error, STALE)
            self._silent = True
            if before is None or now >= before.confirmed + STALE:
                self._known.pop(key, None)
                if isinstance(error, HubUnavailable):
                    raise
                raise HubUnavailable(error.message) from error
            before.ask_again = min(now + PAUSE, before.confirmed + STALE)
            return before.caller or self._endpoints.known(token)
        self._silent = False
        now = self._clock.monotonic()
        if user is None:
            self._known.pop(key, None)
            _remember(self._refused, key, now + REFUSED)
            return None
        self._refused.pop(key, None)
        _remember(self._known, key, _Known(caller, now, now + fresh))
        return caller or self._endpoints.known(token)

    async def _caller(self, user: HubUser) -> tuple[Caller | None, float]:
        """And for how many seconds that is good."""
        if user.kind == "user" and user.name == self._system_user:
            return None, FRESH
        caller = self._as_caller(user, None)
        person = caller.person
        if person is None:  # then nothing is hers, and nothing is shared with her
            return caller, FRESH
        met = await self._meet(user.name)
        if met.hers:
            caller = self._as_caller(user, met.made)
            if caller.person is not None:
                self.came(caller.person)
            return caller, FRESH
        return replace(caller, manages=caller.manages - {person.owner}, home=None, person=None), ANOTHER

    def _as_caller(self, user: HubUser, made: str | None) -> Caller:
        return caller_from(
            user.name,
            user.kind,
            user.scopes,
            self._members,
            self._system_user,
            service_name=self._service_name,
            groups=user.groups,
            made=made,
            admin=user.admin,
        )


def _remember(table: OrderedDict[bytes, _Known] | OrderedDict[bytes, float], key: bytes, value: _Known | float) -> None:
    table[key] = value  # type: ignore[assignment]
    table.move_to_end(key)
    while len(table) > MOST:
        table.popitem(last=False)
