"""Limits of a token: exact by the definition, whatever comes in whichever order; and honest about when to come back."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_model_service.core.limits import DAY, Allowance, Limits, check_limits
from jupyter_model_service.core.message import Refusal
from jupyter_model_service.errors import InvalidRequest

SECOND = 1_000_000_000  # in nanoseconds
NOON = 20_000 * DAY + DAY / 2


class Naive:
    """What the limits say, in fractions of a second and with all that happened kept: the virtual schedule of the GCRA
    (ITU-T I.371), a set of calls that have not ended, and a count for each day."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.arrival = Fraction(0)  # when the next call would come that keeps to the rate exactly
        self.open = 0
        self.days: dict[int, int] = {}

    def admits(self, now: int, unix: float) -> bool:
        rate, day = self.limits.calls_per_second, int(unix // DAY)
        if self.limits.calls_per_day is not None and self.days.get(day, 0) >= self.limits.calls_per_day:
            return False
        if self.limits.in_flight is not None and self.open >= self.limits.in_flight:
            return False
        if rate is not None:
            between = 1 / Fraction(str(rate))
            at = max(self.arrival, Fraction(now, SECOND))
            if at - Fraction(now, SECOND) > between * (max(1, math.ceil(rate)) - 1):
                return False
            self.arrival = at + between
        self.open += 1
        self.days[day] = self.days.get(day, 0) + 1
        return True


RATES = st.sampled_from([0.001, 0.25, 0.3, 1.0, 1.5, 3.0, 7.0, 10.0, 99.9, 1000.0])
LIMITS = st.builds(
    Limits,
    st.none() | RATES,
    st.none() | st.integers(1, 4),
    st.none() | st.integers(1, 12),
)
PAUSES = st.one_of(
    st.sampled_from([0, 0, 0, 1, SECOND // 10, SECOND // 7, SECOND // 3, SECOND // 3 + 1, SECOND, 10 * SECOND]),
    st.integers(0, 3 * SECOND),
    st.sampled_from([DAY * SECOND // 3, DAY * SECOND]),
)


@given(LIMITS, st.lists(st.tuples(PAUSES, st.integers(0, 3))))
def test_every_call_is_judged_as_the_definition_says(limits: Limits, steps: list[tuple[int, int]]) -> None:
    """In each step some time passes, a call comes, and some of the calls in flight end."""
    allowance, naive = Allowance(limits), Naive(limits)
    now, unix = 7 * SECOND, NOON
    for pause, ends in steps:
        now += pause
        unix += pause / SECOND
        assert (allowance.admit(now, unix) is None) == naive.admits(now, unix)
        for _ in range(min(ends, naive.open)):
            allowance.release(1.0)
            naive.open -= 1
        assert allowance.in_flight == naive.open
        assert allowance.today(unix) == naive.days.get(int(unix // DAY), 0)


@given(RATES, st.lists(st.integers(0, 2 * SECOND), min_size=1, max_size=60))
def test_no_stretch_of_time_has_more_calls_than_the_burst_and_the_rate(rate: float, pauses: list[int]) -> None:
    """Each pair of calls that got in bounds a stretch."""
    allowance, now, let_in = Allowance(Limits(rate)), 0, []
    for pause in pauses:
        now += pause
        if allowance.admit(now, NOON) is None:
            let_in.append(now)
    burst = max(1, math.ceil(rate))
    for first, at in enumerate(let_in):
        for last in range(first, len(let_in)):
            assert last - first + 1 <= burst + Fraction(str(rate)) * Fraction(let_in[last] - at, SECOND)


@given(RATES, st.lists(st.integers(0, SECOND), max_size=20), st.integers(0, SECOND))
def test_whoever_comes_back_when_told_gets_in_and_not_a_nanosecond_before(
    rate: float, pauses: list[int], last: int
) -> None:
    allowance, now = Allowance(Limits(rate)), 0
    for pause in pauses:
        now += pause
        allowance.admit(now, NOON)
    now += last
    while (refusal := allowance.admit(now, NOON)) is None:
        pass
    assert (refusal.status, refusal.code) == (429, "rate_limited")
    wait = round((refusal.retry_after or 0.0) * SECOND)
    assert wait > 0
    assert allowance.admit(now + wait - 1, NOON) is not None
    assert allowance.admit(now + math.ceil(wait / SECOND) * SECOND, NOON) is None  # the header has whole seconds


@pytest.mark.parametrize(("rate", "burst"), [(0.25, 1), (1.0, 1), (1.5, 2), (10.0, 10), (250.0, 250)])
def test_a_second_of_silence_is_worth_the_whole_burst(rate: float, burst: int) -> None:
    """Ten calls at once of ten per second, every time: in floats the tenth is refused now and then."""
    silence = math.ceil(burst / rate) * SECOND
    for start in range(3):
        allowance, now = Allowance(Limits(rate)), 123_456_789 * start
        for _ in range(3):
            got = [allowance.admit(now, NOON) is None for _ in range(burst + 2)]
            assert got == [True] * burst + [False] * 2
            now += silence


@pytest.mark.parametrize(
    ("rate", "calls", "after"),
    [(257.28, 201, 781_250_000), (516.8, 323, 625_000_000), (21484.375, 11, 512_000), (3.0, 3, SECOND)],
)
def test_whole_numbers_are_exact_to_the_nanosecond(rate: float, calls: int, after: int) -> None:
    """After so many nanoseconds so many calls get in, and one less before. With a float for the rate one call too few
    does: 257.28 * 1000 is less than 257,280."""
    for early in (0, 1):
        for half_way in (0, 1, 50_003, after // 2 | 1):
            allowance, got = Allowance(Limits(rate)), 0
            assert all(allowance.admit(0, NOON) is None for _ in range(math.ceil(rate)))
            for now in (half_way, after - early):
                while allowance.admit(now, NOON) is None:
                    got += 1
            assert got == calls - early, half_way


@pytest.mark.parametrize("limits", [Limits(calls_per_second=1.0), Limits(in_flight=1), Limits(calls_per_day=1)])
def test_nothing_is_told_of_a_refused_call(limits: Limits) -> None:
    """Whoever is refused a thousand times a second would have the disk write."""
    told: list[int] = []
    allowance = Allowance(limits, counted=lambda: told.append(1))
    assert allowance.admit(0, NOON) is None
    allowance.saved()
    assert all(allowance.admit(now, NOON) is not None for now in range(3))
    assert told == [1]


def test_the_limit_that_holds_longest_is_the_one_that_is_told() -> None:
    allowance = Allowance(Limits(calls_per_second=1, in_flight=1, calls_per_day=1))
    assert allowance.admit(0, NOON) is None
    refused = allowance.admit(0, NOON + 60)
    assert refused == Refusal(
        429,
        "daily_limit",
        "This token may make 1 call a day (set by the service's owner); the next day begins at 00:00 UTC.",
        DAY / 2 - 60,
    )
    allowance.change(Limits(calls_per_second=1, in_flight=1), 0)
    assert _code(allowance.admit(0, NOON)) == "too_many_in_flight"
    allowance.release(1.0)
    assert _code(allowance.admit(0, NOON)) == "rate_limited"


def _code(refusal: Refusal | None) -> str | None:
    return None if refusal is None else refusal.code


def test_a_place_is_free_soon_if_the_calls_are_short_and_nobody_says_in_less_than_a_second() -> None:
    def told(allowance: Allowance) -> float | None:
        refused = allowance.admit(0, NOON)
        assert _code(refused) == "too_many_in_flight"
        return refused.retry_after if refused is not None else None

    allowance = Allowance(Limits(in_flight=4))
    for _ in range(4):
        assert allowance.admit(0, NOON) is None
    assert told(allowance) == 1.0  # nothing is known yet
    allowance.release(40.0)
    assert allowance.admit(0, NOON) is None
    assert told(allowance) == 10.0
    for _ in range(60):
        allowance.release(0.01)
        allowance.admit(0, NOON)
    assert told(allowance) == 1.0
    for _ in range(60):
        allowance.release(7200.0)
        allowance.admit(0, NOON)
    assert told(allowance) == 60.0


def test_a_day_ends_at_midnight_in_utc() -> None:
    allowance = Allowance(Limits(calls_per_day=2))
    last = 20_001 * DAY - 0.001
    assert [allowance.admit(0, last) is None for _ in range(3)] == [True, True, False]
    assert allowance.today(last) == 2
    assert allowance.today(last + 0.001) == 0
    assert [allowance.admit(0, last + 0.001) is None for _ in range(3)] == [True, True, False]
    assert allowance.day == 20_001


def test_a_clock_that_is_set_back_over_midnight_gives_nobody_a_day_twice() -> None:
    allowance = Allowance(Limits(calls_per_day=1))
    assert allowance.admit(0, 20_000 * DAY - 1.0) is None
    assert allowance.admit(0, 20_000 * DAY + 0.1) is None
    refused = allowance.admit(0, 20_000 * DAY - 0.5)  # the clock was fast by a little
    assert refused is not None
    assert refused.retry_after == DAY + 0.5  # until the end of the day that was begun
    assert allowance.today(20_000 * DAY - 0.5) == 1
    assert allowance.admit(0, 20_000 * DAY + 1.0) is not None


def test_a_clock_that_was_years_ahead_locks_nobody_out() -> None:
    allowance = Allowance(Limits(calls_per_day=1))
    assert allowance.admit(0, 40_000 * DAY) is None
    assert allowance.admit(0, NOON) is None
    assert _code(allowance.admit(0, NOON)) == "daily_limit"


def test_what_was_counted_before_a_start_counts() -> None:
    allowance = Allowance(Limits(calls_per_day=3), day=20_000, calls=2)
    assert [allowance.admit(0, NOON) is None for _ in range(2)] == [True, False]
    yesterdays = Allowance(Limits(calls_per_day=3), day=19_999, calls=3)
    assert yesterdays.today(NOON) == 0
    assert yesterdays.admit(0, NOON) is None
    assert yesterdays.calls == 1


def test_a_change_of_the_limits_keeps_what_was_counted() -> None:
    allowance = Allowance(Limits(calls_per_second=10, in_flight=2))
    for _ in range(2):
        assert allowance.admit(0, NOON) is None
    allowance.change(Limits(in_flight=3), 0)
    assert [allowance.admit(0, NOON) is None for _ in range(2)] == [True, False]
    allowance.change(Limits(calls_per_day=4), 0)
    assert [allowance.admit(0, NOON) is None for _ in range(2)] == [True, False]
    assert (allowance.calls, allowance.in_flight) == (4, 4)


def test_a_change_of_the_rate_neither_forgives_nor_punishes() -> None:
    """Half of the burst is used up: the rest of it is there, at the new rate the old calls drain as calls."""
    allowance = Allowance(Limits(calls_per_second=10))
    for _ in range(10):
        assert allowance.admit(0, NOON) is None
    allowance.change(Limits(calls_per_second=20), SECOND // 2)  # five of ten have drained, at the old rate
    assert [allowance.admit(SECOND // 2, NOON) is None for _ in range(16)] == [True] * 15 + [False]
    allowance.change(Limits(calls_per_second=1), SECOND // 2)
    refused = allowance.admit(SECOND // 2, NOON)
    assert refused is not None
    assert refused.retry_after == 1.0  # not the 19 s that twenty calls take at that rate
    assert allowance.admit(SECOND // 2 + SECOND, NOON) is None


def test_a_refused_call_leaves_no_trace() -> None:
    allowance = Allowance(Limits(calls_per_second=2, in_flight=9, calls_per_day=9))
    for _ in range(2):
        assert allowance.admit(0, NOON) is None
    before = allowance.in_flight, allowance.calls
    for _ in range(100):
        assert _code(allowance.admit(0, NOON)) == "rate_limited"
    assert (allowance.in_flight, allowance.calls) == before
    assert allowance.admit(SECOND // 2, NOON) is None


def test_a_count_is_told_once_until_it_is_saved() -> None:
    told: list[int] = []
    allowance = Allowance(Limits(calls_per_day=3), counted=lambda: told.append(1))
    for _ in range(5):
        allowance.admit(0, NOON)
    assert told == [1]
    assert allowance.saved() == (20_000, 3)
    allowance.admit(0, NOON)
    assert told == [1]  # a refused call is none
    allowance.admit(0, NOON + DAY)
    assert told == [1, 1]
    assert allowance.saved() == (20_001, 1)


@pytest.mark.parametrize(
    "limits",
    [
        Limits(calls_per_second=0),
        Limits(calls_per_second=-1),
        Limits(calls_per_second=0.0009),
        Limits(calls_per_second=1_000_001),
        Limits(calls_per_second=math.nan),
        Limits(calls_per_second=math.inf),
        Limits(in_flight=0),
        Limits(in_flight=1_000_001),
        Limits(calls_per_day=-5),
        Limits(calls_per_day=10**12 + 1),
    ],
)
def test_a_limit_that_cannot_be_kept_to_is_refused(limits: Limits) -> None:
    with pytest.raises(InvalidRequest, match="are limited to a number from"):
        check_limits(limits)


def test_calls_per_second_are_kept_to_in_thousandths_and_shown_so() -> None:
    assert check_limits(Limits(0.12345, 3, 7)) == Limits(0.123, 3, 7)
    assert check_limits(Limits()) == Limits()
    assert not Limits().any
    assert Limits(in_flight=1).any
