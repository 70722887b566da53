"""How often an address may send wrong tokens."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_model_service.core.guessing import Guesses


def wrong(guesses: Guesses, address: bytes, count: int, now: float, start: int = 0) -> int:
    """How many of ``count`` different tokens were looked up."""
    asked = 0
    for i in range(start, start + count):
        if guesses.may_ask(address, f"wrong-{i}", now) is None:
            asked += 1
            guesses.failed(address, f"wrong-{i}", now)
    return asked


def test_so_many_at_once_and_then_one_each_other_second() -> None:
    guesses = Guesses()
    assert wrong(guesses, b"10.0.0.1", 100, 0.0) == 20
    assert guesses.may_ask(b"10.0.0.1", "another", 0.0) == pytest.approx(2.0)
    assert guesses.may_ask(b"10.0.0.1", "another", 1.0) == pytest.approx(1.0)
    assert wrong(guesses, b"10.0.0.1", 100, 2.0, 100) == 1
    assert wrong(guesses, b"10.0.0.1", 100, 1002.0, 200) == 20
    assert guesses.may_ask(b"10.0.0.2", "another", 1002.0) is None


def test_the_same_wrong_token_is_no_new_guess() -> None:
    """A program with a token that has expired does not lock out who is at the same address, nor itself."""
    guesses = Guesses()
    for _ in range(1000):
        assert guesses.may_ask(b"10.0.0.1", "expired", 0.0) is None
        guesses.failed(b"10.0.0.1", "expired", 0.0)
    assert wrong(guesses, b"10.0.0.1", 100, 0.0) == 19


def test_those_that_were_asked_for_at_once_count_when_they_are_wrong_and_for_a_minute_at_most() -> None:
    guesses = Guesses()
    assert all(guesses.may_ask(b"10.0.0.1", f"{i}", 0.0) is None for i in range(1000))
    for i in range(1000):
        guesses.failed(b"10.0.0.1", f"{i}", 0.0)
    assert guesses.may_ask(b"10.0.0.1", "next", 0.0) == pytest.approx(60.0)
    assert guesses.may_ask(b"10.0.0.1", "next", 60.0) is None


@pytest.mark.parametrize(
    ("one", "another", "same"),
    [
        (b"2001:db8::1", b"2001:db8::ffff:1", True),
        (b"2001:db8::1", b"2001:db8:0:1::1", False),
        (b"10.0.0.1", b"10.0.0.1:4711", True),
        (b"10.0.0.1", b"::ffff:10.0.0.1", True),
        (b"10.0.0.1", b"10.0.0.2", False),
    ],
)
def test_an_address_is_a_network_where_everybody_has_many(one: bytes, another: bytes, same: bool) -> None:
    guesses = Guesses()
    wrong(guesses, one, 20, 0.0)
    assert (guesses.may_ask(another, "next", 0.0) is not None) == same


def test_the_table_is_bounded_and_forgets_who_was_there_first() -> None:
    guesses = Guesses(most=100)
    for i in range(1000):
        wrong(guesses, b"10.0.%d.%d" % divmod(i, 256), 20, 0.0)
    assert len(guesses) == 100
    assert guesses.may_ask(b"10.0.0.0", "next", 0.0) is None
    assert guesses.may_ask(b"10.0.%d.%d" % divmod(999, 256), "next", 0.0) is not None


@given(st.lists(st.floats(0.0, 30.0), max_size=200))
def test_never_more_than_the_burst_and_what_came_to_it_since(pauses: list[float]) -> None:
    guesses, now, asked = Guesses(), 0.0, 0
    for i, pause in enumerate(pauses):
        now += pause
        asked += wrong(guesses, b"10.0.0.1", 3, now, 3 * i)
        assert asked <= 20 + now * 0.5 + 1e-6
