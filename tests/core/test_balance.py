"""Which replica is picked, and when one is left out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_model_service.core.balance import ejection, pick
from jupyter_model_service.core.routing import Backend

NOW = 1000.0


def backend(name: str = "b", **fields: object) -> Backend:
    made = Backend(name, 1, "h", 1)
    for key, value in fields.items():
        setattr(made, key, value)
    return made


def picked(*backends: Backend, cap: int | None = None, tried: tuple[Backend, ...] = ()) -> str | None:
    best = pick(backends, NOW, cap, tried)
    return best.replica if best is not None else None


def test_the_least_busy_one_is_picked_then_the_one_with_fewer_calls_so_far() -> None:
    assert picked(backend("a", in_flight=2), backend("b", in_flight=1)) == "b"
    assert picked(backend("a", started=2), backend("b", started=1)) == "b"
    assert picked(backend("a", in_flight=1), backend("b", started=100)) == "b"
    assert picked() is None


def test_suspect_and_ejected_ones_are_the_last_resort_in_this_order() -> None:
    """The pool is never empty while a replica serves."""
    ok = backend("ok", in_flight=50)
    suspect, ejected = backend("suspect", suspect=True), backend("ejected", ejected_until=NOW + 1)
    assert picked(ejected, suspect, ok) == "ok"
    assert picked(ejected, suspect) == "suspect"
    assert picked(ejected) == "ejected"
    assert picked(backend("over", ejected_until=NOW)) == "over"


def test_a_replica_that_drains_is_lost_or_failed_this_call_is_never_picked() -> None:
    draining, lost, tried = backend(serving=False), backend(lost=True), backend()
    assert picked(draining, lost, tried, tried=(tried,)) is None


def test_the_cap_is_hard() -> None:
    """A caller waits for a good replica rather than going to a suspect one."""
    full, suspect = backend("full", in_flight=2), backend("suspect", suspect=True)
    assert picked(full, cap=2) is None
    assert picked(full, suspect, cap=2) is None
    assert picked(full, suspect, cap=3) == "full"
    assert picked(backend("a", in_flight=2), backend("b", in_flight=1), cap=2) == "b"


BACKENDS = st.lists(
    st.builds(
        lambda serving, suspect, lost, in_flight, started, ejected: backend(
            serving=serving, suspect=suspect, lost=lost, in_flight=in_flight, started=started, ejected_until=ejected
        ),
        st.booleans(),
        st.booleans(),
        st.booleans(),
        st.integers(0, 5),
        st.integers(0, 5),
        st.sampled_from([0.0, NOW + 5]),
    ),
    max_size=6,
)


@given(BACKENDS, st.none() | st.integers(1, 5))
def test_picking_agrees_with_a_plain_sort(backends: list[Backend], cap: int | None) -> None:
    usable = [b for b in backends if b.serving and not b.lost]
    tiers = [2 if b.ejected_until > NOW else int(b.suspect) for b in usable]
    best = [b for b, tier in zip(usable, tiers, strict=True) if tier == min(tiers)]
    free = [b for b in best if cap is None or b.in_flight < cap]
    expected = min(free, key=lambda b: (b.in_flight, b.started), default=None)
    assert pick(backends, NOW, cap) is expected


@pytest.mark.parametrize(
    ("failures", "refused", "seconds"),
    [(1, False, 0.0), (2, False, 0.0), (3, False, 10.0), (4, False, 20.0), (50, False, 60.0), (1, True, 2.0)],
)
def test_ejection_grows_with_consecutive_failures(failures: int, refused: bool, seconds: float) -> None:
    bad = backend(failures=failures)
    assert ejection(bad, [bad, backend()], NOW, refused=refused) == seconds


def test_at_most_half_are_out_and_never_the_last() -> None:
    bad, out = backend(failures=9), backend(ejected_until=NOW + 1)
    assert ejection(bad, [bad], NOW, refused=True) == 0.0
    assert ejection(bad, [bad, out], NOW, refused=True) == 0.0
    assert ejection(bad, [bad, out, backend()], NOW, refused=True) == 0.0
    assert ejection(bad, [bad, out, backend(), backend()], NOW, refused=True) > 0
    assert ejection(bad, [bad, backend(serving=False)], NOW, refused=True) == 0.0
