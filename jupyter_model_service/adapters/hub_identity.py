"""Who a bearer token belongs to, asked of the JupyterHub and remembered for a while.

A token that the Hub confirmed is good for 30 s without asking again, and for 300 s while the Hub does not answer: a
Hub that restarts takes no endpoint down. As soon as the Hub says no, it is over. What the Hub says of a token's user
is kept for as long, for all of her tokens together; neither answer is used for longer, so that their ages never add up.
Only digests are kept, and a bounded number of them. Tokens of endpoints belong to a user of the Hub who owns nothing
else: of those our own table has to know each one besides, so that one that was revoked here is dead at once, whatever
the Hub still says.
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
from ..core.hub_scopes import Members, by_groups, caller_from
from ..core.sharing import Person
from ..errors import HubRefused, HubUnavailable
from ..ports import Clock, Identity
from .hub_models import HubUser
from .hub_users import Met

__all__ = ["HubIdentity"]

FRESH = 30.0  # seconds for which a confirmed token is not asked for again
STALE = 300.0  # seconds for which it stays good while the Hub does not answer
REFUSED = 5.0  # seconds for which a token that the Hub does not know is not asked for again
NEWLY = 1.0  # seconds for which what is known of a user counts for a new token that manages, or is of a sign-in
PAUSE = 5.0  # seconds between two questions about one token to a Hub that does not answer
PATIENCE = 3.0  # seconds that a Hub which is just coming up is waited for, when nothing is known of a token
SLOW = 2.0  # seconds after which a Hub counts as silent where there is a former answer to go by
MOST = 10_000  # tokens remembered, of each kind

log = logging.getLogger(__name__)


class Asked(Protocol):
    """The part of ``HubApi`` that is needed here."""

    async def user_of(self, token: str, *, patience: float = 0.0) -> HubUser | None: ...


class Meet(Protocol):
    """:meth:`.hub_users.HubUsers.meet`."""

    def __call__(self, name: str, *, within: float = ...) -> Awaitable[Met]: ...


@dataclass
class _Known:
    """``user`` is what the Hub said of the token when it ``confirmed`` it, ``met`` what it said of its user, where that
    was asked; ``looked`` is when it said who is in which group, where that matters. ``caller`` is ``None`` for a token
    of an endpoint: the table says, each time."""

    user: HubUser
    confirmed: float
    met: Met | None
    caller: Caller | None
    ask_again: float
    looked: float | None = None

    @property
    def oldest(self) -> float:
        """When the oldest of these was said."""
        found = self.confirmed if self.met is None else min(self.confirmed, self.met.at)
        return found if self.looked is None else min(found, self.looked)


async def _never(within: float) -> float | None:
    return None


def _key(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


class HubIdentity:
    """Implements ``ports.Identity``. ``endpoints`` is the table of endpoint tokens, ``system_user`` the Hub's user that
    they belong to, ``service_name`` ours there; ``members`` the groups of the Hub, of which ``looked`` makes sure that
    they are no older than so many seconds (:meth:`.hub_users.HubUsers.looked_within`); ``meet`` says when a user was
    made, and whether the services of her name are hers: a former one's are not hers to manage; ``came`` is told of
    everybody who comes, ``doubt`` of a user one of whose tokens is good no more. Belongs to one event loop."""

    def __init__(
        self,
        api: Asked,
        clock: Clock,
        *,
        endpoints: Identity,
        system_user: str,
        meet: Meet,
        members: Members = lambda group: (),
        looked: Callable[[float], Awaitable[float | None]] = _never,
        service_name: str = "model-service",
        came: Callable[[Person], None] = lambda person: None,
        doubt: Callable[[str], None] = lambda name: None,
    ) -> None:
        self._api = api
        self._clock = clock
        self._endpoints = endpoints
        self._system_user = system_user
        self._members = members
        self._looked = looked
        self._meet = meet
        self._service_name = service_name
        self._doubt = doubt
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

    async def resolve(self, token: str, *, signs_in: bool = False) -> Caller | None:
        """``None`` for a token that is not good; ``HubUnavailable`` when that cannot be found out now."""
        key, now = _key(token), self._clock.monotonic()
        found = self._known.get(key)
        if found is not None and now < found.ask_again:
            return found.caller or self._endpoints.known(token)
        if self._refused.get(key, 0.0) > now:
            return None
        task = self._asking.get(key)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._ask(key, token, signs_in), name="who is that")
            task.add_done_callback(lambda done: self._asked(key, done))
            self._asking[key] = task
        if found is None or now >= found.oldest + STALE:
            return await asyncio.shield(task)
        await asyncio.wait({task}, timeout=0.0 if self._silent else SLOW)
        if task.done() and not task.cancelled():
            return task.result()
        return found.caller or self._endpoints.known(token)

    def met(self, token: str) -> bool:
        found = self._known.get(_key(token))
        return found is not None and self._clock.monotonic() < found.oldest + STALE

    def over(self, token: str) -> bool:
        key = _key(token)
        found = self._known.get(key)
        if found is None:
            return self._refused.get(key, 0.0) > self._clock.monotonic()
        return found.caller is None and self._endpoints.known(token) is None

    def _asked(self, key: bytes, done: asyncio.Task[Caller | None]) -> None:
        self._asking.pop(key, None)
        if not done.cancelled():
            done.exception()  # whoever waits is told; nobody may be left

    async def _ask(self, key: bytes, token: str, signs_in: bool) -> Caller | None:
        """Only what is not known from less than 30 s ago is asked: a token that came 29 s after its user was met is
        good for 30 s, and its user for 1 s more."""
        before = self._known.get(key)
        user, confirmed = (None, 0.0) if before is None else (before.user, before.confirmed)
        try:
            if user is None or self._clock.monotonic() >= confirmed + FRESH:
                user = await self._api.user_of(token, patience=PATIENCE if before is None else 0.0)
                confirmed = self._clock.monotonic()
            if user is None:
                self._silent = False
                self._known.pop(key, None)
                if before is not None:
                    self._doubt(before.user.name)
                _remember(self._refused, key, confirmed + REFUSED)
                return None
            # Whose services `invoke!group=…` covers: a look at all users is one for all tokens, and half a minute.
            looked = await self._looked(FRESH) if by_groups(user.scopes) else None
            met, caller = None, self._as_caller(user, None)
            if caller.counted_as is not None:
                # A class comes with a token each, for one question about each of them. The first notebook of a user
                # who was made anew is not to manage what the former had for half a minute; nor is she at our pages,
                # where the token of her sign-in makes her its owner though it manages nothing by itself.
                newly = before is None and (caller.manages_any or signs_in)
                met = await self._meet(user.name, within=NEWLY if newly else FRESH)
        except (
            HubUnavailable,
            HubRefused,
        ) as error:  # refused: an error inside the Hub, which says nothing of the token
            known = self._unanswered(key, user, confirmed, error)
        else:
            self._silent = False
            self._refused.pop(key, None)
            until = confirmed + FRESH if met is None else min(confirmed + FRESH, met.until)
            now = self._clock.monotonic()
            if by_groups(user.scopes):
                if (
                    looked is None or now >= looked + FRESH
                ):  # the Hub does not list them: nobody is in a group after 300 s
                    until = min(until, now + PAUSE)
                    looked = looked if looked is not None and now < looked + STALE else None
                else:
                    until = min(until, looked + FRESH)
            known = self._remembered(key, user, confirmed, met, until, looked)
            if known is not None and known.person is not None:
                self.came(known.person)
        return known or self._endpoints.known(token)

    def _unanswered(
        self, key: bytes, user: HubUser | None, confirmed: float, error: HubUnavailable | HubRefused
    ) -> Caller | None:
        """What was known before holds on. ``user``: what the Hub still said of the token, if it did."""
        before, now = self._known.get(key), self._clock.monotonic()
        if not self._silent:
            log.warning("the Hub does not say whose a token is (%s); known ones stay good for %g s", error, STALE)
        self._silent = True
        if before is None or now >= before.oldest + STALE:
            self._known.pop(key, None)
            if isinstance(error, HubUnavailable):
                raise error
            raise HubUnavailable(error.message) from error
        if user is None:
            user, confirmed = before.user, before.confirmed
        met = before.met if user.name == before.user.name else None
        return self._remembered(key, user, confirmed, met, min(now + PAUSE, before.oldest + STALE), before.looked)

    def _remembered(
        self, key: bytes, user: HubUser, confirmed: float, met: Met | None, until: float, looked: float | None
    ) -> Caller | None:
        """Whoever is not known to be whom the services of her name were made for manages none of them, and nothing is
        shared with her."""
        caller = None
        if user.kind != "user" or user.name != self._system_user:
            caller = self._as_caller(user, None if met is None or not met.hers else met.made)
            person = caller.person
            if person is not None and (met is None or not met.hers):
                caller = replace(caller, manages=caller.manages - {person.owner}, home=None, person=None)
        _remember(self._known, key, _Known(user, confirmed, met, caller, until, looked))
        return caller

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
