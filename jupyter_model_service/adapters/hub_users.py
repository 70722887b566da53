"""The JupyterHub's users as they were a moment ago: who an owner is, who is in a group, and who has gone.

A user who was deleted and made again under the same name is another one, told by the time of its making. Which user an
owner's services were made for is therefore kept in a file (JSON, mode 0600) of the gateway's folder. Where that does
not say so (it was lost, or the Hub had not told the time), a user who was made after the oldest of them is another.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from math import inf
from pathlib import Path
from typing import NamedTuple, Protocol

from ..core.names import owner_from
from ..errors import HubRefused, HubUnavailable, ModelServiceError, NotFound, StoreError
from ..ports import Clock
from .hub_models import HubUser, unix_time
from .private_file import read_book, write_book

__all__ = ["HubUsers", "Met"]

INTERVAL = 60.0  # seconds between two looks
SOON = 10.0  # seconds until the next look after one that failed
AGAIN = 5.0  # seconds until the next look for a user that a look did not find
MET = 30.0  # seconds for which nobody asks for a user again who was met, whatever her tokens
ANOTHER = 1.0  # seconds of one whose services are a former user's, until these are gone, or who is just being deleted
MOST = 10_000  # users remembered so
STALE = 300.0  # seconds for which it counts who is in a group, while the Hub does not say it anew
MAKING = 86_400.0  # seconds for which an owner is kept in mind whose first service is not there yet: it may be copied
CLOCKS = (
    600.0  # seconds that the clock of the Hub's machine and that of this one may differ by; no service goes for that
)

log = logging.getLogger(__name__)


class UserApi(Protocol):
    """The part of ``HubApi`` that is needed here."""

    async def users(self, *, patience: float | None = None) -> Sequence[HubUser]: ...
    async def user(self, name: str, *, patience: float | None = None) -> HubUser | None: ...


class Met(NamedTuple):
    """``hers``: whether the services of her name are hers. ``made``: when the Hub made her, in its words. ``at``: when
    the Hub said so (the clock's monotonic time)."""

    hers: bool
    made: str | None
    at: float

    @property
    def until(self) -> float:
        """When the Hub is to be asked again."""
        return self.at + (MET if self.hers else ANOTHER)


class HubUsers:
    """``path`` is where the users of owners are kept. Belongs to one event loop."""

    def __init__(self, api: UserApi, clock: Clock, path: Path) -> None:
        self._api = api
        self._clock = clock
        self._path = path
        self._users: dict[str, HubUser] = {}  # by owner
        self._groups: dict[str, frozenset[str]] = {}
        self._met: OrderedDict[str, Met] = OrderedDict()  # by the Hub's name
        self._meeting: dict[str, asyncio.Task[Met]] = {}
        self._looked_at: float | None = None
        self._failed_at: float | None = None  # the last look, if it did
        self._looking = asyncio.Lock()
        self._check_now = asyncio.Event()  # somebody came who is not whom the services of that name were made for
        self._missing: set[str] = set()  # owners that the last look did not find
        self._writing = asyncio.Lock()  # the file
        self._noted: set[str] = set()  # owners that are in it
        self._making: dict[str, float] = {}  # until when (monotonic) one of them counts without a service
        self._task: asyncio.Task[None] | None = None
        self._oldest: Callable[[str], float | None] = lambda owner: None
        self._told: Callable[[str, str], None] = lambda owner, why: None
        self._renamed: dict[str, str] = {}  # owner to the name that the Hub has for her now
        self.problem: str | None = None  # why the last look failed, if it did

    # --- what others ask -----------------------------------------------------------------------------

    def members(self, group: str) -> Collection[str]:
        """The names of a group's users, as of a look of the last 300 s; empty for an unknown one."""
        if self._looked_at is None or self._clock.monotonic() >= self._looked_at + STALE:
            return frozenset()
        return self._groups.get(group, frozenset())

    async def looked_within(self, seconds: float) -> float | None:
        """Look again unless that was done within so many ``seconds``. When it was (the clock's monotonic time); where
        the Hub does not answer, when it last did, ``None`` for never. Raises nothing of the Hub's.

        One look for all who ask at once; and one in five seconds where it fails."""
        async with self._looking:
            now = self._clock.monotonic()
            old = self._looked_at is None or now >= self._looked_at + seconds
            if old and (self._failed_at is None or now >= self._failed_at + AGAIN):
                with contextlib.suppress(HubUnavailable, HubRefused):  # ``problem`` says it
                    await self.look(patience=0.0)
            return self._looked_at

    def known(self, owner: str) -> HubUser | None:
        """The user that ``owner`` stands for, as of the last look."""
        return self._users.get(owner)

    async def made(self, name: str) -> str | None:
        """When the Hub made the user ``name``: now, or where it does not answer, as of the last look."""
        try:
            user = await self._api.user(name, patience=0.0)
        except (HubUnavailable, HubRefused):
            user = self._users.get(owner_from(name))
        return user.created if user is not None and user.name == name else None

    def seen(self, name: str) -> str | None:
        """As :meth:`made`, by what is known already: as of when she last came, or of the last look."""
        user = self._users.get(owner_from(name))
        return user.created if user is not None and user.name == name else None

    async def exists(self, name: str) -> bool:
        """Whether the Hub has the user ``name``, who is known afterwards: now, or where it does not answer, as of the
        last look. Raises ``HubUnavailable`` or ``HubRefused`` for one who was in none."""
        owner = owner_from(name)
        try:
            user = await self._api.user(name, patience=0.0)
        except (HubUnavailable, HubRefused):
            known = self._users.get(owner)
            if known is None or known.name != name:
                raise
            return True
        if user is not None:
            self._users = {**self._users, owner: user}
        return user is not None

    @property
    def looked(self) -> bool:
        """Whether the users have been read at all."""
        return self._looked_at is not None

    async def meet(self, name: str, *, within: float = MET) -> Met:
        """The user ``name``, who is known afterwards, as the Hub said at most ``within`` seconds ago. Where she was
        made anew since the services of that name were made, these are not hers, and are removed now. Raises
        ``HubUnavailable`` or ``HubRefused``.

        A class of 1,000 with a token each, or one user with 1,000 of them, is one question for each user and 30 s:
        whoever asks while one is under way waits for its answer.
        """
        found = self._met.get(name)
        if found is not None and self._clock.monotonic() < min(found.until, found.at + within):
            return found
        task = self._meeting.get(name)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._meet(name), name="who is of that name")
            task.add_done_callback(lambda done: self._asked(name, done))
            self._meeting[name] = task
        return await asyncio.shield(task)

    def doubt(self, name: str) -> None:
        """A token of hers is good no more: she may have been deleted, and the next one of her name be another."""
        self._met.pop(name, None)

    def _asked(self, name: str, done: asyncio.Task[Met]) -> None:
        self._meeting.pop(name, None)
        if not done.cancelled():
            done.exception()  # whoever waits is told; nobody may be left

    async def _meet(self, name: str) -> Met:
        user = await self._api.user(name)  # what a token's own model holds depends on its scopes: no ``created`` there
        met = Met(False, None, self._clock.monotonic())
        if user is not None:
            owner = owner_from(name)
            self._users = {**self._users, owner: user}
            book = await asyncio.to_thread(_read, self._path)
            hers = not self._another(owner, book.get(owner, {}).get("created"), user)
            met = Met(hers, user.created, met.at)
            if not hers:
                self._check_now.set()
        self._met[name] = met
        self._met.move_to_end(name)
        while len(self._met) > MOST:
            self._met.popitem(last=False)
        return met

    async def name_of(self, owner: str) -> str:
        """The Hub's name of the user that ``owner`` stands for, who is noted when it returns. ``NotFound`` when there
        is none, ``StoreError`` when it cannot be noted."""
        if owner not in self._users:
            async with self._looking:
                now = self._clock.monotonic()
                if owner not in self._users and (self._looked_at is None or now >= self._looked_at + AGAIN):
                    await self.look()
        if owner not in self._users:
            raise NotFound(f"The Hub has no user whose services would be {owner}'s.")
        await self._note(self._users[owner], owner)
        return self._users[owner].name

    async def _note(self, known: HubUser, owner: str) -> None:
        """Before anything is made for an owner: a user who is deleted and made anew before the next look would else
        inherit it, and one who is renamed before it would be taken for a deleted one."""
        self._making[owner] = self._clock.monotonic() + MAKING  # of one who is noted, too: her last service may just go
        if owner in self._noted:
            return
        try:
            user = await self._api.user(known.name)
        except (HubUnavailable, HubRefused):
            user = known  # whoever manages something was met a moment ago, and a service may be made without the Hub
        if user is None or not user.created:
            return
        async with self._writing:
            book = await asyncio.to_thread(_read, self._path)
            if owner not in book:
                noted = {**book, owner: {"name": known.name, "created": user.created}}
                try:
                    await asyncio.to_thread(write_book, self._path, noted)
                except OSError as error:
                    raise StoreError(f"{self._path} cannot be written: {error.strerror or error}.") from error
            self._noted.add(owner)

    async def look(self, *, patience: float | None = None) -> Mapping[str, HubUser]:
        """Read the list anew; owner → user. Raises ``HubUnavailable`` or ``HubRefused``."""
        asked_at = self._clock.monotonic()
        try:
            users = await self._api.users(patience=patience)
        except (HubUnavailable, HubRefused) as error:
            self.problem, self._failed_at = error.message, self._clock.monotonic()
            raise
        self.problem = self._failed_at = None
        groups: dict[str, set[str]] = {}
        for user in users:
            for group in user.groups:
                groups.setdefault(group, set()).add(user.name)
        self._users = {owner_from(user.name): user for user in users}
        self._groups = {group: frozenset(names) for group, names in groups.items()}
        for name, met in list(self._met.items()):
            now = self._users.get(owner_from(name))
            if now is None or now.created != met.made:
                del self._met[name]
        self._looked_at = asked_at
        return self._users

    # --- who has gone --------------------------------------------------------------------------------

    def start(
        self,
        owners: Callable[[], Collection[str]],
        gone: Callable[[str, str], Awaitable[None]],
        *,
        oldest: Callable[[str], float | None] = lambda owner: None,
        renamed: Callable[[str, str], None] = lambda owner, why: None,
    ) -> None:
        """Look each minute. ``gone(owner, why)`` is called for those of ``owners`` who are no more; called again at
        the next look if it raises. ``oldest``: when the oldest of an owner's services was made (Unix time).
        ``renamed(owner, why)`` is called once for an owner whose services are kept, as the Hub has her by another
        name."""
        self._oldest, self._told = oldest, renamed
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._watch(owners, gone), name="hub users")

    async def stop(self) -> None:
        task, self._task = self._task, None
        tasks = [*self._meeting.values(), *([] if task is None else [task])]
        for each in tasks:
            each.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _watch(self, owners: Callable[[], Collection[str]], gone: Callable[[str, str], Awaitable[None]]) -> None:
        while True:
            self._check_now.clear()
            try:
                await self.check(owners(), gone)
            except (HubUnavailable, HubRefused) as error:
                log.warning("the Hub's users cannot be looked at: %s", error)
            except Exception:  # a fault of ours must not end the task
                log.exception("the Hub's users could not be looked through")
            told = asyncio.ensure_future(self._check_now.wait())
            slept = asyncio.ensure_future(self._clock.sleep(INTERVAL if self.problem is None else SOON))
            try:
                await asyncio.wait({slept, told}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                told.cancel()
                slept.cancel()

    async def check(self, owners: Collection[str], gone: Callable[[str, str], Awaitable[None]]) -> None:
        """One look. Somebody is gone when two looks in a row and the Hub's answer about that one user say so: a list
        may be short for a moment, and what is removed on its account does not come back. Whose services ``gone`` could
        not remove (it raises ``ModelServiceError``) stays noted as before: the next look tries again, and the next user
        of that name has nothing until then. Of whom the Hub renamed nothing is removed, nor does it go on to her new
        name: whoever has it may not be whom it was shared with."""
        users = await self.look()
        book = await asyncio.to_thread(_read, self._path)
        new = {owner: kept for owner, kept in book.items() if owner in owners}
        missing: set[str] = set()
        renamed: dict[str, str] = {}
        for owner in owners:
            user = users.get(owner)
            if user is None:
                missing.add(owner)
                name = book.get(owner, {}).get("name", owner)
                if owner not in self._missing or await self._api.user(name) is not None:
                    continue
                if (now_called := _renamed(users, book, owner)) is not None:
                    renamed[owner] = now_called
                    if self._renamed.get(owner) != now_called:
                        self._told(owner, _KEPT.format(name=name, new=now_called, owner=owner))
                    continue
                if await _removed(gone, owner, f"the Hub has no user {name} any more"):
                    new.pop(owner, None)
                    missing.discard(owner)
                continue
            known = book.get(owner, {}).get("created")
            why = f"the user {user.name} was deleted in the Hub and made anew"
            if self._another(owner, known, user) and not await _removed(gone, owner, why):
                continue
            new[owner] = {"name": user.name, "created": user.created or known or ""}
        self._missing, self._renamed = missing, renamed
        async with self._writing:
            now = await asyncio.to_thread(_read, self._path)
            new |= {
                owner: kept
                for owner, kept in now.items()
                if owner not in book  # noted meanwhile
                or (owner not in owners and self._is_making(owner, kept, users.get(owner)))
            }
            self._noted = set(new)
            if new != now:
                await asyncio.to_thread(write_book, self._path, new)
        for name in [name for name, met in self._met.items() if not met.hers]:  # what she makes from now on is hers
            del self._met[name]

    def _is_making(self, owner: str, kept: Mapping[str, str], user: HubUser | None) -> bool:
        """Whether something may be made just now for the owner, who has no services yet: a look that forgot her would
        take the one who is renamed, or made anew, before the next look for somebody of whom nothing is known. Whom the
        list lacks may be renamed already; the next of her name is told from her when she comes (:meth:`meet`)."""
        if self._clock.monotonic() >= self._making.get(owner, -inf):
            self._making.pop(owner, None)
            return False
        return user is None or user.created == kept.get("created")

    def _another(self, owner: str, known: str | None, user: HubUser) -> bool:
        """Whether the services of ``owner`` were made for another user of that name, made at the time ``known``."""
        if not user.created or known:
            return bool(user.created) and user.created != known
        oldest, made = self._oldest(owner), unix_time(user.created)
        return oldest is not None and made is not None and made > oldest + CLOCKS


_KEPT = (
    "the Hub has no user {name} any more, but {new}, who was made at the same moment: the user was renamed, and the "
    "services of {owner} are kept. Name the user {name} again, and they are as before; or delete them as an "
    "administrator (jupyter model-service delete {owner}/NAME)"
)


def _renamed(users: Mapping[str, HubUser], book: Mapping[str, Mapping[str, str]], owner: str) -> str | None:
    """The name of the user that the Hub made when it made the gone ``owner``, to the microsecond; not of one who was
    there beside her, as where the Hub's database knows whole seconds only."""
    made = book.get(owner, {}).get("created")
    for other, user in users.items():
        if made and user.created == made and book.get(other, {}).get("created") != made:
            return user.name
    return None


async def _removed(gone: Callable[[str, str], Awaitable[None]], owner: str, why: str) -> bool:
    try:
        await gone(owner, why)
    except ModelServiceError as error:
        log.warning("the services of %s could not be removed, trying again: %s", owner, error)
        return False
    return True


def _read(path: Path) -> dict[str, dict[str, str]]:
    book = read_book(path, "who the owners of services were is noted anew")
    return {
        owner: {str(key): str(value) for key, value in kept.items()}
        for owner, kept in book.items()
        if isinstance(kept, dict)
    }
