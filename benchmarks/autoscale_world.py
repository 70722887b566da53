"""Replicas, a router with a queue, and a rule that says how many replicas there shall be: one discrete-event run."""

from __future__ import annotations

import heapq
import itertools
import math
from collections import deque
from dataclasses import dataclass, field
from typing import Protocol

from autoscale_load import Load


@dataclass(frozen=True)
class Setting:
    """``start_up``: seconds until a replica is ready. ``cap``: calls at once on one. ``queue``: calls that may wait.
    ``initial``: replicas at the beginning, ready (``warm``) or about to start."""

    start_up: float = 20.0
    cap: int = 4
    queue: int = 400
    least: int = 1
    most: int = 12
    initial: int = 1
    warm: bool = True
    target: float = 2.8


@dataclass
class View:
    """What rules see, each through its own windows. The ``…_seconds`` are integrals over time."""

    now: float = 0.0
    count: int = 0
    ready: int = 0
    starting: int = 0
    in_flight: int = 0
    queued: int = 0
    arrived: int = 0
    finished: int = 0
    busy_seconds: float = 0.0
    in_flight_seconds: float = 0.0
    queued_seconds: float = 0.0
    last_call: float | None = None
    start_seconds: float | None = None


class Rule(Protocol):
    name: str
    tick: float

    def decide(self, view: View) -> int: ...


@dataclass
class Replica:
    ready_at: float
    in_flight: int = 0
    ready: bool = False
    leaving: bool = False


@dataclass
class Outcome:
    """``first``: seconds from the step to the first rise; ``counts``: (time, wanted) of each change."""

    rule: str
    waits: list[float] = field(default_factory=list)
    rejected: int = 0
    replica_seconds: float = 0.0
    counts: list[tuple[float, int]] = field(default_factory=list)
    seconds: float = 0.0
    first: float | None = None

    def wait(self, share: float) -> float:
        """Seconds that this share of the answered calls waited at most."""
        return at_most(sorted(self.waits), share)

    def wait_of_all(self, share: float) -> float:
        """The same of all calls; one that was rejected has waited for ever. Who rejects more waits no less."""
        return at_most([*sorted(self.waits), *([math.inf] * self.rejected)], share)

    def reversals(self, since: float = 0.0) -> int:
        """Changes of direction, of the second change on; counted where the later one comes after ``since``."""
        steps = [(b[0], b[1] > a[1]) for a, b in itertools.pairwise(self.counts)]
        return sum(now[1] != before[1] and now[0] >= since for before, now in itertools.pairwise(steps))

    @property
    def peak(self) -> int:
        return max(count for _, count in self.counts)


def at_most(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered), math.ceil(share * len(ordered))) - 1] if ordered else 0.0


class World:
    """``offset``: when the rule's first tick comes."""

    def __init__(self, load: Load, setting: Setting, rule: Rule, offset: float) -> None:
        self.load, self.setting, self.rule = load, setting, rule
        self.view = View(count=setting.initial, start_seconds=setting.start_up if setting.warm else None)
        self.replicas: list[Replica] = []
        self.waiting: deque[tuple[float, float]] = deque()
        self.events: list[tuple[float, int, int, Replica | None, float]] = []  # at, order, kind, replica, work
        self.order = 0
        self.outcome = Outcome(rule.name, counts=[(0.0, setting.initial)], seconds=load.seconds)
        for _ in range(setting.initial):
            self.start(0.0 if setting.warm else setting.start_up)
        self.push(offset, TICK)

    def push(self, at: float, kind: int, replica: Replica | None = None, work: float = 0.0) -> None:
        self.order += 1
        heapq.heappush(self.events, (at, self.order, kind, replica, work))

    def start(self, after: float) -> None:
        replica = Replica(self.view.now + after)
        self.replicas.append(replica)
        self.view.starting += 1
        self.push(replica.ready_at, READY, replica)

    def advance(self, at: float) -> None:
        view = self.view
        width = at - view.now
        view.in_flight_seconds += width * view.in_flight
        view.queued_seconds += width * view.queued
        counted = min(at, self.load.seconds) - min(view.now, self.load.seconds)
        self.outcome.replica_seconds += counted * len(self.replicas)
        view.now = at

    def run(self) -> Outcome:
        calls, done, view = self.load.calls, 0, self.view
        while done < len(calls) or self.waiting or view.now < self.load.seconds:
            coming = calls[done][0] if done < len(calls) else math.inf
            if coming <= self.events[0][0]:
                self.advance(coming)
                self.arrive(calls[done][1])
                done += 1
                continue
            at, _, kind, replica, work = heapq.heappop(self.events)
            self.advance(at)
            if kind == TICK:
                self.decide()
                self.push(at + self.rule.tick, TICK)
            elif replica is not None and kind == READY:
                self.ready(replica)
            elif replica is not None:
                self.finish(replica, work)
        return self.outcome

    def arrive(self, work: float) -> None:
        view = self.view
        view.arrived += 1
        view.last_call = view.now
        if self.serve(view.now, work):
            return
        if view.queued >= self.setting.queue:
            self.outcome.rejected += 1
            return
        self.waiting.append((view.now, work))
        view.queued += 1
        if view.count == 0:
            self.decide()

    def serve(self, since: float, work: float) -> bool:
        best: Replica | None = None
        for replica in self.replicas:
            if replica.ready and not replica.leaving and (best is None or replica.in_flight < best.in_flight):
                best = replica
        if best is None or best.in_flight >= self.setting.cap:
            return False
        best.in_flight += 1
        self.view.in_flight += 1
        self.outcome.waits.append(self.view.now - since)
        self.push(self.view.now + work, DONE, best, work)
        return True

    def next_waiting(self) -> None:
        while self.waiting and self.serve(*self.waiting[0]):
            self.waiting.popleft()
            self.view.queued -= 1

    def ready(self, replica: Replica) -> None:
        if replica.leaving:
            return
        replica.ready = True
        self.view.starting -= 1
        self.view.ready += 1
        self.view.start_seconds = self.setting.start_up
        self.next_waiting()

    def finish(self, replica: Replica, work: float) -> None:
        view = self.view
        replica.in_flight -= 1
        view.in_flight -= 1
        view.finished += 1
        view.busy_seconds += work
        view.last_call = view.now
        if replica.leaving and not replica.in_flight:
            self.replicas.remove(replica)
        self.next_waiting()

    def decide(self) -> None:
        view, setting = self.view, self.setting
        count = max(setting.least, min(setting.most, self.rule.decide(view)))
        if count == view.count:
            return
        if count > view.count and view.now >= self.load.step_at and self.outcome.first is None:
            self.outcome.first = view.now - self.load.step_at
        self.outcome.counts.append((view.now, count))
        for _ in range(view.count, count):
            self.start(setting.start_up)
        for _ in range(count, view.count):
            self.stop()
        view.count = count

    def stop(self) -> None:
        """The one that is missed least leaves: starting first, then the fewest calls, which it finishes."""
        staying = [replica for replica in self.replicas if not replica.leaving]
        victim = min(staying, key=lambda replica: (replica.ready, replica.in_flight, -replica.ready_at))
        victim.leaving = True
        if victim.ready:
            self.view.ready -= 1
        else:
            self.view.starting -= 1
        if not victim.in_flight:
            self.replicas.remove(victim)


TICK, READY, DONE = range(3)
