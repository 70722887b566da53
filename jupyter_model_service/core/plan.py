"""The one decision of the engine: given what is wanted and what is seen of a service, what to do now.

Pure and deterministic: the same want, seen and now give the same plan. The rules, in order:

1. What is gone is forgotten.
2. A service that is not to run (stopped, being deleted, scaled to 0): serving replicas drain, the others stop.
3. A revision that failed :data:`~.backoff.ATTEMPTS` attempts in a row is given up, unless it has proved itself:
   in a roll-out the former one is taken back, otherwise the service is failed. A failed service keeps what
   serves and starts nothing.
4. A roll-out: replicas of other revisions (and outdated ones of this) that do not serve stop at once; serving ones
   drain as far as at least ``replicas`` others serve (unavailable 0). Meanwhile at most
   ``replicas + ceil(replicas / 2)`` live at once (surge). A new one counts when it has been ready for 2 s, so that a
   revision that passes one check and then dies does not drive out one that works.
5. Too many replicas: victims are those that are not ready, then unhealthy or suspect ones, then those with the fewest
   calls in flight.
6. Too few: start, but not before the back-off is over. Where there was no room, that is tried again for ever.
   In a roll-out that found no place for one more (all GPUs are in use), the replicas that were there are all the room
   there is; what is known beforehand (``free``: a limit of the owner's) bounds it without an attempt. A new one waits
   until one has gone, and when all are well, one old one leaves to make room, as long as ``ceil(replicas / 2)`` and
   at least one serve. If none may leave, the revision is given up at once: of what is known only beforehand, after one
   attempt, of which the launcher says what it wants.
7. All wanted replicas of the active revision ready: it is the stable one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from .backoff import Retry
from .replica import LEAVING, LIVE, SERVING, Phase

PROVING = 2.0  # seconds ready, after which a replica may take the place of an old one


@dataclass(frozen=True)
class Want:
    """``retry`` is that of the active revision. ``failed``: given up already, nothing is started. ``free``: how many
    more replicas of the active revision there may be beside all that are there now, where that is known."""

    running: bool
    replicas: int
    active: int
    stable: int | None = None
    failed: bool = False
    deleting: bool = False
    retry: Retry = field(default_factory=Retry)
    free: int | None = None


@dataclass(frozen=True)
class SeenReplica:
    """``outdated``: of the right revision, but to be replaced (``restart``). ``created_at`` and
    ``ready_at`` (of its first pass) are monotonic.

    ``spared_until`` (monotonic): adopted after a restart of ours, it may well have served for days; until it has been
    looked at it is held to serve, or an update would stop every old replica before the first probe.

    ``placed``: the launcher has given it a place; it takes one from the decision to start it until it is gone, unless
    its launch failed.
    """

    id: str
    revision: int
    phase: Phase
    outdated: bool = False
    suspect: bool = False
    in_flight: int = 0
    created_at: float = 0.0
    ready_at: float = 0.0
    spared_until: float = 0.0
    placed: bool = True

    @property
    def takes_room(self) -> bool:
        return self.phase is not Phase.GONE and (self.placed or self.phase is not Phase.FAILED)

    def serves(self, now: float) -> bool:
        return self.phase in SERVING or now < self.spared_until


@dataclass(frozen=True)
class Start:
    revision: int


@dataclass(frozen=True)
class Drain:
    replica: str
    reason: str


@dataclass(frozen=True)
class Stop:
    replica: str
    reason: str


@dataclass(frozen=True)
class Forget:
    replica: str


@dataclass(frozen=True)
class TakeBack:
    """Give the active revision up and go back to ``revision`` (the same number: undo a restart)."""

    revision: int
    reason: str


@dataclass(frozen=True)
class Fail:
    reason: str


@dataclass(frozen=True)
class Settle:
    """The active revision is fully up: it is the one to come back to."""

    revision: int


Action = Start | Drain | Stop | Forget | TakeBack | Fail | Settle


@dataclass(frozen=True)
class Plan:
    """``wake_at``: monotonic time at which to plan again although nothing happened."""

    actions: tuple[Action, ...] = ()
    wake_at: float | None = None


def former_after(former: Sequence[int], stable: int | None, settled: int) -> tuple[int, ...]:
    """The revisions that were fully up before ``settled``, oldest first, when it takes the place of ``stable``.

    Each was what served when the next came up. Who goes back to one leaves what came after it, so that a rollback
    never leads there by itself: 1, 2, 3, back to 1, then 4: before 4 was 1.
    """
    if stable is None or stable == settled:
        return tuple(former)
    return tuple(former[: former.index(settled)]) if settled in former else (*former, stable)


def surge(replicas: int) -> int:
    """How many more than wanted may live during a roll-out: half of them, rounded up."""
    return (replicas + 1) // 2


def plan(want: Want, seen: Sequence[SeenReplica], now: float) -> Plan:
    actions: list[Action] = [Forget(r.id) for r in sorted(seen, key=_by_id) if r.phase is Phase.GONE]  # 1
    live = sorted((r for r in seen if r.phase in LIVE), key=_by_id)
    if want.deleting or not want.running or want.replicas == 0:  # 2
        return Plan((*actions, *(_leave(r, _why_not_running(want)) for r in live)))
    current = [r for r in live if not _is_old(want, r)]
    old = [r for r in live if _is_old(want, r)]
    wakes = [r.spared_until for r in live if r.phase not in SERVING and r.serves(now)]
    if want.failed:  # 3
        idle = [r for r in live if not r.serves(now)]
        return Plan((*actions, *(Stop(r.id, "the service is failed") for r in idle)), min(wakes, default=None))
    if (verdict := _give_up(want, old, now)) is not None:
        return Plan((*actions, verdict))
    ready = [r for r in current if r.phase is Phase.READY]
    proved = len(ready)
    if any(r.serves(now) for r in old):  # 4
        proving = [r.ready_at + PROVING for r in ready if now < r.ready_at + PROVING]
        wakes += proving
        proved -= len(proving)
    kept, retired = _retire(want, proved, old, now)
    actions += retired
    victims = _victims(current, len(current) - want.replicas, now)  # 5
    actions += [_leave(r, f"scaled to {want.replicas}") for r in victims]
    missing = want.replicas - len(current)
    if kept:
        missing = min(missing, want.replicas + surge(want.replicas) - len(current) - len(kept))
    free = _free(want, seen)
    if missing > 0 and free is not None and any(_is_old(want, r) for r in seen):
        moving = retired or proved < len(current) or any(r.phase in LEAVING for r in seen)
        if free > 0 or moving:
            missing = min(missing, free)
        elif (made := _make_room(want, proved, kept, now)) is not None:
            return Plan((*actions, *made), min(wakes, default=None))
        elif want.retry.room is None:
            missing = 1  # the launcher says why there is none
    if missing > 0:  # 6
        if now < want.retry.next_at:
            wakes.append(want.retry.next_at)
        else:
            actions += [Start(want.active)] * missing
    if want.stable != want.active and proved >= want.replicas:  # 7
        actions.append(Settle(want.active))
    return Plan(tuple(actions), min(wakes, default=None))


def _by_id(replica: SeenReplica) -> str:
    return replica.id


def _is_old(want: Want, replica: SeenReplica) -> bool:
    """Whether it is there and to be replaced."""
    return replica.phase is not Phase.GONE and (replica.revision != want.active or replica.outdated)


def _why_not_running(want: Want) -> str:
    if want.deleting:
        return "the service is being deleted"
    return "the service is stopped" if not want.running else "scaled to 0"


def _leave(replica: SeenReplica, reason: str) -> Action:
    """Only what takes calls has calls to finish."""
    return Drain(replica.id, reason) if replica.phase in SERVING else Stop(replica.id, reason)


def _give_up(want: Want, old: Sequence[SeenReplica], now: float) -> TakeBack | Fail | None:
    if not want.retry.tired:
        return None
    serving_old = [r for r in old if r.serves(now)]
    if want.stable is not None and want.stable != want.active:
        # Even one that was ready for a moment: it never got as far as to replace the former one.
        return TakeBack(want.stable, want.retry.reason)
    if serving_old:
        # Of a first revision that never was fully up, or of this one before a restart.
        return TakeBack(max(r.revision for r in serving_old), want.retry.reason)
    return None if want.retry.ever_ready else Fail(want.retry.reason)


def _retire(want: Want, proved: int, old: Sequence[SeenReplica], now: float) -> tuple[list[SeenReplica], list[Action]]:
    """Which old ones stay for now, and how the others leave; ``proved`` new ones can take their place."""
    why = f"replaced by revision {want.active}"
    idle = [r for r in old if not r.serves(now)]
    serving = [r for r in old if r.serves(now)]
    spare = max(0, proved + len(serving) - want.replicas)
    leaving = _victims(serving, spare, now)
    actions = [_leave(r, why if r.revision != want.active else "restarted") for r in (*idle, *leaving)]
    return [r for r in serving if r not in leaving], actions


def _free(want: Want, seen: Sequence[SeenReplica]) -> int | None:
    """For how many more there is room, by what a start that found none has taught and by what is known beforehand."""
    taught = None if want.retry.room is None else want.retry.room - sum(r.takes_room for r in seen)
    return min((free for free in (taught, want.free) if free is not None), default=None)


def _make_room(want: Want, proved: int, old: Sequence[SeenReplica], now: float) -> tuple[Drain | TakeBack, ...] | None:
    """What is there is all that has room, and all of it is at rest: which of the old ones leaves for a new one.

    Nothing while it is unclear how well some of them are. ``None``: there is nothing that may leave, and no former
    revision to go back to either, or no start has been refused yet, so that only trying is left.
    """
    least = max(1, surge(want.replicas))
    if proved + len(old) - 1 < least:
        if (former := _former(want, old)) is None or want.retry.room is None:
            return None
        start_anew = "stop this one and start it" if former == want.active else "stop this one, update it and start it"
        way_out = f"to make room, scale another service down, or {start_anew} again"
        return (TakeBack(former, f"{want.retry.refusal.rstrip('.')}; {way_out}"),)
    (victim,) = _victims(old, 1, now)
    well = [r for r in old if r is not victim and r.phase is Phase.READY and not r.suspect]
    if victim.phase not in SERVING or proved + len(well) < least:
        return ()
    return (Drain(victim.id, "makes room for a new replica"),)


def _former(want: Want, old: Sequence[SeenReplica]) -> int | None:
    """Where a roll-out that cannot go on goes back to; nowhere when it is itself the way back."""
    if want.stable is not None and want.stable != want.active:
        return want.stable
    if any(r.revision == want.active for r in old):
        return want.active  # a restart
    return max(r.revision for r in old) if want.stable is None else None


def _victims(replicas: Sequence[SeenReplica], count: int, now: float) -> list[SeenReplica]:
    """The ``count`` that are missed least; of equals the newest, which has the coldest caches."""

    def worth(replica: SeenReplica) -> tuple[int, int, float, str]:
        doubtful = replica.phase is not Phase.READY or replica.suspect
        grade = 0 if not replica.serves(now) else 1 if doubtful else 2
        return grade, replica.in_flight, -replica.created_at, replica.id

    return sorted(replicas, key=worth)[: max(0, count)]
