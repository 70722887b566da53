"""What calls do at an endpoint, from counters that only grow."""

from __future__ import annotations

import pytest

from jupyter_model_service.core.traffic import BUCKETS, Traffic, difference, quantile


def test_calls_on_replicas_are_integrated_over_time_and_those_that_wait_are_not() -> None:
    traffic = Traffic()
    traffic.begun(10.0)
    traffic.begun(10.0)
    assert traffic.in_flight_seconds(12.0) == 0.0
    traffic.sent(12.0)
    traffic.sent(13.0)
    assert traffic.in_flight_seconds(14.0) == 3.0
    traffic.ended(14.0, 200, 2.0, 4.0, 3.0)
    traffic.ended(15.0, 503, 2.0, 5.0, None)
    assert traffic.in_flight_seconds(99.0) == 4.0
    assert (traffic.arrived, traffic.finished, traffic.failed, traffic.busy_seconds) == (2, 2, 1, 4.0)
    assert (sum(traffic.whole), sum(traffic.first), traffic.last_call) == (2, 1, 15.0)


@pytest.mark.parametrize(("status", "failed"), [(200, 0), (404, 0), (429, 0), (499, 0), (500, 1), (503, 1)])
def test_what_the_caller_did_wrong_is_no_error_of_the_model(status: int, failed: int) -> None:
    traffic = Traffic()
    traffic.begun(0.0)
    traffic.sent(0.0)
    traffic.ended(1.0, status, 1.0, 1.0, None)
    assert (traffic.finished, traffic.failed) == (1, failed)


def test_a_call_that_no_replica_saw_is_refused_and_is_a_call_all_the_same() -> None:
    traffic = Traffic()
    traffic.begun(1.0)
    traffic.rejected(3.0)
    assert (traffic.arrived, traffic.finished, traffic.refused, traffic.last_call) == (1, 0, 1, 3.0)


@pytest.mark.parametrize("seconds", [0.0005, 0.004, 0.25, 1.0, 33.0, 900.0])
def test_a_quantile_is_right_to_a_fifth(seconds: float) -> None:
    traffic = Traffic()
    before = list(traffic.whole)
    for _ in range(20):
        traffic.ended(1.0, 200, seconds, seconds, None)
    found = quantile(difference(before, traffic.whole), 0.95)
    assert found is not None
    assert abs(found - seconds) <= max(0.2 * seconds, 0.0006)


def test_quantiles_are_of_the_calls_between_two_moments() -> None:
    traffic = Traffic()
    for _ in range(100):
        traffic.ended(1.0, 200, 9.0, 9.0, None)
    before = list(traffic.whole)
    assert quantile(difference(before, traffic.whole), 0.5) is None
    for seconds in [0.1] * 90 + [2.0] * 10:
        traffic.ended(2.0, 200, seconds, seconds, None)
    since = difference(before, traffic.whole)
    assert 0.08 < (quantile(since, 0.5) or 0) < 0.12
    assert 1.6 < (quantile(since, 0.95) or 0) < 2.4


def test_the_longest_call_has_a_bucket() -> None:
    traffic = Traffic()
    traffic.ended(1.0, 200, 1e6, 1e6, None)
    assert traffic.whole[BUCKETS - 1] == 1
