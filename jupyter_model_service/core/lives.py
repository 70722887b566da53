"""When a service is to be stopped by what the administrator allows: nobody calls it, or it has run for long enough.

It is stopped and never deleted: its owner starts it again, and both times begin anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .effective import Effective
from .policy import whose
from .sentences import lasting

__all__ = ["End", "end_of"]

DAY = 86400.0


@dataclass(frozen=True)
class End:
    """``at`` is Unix time; ``limit`` in seconds. ``why`` is a clause, which says whose limit it is."""

    at: float
    kind: Literal["idle_limit", "longest_life"]
    limit: float
    why: str

    @property
    def warned_at(self) -> float:
        """When its owner is told: a day before, and of a limit of less than four days, a quarter of it before."""
        return self.at - min(DAY, self.limit / 4)


def end_of(holds: Effective, *, began_at: float, last_call_at: float | None) -> End | None:
    """The sooner of the two, if there is one, of a service that was created or started at ``began_at`` (Unix time)."""
    ends = []
    if (limit := holds.policy.idle_limit) is not None:
        idle_since = max(began_at, last_call_at if last_call_at is not None else began_at)
        why = f"nobody has called it for {lasting(limit)} ({whose(holds.set_by, 'idle_limit')})"
        ends.append(End(idle_since + limit, "idle_limit", limit, why))
    if (limit := holds.policy.longest_life) is not None:
        why = f"it has run for {lasting(limit)} ({whose(holds.set_by, 'longest_life')})"
        ends.append(End(began_at + limit, "longest_life", limit, why))
    return min(ends, key=lambda end: end.at, default=None)
