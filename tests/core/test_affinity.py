"""Which replica a call had best go to, by what it says."""

from __future__ import annotations

import math
import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_model_service.core.affinity import Affinity, badge, digest, is_passed_on, pick, said, sticky_cookie
from jupyter_model_service.core.forwarding import clean_cookies
from jupyter_model_service.core.read_request import read_request
from jupyter_model_service.core.routing import Backend

from .test_balance import NOW, backend

KEYS = [digest(b"key %d" % number) for number in range(400)]


def pool(*names: str) -> list[Backend]:
    return [backend(name) for name in names]


def by(bound: float | None, what: str = "prefix") -> Affinity:
    return Affinity(what, bound=bound)


def chosen(key: bytes, backends: list[Backend], bound: float | None = None, cap: int | None = None) -> str | None:
    found = pick(by(bound), key, backends, NOW, cap)
    return found.replica if found is not None else None


# --- what a call says -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("affinity", "value"),
    [
        (Affinity("header", "x-session"), b"one"),
        (Affinity("header", "X-Other"), b""),
        (Affinity("cookie"), b"c1"),
    ],
)
def test_a_header_or_cookie_of_the_call(affinity: Affinity, value: bytes) -> None:
    headers = [
        (b"Host", b"h"),
        (b"X-Session", b"one"),
        (b"X-Session", b"two"),
        (b"Cookie", b"first=1; model-service-replica=c1 ; model-service-replica=c2"),
        (b"Cookie", b"last=a=b"),
    ]
    assert said(affinity, read_request(b"GET", "1.1", b"/", headers)) == value


def test_who_says_nothing_has_no_key() -> None:
    assert digest(b"") == b""
    assert digest(b"a") != digest(b"b")


@pytest.mark.parametrize(("name", "passed"), [("X-Session", True), ("Host", False), ("cookie", False), ("TE", False)])
def test_which_headers_there_are_to_see(name: str, passed: bool) -> None:
    assert is_passed_on(name) is passed


# --- which replica it is --------------------------------------------------------------------------------------


def test_a_key_has_one_replica_however_busy_it_is() -> None:
    """Where there is no bound; in whatever order they are listed."""
    backends = pool("a", "b", "c")
    first = [chosen(key, backends) for key in KEYS]
    for each in backends:
        each.started, each.in_flight = len(each.replica) * 7, ord(each.replica) % 5
    assert [chosen(key, backends[::-1]) for key in KEYS] == first


def test_keys_are_spread_evenly() -> None:
    """Of 400 on 4, each has 100: within four standard deviations."""
    counts = Counter(chosen(key, pool("a", "b", "c", "d")) for key in KEYS)
    assert all(abs(count - 100) < 4 * math.sqrt(400 * 0.25 * 0.75) for count in counts.values()), counts


def test_how_many_keys_move() -> None:
    """Of 400 on four replicas: when a fifth comes a fifth, all of them to it; when one of the four leaves its own, a
    quarter. By the rest of a division four fifths and three quarters would."""
    four, five, three = pool("a", "b", "c", "d"), pool("a", "b", "c", "d", "e"), pool("a", "b", "c")
    before = [chosen(key, four) for key in KEYS]
    after = [chosen(key, five) for key in KEYS]
    moved = [new for old, new in zip(before, after, strict=True) if old != new]
    assert (len(moved), set(moved)) == (69, {"e"})
    left = [old for old, key in zip(before, KEYS, strict=True) if chosen(key, three) != old]
    assert (len(left), set(left)) == (100, {"d"})


NAMES = st.lists(st.text("abcdefgh0123", min_size=1, max_size=6), min_size=1, max_size=8, unique=True)


@given(NAMES, st.binary(min_size=1, max_size=8), st.data())
def test_only_the_keys_of_a_replica_that_leaves_move(names: list[str], said: bytes, data: st.DataObject) -> None:
    """And they come back with it, or go to one that is new: no others. Whether it is ended, drains, is suspect,
    ejected or full makes no difference."""
    key, backends = digest(said), pool(*names)
    before = chosen(key, backends, cap=9)
    gone = data.draw(st.sampled_from(backends))
    for field, value in (
        ("serving", False),
        ("lost", True),
        ("suspect", True),
        ("ejected_until", NOW + 1),
        ("in_flight", 9),
    ):
        old = getattr(gone, field)
        setattr(gone, field, value)
        after = chosen(key, backends, cap=9)
        if before != gone.replica:
            assert after == before
        elif len(backends) > 1:
            assert after not in (None, gone.replica)
            others = [each for each in backends if each is not gone]
            assert after == chosen(key, others, cap=9), "the next one in its order"
        setattr(gone, field, old)
        assert chosen(key, backends, cap=9) == before
    added = [*backends, backend("new one")]
    assert chosen(key, added, cap=9) in (before, "new one")


STATES = st.lists(
    st.builds(
        lambda n, suspect, serving, ejected, trial: backend(
            in_flight=n, suspect=suspect, serving=serving, ejected_until=ejected, trial=trial
        ),
        st.integers(0, 12),
        st.booleans(),
        st.booleans(),
        st.sampled_from([0.0, 0.0, NOW - 1, NOW + 1]),
        st.sampled_from([None, "a call"]),
    ),
    min_size=1,
    max_size=7,
)


@given(STATES, st.sampled_from(KEYS), st.none() | st.floats(1.0, 4.0), st.none() | st.integers(1, 12))
def test_no_replica_gets_more_than_its_bound_and_none_that_could_serve_is_missed(
    backends: list[Backend], key: bytes, bound: float | None, cap: int | None
) -> None:
    """With the call that is placed, at most ``bound`` times the mean, rounded up; never above the cap. While one that is
    well is below the cap, the call is placed on such a one."""
    for number, each in enumerate(backends):
        each.replica = f"r{number}"
    usable = [each for each in backends if each.serving]
    well = [
        each
        for each in usable
        if not each.suspect
        and (
            each.ejected_until == 0
            or (each.ejected_until <= NOW and each.trial is None and (cap is None or each.in_flight < cap))
        )
    ]
    found = pick(by(bound), key, backends, NOW, cap)
    if not well:
        assert found is None or found in usable
        assert cap is not None or (found is not None) is bool(usable)
        return
    assert (found is not None) is any(cap is None or each.in_flight < cap for each in well)
    if found is not None:
        assert found in well
        assert cap is None or found.in_flight < cap
        if bound is not None:
            mean = (sum(each.in_flight for each in well) + 1) / len(well)
            assert found.in_flight + 1 <= math.ceil(bound * mean)


@given(st.integers(1, 6), st.lists(st.integers(0, 3), min_size=1, max_size=60))
def test_calls_of_few_keys_are_spread_over_all_replicas_as_far_as_the_bound_says(n: int, keys: list[int]) -> None:
    """Placed one after another, none ending."""
    backends = pool(*[f"r{number}" for number in range(n)])
    for key in keys:
        found = pick(by(1.25), KEYS[key], backends, NOW, None)
        assert found is not None
        found.in_flight += 1
    assert max(each.in_flight for each in backends) <= math.ceil(1.25 * len(keys) / n)


def test_who_failed_a_call_is_not_its_replica_any_more() -> None:
    backends = pool("a", "b", "c")
    first = pick(by(None), KEYS[0], backends, NOW, None)
    assert first is not None
    second = pick(by(None), KEYS[0], backends, NOW, None, [first])
    assert second not in (None, first)
    assert pick(by(None), KEYS[0], backends, NOW, None, backends) is None
    for each in backends:
        each.suspect = True
    assert pick(by(None), KEYS[0], backends, NOW, None) is not None, "like any call, if nothing better is left"


# --- by our cookie --------------------------------------------------------------------------------------------


def test_a_cookies_replica_is_the_one_that_gave_it_out_as_long_as_it_serves_and_has_room() -> None:
    """Else the least busy one."""
    backends = pool("a", "b", "c")
    backends[0].in_flight = 5
    backends[1].in_flight = 3
    wish = by(None, "cookie")
    assert pick(wish, badge("a"), backends, NOW, None) is backends[0]
    assert pick(wish, badge("a"), backends, NOW, 5) is backends[2]
    assert pick(wish, b"another's", backends, NOW, None) is backends[2]
    assert pick(by(1.25, "cookie"), badge("a"), backends, NOW, None) is backends[2]
    backends[0].suspect = True
    assert pick(wish, badge("a"), backends, NOW, None) is backends[2]


def test_a_cookie_names_no_replica() -> None:
    assert badge("chat-x7k2q9") == badge("chat-x7k2q9") != badge("chat-x7k2q8")
    assert re.fullmatch(b"[0-9a-f]{16}", badge("chat-x7k2q9"))


@given(STATES, st.integers(0, 6), st.none() | st.floats(1.0, 4.0), st.none() | st.integers(1, 12))
def test_a_cookie_is_set_where_its_replica_has_left(
    backends: list[Backend], which: int, bound: float | None, cap: int | None
) -> None:
    """And while it serves, be it suspect, out or full, it is kept."""
    for number, each in enumerate(backends):
        each.replica = f"r{number}"
    said = badge(f"r{which}")
    found = pick(by(bound, "cookie"), said, backends, NOW, cap)
    if found is not None:
        line = sticky_cookie(said, found, backends, path=b"/p", secure=False)
        serves = which < len(backends) and backends[which].serving
        assert line == (
            b""
            if serves
            else b"Set-Cookie: model-service-replica=%b; Path=/p/; HttpOnly; SameSite=Lax\r\n" % badge(found.replica)
        )


def test_a_cookie_of_a_replica_that_is_lost_is_replaced() -> None:
    backends = pool("a", "b")
    assert sticky_cookie(badge("a"), backends[1], backends, path=b"", secure=False) == b""
    backends[0].lost = True
    assert sticky_cookie(badge("a"), backends[1], backends, path=b"", secure=False)


def test_our_cookie_does_not_reach_the_model() -> None:
    assert clean_cookies(b"a=1; model-service-replica=x; model-servicing=y") == b"a=1; model-servicing=y"
