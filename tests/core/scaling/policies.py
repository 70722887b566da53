"""Policies of every shape that make sense, for property tests."""

from __future__ import annotations

from hypothesis import strategies as st

from jupyter_model_service.core.scaling.metrics import METRICS
from jupyter_model_service.core.scaling.policy import Autoscaling, Rule, Schedule

ids = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,8}", fullmatch=True)
WHENS = [
    ("Mon-Fri 08:00-19:00", None),
    ("sat,sun 10:00-02:00", None),
    ("daily 22:00-06:00", None),
    ("0 8 * * 1-5", 39_600.0),
    ("*/30 * * * *", 90.5),
]


def _rule(id: str, metric: str, thresholds: tuple[float, float], which: str, step: int, times: tuple[float, float],
          bounds: tuple[int | None, int | None]) -> Rule:  # fmt: skip
    low, high = sorted(thresholds)
    least, most = bounds
    if least is not None and most is not None:
        least, most = min(least, most), max(least, most)
    return Rule(
        id,
        metric,
        high if which != "below" else None,
        low if which != "above" else None,
        step,
        *times,
        least,
        most,
    )


def rules() -> st.SearchStrategy[Rule]:
    # Within 0.1..0.9 a threshold fits every metric, and no rule for another metric contradicts it.
    threshold = st.floats(0.1, 0.9)
    return st.builds(
        _rule,
        ids,
        st.sampled_from([*METRICS, "prometheus:tokens"]),
        st.tuples(threshold, threshold),
        st.sampled_from(["above", "below", "both"]),
        st.integers(1, 100),
        st.tuples(st.floats(0, 86_400), st.floats(2, 3600)),
        st.tuples(st.none() | st.integers(0, 100), st.none() | st.integers(1, 100)),
    )


def policies() -> st.SearchStrategy[Autoscaling]:
    schedules = st.builds(
        lambda id, when, zone, bounds: Schedule(id, when[0], zone, when[1], min(bounds), max(bounds)),
        ids,
        st.sampled_from(WHENS),
        st.sampled_from(["UTC", "Asia/Seoul", "Europe/Berlin"]),
        st.tuples(st.integers(0, 100), st.integers(1, 100)),
    )
    return st.builds(
        lambda bounds, **rest: Autoscaling(min(bounds), max(bounds), **rest),
        bounds=st.tuples(st.integers(0, 100), st.integers(1, 100)),
        target=st.just(True),
        target_concurrency=st.none() | st.floats(0.001, 100_000),
        idle_after=st.floats(1, 604_800),
        down_delay=st.floats(0, 86_400),
        rules=st.lists(rules(), max_size=3, unique_by=(lambda r: r.id, lambda r: r.metric)).map(tuple),
        schedules=st.lists(schedules, max_size=3, unique_by=lambda s: s.id).map(tuple),
        held=st.booleans(),
    )
