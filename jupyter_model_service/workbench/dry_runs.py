"""The dry runs that go on in one Jupyter server, and the last that ended: each with all that was told of it, so that a
page can come late, or come back."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections import deque
from collections.abc import AsyncIterator

from ..errors import Conflict, NotFound
from ..wire.workbench import DryRunAnswer, DryRunLog, DryRunOutcome, DryRunPhase, DryRunState
from .dry_run import TIMEOUT, Plan, dry_run

__all__ = ["AT_ONCE", "DryRuns", "Told"]

AT_ONCE = 3
KEPT = 10  # that have ended
LOG_LINES = 2_000  # kept of each
UNSEEN_SECONDS = 30.0  # after which one that nobody looks at any more is stopped: a page may be loaded again

Told = DryRunPhase | DryRunLog | DryRunAnswer | DryRunOutcome


class DryRuns:
    """Owns their tasks; ``close`` ends all of them."""

    def __init__(self, unseen: float = UNSEEN_SECONDS) -> None:
        self._unseen = unseen
        self._runs: dict[str, _One] = {}
        self._closed = False

    def start(self, plan: Plan, path: str, timeout: float | None = None) -> str:
        """Its id. ``Conflict`` where too many go on."""
        going = [one for one in self._runs.values() if one.outcome is None]
        if len(going) >= AT_ONCE or self._closed:
            raise Conflict(f"{AT_ONCE} dry runs are going on already: stop one of them, or wait until one has ended.")
        for old in [one.id for one in self._runs.values() if one.outcome is not None][: -(KEPT - 1)]:
            del self._runs[old]
        one = _One(secrets.token_hex(8), path)
        self._runs[one.id] = one
        one.task = asyncio.create_task(one.run(plan, timeout or TIMEOUT, self._unseen), name=f"dry run {one.id}")
        one.task.add_done_callback(lambda task: one.ended())
        return one.id

    def state(self, id: str) -> DryRunState:
        return self._one(id).state()

    async def stop(self, id: str) -> DryRunState:
        """Returns when nothing of it is left."""
        one = self._one(id)
        await one.stop()
        return one.state()

    async def follow(self, id: str) -> AsyncIterator[Told]:
        """All that was told, and what comes; ends with the outcome."""
        one = self._one(id)
        one.followers += 1
        try:
            seen = 0
            while True:
                changed = one.changed
                for number, told in list(one.told):
                    if number > seen:
                        seen = number
                        yield told
                        if isinstance(told, DryRunOutcome):
                            return
                await changed.wait()  # it is set where something was told meanwhile
        finally:
            one.followers -= 1
            one.seen_at = time.monotonic()

    async def close(self) -> None:
        self._closed = True
        await asyncio.gather(*(one.stop() for one in self._runs.values()))

    def _one(self, id: str) -> _One:
        if id not in self._runs:
            raise NotFound("There is no such dry run (any more).")
        return self._runs[id]


class _One:
    def __init__(self, id: str, path: str) -> None:
        self.id = id
        self.path = path
        self.began = self.seen_at = time.monotonic()
        self.followers = 0
        self.told: list[tuple[int, Told]] = []  # numbered from 1
        self.changed = asyncio.Event()  # each is set once, and then another takes its place
        self.outcome: DryRunOutcome | None = None
        self.task: asyncio.Task[None] | None = None
        self._log: deque[str] = deque(maxlen=LOG_LINES)
        self._count = 0

    async def run(self, plan: Plan, timeout: float, unseen: float) -> None:
        watch = asyncio.create_task(self._watch(asyncio.current_task(), unseen))
        try:
            self.outcome = await dry_run(plan, self._tell, timeout=timeout)
        finally:
            watch.cancel()

    def ended(self) -> None:
        """Also when it was stopped before it began."""
        self.outcome = self.outcome or DryRunOutcome(outcome="stopped", sentence="Stopped.", seconds=0.0)
        self._tell(self.outcome)

    async def _watch(self, task: asyncio.Task[None] | None, unseen: float) -> None:
        while self.followers or time.monotonic() - self.seen_at < unseen:
            await asyncio.sleep(min(1.0, unseen / 4))
        if task is not None:
            task.cancel()

    async def stop(self) -> None:
        if self.task is not None and not self.task.done():
            self.task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait({self.task})

    def state(self) -> DryRunState:
        self.seen_at = now = time.monotonic()
        phases = [told for _, told in self.told if isinstance(told, DryRunPhase)]
        answers = [told for _, told in self.told if isinstance(told, DryRunAnswer)]
        outcome = self.outcome
        if outcome is None:
            sentence = phases[-1].sentence if phases else "It begins."
            outcome = DryRunOutcome(outcome="running", sentence=sentence, seconds=now - self.began)
        return DryRunState(
            **dict(outcome),
            id=self.id,
            path=self.path,
            phases=phases,
            log=list(self._log),
            answer=answers[-1] if answers else None,
        )

    def _tell(self, told: Told) -> None:
        self._count += 1
        self.told.append((self._count, told))
        if isinstance(told, DryRunLog):
            self._log.extend(told.lines)
            self._forget()
        changed, self.changed = self.changed, asyncio.Event()
        changed.set()

    def _forget(self) -> None:
        """The oldest lines, beyond what is kept: whoever comes late is told that they are lost."""
        logs = [(number, told) for number, told in self.told if isinstance(told, DryRunLog)]
        beyond = sum(len(told.lines) for _, told in logs) - LOG_LINES
        while beyond > 0 and len(logs) > 1:
            (number, old), (_, following) = logs.pop(0), logs[0]
            beyond -= len(old.lines)
            following.lost += old.lost + len(old.lines)
            self.told.remove((number, old))
