"""What follows when a try of a call ends badly: what it was, who is blamed, and whether and where the call goes on."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jupyter_model_service.core.balance import pick
from jupyter_model_service.core.retrying import (
    IDEMPOTENT,
    UNTRIED,
    Blame,
    Budget,
    Failure,
    Retry,
    Tries,
    Verdict,
    after,
    left_out,
    none_is_well,
)
from jupyter_model_service.core.routing import Backend

CONNECT, STALE, SUDDEN, DIED = Failure.CONNECT, Failure.STALE, Failure.SUDDEN, Failure.DIED
HUNG, LATE, BROKEN, BAD, LACK = Failure.HUNG, Failure.LATE, Failure.BROKEN, Failure.BAD, Failure.LACK
DRAINED = Failure.DRAINED
NO, SAME, OTHER, WELL = Retry.NO, Retry.SAME, Retry.OTHER, Retry.WELL


def judged(failure: Failure, again: int = 0, had: int = 0, **facts: object) -> Verdict:
    usual = {
        "method": b"POST", "any_method": True, "replayable": True, "suspect": False, "lost": False, "others": True,
        "within_budget": True,
    }  # fmt: skip
    return after(failure, Tries(again, had), **{**usual, **facts})  # type: ignore[arg-type]


# failure, what differs from a POST that may be repeated → where it goes
TABLE: list[tuple[Failure, dict[str, object], Retry]] = [
    (CONNECT, {}, OTHER),
    (CONNECT, {"any_method": False}, OTHER),  # nothing was sent
    (CONNECT, {"again": 1, "had": 1}, OTHER),
    (CONNECT, {"again": 2}, NO),
    (CONNECT, {"within_budget": False}, WELL),
    (CONNECT, {"replayable": False}, NO),
    (STALE, {}, SAME),
    (STALE, {"any_method": False}, SAME),  # it never came there
    (STALE, {"within_budget": False}, SAME),
    (STALE, {"again": 1, "had": 1}, SAME),
    (STALE, {"again": 2}, NO),
    (STALE, {"lost": True}, OTHER),
    (STALE, {"replayable": False}, NO),
    (STALE, {"others": False}, SAME),  # the control API
    (SUDDEN, {}, SAME),
    (SUDDEN, {"lost": True}, OTHER),
    (SUDDEN, {"any_method": False}, NO),
    (SUDDEN, {"any_method": False, "method": b"GET"}, SAME),
    (DIED, {}, OTHER),
    (DIED, {"others": False}, NO),
    (DIED, {"again": 1}, OTHER),
    (DIED, {"again": 1, "had": 1}, NO),  # a second replica died under it
    (DIED, {"any_method": False}, NO),
    (DIED, {"any_method": False, "method": b"GET"}, OTHER),
    (DIED, {"within_budget": False}, WELL),
    (DIED, {"replayable": False}, NO),
    (BROKEN, {}, OTHER),
    (BROKEN, {"again": 1, "had": 1}, NO),
    (BROKEN, {"any_method": False}, NO),
    (LATE, {}, NO),
    (LATE, {"suspect": True}, OTHER),
    (LATE, {"suspect": True, "any_method": False}, NO),
    (LATE, {"suspect": True, "again": 1, "had": 1}, NO),
    (BAD, {}, NO),
    (BAD, {"suspect": True}, NO),
    (DRAINED, {}, OTHER),
    (DRAINED, {"any_method": False}, NO),
    (DRAINED, {"any_method": False, "method": b"GET"}, OTHER),
    (DRAINED, {"again": 1, "had": 1}, NO),
    (DRAINED, {"within_budget": False}, WELL),
    (DRAINED, {"replayable": False}, NO),
    (LACK, {}, NO),
]


@pytest.mark.parametrize("row", TABLE)
def test_where_a_call_goes_on(row: tuple[Failure, dict[str, object], Retry]) -> None:
    failure, facts, retry = row
    assert judged(failure, **facts).retry is retry  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("failure", "blame"),
    [
        (CONNECT, Blame.REFUSED),
        (DIED, Blame.REFUSED),
        (HUNG, Blame.FAILED),
        (LATE, Blame.FAILED),
        (BROKEN, Blame.FAILED),
        (BAD, Blame.FAILED),
        (STALE, Blame.NO),
        (SUDDEN, Blame.NO),
        (DRAINED, Blame.NO),
        (LACK, Blame.NO),
    ],
)
def test_whom_it_is_held_against(failure: Failure, blame: Blame) -> None:
    """Whether the call goes on or not; the control API is no replica, and is not blamed."""
    assert judged(failure).blame is judged(failure, replayable=False).blame is blame
    assert judged(failure, others=False).blame is Blame.NO


def test_late_is_hung_where_the_health_check_is_late_too() -> None:
    assert (judged(LATE, suspect=True).failure, judged(LATE).failure) == (HUNG, LATE)


@dataclass
class Life:
    """A call through its failures, as the front sends it again."""

    sent: int = 1
    had: int = 0  # tries in which a replica may have worked on it
    ended: bool = False


MAY_HAVE_HAD = {SUDDEN, DIED, HUNG, LATE, BROKEN, BAD, DRAINED}
RARELY = st.sampled_from([False, False, False, True])
FACTS = st.fixed_dictionaries(
    {"replayable": RARELY.map(lambda gone: not gone), "suspect": RARELY, "lost": RARELY, "within_budget": st.booleans()}
)
OFTEN = [CONNECT, CONNECT, CONNECT, CONNECT, STALE, STALE, STALE, DIED, DIED]


@settings(max_examples=300)
@given(
    st.lists(st.tuples(st.sampled_from([*Failure, *OFTEN]), FACTS), min_size=3, max_size=6),
    st.sampled_from([b"POST", b"PATCH", *sorted(IDEMPOTENT)]),
    st.booleans(),
    st.booleans(),
)
def test_no_call_goes_on_for_ever(
    ends: list[tuple[Failure, dict[str, bool]]], method: bytes, any_method: bool, others: bool
) -> None:
    """However it fails: sent three times at most, to two replicas at most that may have worked on it, and where it must
    not be repeated never after one of these."""
    life, tries = Life(), UNTRIED
    for failure, facts in ends:
        verdict = after(failure, tries, method=method, any_method=any_method, others=others, **facts)
        life.had += failure in MAY_HAVE_HAD
        if verdict.retry is NO:
            life.ended = True
            break
        assert facts["replayable"]
        assert others or verdict.retry is SAME
        assert verdict.retry is not OTHER or facts["within_budget"]
        assert life.had == 0 or any_method or method in IDEMPOTENT
        life.sent += 1
        tries = verdict.tries
    assert life.ended
    assert life.sent <= 3
    assert life.had <= 2


def replicas(*failures: int) -> list[Backend]:
    return [Backend(f"r{number}", 1, "h", 1, failures=count) for number, count in enumerate(failures)]


def chosen(
    backends: list[Backend], failed: list[Backend], *, only_well: bool, waited: float = 0.0, cap: int | None = None
) -> str | None:
    for avoided in left_out(backends, failed, only_well=only_well, waited=waited, grace=1.0):
        if (found := pick(backends, 50.0, cap, avoided)) is not None:
            return found.replica
    return None


def test_one_that_failed_it_is_tried_again_only_when_nobody_else_came() -> None:
    first, second = replicas(1, 0)
    assert chosen([first, second], [first], only_well=False) == "r1"
    assert chosen([first], [first], only_well=False, waited=1.0) is None
    assert chosen([first], [first], only_well=False, waited=1.1) == "r0"


def test_beyond_the_budget_only_replicas_count_whose_last_call_did_not_fail() -> None:
    first, second, third = replicas(1, 2, 0)
    assert chosen([first, second], [first], only_well=True, waited=99.0) is None
    assert chosen([first, second], [first], only_well=False) == "r1"
    assert chosen([first, second, third], [first], only_well=True) == "r2"
    third.in_flight = 1
    assert chosen([first, second, third], [first], only_well=True, cap=1) is None  # it waits for that one
    first.failures = 0  # it has answered another call meanwhile
    assert chosen([first, second], [first], only_well=True) is None
    assert chosen([first, second], [first], only_well=True, waited=1.1) == "r0"


def test_where_none_is_well_there_is_nothing_to_wait_for() -> None:
    """Not where none serves at all: the engine has noticed, and may start another."""
    first, second = replicas(1, 0)
    assert not none_is_well([first, second])
    second.lost = True
    assert none_is_well([first, second])
    first.serving = False
    assert not none_is_well([first, second])
    assert not none_is_well([])


def test_the_budget_is_a_fifth_of_the_calls_but_at_least_three() -> None:
    budget = Budget()

    def spent(now: float) -> int:
        count = 0
        while budget.left(now):
            budget.spend(now)
            count += 1
        return count

    assert spent(100.0) == 3
    for _ in range(50):
        budget.call(105.0)
    assert spent(105.5) == 7
    assert spent(112.0) == 3  # those of 100 are over 10 s ago: 7 of 10 are spent
    assert spent(500.0) == 3
