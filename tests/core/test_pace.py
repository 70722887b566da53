"""When somebody who is refused by a busy service is to come back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_model_service.core.pace import Pace, turn_in
from jupyter_model_service.core.traffic import Traffic


@pytest.mark.parametrize(
    ("ahead", "slots", "seconds_per_call", "seconds"),
    [(9, 1, 0.5, 5.0), (9, 4, 2.0, 5.0), (0, 1, 3.0, 3.0), (0, 8, 1.0, 1.0), (100, 1, 30.0, 60.0), (5, 0, 2.0, 12.0)],
)
def test_it_is_how_long_those_ahead_take_at_the_rate_of_the_service(
    ahead: int, slots: int, seconds_per_call: float, seconds: float
) -> None:
    """From a second to a minute."""
    assert turn_in(ahead, slots, seconds_per_call) == seconds


class Service:
    """So many slots, always full, each call of which takes equally long; calls end evenly spread."""

    def __init__(self, slots: int, seconds: float, traffic: Traffic, since: float) -> None:
        self.slots, self.seconds, self.traffic = slots, seconds, traffic
        self.ends = [since + seconds * (n + 1) / slots for n in range(slots)]
        for _ in range(slots):
            traffic.sent(since)

    def until(self, now: float) -> int:
        """How many end until then; another one begins each time."""
        ended = 0
        while self.ends[0] <= now:
            at = self.ends.pop(0)
            self.traffic.ended(at, 200, self.seconds, self.seconds, None)
            self.traffic.sent(at)
            self.ends.append(at + self.seconds)
            ended += 1
        return ended


@given(st.integers(1, 8), st.floats(0.05, 8.0), st.integers(0, 200), st.floats(20.0, 60.0), st.booleans())
def test_who_comes_back_then_finds_a_place(
    slots: int, seconds: float, waiting: int, busy_for: float, looked: bool
) -> None:
    """All who waited have been served, and one more call has ended. Nor is anybody sent away for much longer: for about
    twice as long where there are but two or three ends to go by."""
    traffic, pace, now = Traffic(), Pace(), 1000.0
    service = Service(slots, seconds, traffic, now)
    for _ in range(int(busy_for * 2)):
        now += 0.5
        service.until(now)
        if looked:
            pace.look(traffic, now)
    found = turn_in(waiting, slots, pace.seconds_per_call(traffic, slots, now))
    right = (waiting + 1) * seconds / slots
    if found < 60.0:
        assert service.until(now + found + 1e-6) >= waiting + 1
    assert found <= max(1.0, right * 2.1)


def test_what_was_long_ago_counts_no_more() -> None:
    """An hour of calls of 10 ms, and now they take 4 s each; hours without calls say nothing."""
    traffic, pace, now = Traffic(), Pace(), 0.0
    service = Service(1, 0.01, traffic, now)
    service.until(60.0)
    assert pace.seconds_per_call(traffic, 1, 60.0) == pytest.approx(0.01, rel=0.01)
    traffic.ended(60.0, 200, 0.01, 0.01, None)
    now = 10_000.0
    assert pace.seconds_per_call(traffic, 1, now) == pytest.approx(0.01, rel=0.01)
    slow = Service(1, 4.0, traffic, now)
    for _ in range(30):
        now += 1.0
        slow.until(now)
        pace.look(traffic, now)
    assert 4.0 <= pace.seconds_per_call(traffic, 1, now) <= 6.0
    assert pace.seconds_per_call(traffic, 1, now + 11.0) < 1.0, "what was seen is old: all that ever was counts"


def test_calls_that_do_not_end_take_longer_and_longer() -> None:
    """Those that ended before took 0.1 s each; the four that hang now have taken 9 s."""
    traffic, pace, now = Traffic(), Pace(), 0.0
    quick = Service(4, 0.1, traffic, now)
    quick.until(20.0)
    for second in range(10):
        pace.look(traffic, 20.0 + second)
    assert pace.seconds_per_call(traffic, 4, 29.0) == pytest.approx(9.0)


def test_before_any_call_has_ended_those_under_way_are_all_that_is_known() -> None:
    traffic, pace = Traffic(), Pace()
    assert pace.seconds_per_call(traffic, 0, 5.0) == 0.0
    for _ in range(4):
        traffic.sent(10.0)
    assert pace.seconds_per_call(traffic, 4, 13.0) == 3.0
    assert turn_in(0, 4, 0.0) == 1.0
