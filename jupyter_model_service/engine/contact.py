"""Contact with the runners: what their leases say, and what to think when one says nothing.

A replica whose lease closes gets no calls from then on. Whether the runner is dead (then it is replaced at once) or
only silent (then it gets ``contact_patience`` seconds) is learned by looking at the world. While this process itself
has no descriptor left to connect with, silence says nothing.

A runner may be silent while its model server is well: stopped, swapped out or starved on a busy machine. So what the
replica has begun to answer goes on while it is only doubtful (``routes``).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from ..core import replica as life
from ..core.replica import Phase
from ..core.reports import (
    Exit,
    LeaseClosed,
    LeaseEvent,
    LeaseOpened,
    LeasePorts,
    LeaseSample,
    LeaseState,
    RunnerState,
    cpu_percent,
)
from ..core.sentences import duration, names_folder, told
from ..core.words import FOLDER
from ..ports import Seen
from .state import Parts, Replica
from .tasks import Tasks, within

log = logging.getLogger(__name__)

# Pauses between looks at the world; after these once a second. A killed runner may be seen alive for some
# milliseconds after its connection has closed; one that was just launched need not be looked for at once.
AFTER_A_LOSS = (0.0, 0.05, 0.15, 0.3, 0.5)
AFTER_A_START = (1.0,)

SILENT_END = "its runner is gone without a report, as after SIGKILL"

Emit = Callable[[Replica, life.Event], None]


class Look:
    """``launcher.find()`` for many askers: each gets a look that began after it asked."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._turn = asyncio.Lock()
        self._begun = 0
        self._result: Mapping[str, Seen] | None = None

    async def __call__(self) -> Mapping[str, Seen] | None:
        """Replica id → what was seen; ``None`` when the launcher cannot tell just now."""
        asked_after = self._begun
        async with self._turn:
            if self._begun > asked_after:
                return self._result  # begun while we waited for our turn
            self._begun += 1
            self._result = await self._find()
            return self._result

    async def _find(self) -> Mapping[str, Seen] | None:
        parts = self._parts
        try:
            found = await within(parts.clock, parts.launcher.find(), parts.settings.find_timeout)
        except TimeoutError:
            log.warning("Looking for replicas took longer than %s", duration(parts.settings.find_timeout))
        except Exception as error:  # any launcher's fault: not to know is an answer here
            log.warning("Replicas cannot be looked for: %s", error)
        else:
            return {seen.replica: seen for seen in found}
        return None


class Contact:
    def __init__(self, parts: Parts, tasks: Tasks, look: Look, emit: Emit) -> None:
        self._parts = parts
        self._tasks = tasks
        self._look = look
        self._emit = emit

    def open(self, replica: Replica) -> None:
        """Begin; the replica has a placement."""
        placement = replica.record.placement
        if placement is None or replica.lease is not None:
            return
        self._doubt(replica, self._parts.settings.first_contact, AFTER_A_START)
        replica.lease = self._parts.leases.open(
            replica.id, placement.control, replica.record.secret, lambda event: self._hear(replica, event)
        )

    def doubt(self, replica: Replica) -> None:
        """Look at the world: something does not fit."""
        if not self._tasks.running(_task(replica)):
            self._doubt(replica, self._parts.settings.contact_patience)

    def _hear(self, replica: Replica, event: LeaseEvent) -> None:
        if replica.phase is Phase.GONE:
            return
        if isinstance(event, LeaseSample):
            self._sampled(replica, event)
        elif isinstance(event, LeasePorts):
            replica.ports = event.ports
        elif isinstance(event, LeaseOpened):
            replica.lease_open, replica.silence, replica.unasked = True, "", False
            self._tasks.cancel(_task(replica))
            self._emit(replica, life.LeaseBack())
            self._report(replica, event.state)
            replica.poke.set()
        elif isinstance(event, LeaseState):
            self._report(replica, event.state)
        elif isinstance(event, LeaseClosed):
            replica.silence, replica.unasked = event.reason, event.ours
            if not replica.lease_open:
                return  # one that was never open has nothing to lose
            replica.lease_open = False
            self._emit(replica, life.LeaseLost(f"lost contact with its runner: {event.reason}"))
            if replica.looked_after():
                self._doubt(replica, self._parts.settings.contact_patience)

    def _sampled(self, replica: Replica, sample: LeaseSample) -> None:
        before, replica.sample, replica.sample_at = replica.sample, sample, self._parts.clock.monotonic()
        if sample.cpu_seconds is None:
            replica.cpu = None
        elif before is not None and (percent := cpu_percent(before, sample)) is not None:
            replica.cpu = percent

    def _report(self, replica: Replica, state: RunnerState) -> None:
        replica.runner = state
        if state.phase == "exited":
            self._exited(replica, state)
        elif state.phase == "preparing":
            if replica.live():
                self._emit(replica, life.Preparing(state.action, state.actions, _as_written(replica, state.label)))
        elif state.phase == "loading":
            self._emit(replica, life.Loading(state.model_pid))
        elif state.phase == "stopping" and replica.live():
            self._emit(
                replica,
                life.GaveUp(
                    f"was stopped {self._parts.settings.stopped_where}, so another takes its place; to stop the "
                    f"service: jupyter model-service stop {replica.service.record.name}"
                ),
            )

    def _exited(self, replica: Replica, state: RunnerState) -> None:
        if replica.exited.is_set() or state.exit is None:
            return
        replica.exited.set()
        self._emit(replica, life.Exited(state.exit, self._why(replica, state.exit, state.label)))

    def _why(self, replica: Replica, exit: Exit, label: str) -> str:
        said = replace(
            exit,
            message=_as_written(replica, exit.message),
            tail=tuple(_as_written(replica, line) for line in exit.tail),
        )
        reason = told(said, was_ready=replica.life.ready_at is not None, label=_as_written(replica, label))
        hint = self._parts.settings.hint_models
        return f"{reason} ({hint})" if hint and names_folder((exit.message, *exit.tail), FOLDER) else reason

    def _doubt(self, replica: Replica, patience: float, looks: Sequence[float] = AFTER_A_LOSS) -> None:
        self._tasks.start(_task(replica), self._find_out(replica, patience, looks))

    async def _find_out(self, replica: Replica, patience: float, looks: Sequence[float]) -> None:
        clock = self._parts.clock
        deadline = clock.monotonic() + patience
        pauses = iter(looks)
        while (left := deadline - clock.monotonic()) > 0:
            await clock.sleep(min(next(pauses, 1.0), left))
            if not replica.looked_after():
                return
            seen = await self._look()
            if not replica.looked_after():
                return
            there = seen.get(replica.id) if seen is not None else None
            if seen is not None and not (there is not None and there.alive):
                known = there.reason if there is not None else ""
                self._give_up(replica, f"is gone: {known}" if known else SILENT_END)
                return
            if replica.lease_open:
                return
            if replica.unasked or replica.service.unseen:  # it has its patience from when we can ask again
                deadline = clock.monotonic() + patience
        said = "lost contact with its runner for" if replica.life.pid else "its runner did not answer for"
        why = f": {replica.silence}" if replica.silence else ""
        self._give_up(replica, f"{said} {duration(patience)}{why}")

    def _give_up(self, replica: Replica, reason: str) -> None:
        """Its last calls are broken off with that."""
        drained = " (while it drained)" if replica.phase is Phase.DRAINING else ""
        self._emit(replica, life.GaveUp(reason + drained))


def _as_written(replica: Replica, text: str) -> str:
    """With ``/models`` as in the definition: where the copy lies that it stands for helps nobody."""
    kept = replica.revision.kept
    return text.replace(kept.path, FOLDER) if kept.kind == "copy" and kept.path else text


def _task(replica: Replica) -> str:
    return f"{replica.id} contact"
