"""Holding or refusing a call for which no replica is free."""

from __future__ import annotations

import pytest

from jupyter_model_service.core.admission import (
    admit,
    asleep,
    expired,
    has_room_for_some,
    is_look,
    places,
    ready_in,
    start_failed,
)


@pytest.mark.parametrize(
    ("serving", "wanted", "waiting", "queue", "code"),
    [
        (0, False, 0, 100, "no_replica"),
        (0, True, 0, 100, None),
        (0, True, 100, 100, "queue_full"),
        (1, False, 0, 100, None),
        (1, False, 99, 100, None),
        (1, False, 100, 100, "queue_full"),
        (1, False, 0, 0, "queue_full"),
    ],
)
def test_who_is_held_and_who_is_refused(serving: int, wanted: bool, waiting: int, queue: int, code: str | None) -> None:
    """A refusal is always a 503 that says when to come back, and why."""
    refusal = admit(
        serving=serving, wanted=wanted, waiting=waiting, queue=queue, unavailable="It is stopped.", key="o/n"
    )
    assert (refusal.code if refusal else None) == code
    if refusal is not None:
        assert refusal.status == 503
        assert refusal.retry_after
        assert ("It is stopped." in refusal.message) is (code == "no_replica")


@pytest.mark.parametrize(
    ("waiting", "queue", "told"),
    [(0, 0, "no caller may wait (serving.queue)"), (1, 1, "1 caller waits already"), (2, 2, "2 callers wait already")],
)
def test_a_full_queue_is_told_in_whole_words(waiting: int, queue: int, told: str) -> None:
    refusal = admit(serving=1, wanted=True, waiting=waiting, queue=queue, unavailable="", key="o/n")
    assert refusal is not None
    assert refusal.message == f"Service o/n: every replica is busy and {told}; try again later."


def test_nobody_is_told_when_a_service_is_there_again_that_its_owner_stopped() -> None:
    common = {"serving": 0, "wanted": False, "waiting": 0, "queue": 9, "unavailable": "Stopped.", "key": "o/n"}
    stopped, other = admit(**common, stopped=True), admit(**common)  # type: ignore[arg-type]
    assert stopped is not None
    assert other is not None
    assert (stopped.code, stopped.retry_after, other.retry_after) == ("no_replica", None, 5.0)


def test_a_wait_in_vain_says_what_was_missing() -> None:
    busy = expired(serving=2, unavailable="", key="o/n", seconds=60)
    assert (busy.status, busy.code) == (503, "queue_timeout")
    assert "busy for 60 s" in busy.message
    cold = expired(serving=0, unavailable="The start command failed.", key="o/n", seconds=60)
    assert cold.message.startswith("The start command failed.")
    assert "no replica" in expired(serving=0, unavailable="", key="o/n", seconds=1).message


@pytest.mark.parametrize(
    ("learnt", "elapsed", "seconds"),
    [(None, 0.0, 5.0), (None, 90.0, 5.0), (40.0, 0.0, 40.0), (40.0, 12.5, 27.5), (40.0, 39.5, 1.0), (40.0, 400.0, 1.0)],
)
def test_until_a_start_is_over(learnt: float | None, elapsed: float, seconds: float) -> None:
    """What is left of what starts take, never less than a second; 5 s where nobody knows."""
    assert ready_in(learnt, elapsed) == seconds


def test_a_start_that_is_learnt_is_when_a_caller_may_come_back() -> None:
    """Of a service without a replica; one whose replicas are busy may have a free one in a second."""
    common = {"wanted": True, "waiting": 9, "queue": 9, "unavailable": "", "key": "o/n", "ready_in": 42.0}
    cold, busy = admit(serving=0, **common), admit(serving=1, **common)  # type: ignore[arg-type]
    assert cold is not None
    assert busy is not None
    assert (cold.retry_after, busy.retry_after) == (42.0, 1.0)
    assert expired(serving=0, unavailable="", key="o/n", seconds=1, ready_in=42.0).retry_after == 42.0
    assert expired(serving=1, unavailable="", key="o/n", seconds=1, ready_in=42.0).retry_after == 1.0


@pytest.mark.parametrize(
    ("queue", "concurrency", "waking", "most"),
    [
        (100, 4, False, 100),
        (100, 4, True, 40),
        (100, 11, True, 100),
        (500, 40, True, 100),
        (500, None, True, 100),
        (500, None, False, 500),
        (7, 4, True, 7),
        (0, None, True, 0),
    ],
)
def test_how_many_may_wait(queue: int, concurrency: int | None, waking: bool, most: int) -> None:
    assert places(queue, concurrency, waking=waking) == most


@pytest.mark.parametrize(
    ("method", "target", "health_path", "look"),
    [
        (b"GET", b"/health", "/health", True),
        (b"HEAD", b"/health?full=1", "/health", True),
        (b"GET", b"/health", "/health?full=1", True),
        (b"GET", b"/metrics?name=x", "", True),
        (b"POST", b"/health", "/health", False),
        (b"OPTIONS", b"/metrics", "/health", False),
        (b"GET", b"/health/", "/health", False),
        (b"GET", b"/healthy", "/health", False),
        (b"GET", b"", "", False),
        (b"GET", b"/", "", False),
        (b"GET", b"/v1/metrics", "/health", False),
    ],
)
def test_what_is_a_look_and_no_call(method: bytes, target: bytes, health_path: str, look: bool) -> None:
    assert is_look(method, target, health_path) is look


def test_a_service_that_sleeps_and_one_that_could_not_be_woken() -> None:
    assert (asleep("o/n").status, asleep("o/n").code, asleep("o/n").retry_after) == (503, "asleep", 30.0)
    failed = start_failed(unavailable="It has no GPU.", key="o/n", retry_in=12.5)
    assert (failed.status, failed.code, failed.message, failed.retry_after) == (
        503,
        "start_failed",
        "It has no GPU.",
        12.5,
    )
    assert start_failed(unavailable="", key="o/n", retry_in=-3.0).retry_after == 1.0


def test_only_a_full_queue_has_room_for_a_call_with_a_better_right() -> None:
    """Not a service without replicas, and not for who only looks."""
    full = admit(serving=1, wanted=True, waiting=3, queue=3, unavailable="", key="o/n")
    none = admit(serving=0, wanted=False, waiting=0, queue=3, unavailable="", key="o/n")
    assert full is not None
    assert none is not None
    assert has_room_for_some(full, is_call=True)
    assert not has_room_for_some(full, is_call=False)
    assert not has_room_for_some(none, is_call=True)
