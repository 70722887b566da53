"""What an owner asks of the autoscaler, as frozen data. ``reading.py`` makes it from what people write."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Autoscaling", "Rule", "Schedule"]


@dataclass(frozen=True)
class Rule:
    """One rule in Backend.AI's words: ``metric`` above one threshold adds ``step`` replicas, below the other takes
    ``step`` away; after it has fired it rests for ``cooldown`` seconds. At least one threshold is set, and ``above`` is
    not below ``below``. The value that is compared is the mean over the last ``window`` seconds.

    ``min`` and ``max`` bound what this rule may ask for; ``None``: the service's own bounds only.
    """

    id: str
    metric: str
    above: float | None = None
    below: float | None = None
    step: int = 1
    cooldown: float = 300.0
    window: float = 60.0
    min: int | None = None
    max: int | None = None


@dataclass(frozen=True)
class Schedule:
    """While it is active, ``min`` and ``max`` (those that are set) take the place of the service's.

    ``when`` is what the owner wrote and what is shown: weekdays with a time of day (``Mon-Fri 08:00-19:00``), or a cron
    expression of five fields for the beginning, with ``duration`` in seconds for how long. Local time of ``timezone``
    (an IANA name).
    """

    id: str
    when: str
    timezone: str = "UTC"
    duration: float | None = None  # of the cron form only
    min: int | None = None
    max: int | None = None


@dataclass(frozen=True)
class Autoscaling:
    """The policy of one service. Times in seconds.

    ``target_concurrency``: calls at once that each replica is to have; ``None``: 70 % of the definition's
    ``serving.concurrency``, or 5.6 (70 % of 8) where that is not set. ``target`` off: only rules and schedules.
    ``idle_after``: without a call for so long a service with ``min`` 0 goes down to zero. ``down_delay``: the count
    falls to the largest that was wanted within so long. ``held``: the owner scaled by hand; the count stays until it is
    resumed.
    """

    min: int = 1
    max: int = 1
    target: bool = True
    target_concurrency: float | None = None
    idle_after: float = 900.0
    down_delay: float = 300.0
    rules: tuple[Rule, ...] = field(default=())
    schedules: tuple[Schedule, ...] = field(default=())
    held: bool = False

    @property
    def may_sleep(self) -> bool:
        """Whether it goes to zero without calls, now or at some time of its schedules."""
        return 0 in (self.min, *(schedule.min for schedule in self.schedules))
