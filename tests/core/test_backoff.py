"""When the next attempt comes, and when there is none any more."""

from __future__ import annotations

import pytest

from jupyter_model_service.core.backoff import (
    ATTEMPTS,
    Retry,
    after_failure,
    after_ready,
    delay,
    room_given_back,
    with_place,
    without_place,
)


@pytest.mark.parametrize(
    ("failures", "of_a_ready_one", "of_a_failed_start"),
    [(1, 0, 1), (2, 1, 2), (3, 2, 4), (4, 4, 8), (5, 8, 16), (7, 32, 60), (8, 60, 60), (5000, 60, 60)],
)
def test_delays_double_up_to_a_minute(failures: int, of_a_ready_one: float, of_a_failed_start: float) -> None:
    assert delay(failures, had_been_ready=True) == of_a_ready_one
    assert delay(failures, had_been_ready=False) == of_a_failed_start


def fail(retry: Retry, created_at: float, now: float, ready_for: float | None = None) -> Retry:
    return after_failure(retry, created_at=created_at, ready_for=ready_for, now=now, reason="boom")


def test_starts_that_fail_in_a_row_wait_longer_and_then_are_given_up() -> None:
    retry, now, waits = Retry(), 100.0, []
    for _ in range(ATTEMPTS):
        assert not retry.tired
        created, now = now, now + 3.0
        retry = fail(retry, created, now)
        waits.append(retry.not_before - now)
        now = retry.not_before
    assert waits == [1, 2, 4, 8, 16]
    assert retry.tired
    assert retry.reason == "boom"


def test_a_ready_replica_that_dies_is_replaced_at_once_but_not_for_ever() -> None:
    retry, now, waits = after_ready(Retry()), 100.0, []
    for _ in range(4):
        created, now = now, now + 5.0
        retry = fail(retry, created, now, ready_for=4.0)
        waits.append(retry.not_before - now)
        now = retry.not_before
    assert waits == [0, 1, 2, 4]
    assert retry.ever_ready


def test_a_minute_of_readiness_makes_up_for_everything() -> None:
    """60 s exactly are enough, 59 are not."""
    tired = Retry(failures=4, counted_at=10.0, not_before=18.0)
    proven = fail(tired, created_at=20.0, now=90.0, ready_for=60.0)
    assert (proven.failures, proven.not_before) == (1, 90.0)
    assert fail(tired, created_at=20.0, now=90.0, ready_for=59.0).failures == 5


def test_replicas_of_one_attempt_that_fail_together_count_once() -> None:
    """Ten replicas of a broken revision, started together, are one failed attempt."""
    retry = Retry()
    for number in range(10):
        retry = fail(retry, created_at=50.0, now=51.0 + number / 10)
    assert (retry.failures, retry.not_before) == (1, 52.0)
    assert fail(retry, created_at=52.0, now=53.0).failures == 2, "one that was started since is a new attempt"


def refuse(retry: Retry, created_at: float, now: float) -> Retry:
    return without_place(retry, created_at=created_at, beside=1, now=now, reason="no GPU")


def test_a_lack_of_room_is_no_failure_however_often_it_is_found() -> None:
    """Tried again after 1, 2, 4 … 60 s, for ever; a place that is found, or given back, ends the wait."""
    retry, now, waits = Retry(), 100.0, []
    for _ in range(9):
        retry = refuse(retry, now, now + 0.5)
        now = retry.next_at
        waits.append(now - retry.refused_at)
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert (retry.failures, retry.tired, retry.refusals) == (0, False, 9)
    assert refuse(retry, 100.0, now).refusals == 9, "one that was started before belongs to an attempt that counted"
    back = room_given_back(retry)
    assert (back.next_at, back.refusals) == (Retry().next_at, 9), "tried at once, and not as if for the first time"
    found = with_place(retry)
    assert (found.refusals, found.next_at, found.room) == (0, Retry().next_at, 1)
    failed = fail(retry, now, now + 1)
    assert failed.next_at == max(retry.room_at, failed.not_before), "both waits count"


def test_the_same_finding_twice_in_a_row_is_enough() -> None:
    """What a server is certain to do again is not tried five times; replicas that did it together did it once."""

    def found(retry: Retry, created_at: float, now: float, finding: str) -> Retry:
        return after_failure(retry, created_at=created_at, ready_for=None, now=now, reason="boom", finding=finding)

    once = found(Retry(), 100.0, 102.0, "0.0.0.0")
    assert not found(once, 100.0, 102.1, "0.0.0.0").tired, "of the same attempt"
    assert found(once, 104.0, 105.0, "0.0.0.0").tired
    assert not found(once, 104.0, 105.0, "10.0.0.7").tired
    other = fail(once, 104.0, 105.0)
    assert not found(other, 108.0, 109.0, "0.0.0.0").tired, "not in a row"
