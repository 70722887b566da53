"""The replica table: what may happen when, and that nothing else does."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from jupyter_model_service.core.replica import (
    LEAVING,
    LIVE,
    SERVING,
    STARTING_UP,
    TRANSITIONS,
    Adopted,
    DrainBegun,
    Ended,
    Event,
    Exited,
    GaveUp,
    IllegalTransition,
    LaunchBegun,
    Launched,
    LeaseBack,
    LeaseLost,
    Life,
    Loading,
    Passed,
    Phase,
    Preparing,
    ProbeFailed,
    StopBegun,
    Waiting,
    step,
)
from jupyter_model_service.core.reports import Exit

EXIT = Exit("serve", code=1, tail=("boom",))
SAMPLES: dict[type, Event] = {
    type(event): event
    for event in (
        LaunchBegun(),
        Launched(),
        Waiting("no GPU free"),
        Adopted(),
        Preparing(1, 2, "mkdir"),
        Loading(7),
        Passed(),
        ProbeFailed("status 500, expected 200"),
        LeaseLost("silence"),
        LeaseBack(),
        Exited(EXIT, "exited with code 1"),
        GaveUp("no use"),
        DrainBegun("scaled"),
        StopBegun("scaled"),
        Ended(),
    )
}


def lived(*events: Event) -> Life:
    life = Life(since=0.0)
    for number, event in enumerate(events, 1):
        life = step(life, event, float(number))
    return life


def test_a_good_life_passes_through_every_phase() -> None:
    """The way of a replica that is started, serves, and is scaled away."""
    events = (
        LaunchBegun(),
        Launched(),
        Preparing(1, 2, "pip"),
        Preparing(2, 2, "mkdir"),
        Loading(42),
        Passed(),
        DrainBegun("scaled to 0"),
        StopBegun("scaled to 0"),
        Ended(),
    )
    life, phases = Life(since=0.0), []
    for event in events:
        life = step(life, event, 1.0)
        phases.append(life.phase.value)
    expected = ["starting", "starting", "preparing", "preparing", "loading", "ready", "draining", "stopping", "gone"]
    assert phases == expected


@pytest.mark.parametrize("phase", list(Phase))
@pytest.mark.parametrize("event", list(SAMPLES.values()), ids=lambda e: type(e).__name__)
def test_every_pair_is_either_in_the_table_or_illegal(phase: Phase, event: Event) -> None:
    """An illegal event raises, and the caller's life is what it was."""
    life = Life(since=3.0, phase=phase, reason="before")
    kept = Life(since=3.0, phase=phase, reason="before")
    if type(event) in TRANSITIONS[phase]:
        assert step(life, event, 5.0).phase is TRANSITIONS[phase][type(event)]
    else:
        with pytest.raises(IllegalTransition, match=f"{type(event).__name__} cannot happen .* {phase}"):
            step(life, event, 5.0)
    assert life == kept


def test_a_life_cannot_be_changed_by_assignment() -> None:
    with pytest.raises(FrozenInstanceError):
        Life(since=0.0).phase = Phase.READY  # type: ignore[misc]


def test_every_phase_has_a_row_and_gone_is_the_end() -> None:
    assert set(TRANSITIONS) == set(Phase)
    assert [phase for phase, row in TRANSITIONS.items() if not row] == [Phase.GONE]
    assert (LIVE | LEAVING | {Phase.GONE}, LIVE & LEAVING) == (frozenset(Phase), frozenset())


@pytest.mark.parametrize("phase", sorted(LIVE))
def test_every_living_phase_can_fail_and_can_be_stopped(phase: Phase) -> None:
    row = TRANSITIONS[phase]
    assert row[GaveUp] is Phase.FAILED
    assert row[StopBegun] is Phase.STOPPING
    assert (DrainBegun in row) == (phase in SERVING), "only what takes calls has calls to finish"


@pytest.mark.parametrize("phase", sorted(LEAVING))
def test_an_end_while_it_is_being_ended_is_no_new_failure(phase: Phase) -> None:
    life = step(Life(since=0.0, phase=phase, reason="scaled to 1"), Exited(EXIT, "exited with code 1"), 2.0)
    assert (life.phase, life.reason, life.exit) == (phase, "scaled to 1", EXIT)


@pytest.mark.parametrize("event", [Passed(), ProbeFailed("no answer"), LeaseLost("silence"), LeaseBack()])
def test_checks_while_it_drains_change_nothing_but_it_may_be_given_up(event: Event) -> None:
    """Why it leaves is what people read, until it hangs."""
    life = step(Life(since=0.0, phase=Phase.DRAINING, reason="scaled to 1"), event, 2.0)
    assert (life.phase, life.reason) == (Phase.DRAINING, "scaled to 1")
    given_up = step(life, GaveUp("failed its health check 3 times in a row"), 3.0)
    assert (given_up.phase, given_up.reason) == (Phase.FAILED, "failed its health check 3 times in a row")


def test_since_and_starts_tell_when_a_phase_began() -> None:
    """A repeated report does not make the phase look younger."""
    life = lived(LaunchBegun(), Launched(), Loading(1), Loading(1), ProbeFailed("refused"), Passed(), ProbeFailed("x"))
    assert (life.phase, life.since) == (Phase.UNHEALTHY, 7.0)
    assert life.ready_at == 6.0
    assert life.starts == {Phase.STARTING: 1.0, Phase.LOADING: 3.0, Phase.READY: 6.0, Phase.UNHEALTHY: 7.0}
    again = step(step(life, Passed(), 8.0), ProbeFailed("y"), 9.0)
    assert (again.ready_at, again.starts[Phase.READY]) == (6.0, 6.0), "the first time counts"


def test_reasons_follow_what_happens() -> None:
    life = lived(LaunchBegun(), Loading(1), ProbeFailed("status 500"))
    assert life.reason == "status 500"
    life = step(life, LeaseLost("silence"), 5.0)
    assert life.reason == "silence"
    assert step(life, LeaseBack(), 6.0).reason is None, "contact is back, nothing is known against it"
    ready = step(life, Passed(), 6.0)
    assert ready.reason is None
    lost = step(ready, LeaseLost("silence"), 7.0)
    assert (lost.phase, lost.reason) == (Phase.UNHEALTHY, "silence")
    assert step(lost, LeaseBack(), 8.0).reason == "silence", "unhealthy until a check passes"
    leaving = step(ready, DrainBegun("scaled to 0"), 8.0)
    assert step(leaving, LeaseLost("silence"), 9.0).reason == "scaled to 0"


def test_pid_and_action_are_those_of_the_present() -> None:
    life = lived(LaunchBegun(), Preparing(1, 3, "pip"))
    assert life.action == Preparing(1, 3, "pip")
    life = step(life, Loading(42), 3.0)
    assert (life.action, life.pid) == (None, 42)
    assert step(life, Exited(EXIT, "x"), 4.0).pid is None


class ReplicaMachine(RuleBasedStateMachine):
    """Any events in any order: legal ones follow the table, illegal ones change nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.life = Life(since=0.0)
        self.now = 0.0
        self.was_ready = False

    @rule(event=st.sampled_from(list(SAMPLES.values())), passes=st.floats(0, 100))
    def something_happens(self, event: Event, passes: float) -> None:
        self.now += passes
        before = self.life
        try:
            after = step(before, event, self.now)
        except IllegalTransition:
            assert type(event) not in TRANSITIONS[before.phase]
            return
        if before.phase in LEAVING:
            assert after.phase not in LIVE, "nothing comes back to life"
        if after.phase in SERVING and before.phase not in SERVING:
            assert isinstance(event, Passed), "only a passed check makes ready"
        if after.phase is Phase.FAILED and before.phase in LIVE:
            assert after.reason, "a failure has a reason"
        self.life = after
        self.was_ready |= after.phase is Phase.READY

    @invariant()
    def it_makes_sense(self) -> None:
        life = self.life
        assert (life.ready_at is not None) == self.was_ready
        assert life.since <= self.now
        assert life.phase is Phase.REQUESTED or life.phase in life.starts
        if life.phase is Phase.READY:
            assert life.reason is None
        if life.phase in STARTING_UP:
            assert life.ready_at is None


TestReplicaMachine = ReplicaMachine.TestCase
TestReplicaMachine.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)


def test_what_a_start_waits_for_is_its_reason_until_it_is_launched() -> None:
    life = lived(LaunchBegun(), Waiting("no GPU free"))
    assert (life.phase, life.reason) == (Phase.STARTING, "no GPU free")
    assert step(life, Launched(), 9.0).reason is None
