"""Which replica is picked, and when one is left out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from jupyter_model_service.core.balance import EJECT_SECONDS, REFUSED_SECONDS, begins_trial, ejection, pick, proven
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
        lambda serving, suspect, lost, in_flight, started, ejected, trial: backend(
            serving=serving,
            suspect=suspect,
            lost=lost,
            in_flight=in_flight,
            started=started,
            ejected_until=ejected,
            trial=trial,
        ),
        st.booleans(),
        st.booleans(),
        st.booleans(),
        st.integers(0, 5),
        st.integers(0, 5),
        st.sampled_from([0.0, NOW - 5, NOW, NOW + 5]),
        st.sampled_from([None, "a call"]),
    ),
    max_size=6,
)


def is_out(b: Backend, cap: int | None) -> bool:
    half_open = 0 < b.ejected_until <= NOW
    return b.ejected_until > NOW or (half_open and (b.trial is not None or (cap is not None and b.in_flight >= cap)))


@given(BACKENDS, st.none() | st.integers(1, 5))
def test_picking_agrees_with_a_plain_sort(backends: list[Backend], cap: int | None) -> None:
    usable = [b for b in backends if b.serving and not b.lost]
    tiers = [2 if is_out(b, cap) else int(b.suspect) for b in usable]
    best = [b for b, tier in zip(usable, tiers, strict=True) if tier == min(tiers)]
    free = [b for b in best if cap is None or b.in_flight < cap]
    expected = min(free, key=lambda b: (b.in_flight, b.started), default=None)
    assert pick(backends, NOW, cap) is expected


@given(BACKENDS, st.none() | st.integers(1, 5))
def test_while_a_replica_serves_one_is_found_unless_the_best_of_them_are_full(
    backends: list[Backend], cap: int | None
) -> None:
    """However many are ejected, half open or suspect. And who is waited for is busy, so that it will be free."""
    usable = [b for b in backends if b.serving and not b.lost]
    found = pick(backends, NOW, cap)
    if found is None:
        best = min((2 if is_out(b, cap) else int(b.suspect) for b in usable), default=None)
        waited_for = [b for b in usable if (2 if is_out(b, cap) else int(b.suspect)) == best]
        assert all(cap is not None and b.in_flight >= cap for b in waited_for)
        assert bool(waited_for) is bool(usable)
    if cap is None:
        assert (found is not None) is bool(usable)


def test_after_its_ejection_a_replica_gets_one_call_until_that_succeeded() -> None:
    other, back = backend("other", in_flight=9), backend("back", ejected_until=NOW - 1, failures=3)
    assert picked(other, back) == "back"
    assert begins_trial(back, NOW)
    back.trial = "the call"
    assert not begins_trial(back, NOW)
    assert picked(other, back) == "other"
    assert picked(back) == "back", "nothing better is left"
    assert picked(backend("suspect", suspect=True), back) == "suspect"
    assert proven(back, NOW)
    assert back.trial is None
    assert (back.ejected_until, back.failures) == (0.0, 0)
    assert picked(other, back) == "back"


def test_a_good_answer_ends_no_ejection_before_its_time() -> None:
    """It may be that of a call from before; the failures in a row are over all the same."""
    out = backend(ejected_until=NOW + 1, failures=3)
    assert not proven(out, NOW)
    assert (out.ejected_until, out.failures) == (NOW + 1, 0)
    assert not begins_trial(out, NOW)
    assert not proven(backend(), NOW)


def test_nobody_waits_for_the_trial_of_one_that_is_full_with_calls_from_before() -> None:
    full, suspect = backend("full", ejected_until=NOW - 1, in_flight=2), backend("suspect", suspect=True)
    assert picked(full, suspect, cap=2) == "suspect"
    assert picked(full, suspect, cap=3) == "full"


@pytest.mark.parametrize(("refused", "seconds"), [(True, REFUSED_SECONDS), (False, EJECT_SECONDS)])
def test_one_that_fails_its_trial_is_out_again(refused: bool, seconds: float) -> None:
    """Also where its failures in a row are few: it was refused once, or another call went well meanwhile."""
    bad = backend(failures=1, ejected_until=NOW - 1, trial="a call")
    assert ejection(bad, [bad, backend()], NOW, refused=refused) == seconds
    bad.failures = 5
    assert ejection(bad, [bad, backend()], NOW, refused=refused) == 3 * EJECT_SECONDS


def test_one_on_trial_is_out_as_far_as_half_of_them_may_be() -> None:
    bad, tried = backend(failures=9), backend(ejected_until=NOW - 1, trial="a call")
    assert ejection(bad, [bad, tried, backend()], NOW, refused=False) == 0.0
    assert ejection(bad, [bad, tried, backend(), backend()], NOW, refused=False) > 0
    assert ejection(tried, [tried, backend()], NOW, refused=False) > 0, "its own trial does not count against it"


class Pool(RuleBasedStateMachine):
    """Calls come and end, well or not, while time passes: what the front does with these functions."""

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.backends = [backend(f"r{n}") for n in range(4)]
        self.open: list[tuple[object, Backend]] = []

    @rule()
    def comes(self) -> None:
        found = pick(self.backends, self.now, None)
        assert found is not None, "all of them serve"
        well = [b for b in self.backends if not b.ejected_until]
        if well and found.ejected_until:
            assert found.ejected_until <= self.now, "one that is out, though others are well"
            others = [b for call, b in self.open if b is found and found.trial is call]
            assert not others, "a second trial"
        call = object()
        if begins_trial(found, self.now):
            found.trial = call
        found.in_flight += 1
        found.started += 1
        self.open.append((call, found))

    @rule(data=st.data(), how=st.sampled_from(["well", "badly", "refused", "caller left"]))
    def ends(self, data: st.DataObject, how: str) -> None:
        if not self.open:
            return
        call, b = self.open.pop(data.draw(st.integers(0, len(self.open) - 1)))
        if how == "well":
            proven(b, self.now)
        elif how != "caller left":
            b.failures += 1
            seconds = ejection(b, self.backends, self.now, refused=how == "refused")
            if seconds:
                b.ejected_until = self.now + seconds
        if b.trial is call:
            b.trial = None
        b.in_flight -= 1

    @rule(seconds=st.sampled_from([0.5, 2.5, 11.0, 70.0]))
    def passes(self, seconds: float) -> None:
        self.now += seconds

    @invariant()
    def at_most_half_are_out(self) -> None:
        assert sum(b.ejected_until > self.now for b in self.backends) <= 2

    @invariant()
    def a_trial_is_of_an_open_call(self) -> None:
        assert {b.trial for b in self.backends if b.trial is not None} <= {call for call, _ in self.open}


TestPool = Pool.TestCase


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
