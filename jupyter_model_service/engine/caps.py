"""What is left to each person with whom a service is shared, where the share limits her, and what she called on which
day in the store.

A count is on disk less than a second after its call was let in. It is the person's, whatever token she used; whoever is
made anew in the Hub under the same name begins at nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from contextlib import suppress
from functools import partial

from jupyter_model_service.core.limits import DAY, Allowance, Limits
from jupyter_model_service.core.sharing import Person
from jupyter_model_service.errors import StoreError
from jupyter_model_service.ports import Clock, Store, UseRecord

from .allowances import COUNTS_EVERY

MOST = 10_000  # people of whom something is kept in memory

_log = logging.getLogger(__name__)

Key = tuple[str, str, str]  # service id, who, when she was made


class Caps:
    """Implements ``ports.Caps``. Belongs to one event loop."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._kept: OrderedDict[Key, Allowance] = OrderedDict()
        self._stored: dict[Key, tuple[int, int]] = {}  # day and calls that the store knows
        self._unsaved: set[Key] = set()
        self._counted = asyncio.Event()
        self._flushing: asyncio.Task[None] | None = None

    async def load(self) -> None:
        """What was called today; before the first call."""
        today = int(self._clock.now() // DAY)
        for use in await self._store.access.uses(since_day=today - 1):
            self._stored[use.service_id, use.who, use.made] = use.day, use.calls

    def allowance(self, service_id: str, person: Person, limits: Limits) -> Allowance:
        key = (service_id, f"user:{person.name}", person.made or "")
        kept = self._kept.get(key)
        if kept is None:
            day, calls = self._stored.setdefault(key, (0, 0))
            self._bound()  # before it is one of them: with nobody else to forget it would be forgotten itself
            kept = self._kept[key] = Allowance(limits, day=day, calls=calls, counted=partial(self._note, key))
        elif kept.limits != limits:
            kept.change(limits, int(self._clock.monotonic() * 1_000_000_000))
        self._kept.move_to_end(key)
        return kept

    def _bound(self) -> None:
        """Whose calls are stored and over is forgotten first; her count of today stays, which is two numbers."""
        if len(self._kept) < MOST:
            return
        for key, kept in self._kept.items():
            if kept.in_flight == 0 and key not in self._unsaved:
                del self._kept[key]
                return

    def _note(self, key: Key) -> None:
        self._unsaved.add(key)
        self._counted.set()

    def start(self) -> None:
        if self._flushing is None:
            self._flushing = asyncio.get_running_loop().create_task(self._keep_flushing(), name="counts of people")

    async def stop(self) -> None:
        """What cannot be stored is logged."""
        task, self._flushing = self._flushing, None
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        try:
            await self.flush()
        except StoreError as error:
            _log.warning("The calls of people could not be stored: %s", error)

    async def flush(self) -> None:
        """Store the counts that changed. They are kept for the next time if that fails."""
        keys, self._unsaved = self._unsaved, set()
        now, counts, added = self._clock.now(), {}, []
        for key in keys:
            day, calls = counts[key] = self._kept[key].saved()
            on, known = self._stored[key]
            service_id, who, made = key
            new = calls - known if on == day else calls
            added.append(UseRecord(service_id, who, day, new, made=made, last_at=now))
        if not added:
            return
        try:
            await self._store.access.add_uses(added)
        except BaseException:
            self._unsaved |= keys
            self._counted.set()
            raise
        self._stored.update(counts)

    async def _keep_flushing(self) -> None:
        failed = False
        while True:
            await self._counted.wait()
            await self._clock.sleep(COUNTS_EVERY)
            self._counted.clear()
            try:
                await self.flush()
                failed = False
            except StoreError as error:
                if not failed:  # once, and not each second while a disk is full
                    _log.warning("The calls of people could not be stored, trying again: %s", error)
                failed = True
