"""A service that follows its decisions: calls come evenly and flow like water, replicas take so long to start."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace

from jupyter_model_service.core.scaling.decide import Memory, decide
from jupyter_model_service.core.scaling.policy import Autoscaling
from jupyter_model_service.core.scaling.signals import Bounds, Decision, Limit, Sample

TICK = 2.0
PARTS = 20


def sample(at: float = 0.0, **figures: object) -> Sample:
    """Of a service with one ready replica and no calls."""
    nothing = Sample(at, 1, 0, 0, 0, 0, 0, 0.0, 0.0)
    return replace(nothing, **figures)  # type: ignore[arg-type]


@dataclass
class Loop:
    """``count`` replicas of ``policy``, ready unless ``loading``. Calls take ``each`` seconds, ``cap`` at once on one."""

    policy: Autoscaling = field(default_factory=lambda: Autoscaling(min=1, max=20, target_concurrency=2.8))
    count: int = 1
    start_up: float = 20.0
    each: float = 1.0
    cap: int = 4
    loading: bool = False
    now: float = 1000.0

    def __post_init__(self) -> None:
        self.memory = Memory.fresh(self.now, self.count)
        self.starting = [self.now + self.start_up] * (self.count if self.loading else 0)
        self.begun = self.now
        self.arrived = self.finished = self.in_flight = self.waiting = 0.0
        self.in_flight_seconds = 0.0
        self.last_call: float | None = None
        self.measures: dict[str, float | None] = {}
        self.failing = False
        self.decisions: list[Decision] = []

    @property
    def ready(self) -> int:
        return self.count - len(self.starting)

    @property
    def counts(self) -> list[int]:
        return [decision.count for decision in self.decisions]

    @property
    def bounds(self) -> Bounds:
        return Bounds(self.policy.min, self.policy.max)

    def sample(self) -> Sample:
        return Sample(
            self.now,
            self.ready,
            len(self.starting),
            int(self.in_flight),
            int(self.waiting),
            int(self.arrived),
            int(self.finished),
            int(self.finished) * self.each,
            self.in_flight_seconds,
            self.last_call,
            self.measures,
            self.failing,
            self.start_up,
        )

    def tick(self, rate: float = 0.0) -> Decision:
        for _ in range(PARTS):
            self.now += TICK / PARTS
            self.starting = [at for at in self.starting if at > self.now]
            ended = self.in_flight * min(1.0, TICK / PARTS / self.each)
            self.arrived += rate * TICK / PARTS
            self.finished += ended
            self.waiting += rate * TICK / PARTS
            taken = max(0.0, min(self.waiting, self.ready * self.cap - self.in_flight + ended))
            self.in_flight += taken - ended
            self.waiting -= taken
            self.in_flight_seconds += self.in_flight * TICK / PARTS
        if rate or self.waiting + self.in_flight >= 0.5:
            self.last_call = self.now
        return self.decide()

    def decide(self) -> Decision:
        decision, self.memory = decide(
            self.policy,
            self.policy.target_concurrency or 2.8,
            self.sample(),
            self.memory,
            self.now,
            current=self.count,
            bounds=self.bounds,
            limit=Limit(self.policy.max),
        )
        if decision.count > self.count:
            self.starting += [self.now + self.start_up] * (decision.count - self.count)
        elif decision.count < self.count:
            taken = self.count - decision.count
            self.starting = self.starting[: max(0, len(self.starting) - taken)]
        self.count = decision.count
        self.decisions.append(decision)
        return decision

    def run(self, seconds: float, rate: float = 0.0) -> Loop:
        for _ in range(int(seconds / TICK)):
            self.tick(rate)
        return self


def reversals(counts: list[int]) -> int:
    """How often the direction changes."""
    steps = [after - before for before, after in itertools.pairwise(counts) if after != before]
    return sum((before > 0) != (after > 0) for before, after in itertools.pairwise(steps))
