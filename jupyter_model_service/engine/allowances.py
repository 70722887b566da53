"""What is left to each endpoint token that is limited, and the counts of the day in the store.

Tokens that came from one by rotation have their limits together: while two of them are good, no limit is doubled. One
that is limited only now, or again, begins with what it called today meanwhile, as people do (:mod:`.caps`).

A count is on disk less than a second after its call was let in, so that a crash forgets no more than that. Nothing is
written, and nobody wakes up, while no limited token is used.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from jupyter_model_service.core.limits import DAY, Allowance
from jupyter_model_service.ports import Clock, Store, TokenRecord

from .write_behind import COUNTS_EVERY, WriteBehind


class Allowances:
    """By ``TokenRecord.kin``. One stays while a token of the kin does, also without limits: those that it gets again
    know what they had counted."""

    def __init__(self, store: Store, clock: Clock, called: Callable[[str, str], int] = lambda *ids: 0) -> None:
        """``called`` says how often a token called today, limited or not, by ids of its service and its own."""
        self._store = store
        self._clock = clock
        self._called = called
        self._kept: dict[str, Allowance] = {}
        self._ids: dict[str, set[str]] = {}  # of the tokens, by kin
        self._unsaved: set[str] = set()
        self._writing = WriteBehind("calls of limited tokens", self.flush, clock, COUNTS_EVERY)
        self.start, self.stop = self._writing.start, self._writing.stop

    def of(self, record: TokenRecord) -> Allowance | None:
        """As the record says now; ``None`` for a token without limits."""
        limits, kin = record.limits, record.kin
        self._ids.setdefault(kin, set()).add(record.id)
        kept = self._kept.get(kin)
        if limits is None:
            return None
        if kept is None:
            counted = partial(self._note, kin)
            kept = self._kept[kin] = Allowance(limits, day=record.day, calls=record.calls, counted=counted)
        elif kept.limits != limits:
            kept.change(limits, int(self._clock.monotonic() * 1_000_000_000))
        # The record's was stored with the youngest of them at its rotation.
        known = max((record.day, record.calls), self._today(record), (kept.day, kept.calls))
        kept.day, kept.calls = known
        return kept

    def _today(self, record: TokenRecord) -> tuple[int, int]:
        calls = sum(self._called(record.service_id, each) for each in self._ids[record.kin])
        return (int(self._clock.now() // DAY), calls) if calls else (0, 0)

    def known(self, record: TokenRecord) -> Allowance | None:
        return self._kept.get(record.kin)

    def drop(self, record: TokenRecord) -> None:
        ids = self._ids.get(record.kin, set())
        ids.discard(record.id)
        if not ids:
            self._ids.pop(record.kin, None)
            self._kept.pop(record.kin, None)
            self._unsaved.discard(record.kin)

    def _note(self, kin: str) -> None:
        if kin in self._kept:  # a call may be let in by a token that was revoked while the Hub was asked
            self._unsaved.add(kin)
            self._writing.counted()

    async def flush(self) -> None:
        """Store the counts that changed. They are kept for the next time if that fails."""
        kins, self._unsaved = self._unsaved, set()
        saved = {kin: self._kept[kin].saved() for kin in kins}
        counted = {token_id: count for kin, count in saved.items() for token_id in self._ids[kin]}
        if not counted:
            return
        try:
            await self._store.count_tokens(counted)
        except BaseException:
            self._unsaved |= kins & self._kept.keys()
            raise
