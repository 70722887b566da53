"""When the policy ends a service: each limit at its edge, and the sooner of the two."""

from __future__ import annotations

from jupyter_model_service.core.effective import Effective
from jupyter_model_service.core.lives import DAY, end_of
from jupyter_model_service.core.policy import Policy

GROUP = {"idle_limit": "for the group ds"}


def test_without_limits_a_service_has_no_end() -> None:
    assert end_of(Effective(Policy()), began_at=0.0, last_call_at=None) is None


def test_the_idle_limit_counts_from_the_last_call_or_from_the_start_if_that_was_later() -> None:
    holds = Effective(Policy(idle_limit=10 * DAY), GROUP)
    ends = [end_of(holds, began_at=100.0, last_call_at=at) for at in (None, 50.0, 200.0)]
    assert [end.at - 10 * DAY for end in ends if end] == [100.0, 100.0, 200.0]
    assert ends[0] is not None
    assert ends[0].why == "nobody has called it for 10 days (set for the group ds)"
    assert ends[0].warned_at == ends[0].at - DAY


def test_the_longest_life_counts_from_the_start_whatever_is_called() -> None:
    end = end_of(Effective(Policy(longest_life=3600.0)), began_at=100.0, last_call_at=5000.0)
    assert end is not None
    assert (end.at, end.warned_at) == (3700.0, 2800.0)
    assert end.why == "it has run for 1 h (set for all users)"


def test_the_sooner_end_is_the_one() -> None:
    both = Effective(Policy(longest_life=100.0, idle_limit=60.0))
    kinds = [end_of(both, began_at=0.0, last_call_at=at) for at in (None, 30.0, 50.0)]
    assert [(end.kind, end.at) for end in kinds if end] == [
        ("idle_limit", 60.0),
        ("idle_limit", 90.0),
        ("longest_life", 100.0),
    ]
