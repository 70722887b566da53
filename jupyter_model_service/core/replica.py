"""The life of one replica: phases, events, and the only table by which a phase may change.

    requested → starting → preparing → loading → ready ⇄ unhealthy → draining → stopping → gone
                                 any of the living ones → failed → gone

Rules: nothing else assigns a phase. An event that has no entry is illegal: :func:`step` raises
:class:`IllegalTransition`, and as a :class:`Life` is frozen, the caller still holds the life as it was.
Reports of the runner repeat themselves after every reconnection, so a repetition is legal wherever it tells
nothing new (``Loading`` while ready). ``now`` is monotonic seconds.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from .reports import Exit


class Phase(str, enum.Enum):
    REQUESTED = "requested"  # decided, not yet written down
    STARTING = "starting"  # the launcher works, or its runner has not reported yet
    PREPARING = "preparing"  # pre-start action i of n
    LOADING = "loading"  # the start command runs, no check has passed
    READY = "ready"  # takes calls
    UNHEALTHY = "unhealthy"  # was ready; a check failed or the runner is out of contact
    DRAINING = "draining"  # no new calls, open ones may finish
    STOPPING = "stopping"  # being ended
    FAILED = "failed"  # ended by itself or given up; being cleaned away
    GONE = "gone"  # nothing is left of it

    def __str__(self) -> str:
        return self.value


STARTING_UP = frozenset({Phase.REQUESTED, Phase.STARTING, Phase.PREPARING, Phase.LOADING})
SERVING = frozenset({Phase.READY, Phase.UNHEALTHY})
LIVE = STARTING_UP | SERVING  # counts as one of the wanted
LEAVING = frozenset({Phase.DRAINING, Phase.STOPPING, Phase.FAILED})


@dataclass(frozen=True)
class LaunchBegun:
    """The record is kept; the launcher is asked."""


@dataclass(frozen=True)
class Waiting:
    """The launcher waits for something, such as a free GPU, and says for what."""

    reason: str


@dataclass(frozen=True)
class Launched:
    """The launcher has started the runner; its report is awaited."""


@dataclass(frozen=True)
class Adopted:
    """Found alive by a new gateway; its runner's report is awaited."""


@dataclass(frozen=True)
class Preparing:
    action: int = 0
    actions: int = 0
    label: str = ""


@dataclass(frozen=True)
class Loading:
    pid: int | None = None


@dataclass(frozen=True)
class Passed:
    """A check passed while the lease was open."""


@dataclass(frozen=True)
class ProbeFailed:
    reason: str


@dataclass(frozen=True)
class LeaseLost:
    reason: str


@dataclass(frozen=True)
class LeaseBack:
    """The runner is in contact (again)."""


@dataclass(frozen=True)
class Exited:
    """A pre-start action or the model server ended; ``reason`` is the sentence about it."""

    exit: Exit
    reason: str


@dataclass(frozen=True)
class GaveUp:
    """It lives perhaps, but is of no use: launch failed, grace over, checks failed, contact lost for good."""

    reason: str


@dataclass(frozen=True)
class DrainBegun:
    reason: str


@dataclass(frozen=True)
class StopBegun:
    reason: str


@dataclass(frozen=True)
class Ended:
    """The launcher has ended everything of it."""


Event = (
    LaunchBegun
    | Waiting
    | Launched
    | Adopted
    | Preparing
    | Loading
    | Passed
    | ProbeFailed
    | LeaseLost
    | LeaseBack
    | Exited
    | GaveUp
    | DrainBegun
    | StopBegun
    | Ended
)

_R, _S, _P, _L = Phase.REQUESTED, Phase.STARTING, Phase.PREPARING, Phase.LOADING
_READY, _U, _D, _STOP = Phase.READY, Phase.UNHEALTHY, Phase.DRAINING, Phase.STOPPING
_F, _GONE = Phase.FAILED, Phase.GONE

TRANSITIONS: Mapping[Phase, Mapping[type, Phase]] = {
    _R: {LaunchBegun: _S, Adopted: _S, GaveUp: _F, StopBegun: _STOP},
    _S: {
        Waiting: _S,
        Launched: _S,
        Preparing: _P,
        Loading: _L,
        LeaseLost: _S,
        LeaseBack: _S,
        Exited: _F,
        GaveUp: _F,
        StopBegun: _STOP,
    },
    _P: {
        Preparing: _P,
        Loading: _L,
        LeaseLost: _P,
        LeaseBack: _P,
        Exited: _F,
        GaveUp: _F,
        StopBegun: _STOP,
    },
    _L: {
        Loading: _L,
        Passed: _READY,
        ProbeFailed: _L,
        LeaseLost: _L,
        LeaseBack: _L,
        Exited: _F,
        GaveUp: _F,
        StopBegun: _STOP,
    },
    _READY: {
        Loading: _READY,
        Passed: _READY,
        ProbeFailed: _U,
        LeaseLost: _U,
        LeaseBack: _READY,
        Exited: _F,
        GaveUp: _F,
        DrainBegun: _D,
        StopBegun: _STOP,
    },
    _U: {
        Loading: _U,
        Passed: _READY,
        ProbeFailed: _U,
        LeaseLost: _U,
        LeaseBack: _U,
        Exited: _F,
        GaveUp: _F,
        DrainBegun: _D,
        StopBegun: _STOP,
    },
    # Whatever ends while it is being ended ends as wanted: it is no failure any more. But one that hangs would hold
    # its open calls until the limit of the drain, so that it is probed on and may be given up.
    _D: {
        Loading: _D,
        Passed: _D,
        ProbeFailed: _D,
        LeaseLost: _D,
        LeaseBack: _D,
        Exited: _D,
        GaveUp: _F,
        StopBegun: _STOP,
    },
    _STOP: {Preparing: _STOP, Loading: _STOP, LeaseLost: _STOP, LeaseBack: _STOP, Exited: _STOP, Ended: _GONE},
    _F: {Preparing: _F, Loading: _F, LeaseLost: _F, LeaseBack: _F, Exited: _F, Ended: _GONE},
    _GONE: {},
}


class IllegalTransition(Exception):
    """This event cannot happen in this phase: somebody's picture of the replica is wrong."""

    def __init__(self, phase: Phase, event: Event) -> None:
        super().__init__(f"{type(event).__name__} cannot happen to a replica that is {phase}")
        self.phase = phase
        self.event = event


@dataclass(frozen=True)
class Life:
    """What is known of a replica. ``since`` is when the phase began, ``ready_at`` when it became ready for the
    first time, both monotonic. ``reason`` says why it is not (or no longer) ready."""

    since: float
    phase: Phase = Phase.REQUESTED
    reason: str | None = None
    action: Preparing | None = None
    pid: int | None = None
    exit: Exit | None = None
    ready_at: float | None = None
    starts: Mapping[Phase, float] = field(default_factory=dict)  # when each phase was entered first


def step(life: Life, event: Event, now: float) -> Life:
    """The life after the event. Raises :class:`IllegalTransition`."""
    phase = TRANSITIONS[life.phase].get(type(event))
    if phase is None:
        raise IllegalTransition(life.phase, event)
    entered = phase is not life.phase
    new = replace(
        life,
        phase=phase,
        since=now if entered else life.since,
        starts={phase: now, **life.starts} if entered else life.starts,
    )
    if isinstance(event, Preparing):
        return replace(new, action=event if phase is Phase.PREPARING else life.action)
    if isinstance(event, Loading):
        return replace(new, action=None, pid=event.pid)
    if isinstance(event, (Passed, ProbeFailed, LeaseLost)) and life.phase in LEAVING:
        return new  # why it leaves is what people want to read
    if isinstance(event, Passed):
        return replace(new, reason=None, ready_at=now if life.ready_at is None else life.ready_at)
    if isinstance(event, Exited):
        # The first end counts: a replica given up for a better reason (never healthy) keeps that one.
        reason = event.reason if life.phase in LIVE else life.reason
        return replace(new, exit=event.exit, pid=None, reason=reason)
    if isinstance(event, Launched):
        return replace(new, reason=None)  # what it waited for has come
    if isinstance(event, LeaseBack):
        return replace(new, reason=None if life.phase in STARTING_UP else life.reason)
    if isinstance(event, (Waiting, GaveUp, DrainBegun, StopBegun, ProbeFailed, LeaseLost)):
        return replace(new, reason=event.reason)
    return new
