"""What is left to each endpoint token that is limited, and the counts of the day in the store.

A count is on disk less than a second after its call was let in, so that a crash forgets no more than that. Nothing is
written, and nobody wakes up, while no limited token is used.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from functools import partial

from jupyter_model_service.core.limits import Allowance
from jupyter_model_service.errors import StoreError
from jupyter_model_service.ports import Clock, Store, TokenRecord

COUNTS_EVERY = 0.75  # seconds between two writes: with the time that one takes, less than a second

_log = logging.getLogger(__name__)


class Allowances:
    """By token id. One stays while its token does, also without limits: those that it gets again know what they had
    counted."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._kept: dict[str, Allowance] = {}
        self._unsaved: set[str] = set()
        self._counted = asyncio.Event()
        self._flushing: asyncio.Task[None] | None = None

    def of(self, record: TokenRecord) -> Allowance | None:
        """As the record says now; ``None`` for a token without limits."""
        limits = record.limits
        kept = self._kept.get(record.id)
        if limits is None:
            return None
        if kept is None:
            counted = partial(self._note, record.id)
            kept = self._kept[record.id] = Allowance(limits, day=record.day, calls=record.calls, counted=counted)
        elif kept.limits != limits:
            kept.change(limits, int(self._clock.monotonic() * 1_000_000_000))
        return kept

    def known(self, token_id: str) -> Allowance | None:
        return self._kept.get(token_id)

    def drop(self, token_id: str) -> None:
        self._kept.pop(token_id, None)
        self._unsaved.discard(token_id)

    def _note(self, token_id: str) -> None:
        if token_id in self._kept:  # a call may be let in by a token that was revoked while the Hub was asked
            self._unsaved.add(token_id)
            self._counted.set()

    def start(self) -> None:
        """Store the counts as they change, until ``stop``."""
        if self._flushing is None:
            self._flushing = asyncio.get_running_loop().create_task(self._keep_flushing(), name="counts of tokens")

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
            _log.warning("The calls of limited tokens could not be stored: %s", error)

    async def flush(self) -> None:
        """Store the counts that changed. They are kept for the next time if that fails."""
        ids, self._unsaved = self._unsaved, set()
        counted = {token_id: self._kept[token_id].saved() for token_id in ids}
        if not counted:
            return
        try:
            await self._store.count_tokens(counted)
        except BaseException:
            self._unsaved |= counted.keys() & self._kept.keys()
            raise

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
                    _log.warning("The calls of limited tokens could not be stored, trying again: %s", error)
                failed = True
                self._counted.set()
