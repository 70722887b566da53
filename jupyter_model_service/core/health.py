"""What probes mean: three grades, by counting. Times are seconds.

1. A probe that failed, or has not answered within the soft deadline: *suspect*, gets no new calls while others pass.
2. ``max_retries`` failures in a row: *failed*, to be replaced.
3. A pass: neither, and the count begins anew.

A probe that ran out of time while the replica sent bytes for a call says only that it is busy: it counts for
nothing. A probe out of turn (a caller's connection was refused) makes suspect but does not count towards
``max_retries``: under load there may be hundreds of such hints in a second.

One that drains is asked and judged as before: if it hangs, its open calls would hang until the limit of the drain.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from .definition import HealthCheck

SOFT_SHARE = 0.4  # of the interval: with 10 s a hung replica is out of turn at most 14 s after it began to hang
WITHOUT_BLOCK = HealthCheck(path="")  # a definition without health_check: its port is probed by these figures

PORT_FIRST, PORT_LONGEST, PORT_SHARE = 0.05, 0.5, 0.01
PASS_FIRST, PASS_SHARE = 0.1, 0.05


@dataclass(frozen=True)
class Health:
    """``failures`` in a row that count; ``suspect`` also for one that does not; ``reason`` of the last failure."""

    failures: int = 0
    suspect: bool = False
    reason: str = ""


def soft_deadline(check: HealthCheck) -> float:
    """How long a probe may take before the replica becomes suspect."""
    return min(check.max_wait_time, SOFT_SHARE * check.interval)


def passed(health: Health) -> Health:
    return Health()


def late(health: Health, busy: bool) -> Health:
    """The soft deadline has passed without an answer; ``busy``: it answers other calls meanwhile."""
    return health if busy else replace(health, suspect=True)


def failed(health: Health, reason: str, *, timed_out: bool, busy: bool, in_turn: bool = True) -> Health:
    if timed_out and busy:
        return health
    return Health(health.failures + (1 if in_turn else 0), True, reason)


def is_failed(health: Health, check: HealthCheck) -> bool:
    """Whether the replica is to be replaced or, when it drains, to be waited for no longer. ``max_retries`` 0 and 1
    both mean: at the first failure."""
    return health.failures >= max(1, check.max_retries)


def port_pause(waited: float) -> float:
    """Until the next look at a port that did not accept, after waiting for so long: 50 ms growing to 0.5 s."""
    return min(PORT_LONGEST, max(PORT_FIRST, PORT_SHARE * waited))


def pass_pause(waited: float, interval: float) -> float:
    """Until the next probe of a replica that never passed: 100 ms, later 5 % of the wait so far, at most
    ``interval``. So readiness is noticed within 5 % of the time that the model took to load."""
    return min(max(interval, PASS_FIRST), max(PASS_FIRST, PASS_SHARE * waited))
