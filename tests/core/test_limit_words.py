"""Limits as people read and write them: what stands in a form is read as what it was."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_model_service.core.effective import Override, effective
from jupyter_model_service.core.limit_words import idle_told, limit_read, limit_told, limit_written
from jupyter_model_service.core.policy import Policy, PolicyRule
from jupyter_model_service.errors import InvalidRequest

counts = st.integers(0, 10**6)
times = st.one_of(st.integers(1, 10**8), st.integers(1, 3000).map(lambda days: days * 86400))
sizes = st.one_of(
    st.just((1 << 50) + 1),
    st.integers(1 << 20, 1 << 50),
    st.integers(1, 1 << 20).map(lambda gibibytes: gibibytes << 30),
)
limits = st.one_of(
    st.tuples(
        st.sampled_from(
            ["max_services_per_user", "max_replicas_per_user", "max_gpus_per_user", "max_gpus_per_replica"]
        ),
        counts,
    ),
    st.tuples(st.just("max_cpus"), st.integers(1, 10_000).map(lambda n: n / 8)),
    st.tuples(st.just("max_memory"), sizes),
    st.tuples(st.sampled_from(["longest_token", "idle_limit", "longest_life"]), times),
)


@given(limits)
def test_what_is_written_is_read_as_it_was(limit: tuple[str, float]) -> None:
    name, value = limit
    assert limit_read(name, limit_written(name, value)) == value


@pytest.mark.parametrize(
    ("name", "value", "used", "told"),
    [
        ("max_replicas_per_user", 5, 2, "2 of 5"),
        ("max_cpus", 0.5, None, "0.5"),
        ("max_memory", 8 << 30, None, "8 GiB"),
        ("idle_limit", 7 * 86400, None, "7 days"),
        ("allow_public", False, None, "not allowed"),
        ("allow_public", True, None, "allowed"),
        ("allowed_images", ["a", "b"], None, "a, b"),
        ("allowed_images", [], None, "none"),
    ],
)
def test_a_limit_is_told_in_its_unit(name: str, value: object, used: float | None, told: str) -> None:
    assert limit_told(name, value, used) == told


@pytest.mark.parametrize("text", ["", "x", "-1", "1.5", "1e3", "٣", "9" * 20, "1000001"])
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match=r"GPUs: .* is not a whole number from 0 to 1000000"):
        limit_read("max_gpus_per_user", text)


def test_what_was_set_and_takes_nothing_away_is_said_with_what_holds() -> None:
    policy = Policy(longest_token=7 * 86400.0, rules=(PolicyRule({"allow_public": False}, groups=("ds",)),))
    said = {"max_replicas_per_user": 50, "longest_token": 30 * 86400.0, "allow_public": False, "max_cpus": 2.0}
    assert idle_told(effective(policy, "alice", ["ds"], Override(said, "carol"))) == [
        "replicas: 50, set by carol for alice, takes nothing away: 10 is what holds (set for all users), and only the "
        "installation gives more.",
        "life of a token: 30 days, set by carol for alice, takes nothing away: 7 days is what holds (set for all "
        "users), and only the installation gives more.",
        "public services: not allowed, set by carol for alice, takes nothing away: not allowed anyway (set for the "
        "group ds).",
    ]
