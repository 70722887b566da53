"""Writing down who did what: every control action before its answer goes out, and what was denied, folded.

While that cannot be written nothing is changed: :meth:`Audit.check` refuses. What was done when it turned out that it
cannot be written, and what was denied meanwhile, is kept and written as soon as that is possible. What is begun is
noted beforehand, so that a gateway that is killed between a change and its entry leaves something to tell of it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..core.audit import DENIED, GATEWAY, AuditPage, AuditQuery, Entry, Folding, bounded
from ..errors import NoSpace, Overloaded, StoreError
from ..ports import Begun, Clock, Store
from .ledger import Ledger
from .reading import Reading
from .tasks import Tasks, until

__all__ = ["INTERRUPTED", "Audit"]

log = logging.getLogger(__name__)

KEPT = 5_000  # entries that wait for the store; what was denied before is lost then, with a word on the log
PATIENCE = 60.0  # seconds between two looks, and that a denied action waits for more of its kind
INTERRUPTED = "interrupted"  # code of what a gateway had begun that ended in the midst of it
FORGOTTEN_EACH = 3600.0  # seconds between two looks for entries that are too old


class Audit:
    """``kept``: seconds after which entries are forgotten, ``None`` for never. ``tell``: hears of each entry, soon.
    ``begun``: where what is begun is kept. Belongs to the engine."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        ledger: Ledger,
        *,
        kept: float | None,
        retry: float,
        begun: Begun | None = None,
    ) -> None:
        self.tell: Callable[[Entry], None] | None = None
        self._store = store
        self._clock = clock
        self._ledger = ledger
        self.kept = kept
        self._retry = retry
        self._folding = Folding(PATIENCE)
        self._begun = begun
        self._waiting: deque[tuple[Entry, str]] = deque()  # with the key of what was begun
        self._error: Exception | None = None
        self._work = asyncio.Event()
        self._turn = asyncio.Lock()
        self._forgotten_at: float | None = None
        self._reading = Reading()

    def start(self, tasks: Tasks) -> None:
        tasks.start("audit", self._run())

    async def check(self, *, makes_room: bool = False) -> None:
        """Before anything is changed: ``Overloaded`` while that could not be written down. What ``makes_room`` on the
        disk is what a full one needs: its entry waits then until it has made some."""
        if self._error is None or await self._write() or (makes_room and isinstance(self._error, NoSpace)):
            return
        raise _refusal(self._error)

    async def begin(self, entry: Entry, *, makes_room: bool = False) -> str:
        """Right before it is done; the answer is for :meth:`note`. ``Overloaded``: it must not be done."""
        await self.check(makes_room=makes_room)
        if self._begun is None:
            return ""
        try:
            return await self._begun.add(entry)
        except StoreError as error:
            if makes_room and isinstance(error, NoSpace):
                return ""
            log.error("Nothing is changed: %s", error)
            raise _refusal(error) from error

    async def note(self, entry: Entry, begun: str = "") -> None:
        """On disk when this returns. ``Overloaded``: it is not yet; it is kept, and will be."""
        self._keep(entry, begun)
        if not await self._write():
            raise Overloaded("This was done, but could not be written down in the audit log yet.", code="store")

    def own(
        self,
        action: str,
        target: str = "",
        *,
        before: Mapping[str, Any] | None = None,
        after: Mapping[str, Any] | None = None,
    ) -> None:
        """What the gateway does by itself, written soon."""
        self._keep(Entry(self._clock.now(), GATEWAY, "", action, target, before=before, after=after))
        self._work.set()

    async def settle(self, became: Callable[[Entry], Entry]) -> None:
        """At the start, before anybody can change anything: write down what former lives had begun and did not come to
        note. ``became`` says what there is of it now."""
        for key, entry in () if self._begun is None else await self._begun.left():
            query = AuditQuery(action=entry.action, since=entry.at, limit=1000)
            noted = {each.request_id for each in await self.find(query)}
            if entry.request_id not in noted:
                self._keep(replace(became(entry), status=500, code=INTERRUPTED), key)
            elif self._begun is not None:
                await self._begun.remove(key)
        await self._write()

    def denied(self, entry: Entry) -> None:
        """Written within :data:`PATIENCE` seconds, together with others of its kind."""
        if not len(self._folding):
            self._work.set()
        self._folding.add(bounded(entry))

    async def find(self, query: AuditQuery) -> Sequence[Entry]:
        """What is written; ``StoreError`` where it cannot be read."""
        return await self._store.audit.find(query)

    async def page(self, query: AuditQuery, most: int, whose: str) -> AuditPage:
        """The same for whoever asks, ``whose`` it is then: about ``most`` bytes of it, when it is her turn."""
        async with self._reading.turn(whose):
            return await self._store.audit.page(query, most)

    async def flush(self) -> bool:
        """Write all that there is, at the end; whether that was possible."""
        for entry in self._folding.due():
            self._keep(entry)
        return await self._write()

    # --- inside ---

    def _keep(self, entry: Entry, begun: str = "") -> None:
        self._waiting.append((bounded(entry), begun))
        if len(self._waiting) > KEPT:
            lost = next((each for each in self._waiting if each[0].status in DENIED), self._waiting[0])
            self._waiting.remove(lost)
            log.error(
                "The audit log loses what %s did: %s of %s", lost[0].who or "nobody", lost[0].action, lost[0].target
            )

    async def _write(self) -> bool:
        """All that waits, in the order in which it came."""
        async with self._turn:
            batch = list(self._waiting)
            if not batch:
                return True
            try:
                await self._ledger.commit(lambda: self._store.audit.add([entry for entry, _ in batch]))
            except Exception as error:  # whatever it is: nothing is changed until it is over
                if self._error is None:
                    log.error("The audit log cannot be written, so nothing is changed: %s", error)
                self._error = error.with_traceback(None)
                self._work.set()
                return False
            if self._error is not None:
                log.info("The audit log can be written again")
                self._error = None
            written = set(map(id, batch))
            self._waiting = deque(each for each in self._waiting if id(each) not in written)
            for entry, begun in batch:
                if begun and self._begun is not None:
                    await self._begun.remove(begun)
                if self.tell is not None:
                    self.tell(entry)
            return True

    async def _run(self) -> None:
        while True:
            await until(self._clock, self._pause(), self._work)
            self._work.clear()
            for entry in self._folding.due(self._clock.now()):
                self._keep(entry)
            if not await self._write():
                await self._clock.sleep(self._retry)
                self._work.set()
            await self._forget()

    def _pause(self) -> float:
        due = self._folding.next_at()
        return FORGOTTEN_EACH if due is None else min(max(due - self._clock.now(), 0.1), PATIENCE)

    async def _forget(self) -> None:
        now = self._clock.now()
        if self.kept is None or (self._forgotten_at is not None and now < self._forgotten_at + FORGOTTEN_EACH):
            return
        self._forgotten_at = now
        try:
            gone = await self._store.audit.forget_before(now - self.kept)
        except StoreError as error:
            log.warning("What is too old for the audit log could not be removed: %s", error)
        else:
            if gone:
                log.info("%d entries of the audit log were older than it keeps them", gone)


def _refusal(error: Exception) -> Overloaded:
    why = ", because the disk is full" if isinstance(error, NoSpace) else ""
    return Overloaded(f"Nothing is changed while the audit log cannot be written{why}; try again later.", code="store")
