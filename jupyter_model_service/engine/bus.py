"""Telling everybody who listens what changed. A slow listener costs a bounded queue and is told to resync."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from ..ports import EventRecord
from .views import CopyView, ServiceView

QUEUE = 1000  # entries; a change of a service that is queued already takes up none


@dataclass(frozen=True)
class Change:
    """``kind`` is ``service`` (``view``), ``removed``, ``event`` (``event``), ``copying`` (``copy``) or ``resync``:
    changes were dropped, read everything again. ``key`` is ``owner/name``, empty for ``resync``."""

    kind: str
    key: str = ""
    view: ServiceView | None = None
    event: EventRecord | None = None
    copy: CopyView | None = None


class Subscription:
    """An async iterator of changes that begins now; ends with :meth:`close`."""

    def __init__(self, view: Callable[[str], ServiceView | None], leave: Callable[[Subscription], None]) -> None:
        self._view = view
        self._leave = leave
        self._queue: OrderedDict[tuple[str, str | int], Change] = OrderedDict()
        self._ready = asyncio.Event()
        self._closed = False

    def push(self, change: Change) -> None:
        slot: tuple[str, str | int] = ("copying" if change.copy is not None else "service", change.key)
        if change.event is not None:
            slot = ("event", change.event.id)
        elif change.kind == "removed":
            # What was queued of a service that is gone is of no use; its successor may come behind.
            self._queue.pop(slot, None)
            slot = ("removed", change.key)
        if len(self._queue) >= QUEUE and slot not in self._queue:
            self._queue.clear()
            slot, change = ("resync", ""), Change("resync")
        self._queue[slot] = change
        self._ready.set()

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> Change:
        while True:
            await self._ready.wait()
            if self._closed:
                raise StopAsyncIteration
            if not self._queue:
                self._ready.clear()
                continue
            _, change = self._queue.popitem(last=False)
            if change.kind != "service":
                return change
            view = self._view(change.key)  # as it is now: the last of several changes counts
            if view is not None:
                return Change("service", change.key, view=view)

    def close(self) -> None:
        self._closed = True
        self._queue.clear()
        self._ready.set()
        self._leave(self)


class Bus:
    def __init__(self, view: Callable[[str], ServiceView | None]) -> None:
        self._view = view
        self._listeners: set[Subscription] = set()

    def subscribe(self) -> Subscription:
        subscription = Subscription(self._view, self._listeners.discard)
        self._listeners.add(subscription)
        return subscription

    def changed(self, key: str) -> None:
        self._push(Change("service", key))

    def removed(self, key: str) -> None:
        self._push(Change("removed", key))

    def copying(self, key: str, copy: CopyView) -> None:
        """Of one copy, what is not read yet is replaced by what is newer."""
        self._push(Change("copying", key, copy=copy))

    def event(self, key: str, record: EventRecord) -> None:
        self._push(Change("event", key, event=record))

    def close(self) -> None:
        for subscription in list(self._listeners):
            subscription.close()

    def _push(self, change: Change) -> None:
        for subscription in list(self._listeners):
            subscription.push(change)
