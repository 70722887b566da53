"""How often each token and person called each service, refused or not, by day: for its owner to read.

Nothing else is kept of a call. A count is on disk less than a second after its call, and 400 days long. Of one service
10,000 people are told apart on a day, all further ones are counted together; whom a share limits is always counted for
herself. Nothing is written, and nobody wakes up, while nobody calls.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial

from jupyter_model_service.core.access import Caller
from jupyter_model_service.core.limits import DAY, Allowance, Limits
from jupyter_model_service.core.sharing import Person
from jupyter_model_service.core.tally import Tally
from jupyter_model_service.errors import StoreError
from jupyter_model_service.ports import Clock, Store, UseRecord

from .caps import Caps, Key
from .write_behind import COUNTS_EVERY, WriteBehind

KEPT = 400  # days
MOST_PEOPLE = 10_000  # of one service, on one day
LOOK_EVERY = 3600.0  # seconds between two looks for what is to be forgotten

ANYONE, OTHERS = "anyone", "others"

_log = logging.getLogger(__name__)


@dataclass(eq=False)
class _Use:
    """``record`` is what the store has of its day."""

    record: UseRecord
    tally: Tally = field(default_factory=Tally)

    def on(self, day: int) -> int:
        """Calls on that day, stored or not."""
        return (self.record.calls if self.record.day == day else 0) + self.tally.calls


class Uses:
    """Implements ``ports.Uses``. Belongs to one event loop; ``load`` comes before the first call."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._people: dict[tuple[str, str, str | None], _Use] = {}  # made: None for who is no person
        self._together: dict[tuple[str, str], _Use] = {}  # by service id and who: tokens, anyone, others
        self._many: dict[str, int] = {}  # people by service id
        self._unsaved: set[_Use] = set()
        self._storing: set[_Use] = set()
        self._day = self._today()
        self._caps = Caps(clock, self._called)
        self._writing = WriteBehind("counts of calls", self.flush, clock, COUNTS_EVERY)
        self._forgetting: asyncio.Task[None] | None = None

    async def load(self) -> None:
        """What was called today. What is too old is forgotten."""
        for record in await self._store.access.uses(since_day=self._day):
            self._add(record)
        await self._store.access.forget_uses(self._day - KEPT)

    # --- for each call -------------------------------------------------------------------------------------

    def of(self, caller: Caller, service_id: str) -> Tally:
        """Of a caller that has none of its own."""
        person = caller.counts_as
        key = (service_id, caller.name, None) if person is None else (service_id, person.name, person.made or "")
        use = self._people.get(key)
        return self._met(key).tally if use is None else use.tally

    def anyone(self, service_id: str) -> Tally:
        """Whoever calls a public service."""
        return self._common(service_id, ANYONE).tally

    def token(self, service_id: str, token_id: str) -> Tally:
        return self._common(service_id, f"token:{token_id}").tally

    def allowance(self, service_id: str, person: Person, limits: Limits, set_by: str) -> Allowance:
        """What a share leaves to her of this service, whatever her tokens: she has a count of her own."""
        key = service_id, person.name, person.made or ""
        if key not in self._people:
            self._met(key, always=True)
        return self._caps.allowance(key, limits, set_by)

    # --- what was counted ----------------------------------------------------------------------------------

    def today(self) -> dict[str, int]:
        """Calls by all together, by service id."""
        day, found = self._today(), dict[str, int]()
        for use in (*self._people.values(), *self._together.values()):
            found[use.record.service_id] = found.get(use.record.service_id, 0) + use.on(day)
        return found

    def token_today(self, service_id: str, token_id: str) -> int:
        use = self._together.get((service_id, f"token:{token_id}"))
        return 0 if use is None else use.on(self._today())

    def person_today(self, service_id: str, name: str, made: str | None) -> tuple[int, float | None]:
        """And when the last call of today came (Unix time)."""
        use = self._people.get((service_id, name, made or ""))
        return (0, None) if use is None else (use.on(self._today()), use.record.last_at)

    async def since(self, service_id: str, day: int, limit: int) -> Sequence[UseRecord]:
        """Of that day (since 1970) and later, ``limit`` at most: the newest."""
        with suppress(StoreError):  # what is stored can still be read
            await self.flush()
        return await self._store.access.uses(service_id, day, limit)

    # --- storing -------------------------------------------------------------------------------------------

    def start(self) -> None:
        self._writing.start()
        if self._forgetting is None:
            self._forgetting = asyncio.get_running_loop().create_task(self._keep_forgetting(), name="old counts")

    async def stop(self) -> None:
        """What cannot be stored is logged."""
        task, self._forgetting = self._forgetting, None
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await self._writing.stop()

    async def flush(self) -> None:
        """Store what was counted. It is kept for the next time if that fails."""
        uses, self._unsaved = self._unsaved, set()
        if not uses:
            return
        now, day = self._clock.now(), self._today()
        taken = {use: use.tally.take() for use in uses}
        self._storing |= uses
        added = [
            replace(use.record, day=day, calls=calls, refused=refused, last_at=now)
            for use, (calls, refused) in taken.items()
        ]
        try:
            await self._store.access.add_uses(added)
        except BaseException:
            for use, (calls, refused) in taken.items():
                use.tally.put_back(calls, refused)
            raise
        finally:
            self._storing -= uses
        for use, record in zip(taken, added, strict=True):
            before = use.record
            if before.day == day:
                record = replace(record, calls=before.calls + record.calls, refused=before.refused + record.refused)
            use.record = record

    async def _keep_forgetting(self) -> None:
        while True:
            await self._clock.sleep(LOOK_EVERY)
            day = self._today()
            self._next_day(day)
            if day == self._day:
                continue
            try:
                await self._store.access.forget_uses(day - KEPT)
                self._day = day
            except StoreError as error:
                _log.warning("Counts of calls that are older than %d days could not be removed: %s", KEPT, error)

    def _next_day(self, day: int) -> None:
        """Whoever has not called since is met anew, and has another's place until then."""
        busy = self._unsaved | self._storing
        for key, use in [*self._people.items()]:
            if use.record.day < day and use not in busy:
                del self._people[key]
                self._many[key[0]] -= 1
        self._many = {service_id: many for service_id, many in self._many.items() if many}
        over = [key for key, use in self._together.items() if use.record.day < day and use not in busy]
        for common in over:
            del self._together[common]

    # --- the tables ----------------------------------------------------------------------------------------

    def _today(self) -> int:
        return int(self._clock.now() // DAY)

    def _called(self, key: Key) -> tuple[int, int]:
        day = self._today()
        return day, self._people[key].on(day)

    def _met(self, key: tuple[str, str, str | None], *, always: bool = False) -> _Use:
        service_id, name, made = key
        if not always and self._many.get(service_id, 0) >= MOST_PEOPLE:
            return self._common(service_id, OTHERS)
        who = name if made is None and name.startswith("service:") else f"user:{name}"
        return self._add(UseRecord(service_id, who, self._today(), 0, made=made or ""), key)

    def _common(self, service_id: str, who: str) -> _Use:
        found = self._together.get((service_id, who))
        return self._add(UseRecord(service_id, who, self._today(), 0)) if found is None else found

    def _add(self, record: UseRecord, key: tuple[str, str, str | None] | None = None) -> _Use:
        use = _Use(record)
        use.tally = Tally(partial(self._note, use))
        kind, _, name = record.who.partition(":")
        if key is None and kind in ("user", "service"):
            key = (record.service_id, name, record.made) if kind == "user" else (record.service_id, record.who, None)
        if key is None:
            self._together[record.service_id, record.who] = use
        else:
            self._people[key] = use
            self._many[record.service_id] = self._many.get(record.service_id, 0) + 1
        return use

    def _note(self, use: _Use) -> None:
        """Tokens and public services keep their tallies for longer than this keeps those that nobody uses."""
        record = use.record
        if not record.who.startswith(("user:", "service:")):
            self._together[record.service_id, record.who] = use
        self._unsaved.add(use)
        self._writing.counted()
