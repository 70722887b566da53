"""The plan against a simulated world in which anything happens at any time."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hypothesis import assume, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from jupyter_model_service.core.backoff import (
    LONGEST_DELAY,
    Retry,
    after_failure,
    after_ready,
    room_given_back,
    with_place,
    without_place,
)
from jupyter_model_service.core.plan import (
    Drain,
    Fail,
    Forget,
    SeenReplica,
    Settle,
    Start,
    Stop,
    TakeBack,
    Want,
    plan,
    surge,
)
from jupyter_model_service.core.replica import LIVE, SERVING, STARTING_UP, Phase

NEXT = {
    Phase.REQUESTED: Phase.STARTING,
    Phase.STARTING: Phase.PREPARING,
    Phase.PREPARING: Phase.LOADING,
    Phase.LOADING: Phase.READY,
    Phase.UNHEALTHY: Phase.READY,
    Phase.DRAINING: Phase.STOPPING,
    Phase.STOPPING: Phase.GONE,
    Phase.FAILED: Phase.GONE,
}


@dataclass
class Model:
    """One simulated replica."""

    seen: SeenReplica
    ready_at: float | None = None
    placed: bool = False


class PlanMachine(RuleBasedStateMachine):
    """After every event the plan is carried out to its end, and held against what it must never do."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.count = 0
        self.replicas: dict[str, Model] = {}
        self.retries: dict[int, Retry] = {}
        self.revisions = 1
        self.want = Want(running=True, replicas=0, active=1)
        self.places: int | None = None  # how many replicas the machine has room for; None: any number
        self.told = False  # whether that is known before a start is tried

    @initialize(replicas=st.integers(0, 5), places=st.none() | st.integers(1, 7), told=st.booleans())
    def begin(self, replicas: int, places: int | None, told: bool) -> None:
        self.places, self.told = places, told
        self.want = replace(self.want, replicas=replicas)
        self.carry_out()

    # --- what people do ---

    @rule(replicas=st.integers(0, 6))
    def scale(self, replicas: int) -> None:
        self.want = replace(self.want, replicas=replicas)
        self.carry_out()

    @rule()
    def update(self) -> None:
        self.revisions += 1
        self.activate(self.revisions)

    @rule(data=st.data())
    def roll_back(self, data: st.DataObject) -> None:
        self.activate(data.draw(st.integers(1, self.revisions)))

    @rule()
    def restart(self) -> None:
        for model in self.replicas.values():
            model.seen = replace(model.seen, outdated=True)
        self.activate(self.want.active)

    @rule(running=st.booleans())
    def stop_or_start(self, running: bool) -> None:
        self.want = replace(self.want, running=running, failed=False)
        self.carry_out()

    def activate(self, revision: int) -> None:
        self.want = replace(self.want, active=revision, failed=False)
        self.retries[revision] = Retry(ever_ready=revision == self.want.stable)
        self.carry_out()

    # --- what the world does ---

    @rule(data=st.data(), seconds=st.floats(0, 30))
    def goes_on(self, data: st.DataObject, seconds: float) -> None:
        movable = sorted(id for id, m in self.replicas.items() if m.seen.phase in NEXT)
        assume(movable)
        self.now += seconds
        self.advance(data.draw(st.sampled_from(movable)))
        self.carry_out()

    @rule(data=st.data())
    def fails(self, data: st.DataObject) -> None:
        live = sorted(id for id, m in self.replicas.items() if m.seen.phase in LIVE)
        assume(live)
        self.fail(data.draw(st.sampled_from(live)))
        self.carry_out()

    @rule(data=st.data())
    def falls_ill(self, data: st.DataObject) -> None:
        ready = sorted(id for id, m in self.replicas.items() if m.seen.phase is Phase.READY)
        assume(ready)
        self.move(data.draw(st.sampled_from(ready)), Phase.UNHEALTHY)
        self.carry_out()

    @rule(data=st.data(), calls=st.integers(0, 9))
    def is_called(self, data: st.DataObject, calls: int) -> None:
        assume(self.replicas)
        model = self.replicas[data.draw(st.sampled_from(sorted(self.replicas)))]
        model.seen = replace(model.seen, in_flight=calls)

    @rule(places=st.none() | st.integers(0, 7))
    def others_take_or_leave_room(self, places: int | None) -> None:
        self.places = places

    @rule(seconds=st.floats(0, 100))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.carry_out()

    # --- the plan, carried out and watched ---

    def carry_out(self) -> None:
        for _ in range(20):
            want = replace(self.want, retry=self.retry(self.want.active), free=self.free())
            made = plan(want, self.seen(), self.now)
            assert made == plan(want, list(reversed(self.seen())), self.now), "deterministic"
            if not made.actions:
                return
            ready_before, well_before = self.ready(), self.well()
            rooms = any(isinstance(a, Drain) and a.reason.startswith("makes room") for a in made.actions)
            for action in made.actions:
                self.act(want, action)
            if want.running and want.replicas and not any(isinstance(a, (TakeBack, Fail)) for a in made.actions):
                if rooms:
                    assert want.retry.room is not None or want.free is not None
                    assert self.well() >= max(1, surge(want.replicas)), "half of them go on serving"
                    assert well_before - self.well() <= 1
                else:
                    assert self.ready() >= min(ready_before, want.replicas), "nobody ready leaves too early"
            if any(isinstance(a, Start) for a in made.actions):
                self.check_starts(want)
        raise AssertionError("the plan does not come to rest")

    def check_starts(self, want: Want) -> None:
        live = self.live()
        assert want.running
        assert not want.failed
        assert self.now >= want.retry.next_at
        old = [r for r in live if r.revision != want.active or r.outdated]
        assert len(live) <= want.replicas + (surge(want.replicas) if old else 0)

    def act(self, want: Want, action: object) -> None:
        if isinstance(action, Start):
            self.count += 1
            id = f"r{self.count:03}"
            seen = SeenReplica(id, action.revision, Phase.REQUESTED, created_at=self.now)
            self.replicas[id] = Model(seen)
            if want.retry.room is not None and any(r.revision != want.active or r.outdated for r in self.live()):
                assert want.retry.room >= sum(r.takes_room for r in self.seen()) or self.stuck(want)
            if want.free is not None and any(r.revision != want.active or r.outdated for r in self.live()):
                assert self.places is not None
                fits = self.places >= sum(r.takes_room for r in self.seen())
                assert fits or self.stuck(want) or want.retry.room is None, "it would be refused, and that is known"
        elif isinstance(action, Drain):
            assert self.replicas[action.replica].seen.phase in SERVING, "only what serves drains"
            self.move(action.replica, Phase.DRAINING)
        elif isinstance(action, Stop):
            assert self.replicas[action.replica].seen.phase in STARTING_UP, "what serves is not cut off"
            self.move(action.replica, Phase.STOPPING)
        elif isinstance(action, Forget):
            assert self.replicas.pop(action.replica).seen.phase is Phase.GONE
        elif isinstance(action, TakeBack):
            assert want.retry.tired or want.retry.room is not None
            if action.revision == want.active:
                for model in self.replicas.values():
                    former = model.seen
                    fresh = not former.outdated and former.phase not in SERVING
                    model.seen = replace(former, outdated=fresh)
            self.retries[action.revision] = Retry(ever_ready=True)
            self.want = replace(self.want, active=action.revision)
        elif isinstance(action, Fail):
            assert want.retry.tired
            assert not want.retry.ever_ready
            self.want = replace(self.want, failed=True)
        elif isinstance(action, Settle):
            ready = [r for r in self.live() if r.revision == action.revision and r.phase is Phase.READY]
            assert len(ready) >= want.replicas
            self.want = replace(self.want, stable=action.revision)

    # --- the simulated world ---

    def retry(self, revision: int) -> Retry:
        return self.retries.get(revision, Retry(ever_ready=revision == self.want.stable))

    def seen(self) -> list[SeenReplica]:
        return [model.seen for model in self.replicas.values()]

    def free(self) -> int | None:
        if self.places is None or not self.told:
            return None
        return self.places - sum(r.takes_room for r in self.seen())

    def live(self) -> list[SeenReplica]:
        return [r for r in self.seen() if r.phase in LIVE]

    def stuck(self, want: Want) -> bool:
        """On the way back to the stable revision, without room: what is there is all that can be had."""
        return want.active == want.stable and not any(r.outdated for r in self.live())

    def well(self) -> int:
        return sum(r.phase is Phase.READY and not r.suspect for r in self.seen())

    def ready(self) -> int:
        return sum(r.phase is Phase.READY for r in self.seen())

    def move(self, id: str, phase: Phase) -> None:
        model = self.replicas[id]
        model.seen = replace(model.seen, phase=phase)
        if phase is Phase.READY and model.ready_at is None:
            model.ready_at = self.now
            model.seen = replace(model.seen, ready_at=self.now)
            number = model.seen.revision
            self.retries[number] = after_ready(self.retry(number))

    def advance(self, id: str) -> None:
        seen = self.replicas[id].seen
        taken = sum(m.placed for m in self.replicas.values())
        if seen.phase is Phase.STARTING and self.places is not None and taken >= self.places:
            self.refuse(id)
            return
        if seen.phase is Phase.STARTING:
            self.replicas[id].placed = True
            self.retries[seen.revision] = with_place(self.retry(seen.revision))
        self.move(id, NEXT[seen.phase])
        if self.replicas[id].placed and self.replicas[id].seen.phase is Phase.GONE:
            self.replicas[id].placed = False
            self.retries = {number: room_given_back(retry) for number, retry in self.retries.items()}

    def refuse(self, id: str) -> None:
        """There is no room for it: that is no failure, and the next attempt comes within a minute."""
        self.move(id, Phase.FAILED)
        model = self.replicas[id]
        model.seen = replace(model.seen, placed=False)
        number, created = model.seen.revision, model.seen.created_at
        before, beside = self.retry(number), sum(r.takes_room for r in self.seen())
        after = without_place(before, created_at=created, beside=beside, now=self.now, reason="no GPU")
        assert after.tired == before.tired
        assert self.now <= after.room_at <= self.now + LONGEST_DELAY or after.room_at == before.room_at
        self.retries[number] = after

    def fail(self, id: str) -> None:
        model = self.replicas[id]
        ready_for = None if model.ready_at is None else self.now - model.ready_at
        number = model.seen.revision
        self.retries[number] = after_failure(
            self.retry(number), created_at=model.seen.created_at, ready_for=ready_for, now=self.now, reason="boom"
        )
        self.move(id, Phase.FAILED)

    # --- it ends well ---

    @precondition(lambda self: self.count < 60)
    @rule()
    def all_goes_well_from_now_on(self) -> None:
        """Converges: exactly the wanted replicas of the active revision, ready, and nothing else."""
        self.places = None
        self.all_goes_on()
        self.check_converged()

    @precondition(lambda self: self.count < 60)
    @rule()
    def all_goes_well_on_a_machine_that_is_full(self) -> None:
        """An update of a service that has exactly the room that it needs: it comes through, one by one; a single
        replica cannot be replaced, and serves on."""
        self.places = None
        self.all_goes_on()
        assume(self.want.running and self.want.replicas and not self.want.failed)
        former = {r.id for r in self.live()}
        self.places = self.want.replicas
        self.update()
        self.all_goes_on()
        self.check_converged()
        now = {r.id for r in self.live()}
        assert now == former if self.want.replicas == 1 else not now & former

    @precondition(lambda self: self.count < 60)
    @rule(places=st.integers(0, 3))
    def a_start_on_a_machine_without_enough_room(self, places: int) -> None:
        """However long that lasts, nobody gives up: as many run as there is room for, and all when there is."""
        self.places = None
        self.all_goes_on()
        assume(self.want.running and self.want.replicas > places and not self.want.failed)
        self.stop_or_start(False)
        self.all_goes_on()
        self.places = places
        self.retries[self.want.active] = Retry(ever_ready=self.want.active == self.want.stable)
        self.stop_or_start(True)
        self.all_goes_on(30)
        assert not self.want.failed
        assert self.ready() == places
        assert self.retry(self.want.active).failures == 0
        self.places = None
        self.all_goes_on(30)
        self.check_converged()

    def all_goes_on(self, times: int = 200) -> None:
        """For so many minutes, or until nothing has changed for five: at rest there is no other cause than the time, of
        which the plan knows pauses of a minute at most. (To spend 200 minutes each time took more than the 120 s that a
        test has on a busy machine, nearly all of it at rest.)"""
        before, quiet = self.world(), 0
        for _ in range(times):
            self.now += 61.0
            for id in sorted(self.replicas):
                if id in self.replicas and self.replicas[id].seen.phase in NEXT:
                    self.advance(id)
            self.carry_out()
            now = self.world()
            before, quiet = now, quiet + 1 if now == before else 0
            if quiet == 5:
                return

    def world(self) -> object:
        return self.want, self.seen(), dict(self.retries)

    def check_converged(self) -> None:
        there = sorted((r.revision, r.phase) for r in self.seen())
        if not self.want.running or self.want.replicas == 0:
            assert there == []
        elif self.want.failed:
            assert all(phase is Phase.READY for _, phase in there)
        else:
            assert there == [(self.want.active, Phase.READY)] * self.want.replicas
            assert not any(r.outdated for r in self.seen())
            assert self.want.stable == self.want.active


TestPlanMachine = PlanMachine.TestCase
TestPlanMachine.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
