"""Counting probes: suspect at the first, failed at the last, and never because of being busy."""

from __future__ import annotations

import pytest

from jupyter_model_service.core.definition import HealthCheck
from jupyter_model_service.core.health import (
    Health,
    failed,
    is_failed,
    late,
    pass_pause,
    passed,
    port_pause,
    soft_deadline,
)

CHECK = HealthCheck("/health", interval=10, max_retries=3, max_wait_time=15)


def test_three_grades() -> None:
    health = Health()
    grades = []
    for _ in range(3):
        health = failed(health, "status 500, expected 200", timed_out=False, busy=False)
        grades.append((health.suspect, is_failed(health, CHECK)))
    assert grades == [(True, False), (True, False), (True, True)]
    assert health.reason == "status 500, expected 200"


def test_a_pass_begins_the_count_anew() -> None:
    health = failed(Health(failures=2, suspect=True), "x", timed_out=False, busy=False)
    assert is_failed(health, CHECK)
    assert passed(health) == Health()


@pytest.mark.parametrize(
    ("timed_out", "busy", "counts"), [(True, True, False), (True, False, True), (False, True, True)]
)
def test_a_time_out_of_a_busy_replica_counts_for_nothing(timed_out: bool, busy: bool, counts: bool) -> None:
    """A wrong answer counts also when it is busy, a time-out when it is not."""
    health = failed(Health(), "x", timed_out=timed_out, busy=busy)
    assert (health.failures, health.suspect) == ((1, True) if counts else (0, False))


def test_a_probe_out_of_turn_makes_suspect_but_does_not_count() -> None:
    health = Health()
    for _ in range(100):
        health = failed(health, "connection refused", timed_out=False, busy=False, in_turn=False)
    assert (health.failures, health.suspect) == (0, True)


def test_late_is_suspect_unless_busy() -> None:
    assert late(Health(failures=1), busy=False) == Health(failures=1, suspect=True)
    assert late(Health(), busy=True) == Health()


@pytest.mark.parametrize(("interval", "wait", "soft"), [(10, 15, 4), (10, 2, 2), (1, 15, 0.4), (60, 15, 15)])
def test_the_soft_deadline_is_a_share_of_the_interval(interval: float, wait: float, soft: float) -> None:
    """10 s and 15 s: out of turn at most 14 s after it began to hang."""
    assert soft_deadline(HealthCheck("/", interval=interval, max_wait_time=wait)) == pytest.approx(soft)


@pytest.mark.parametrize("retries", [0, 1])
def test_no_retries_means_at_the_first_failure(retries: int) -> None:
    check = HealthCheck("/", max_retries=retries)
    assert not is_failed(Health(), check)
    assert is_failed(failed(Health(), "x", timed_out=False, busy=False), check)


def test_pauses_grow_with_the_time_waited() -> None:
    assert [port_pause(t) for t in (0, 5, 20, 50, 1000)] == [0.05, 0.05, 0.2, 0.5, 0.5]
    assert [pass_pause(t, 10) for t in (0, 2, 20, 100, 1000)] == pytest.approx([0.1, 0.1, 1, 5, 10])
    assert pass_pause(0, 0.01) == 0.1, "a tiny interval does not make a busy loop"
