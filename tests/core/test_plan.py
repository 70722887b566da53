"""What to do, given what is wanted and what is seen: a table of situations."""

from __future__ import annotations

import itertools

import pytest

from jupyter_model_service.core.backoff import Retry
from jupyter_model_service.core.plan import (
    Drain,
    Fail,
    Forget,
    Plan,
    SeenReplica,
    Settle,
    Start,
    Stop,
    TakeBack,
    Want,
    former_after,
    plan,
    surge,
)
from jupyter_model_service.core.replica import Phase

NOW = 1000.0
TIRED = Retry(failures=5, counted_at=990.0, not_before=NOW - 1, reason="boom")
D = Phase.DRAINING
NO_GPU = "replica x could not be started: it needs 1 GPU, and none is free."
R, U, L, Q = Phase.READY, Phase.UNHEALTHY, Phase.LOADING, Phase.REQUESTED


def seen(*replicas: tuple[str, int, Phase] | SeenReplica) -> list[SeenReplica]:
    return [r if isinstance(r, SeenReplica) else SeenReplica(*r) for r in replicas]


def what(p: Plan) -> list[str]:
    """``+1`` for a start of revision 1, ``~a`` drain, ``-a`` stop, ``.a`` forget, ``=1`` settle, ``<1`` take back, ``!`` fail."""
    signs = {Drain: "~", Stop: "-", Forget: "."}
    words = []
    for action in p.actions:
        if isinstance(action, Start):
            words.append(f"+{action.revision}")
        elif isinstance(action, (Drain, Stop, Forget)):
            words.append(f"{signs[type(action)]}{action.replica}")
        else:
            words.append(
                "!" if isinstance(action, Fail) else f"{'=' if isinstance(action, Settle) else '<'}{action.revision}"
            )
    return words


def want(replicas: int = 2, active: int = 1, stable: int | None = 1, **more: object) -> Want:
    return Want(running=True, replicas=replicas, active=active, stable=stable, **more)  # type: ignore[arg-type]


def full(room: int, **more: object) -> Retry:
    """A replica found no place beside ``room`` others."""
    return Retry(failures=1, room=room, refusal=NO_GPU, reason=NO_GPU, **more)  # type: ignore[arg-type]


LOST = SeenReplica("x", 2, Phase.FAILED, placed=False)  # it takes no room

SITUATIONS = {
    "nothing there: all are started": (want(3, stable=None), seen(), ["+1", "+1", "+1"]),
    "all there and ready: nothing to do": (want(), seen(("a", 1, R), ("b", 1, R)), []),
    "the first time all are ready: stable": (want(stable=None), seen(("a", 1, R), ("b", 1, R)), ["=1"]),
    "one still loads: wait": (want(stable=None), seen(("a", 1, R), ("b", 1, L)), []),
    "an unhealthy one is one of them": (want(), seen(("a", 1, R), ("b", 1, U)), []),
    "one is failed: replaced before it is cleaned away": (want(), seen(("a", 1, R), ("b", 1, Phase.FAILED)), ["+1"]),
    "one that leaves does not count": (want(1), seen(("a", 1, Phase.DRAINING), ("b", 1, Phase.STOPPING)), ["+1"]),
    "what is gone is forgotten": (want(1), seen(("b", 1, R), ("a", 1, Phase.GONE)), [".a"]),
    # scaling down
    "not ready goes first": (want(1), seen(("a", 1, R), ("b", 1, L)), ["-b"]),
    "then unhealthy": (want(1), seen(("a", 1, U), ("b", 1, R)), ["~a"]),
    "then suspect": (want(1), seen(("a", 1, R), SeenReplica("b", 1, R, suspect=True)), ["~b"]),
    "then fewest calls": (
        want(1),
        seen(
            SeenReplica("a", 1, R, in_flight=3),
            SeenReplica("b", 1, R, in_flight=1),
            SeenReplica("c", 1, R, in_flight=2),
        ),
        ["~b", "~c"],
    ),
    "of equals the newest": (
        want(1),
        seen(SeenReplica("a", 1, R, created_at=5.0), SeenReplica("b", 1, R, created_at=2.0)),
        ["~a"],
    ),
    "to 0: what serves drains, the rest stops": (
        want(0),
        seen(("a", 1, R), ("b", 1, L), ("c", 1, U)),
        ["~a", "-b", "~c"],
    ),
    # stopped, deleted
    "stopped": (Want(False, 2, 1), seen(("a", 1, R), ("b", 1, Q)), ["~a", "-b"]),
    "stopped and empty": (Want(False, 2, 1), seen(), []),
    "deleting wins over all": (want(2, deleting=True), seen(("a", 1, R)), ["~a"]),
    # roll-out
    "half of them more at once, rounded up": (want(3, 2), seen(("a", 1, R), ("b", 1, R), ("c", 1, R)), ["+2", "+2"]),
    "no old one leaves while new ones load": (
        want(2, 2),
        seen(("a", 1, R), ("b", 1, R), ("x", 2, L)),
        [],
    ),
    "one new ready: one old drains, the next new starts": (
        want(2, 2),
        seen(("a", 1, R), ("b", 1, R), ("x", 2, R)),
        ["~a", "+2"],
    ),
    "old ones that do not serve stop at once": (want(2, 2), seen(("a", 1, L), ("b", 1, Q)), ["-a", "-b", "+2", "+2"]),
    "an unhealthy old one leaves before a ready one": (
        want(2, 2),
        seen(("a", 1, U), ("b", 1, R), ("x", 2, R)),
        ["~a", "+2"],
    ),
    "all new ready: the last old drain, and it is stable": (
        want(2, 2),
        seen(("a", 1, R), ("x", 2, R), ("y", 2, R)),
        ["~a", "=2"],
    ),
    "an update over an update replaces both": (
        want(1, 3),
        seen(("a", 1, R), ("x", 2, L)),
        ["-x", "+3"],
    ),
    "a single one: the new one first": (want(1, 2), seen(("a", 1, R)), ["+2"]),
    "restart rolls the same revision": (want(1), seen(SeenReplica("a", 1, R, outdated=True)), ["+1"]),
    "restart: the outdated one leaves when the new one is ready": (
        want(1),
        seen(SeenReplica("a", 1, R, outdated=True), ("b", 1, R)),
        ["~a"],
    ),
    "scaled down during a roll-out": (
        want(1, 2),
        seen(("a", 1, R), ("b", 1, R), ("c", 1, R), ("x", 2, L)),
        ["~a", "~b"],
    ),
    # a roll-out without room for one more
    "no place beside two: one old makes room": (want(2, 2, retry=full(2)), seen(("a", 1, R), ("b", 1, R)), ["~a"]),
    "not before the launch that failed is cleaned away": (
        want(2, 2, retry=full(2)),
        seen(("a", 1, R), ("b", 1, R), LOST),
        [],
    ),
    "the next one waits until the place is free": (want(2, 2, retry=full(2)), seen(("a", 1, D), ("b", 1, R)), []),
    "then it starts": (want(2, 2, retry=full(2)), seen(("b", 1, R)), ["+2"]),
    "and nobody leaves until it serves": (want(2, 2, retry=full(2)), seen(("b", 1, R), ("x", 2, L)), []),
    "nor when the new one is not well": (want(2, 2, retry=full(2)), seen(("b", 1, R), ("x", 2, U)), []),
    "then the next old one": (want(2, 2, retry=full(2)), seen(("b", 1, R), ("x", 2, R)), ["~b"]),
    "the last one waits for the place of the last old one": (
        want(2, 2, retry=full(2)),
        seen(("b", 1, D), ("x", 2, R)),
        [],
    ),
    "three: two go on serving": (
        want(3, 2, retry=full(3)),
        seen(("a", 1, R), ("b", 1, R), ("c", 1, R)),
        ["~a"],
    ),
    "room for one of the two more: one by one, nobody leaves early": (
        want(3, 2, retry=full(4)),
        seen(("a", 1, R), ("b", 1, R), ("c", 1, R), ("x", 2, L)),
        [],
    ),
    "two of three are suspect: nobody leaves before it is clear how they are": (
        want(3, 2, retry=full(3)),
        seen(("a", 1, R), SeenReplica("b", 1, R, suspect=True), SeenReplica("c", 1, R, suspect=True)),
        [],
    ),
    "the unhealthy one makes room": (want(2, 2, retry=full(2)), seen(("a", 1, R), ("b", 1, U)), ["~b"]),
    "two unhealthy ones: wait how they are": (want(2, 2, retry=full(2)), seen(("a", 1, U), ("b", 1, U)), []),
    "an adopted one that was not looked at: wait, too": (
        want(2, 2, retry=full(2)),
        seen(("a", 1, R), SeenReplica("b", 1, Phase.STARTING, spared_until=NOW + 5)),
        [],
    ),
    "one: taken back at once": (want(1, 2, retry=full(1)), seen(("a", 1, R)), ["<1"]),
    "less than half would serve: taken back at once": (
        want(3, 2, retry=full(2)),
        seen(("a", 1, R), ("b", 1, R)),
        ["<1"],
    ),
    "a restart of one: taken back at once": (
        want(1, retry=full(1)),
        seen(SeenReplica("a", 1, R, outdated=True)),
        ["<1"],
    ),
    "the way back without room is tried for ever": (want(1, 1, retry=full(1)), seen(("x", 2, R)), ["+1"]),
    "without a roll-out it is tried again": (want(2, retry=full(1)), seen(("a", 1, R)), ["+1"]),
    # a roll-out of which it is known that there is no room for one more
    "known: nothing is tried, one old makes room": (
        want(2, 2, free=0),
        seen(("a", 1, R), ("b", 1, R)),
        ["~a"],
    ),
    "known: the next waits until it has gone": (
        want(2, 2, free=0),
        seen(("a", 1, D), ("b", 1, R)),
        [],
    ),
    "known: then it starts": (want(2, 2, free=1), seen(("b", 1, R)), ["+2"]),
    "known: room for one of two more": (
        want(4, 2, free=1),
        seen(("a", 1, R), ("b", 1, R), ("c", 1, R), ("d", 1, R)),
        ["+2"],
    ),
    "known: more room than the surge takes": (
        want(2, 2, free=9),
        seen(("a", 1, R), ("b", 1, R)),
        ["+2"],
    ),
    "known: above the limit, which was lowered": (
        want(2, 2, free=-3),
        seen(("a", 1, R), ("b", 1, R)),
        ["~a"],
    ),
    "known, but a start found even less": (
        want(2, 2, free=1, retry=full(2)),
        seen(("a", 1, R), ("b", 1, R)),
        ["~a"],
    ),
    "known: none may leave, the launcher says why": (want(1, 2, free=0), seen(("a", 1, R)), ["+2"]),
    "known: of one attempt, not of two": (want(3, 2, free=-1), seen(("a", 1, R), ("b", 1, R)), ["+2"]),
    "known, and the launcher has said why": (want(1, 2, free=0, retry=full(1)), seen(("a", 1, R)), ["<1"]),
    "known, and no roll-out: the launcher has the last word": (
        want(2, free=0),
        seen(("a", 1, R)),
        ["+1"],
    ),
    # giving up
    "a first revision that fails five times": (want(2, stable=None, retry=TIRED), seen(), ["!"]),
    "failed: what loads is stopped, nothing starts": (
        want(2, stable=None, failed=True, retry=TIRED),
        seen(("a", 1, L)),
        ["-a"],
    ),
    "failed: what serves goes on": (want(2, failed=True), seen(("a", 1, R)), []),
    "an update that fails five times is taken back": (
        want(2, 2, stable=1, retry=TIRED),
        seen(("a", 1, R), ("b", 1, R)),
        ["<1"],
    ),
    "also when it was ready for a moment": (
        want(1, 2, stable=1, retry=Retry(failures=5, ever_ready=True)),
        seen(("a", 1, R)),
        ["<1"],
    ),
    "a first revision that was never fully up is gone back to if it serves": (
        want(2, 2, stable=None, retry=TIRED),
        seen(("a", 1, R)),
        ["<1"],
    ),
    "a restart that fails five times is taken back": (
        want(1, retry=Retry(failures=5, ever_ready=True, reason="boom")),
        seen(SeenReplica("a", 1, R, outdated=True)),
        ["<1"],
    ),
    "one that has proved itself is tried for ever": (
        want(1, retry=Retry(failures=50, ever_ready=True, not_before=NOW)),
        seen(),
        ["+1"],
    ),
}


@pytest.mark.parametrize("name", SITUATIONS)
def test_situation(name: str) -> None:
    wanted, there, expected = SITUATIONS[name]
    assert sorted(what(plan(wanted, there, NOW))) == sorted(expected)


@pytest.mark.parametrize("name", SITUATIONS)
def test_the_order_in_which_replicas_are_seen_does_not_matter(name: str) -> None:
    wanted, there, _ = SITUATIONS[name]
    plans = {plan(wanted, order, NOW) for order in itertools.permutations(there)}
    assert len(plans) == 1


def test_reasons_are_given_with_what_leaves() -> None:
    (drain,) = plan(want(1), seen(("a", 1, R), ("b", 1, R)), NOW).actions
    assert drain == Drain("a", "scaled to 1")
    stop = plan(want(1, 2), seen(("a", 1, L)), NOW).actions[0]
    assert stop == Stop("a", "replaced by revision 2")
    (taken_back,) = plan(want(1, 2, stable=1, retry=TIRED), seen(("a", 1, R)), NOW).actions
    assert taken_back == TakeBack(1, "boom")


@pytest.mark.parametrize(
    ("wanted", "there", "start_anew"),
    [
        (want(1, 2, retry=full(1)), ("a", 1, R), "stop this one, update it and start it again"),
        (want(1, retry=full(1)), SeenReplica("a", 1, R, outdated=True), "stop this one and start it again"),
    ],
    ids=["update", "restart"],
)
def test_a_roll_out_without_room_names_the_way_out(
    wanted: Want, there: SeenReplica | tuple[str, int, Phase], start_anew: str
) -> None:
    (taken_back,) = plan(wanted, seen(there), NOW).actions
    assert taken_back == TakeBack(
        1,
        "replica x could not be started: it needs 1 GPU, and none is free; "
        f"to make room, scale another service down, or {start_anew}",
    )


def test_nothing_starts_before_the_back_off_is_over() -> None:
    """One of two is there; the other waits until its time has come, and that time is told."""
    waiting = want(2, retry=Retry(failures=2, not_before=NOW + 4))
    there = seen(("a", 1, R))
    assert plan(waiting, there, NOW) == Plan((), wake_at=NOW + 4)
    assert plan(waiting, there, NOW + 3.9).actions == ()
    assert plan(waiting, there, NOW + 4) == Plan((Start(1),))
    complete = seen(("a", 1, R), ("b", 1, L))
    assert plan(waiting, complete, NOW).wake_at is None, "nothing is missing, nothing to wake up for"


@pytest.mark.parametrize(("replicas", "more"), [(1, 1), (2, 1), (3, 2), (4, 2), (5, 3), (10, 5)])
def test_surge_is_half_rounded_up(replicas: int, more: int) -> None:
    assert surge(replicas) == more


def test_a_new_replica_takes_the_place_of_an_old_one_after_two_seconds() -> None:
    """One that passes a check and then dies does not drive out one that works."""
    rolling = want(1, 2)
    there = seen(("a", 1, R), SeenReplica("x", 2, R, ready_at=NOW))
    assert plan(rolling, there, NOW) == Plan((), wake_at=NOW + 2)
    assert plan(rolling, there, NOW + 1.9) == Plan((), wake_at=NOW + 2)
    assert sorted(what(plan(rolling, there, NOW + 2))) == ["=2", "~a"]
    alone = seen(SeenReplica("x", 2, R, ready_at=NOW))
    assert what(plan(rolling, alone, NOW)) == ["=2"], "where nothing else serves there is nothing to wait for"


def test_an_adopted_replica_is_not_stopped_before_it_was_looked_at() -> None:
    """After a kill of the gateway in an update, the old ones start over as STARTING; for a while they count as serving."""
    old = [SeenReplica(n, 1, Phase.STARTING, spared_until=NOW + 15) for n in "ab"]
    new = SeenReplica("c", 2, L)
    assert what(plan(want(active=2), [*old, new], NOW)) == []
    assert plan(want(active=2), [*old, new], NOW).wake_at == NOW + 15
    assert what(plan(want(active=2), [*old, new], NOW + 15)) == ["-a", "-b", "+2"]
    assert what(plan(want(active=1, failed=True), old, NOW)) == []
    assert what(plan(want(active=1, failed=True), old, NOW + 15)) == ["-a", "-b"]


@pytest.mark.parametrize(
    ("former", "stable", "settled", "then"),
    [
        ((), None, 1, ()),
        ((), 1, 1, ()),
        ((), 1, 2, (1,)),
        ((1, 2), 3, 2, (1,)),
        ((1, 2, 3, 4), 5, 1, ()),
        ((), 1, 8, (1,)),
        ((1,), 2, 1, ()),
    ],
)
def test_what_was_left_by_a_rollback_is_not_what_was_before(
    former: tuple[int, ...], stable: int | None, settled: int, then: tuple[int, ...]
) -> None:
    assert former_after(former, stable, settled) == then
