"""What the decision looks at, and what it answers.

Values, which nobody changes. Those that are made anew for each service every two seconds are not frozen all the same:
that would make each cost eight times as much, a hundredth of a core for a thousand services.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Bounds", "Decision", "Limit", "Sample", "Wish"]


@dataclass(slots=True)
class Sample:
    """One service at one moment; ``at`` in monotonic seconds.

    ``starting`` counts replicas that are on their way to be ready. ``arrived`` … ``in_flight_seconds`` only grow (their
    differences are what counts) and begin anew with the gateway: calls that came, calls that a replica has answered,
    the time that these spent on their replica, and the integral of the number in flight over time.
    ``last_call`` is when a call last came or ended (monotonic), ``None`` since the start of the gateway.

    ``measures`` has what rules look at, by metric, averaged over the replicas where a metric is of replicas; ``None``
    or not there: unknown, which is never zero. ``unknown`` says why, in one clause, of those that are.

    ``failing``: replicas of the active revision end before they are ready, or soon after, and none is proved since.
    ``start_seconds``: how long a replica takes to be ready, learnt from past starts; ``None``: unknown.
    """

    at: float
    ready: int
    starting: int
    in_flight: int
    queued: int
    arrived: int
    finished: int
    busy_seconds: float
    in_flight_seconds: float
    last_call: float | None = None
    measures: Mapping[str, float | None] = field(default_factory=dict)
    failing: bool = False
    start_seconds: float | None = None
    unknown: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Bounds:
    """What the policy and the schedules that are active now allow, ``min <= max``. ``why_min`` and ``why_max`` name
    what set them (``schedule s1: Mon-Fri 08:00-19:00``), in one clause. ``changes_at`` (Unix time) is when one of them
    next makes a difference, ``None`` if none ever does."""

    min: int
    max: int
    why_min: str = "min"
    why_max: str = "max"
    changes_at: float | None = None


@dataclass(slots=True)
class Limit:
    """The most replicas that the owner may have of this service now, apart from the policy, and who says so."""

    count: int
    why: str = ""


@dataclass(slots=True)
class Wish:
    """What one source (``target``, ``rule r1``, ``idle``, ``panic`` …) wanted and why, in one clause. ``count`` is
    ``None`` where it had no opinion: its signal is unknown, or it rests."""

    source: str
    count: int | None
    why: str


@dataclass(slots=True)
class Decision:
    """``count`` is how many replicas there shall be; ``before`` how many there were to be.
    ``measured`` has the figures by name, ``None`` for what is unknown. ``bound`` is what cut the largest wish, in one
    clause, and ``reason`` one sentence about the whole, also when nothing happens. ``at`` is monotonic."""

    at: float
    before: int
    count: int
    reason: str
    wishes: tuple[Wish, ...] = ()
    measured: Mapping[str, float | None] = field(default_factory=dict)
    bounds: Bounds | None = None
    bound: str | None = None

    @property
    def changed(self) -> bool:
        return self.count != self.before
