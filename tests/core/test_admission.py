"""Holding or refusing a call for which no replica is free."""

from __future__ import annotations

import pytest

from jupyter_model_service.core.admission import admit, expired


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


def test_a_wait_in_vain_says_what_was_missing() -> None:
    busy = expired(serving=2, unavailable="", key="o/n", seconds=60)
    assert (busy.status, busy.code) == (503, "queue_timeout")
    assert "busy for 60 s" in busy.message
    cold = expired(serving=0, unavailable="The start command failed.", key="o/n", seconds=60)
    assert cold.message.startswith("The start command failed.")
    assert "no replica" in expired(serving=0, unavailable="", key="o/n", seconds=1).message
