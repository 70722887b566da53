"""Figures of a day at falling resolution: brought together right, bounded, and never invented."""

from __future__ import annotations

import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_model_service.core.traffic import BUCKETS, Traffic, difference, quantile
from jupyter_model_service.engine.history import (
    COLUMNS,
    TIERS,
    Histories,
    History,
    Point,
    SeriesView,
)
from jupyter_model_service.engine.history import _Ring as Ring

NOON = 1_700_000_000.0 - 1_700_000_000.0 % 300  # where an interval of every resolution begins


def latency(*seconds: float) -> list[int]:
    traffic = Traffic()
    for each in seconds:
        traffic.ended(0.0, 200, each, each, None)
    return difference([0] * BUCKETS, traffic.whole)


def by_time(view: SeriesView, name: str) -> dict[float, float | None]:
    return {at - NOON: value for at, value in zip(view.times, view.values[name], strict=True)}


def test_rates_are_counts_over_seconds_at_each_resolution() -> None:
    """Forty calls in the first of 15 points of two seconds, none after: 20 a second, then 0, and 40 / 30 on average."""
    history = History()
    for number in range(1, 16):
        history.add(NOON + 2 * number, Point(2.0, calls=40 if number == 1 else 0, errors=4 if number == 1 else 0))
    now = NOON + 30
    fine = by_time(history.read(now), "calls_per_second")
    assert [fine[at] for at in (0, 2, 28)] == [20.0, 0.0, 0.0]
    assert by_time(history.read(now), "errors_per_second")[0] == 2.0
    assert by_time(history.read(now, step=30), "calls_per_second")[0] == pytest.approx(40 / 30, rel=1e-5)
    assert history.read(now, step=31).step == 300.0


def test_a_point_between_two_intervals_is_shared_among_them() -> None:
    """A late tick makes neither a hole nor a peak: 10 calls a second stay 10 a second."""
    history = History()
    now = NOON
    for seconds in (2.0, 1.3, 3.1, 2.6, 1.0, 2.0, 5.0):
        now += seconds
        history.add(now, Point(seconds, calls=10 * seconds, in_flight=3.0))
    view = history.read(now)
    assert view.values["calls_per_second"] == [pytest.approx(10.0)] * len(view.times)
    assert view.values["in_flight"] == [3.0] * len(view.times)
    assert view.times[0] == NOON
    assert len(view.times) == 9  # 17 s
    one_second = History()
    one_second.add(NOON + 1, Point(1.0, calls=10))
    one_second.add(NOON + 3, Point(2.0, calls=0))
    assert one_second.read(NOON + 3).values["calls_per_second"] == [5.0, 0.0]


def test_quantiles_are_of_all_calls_of_the_interval() -> None:
    """One slow call among a thousand is no p95 of half a minute, though it was the p95 of its two seconds."""
    history = History()
    for number in range(1, 16):
        calls = [8.0] if number == 7 else [0.1] * 71
        history.add(NOON + 2 * number, Point(2.0, calls=len(calls), latency=latency(*calls)))
    now = NOON + 30
    assert by_time(history.read(now), "latency_p95")[12] == pytest.approx(8.0, rel=0.1)
    whole = quantile(latency(8.0, *[0.1] * 994), 0.95)
    assert whole is not None
    assert whole < 0.2
    assert by_time(history.read(now, step=30), "latency_p95")[0] == pytest.approx(whole, rel=1e-4)
    assert by_time(history.read(now, step=30), "latency_p50")[0] == pytest.approx(0.1, rel=0.1)


def test_means_are_over_time_and_replicas_what_there_was_last() -> None:
    history = History()
    history.add(NOON + 10, Point(10.0, gpu_util=90.0, queued=4, replicas_wanted=1, replicas_ready=4))
    history.add(NOON + 30, Point(20.0, gpu_util=30.0, queued=1, replicas_wanted=3, replicas_ready=2))
    view = history.read(NOON + 30, step=30)
    first = {name: values[0] for name, values in view.values.items()}
    assert first["gpu_util"] == 50.0
    assert first["queued"] == 2.0
    assert (first["replicas_wanted"], first["replicas_ready"]) == (3.0, 2.0)


def test_what_is_unknown_is_neither_zero_nor_part_of_a_mean() -> None:
    history = History()
    for number, use in enumerate([80.0, None, 40.0, None], start=1):
        history.add(NOON + 2 * number, Point(2.0, calls=0, gpu_util=use))
    view = history.read(NOON + 8)
    assert view.values["gpu_util"] == [80.0, None, 40.0, None]
    assert view.values["latency_p95"] == [None] * 4  # no calls have no latency
    assert view.values["calls_per_second"] == [0.0] * 4
    assert history.read(NOON + 8, step=30).values["gpu_util"] == [60.0]
    assert view.values["gpu_memory"] == [None] * 4


def test_time_without_points_is_a_hole() -> None:
    """A gateway that was away, or a laptop that slept: nothing is known of that time."""
    history = History()
    history.add(NOON + 2, Point(2.0, calls=2))
    history.add(NOON + 10, Point(2.0, calls=4))
    assert history.read(NOON + 14).values["calls_per_second"] == [1.0, None, None, None, 2.0, None, None]
    history.add(NOON + 86_400 * 9, Point(86_400 * 9, calls=86_400 * 9))
    rates = history.read(NOON + 86_400 * 9).values["calls_per_second"]
    assert rates[0] is None
    assert [each for each in rates if each is not None] == [1.0] * 30  # of nine days, the last minute is claimed


def test_the_resolution_follows_from_how_far_back_is_asked() -> None:
    history = History()
    now = NOON
    for _ in range(2 * 86_400 // 60):
        now += 60
        history.add(now, Point(60.0, calls=60))
    for since, step, length in ((60, 2.0, 31), (3_600, 30.0, 121), (14_000, 30.0, 467), (80_000, 300.0, 267)):
        view = history.read(now, since=now - since)
        assert (view.step, len(view.times)) == (step, pytest.approx(length, abs=1))
        assert view.times[0] <= now - since < view.times[1]
    assert len(history.read(now, since=0).times) == 288
    assert history.read(now, since=now - 60, step=5).step == 30.0
    assert history.read(now, since=now - 60, step=9_999).step == 300.0
    assert all(value in (1.0, None) for value in history.read(now, since=0).values["calls_per_second"])


def test_a_clock_that_is_set_back_begins_again() -> None:
    history = History()
    for number in range(1, 600):
        history.add(NOON + 2 * number, Point(2.0, calls=2))
    earlier = NOON - 7_200
    history.add(earlier + 2, Point(2.0, calls=8))
    history.add(earlier + 4, Point(2.0, calls=8))
    view = history.read(earlier + 4)
    assert view.values["calls_per_second"] == [4.0]
    assert history.read(earlier + 4, step=300).values["calls_per_second"][-1] == 4.0


def test_nothing_was_added_yet() -> None:
    view = History().read(NOON)
    assert view.times == []
    assert set(view.values) == set(COLUMNS)


@given(
    st.lists(
        st.tuples(
            st.floats(0, 400) | st.floats(-4_000, 100_000),
            st.floats(0, 100),
            st.integers(0, 500),
            st.none() | st.floats(0, 100),
        ),
        max_size=40,
    ),
    st.floats(-10_000, 10_000),
    st.sampled_from([None, 0.0, 2.0, 7.0, 300.0]),
)
def test_whatever_the_clock_does_figures_stay_within_what_was_measured(
    points: list[tuple[float, float, int, float | None]], back: float, step: float | None
) -> None:
    history, now = History(), NOON
    for passed, seconds, calls, use in points:
        now += passed
        history.add(now, Point(seconds, calls=calls, in_flight=use, replicas_ready=2.0))
    view = history.read(now, since=now - back, step=step)
    assert len(view.times) <= dict(TIERS)[view.step]
    assert view.times == sorted(set(view.times))
    uses = [use for *_, use in points if use is not None]
    most = max((calls / seconds for _, seconds, calls, _ in points if seconds > 0), default=0.0)
    for value in view.values["in_flight"]:
        assert value is None or min(uses) * 0.9999 - 1e-6 <= value <= max(uses) * 1.0001
    assert all(value is None or 0 <= value <= most * 1.0001 for value in view.values["calls_per_second"])
    assert all(value in (None, 2.0) for value in view.values["replicas_ready"])


Measured = tuple[float, float, int, float | None, set[float]]
CALLS = {0.01: 1, 0.3: 17, 4.0: 290}  # so many of each duration: no quantile is just between two of them by chance
TIMES = st.tuples(
    st.floats(1.5, 2.5) | st.floats(0, 40) | st.sampled_from([0.0, 2.0, 290.0, 4_000.0, 100_000.0]),
    st.floats(1.5, 2.5) | st.floats(0, 90),
    st.integers(0, 500),
    st.none() | st.floats(0, 100),
    st.sets(st.sampled_from(list(CALLS))),
)


@given(st.lists(TIMES, max_size=60), st.none() | st.tuples(st.integers(0, 59), st.floats(0, 2_000)))
def test_the_coarse_figures_are_those_that_points_given_to_them_directly_make(
    points: list[Measured], set_back: tuple[int, float] | None
) -> None:
    """Only the finest resolution is given points, the coarser ones are made of its intervals: also while the last ones
    grow, over holes, and where the clock is set back."""
    history, now = History(), NOON
    direct = [Ring(step, length) for step, length in TIERS]
    for number, (passed, seconds, calls, use, taken) in enumerate(points):
        now += passed
        if set_back is not None and number == set_back[0]:
            now -= set_back[1]
        counts = latency(*[each for each in taken for _ in range(CALLS[each])])
        point = Point(seconds, calls, calls // 9, counts, use, None, float(number), 2.0, None, use, use)
        history.add(now, point)
        for ring in direct:
            ring.add(now, point)
        if number % 7 == 0:
            history.read(now, step=30)  # looking changes nothing
    for ring in direct:
        made, expected = history.read(now, step=ring.step), ring.read(now - ring.step * ring.length, now)
        assert made.times == expected.times
        for name in COLUMNS:
            close = [
                None if value is None else pytest.approx(value, rel=1e-4, abs=1e-6) for value in expected.values[name]
            ]
            assert made.values[name] == close, name


def two_services() -> Histories:
    histories = Histories()
    dice = random.Random(7)
    for number in range(1, 400):
        point = Point(2.0, calls=dice.randrange(50), latency=latency(dice.random()), replicas_ready=2, gpu_util=55.0)
        histories.of("one").add(NOON + 2 * number, point)
        histories.of("two").add(NOON + 2 * number, Point(2.0, calls=1))
    return histories


def test_a_restart_of_the_gateway_loses_nothing_that_was_saved() -> None:
    """Also not the intervals that were still growing, as far as they had come."""
    before = two_services()
    data = before.dump()
    after = Histories()
    after.load(data, {"one"})
    now = NOON + 2 * 399
    for step in (2, 30, 300):
        assert after.of("one").read(now, step=step) == before.of("one").read(now, step=step)
    assert after.of("two").read(now).times == []  # not asked for: it was deleted meanwhile
    after.of("one").add(now + 60, Point(2.0, calls=8))
    rates = by_time(after.of("one").read(now + 60), "calls_per_second")
    assert rates[now + 58 - NOON] == 4.0
    assert rates[now + 30 - NOON] is None
    assert rates[now - 2 - NOON] is not None


@pytest.mark.parametrize(
    "damage", ["empty", "cut", "longer", "other order", "no JSON", "column", "nonsense", "infinity"]
)
def test_what_was_not_saved_by_this_version_is_refused_whole(damage: str) -> None:
    data = two_services().dump()
    head, _, body = data.partition(b"\n")
    data = {
        "empty": b"",
        "cut": data[:-5],
        "longer": data + b"12345678",
        "other order": data.replace(b'"little"', b'"middle"').replace(b'"big"', b'"middle"'),
        "no JSON": data[1:],
        "column": data.replace(b'"gpu_util"', b'"gpu_utal"'),
        "nonsense": b"[1, 2]\n" + body,
        "infinity": head.replace(b'"newest": ', b'"newest": Infinity, "x": ') + b"\n" + body,
    }[damage]
    histories = Histories()
    with pytest.raises(ValueError):
        histories.load(data, {"one", "two"})
    assert histories.of("one").read(NOON).times == []


def test_memory_and_time_are_bounded() -> None:
    """A full day of everything: 52 KB a service, and 60 µs a point on an idle machine (here with much room)."""
    history = History()
    now, calls = NOON, latency(0.2, 0.4, 3.0)
    point = Point(10.0, 3, 1, calls, 1.0, 1.0, 2.0, 2.0, 50.0, 50.0, 50.0)
    began = time.process_time()
    for _ in range(9_000):
        now += 10.0
        history.add(now, point)
    assert time.process_time() - began < 9_000 * 0.001
    size = sum(len(c) * c.itemsize for ring in history.rings for c in ring.columns.values())
    assert size == sum(length for _, length in TIERS) * len(COLUMNS) * 4
    quiet = History()
    quiet.add(now, Point(2.0, replicas_wanted=0, replicas_ready=0))
    quiet.read(now)
    assert {name for ring in quiet.rings for name in ring.columns} == {"replicas_wanted", "replicas_ready"}
