"""What an administrator has to say about a service: shown with it, and in its history."""

from __future__ import annotations

from dataclasses import replace

from ..core.bounds import LONGEST_NOTICE
from ..errors import InvalidRequest, NotFound
from ..ports import Clock, Notice
from .state import Service
from .turns import Turns

__all__ = ["Notices"]


class Notices:
    """Belongs to the engine."""

    def __init__(self, turns: Turns, clock: Clock) -> None:
        self._turns = turns
        self._clock = clock

    async def set(self, owner: str, name: str, text: str, by: str) -> None:
        """In the place of a former one. Plain text in one line: it is shown as it is, with who says it."""
        text = text.strip()
        if not 0 < len(text) <= LONGEST_NOTICE or not text.isprintable():
            raise InvalidRequest(f"A notice is one line of 1 to {LONGEST_NOTICE} printable characters.")
        service = self._turns.find(owner, name)
        notice = Notice(text, by, self._clock.now())

        async def body() -> None:
            await self._turns.want(service, lambda record: replace(record, notice=notice))
            self._turns.told(service, "service.notice", f"{by} says: {text}")

        await self._turns.in_turn(body())

    async def remove(self, owner: str, name: str) -> None:
        """``NotFound`` where there is none."""
        service: Service = self._turns.find(owner, name)

        async def body() -> None:
            if service.record.notice is None:
                raise NotFound(f"Service {service.key} has no notice.")
            await self._turns.want(service, lambda record: replace(record, notice=None))
            self._turns.touched(service)

        await self._turns.in_turn(body())
