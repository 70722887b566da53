"""What owners say about autoscaling: policies, rules and schedules, scaling by hand, and what other commands make of
them; all of it is there after a restart."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

import pytest

from jupyter_model_service.core.revision_change import RevisionChange
from jupyter_model_service.core.scaling.policy import Autoscaling, Rule, Schedule
from jupyter_model_service.engine.scaling_views import AutoscalingView
from jupyter_model_service.engine.views import ServiceView
from jupyter_model_service.errors import Conflict, InvalidRequest, NotFound, Problem, StoreError
from jupyter_model_service.testing import FakeReplica

from .callers import Callers
from .stage import FOLDER, NAME, OWNER, Stage, definition, play

POLICY = Autoscaling(2, 8, target_concurrency=4)


def shown(stage: Stage) -> AutoscalingView:
    view = stage.view.autoscaling
    assert view is not None
    return view


def wanted(stage: Stage) -> int:
    return stage.engine._turns.find(OWNER, NAME).record.replicas  # views take a millisecond


async def last_told(stage: Stage, kind: str = "") -> str:
    return (await stage.told(kind))[-1].message


def stored(stage: Stage) -> tuple[int, Autoscaling | None]:
    (record,) = stage.disk.services.values()
    return record.replicas, record.autoscaling


# --- the policy ------------------------------------------------------------------------------------------


def test_a_policy_is_shown_with_what_it_comes_to_and_kept_over_a_restart() -> None:
    async def scene(stage: Stage) -> None:
        await stage.ready(2)
        assert stage.view.autoscaling is None
        policy = replace(
            POLICY, rules=(Rule("r1", "queued", above=3),), schedules=(Schedule("s1", "Mon 08:00-09:00", min=3),)
        )
        view = await stage.engine.autoscale(OWNER, NAME, policy)
        assert view.autoscaling is not None
        assert view.autoscaling.bounds is not None, "at once, not at the next look"
        assert (view.autoscaling.bounds.min, view.autoscaling.bounds.max) == (2, 8)
        assert (view.autoscaling.aim, view.autoscaling.held) == (4, False)
        assert await last_told(stage) == ("autoscaled: 2 to 8 replicas, 4 calls at once for each, 1 rule, 1 schedule")
        assert stored(stage) == (2, policy)
        await stage.kill()
        await stage.reopen()
        assert shown(stage).rules == [Rule("r1", "queued", above=3)]
        await stage.until(lambda: shown(stage).last, 10)

    play(scene)


def test_a_policy_may_be_given_as_json_and_what_is_wrong_with_it_is_told() -> None:
    async def scene(stage: Stage) -> None:
        await stage.ready(1)
        await stage.engine.autoscale(OWNER, NAME, {"min": 0, "max": 3})
        assert (shown(stage).min, shown(stage).max, shown(stage).aim) == (0, 3, pytest.approx(5.6))
        for wrong in ({"min": 4, "max": 3}, Autoscaling(4, 3)):
            with pytest.raises(InvalidRequest, match="min is 4, above max"):
                await stage.engine.autoscale(OWNER, NAME, wrong)
        assert shown(stage).max == 3
        with pytest.raises(NotFound):
            await stage.engine.autoscale(OWNER, "other", POLICY)

    play(scene)


def test_a_count_outside_of_a_new_policys_bounds_is_changed_at_once() -> None:
    async def scene(stage: Stage) -> None:
        await stage.ready(1)
        assert (await stage.engine.autoscale(OWNER, NAME, POLICY)).replicas.want == 2
        assert (await last_told(stage, "service.autoscaling")).endswith("; scaled to 2 replicas: min is 2")
        view = await stage.engine.autoscale(OWNER, NAME, Autoscaling(1, 1))
        assert view.replicas.want == 1
        assert (await last_told(stage, "service.autoscaling")).endswith("; scaled to 1 replica: max is 1")
        assert stored(stage)[0] == 1

    play(scene)


def test_without_a_policy_the_count_stays_as_it_is() -> None:
    async def scene(stage: Stage) -> None:
        await stage.ready(3)
        await stage.engine.autoscale(OWNER, NAME, replace(POLICY, down_delay=0))
        view = await stage.engine.autoscale(OWNER, NAME, None)
        assert (view.autoscaling, view.replicas.want) == (None, 3)
        assert await last_told(stage) == "autoscaled no more: 3 replicas until somebody scales it"
        await asyncio.sleep(600)
        assert wanted(stage) == 3
        told = len(await stage.told())
        await stage.engine.autoscale(OWNER, NAME, None)
        assert len(await stage.told()) == told, "there was none"

    play(scene)


def test_autoscaling_that_ends_while_a_service_is_idle_leaves_it_at_zero_and_no_call_wakes_it() -> None:
    async def scene(stage: Stage) -> None:
        await stage.ready(1)
        await stage.engine.autoscale(OWNER, NAME, Autoscaling(0, 2, idle_after=60))
        await stage.until(lambda: stage.view.state == "idle" and not stage.there(), 300)
        await stage.engine.autoscale(OWNER, NAME, None)
        assert (stage.view.state, stage.view.reason) == ("stopped", "scaled to 0 replicas")
        await asyncio.sleep(1)
        assert "it was scaled to 0 replicas" in (await Callers(stage).begin()).why

    play(scene)


# --- by hand -----------------------------------------------------------------------------------------------


def test_a_scale_by_hand_holds_the_count_until_it_is_resumed() -> None:
    async def scene(stage: Stage) -> None:
        await stage.ready(2)
        await stage.engine.autoscale(OWNER, NAME, replace(POLICY, down_delay=0))
        view = await stage.engine.scale(OWNER, NAME, 5)
        assert view.replicas.want == 5
        assert view.autoscaling is not None
        assert view.autoscaling.held
        assert await last_told(stage, "service.scaled") == (
            "scaled to 5 replicas; autoscaling is held there until it is resumed"
        )
        await asyncio.sleep(600)
        assert wanted(stage) == 5
        assert "but it is held" in (shown(stage).last or "")
        await stage.kill()
        await stage.reopen()
        assert shown(stage).held
        await asyncio.sleep(200)
        assert wanted(stage) == 5
        view = await stage.engine.resume(OWNER, NAME)
        assert view.autoscaling is not None
        assert not view.autoscaling.held
        assert await last_told(stage, "service.autoscaling") == "autoscaling goes on"
        await stage.until(lambda: wanted(stage) == 2, 300)

    play(scene)


def test_a_count_by_hand_may_be_outside_of_the_bounds_and_resuming_brings_it_within() -> None:
    async def scene(stage: Stage) -> None:
        await stage.ready(2)
        await stage.engine.autoscale(OWNER, NAME, POLICY)
        await stage.engine.scale(OWNER, NAME, 0)
        assert (stage.view.state, stage.endpoint.asleep) == ("stopped", False)
        assert (stage.view.reason or "").startswith(
            "scaled to 0 replicas by hand, and autoscaling is held until it is resumed"
        )
        await stage.engine.autoscale(OWNER, NAME, replace(POLICY, max=9))
        assert (wanted(stage), shown(stage).held, shown(stage).max) == (0, True, 9), "a changed policy is held, too"
        assert (await last_told(stage, "service.autoscaling")).endswith(
            "; held at 0 replicas, as scaled by hand, until it is resumed"
        )
        await stage.engine.resume(OWNER, NAME)
        assert wanted(stage) == 2
        told = len(await stage.told())
        await stage.engine.resume(OWNER, NAME)
        assert len(await stage.told()) == told, "nothing was held"

    play(scene)


def test_a_change_of_the_count_by_a_policy_or_by_resuming_is_explained() -> None:
    """Like any other decision: ``explain`` leaves no gap between 8 and 4."""

    def last_change(stage: Stage) -> tuple[int, int, str]:
        decision = [d for d in stage.engine.decisions(OWNER, NAME) if d.changed][-1]
        return decision.before, decision.count, decision.reason

    async def scene(stage: Stage) -> None:
        await stage.ready(2)
        await stage.engine.autoscale(OWNER, NAME, replace(POLICY, max=4))
        assert not [d for d in stage.engine.decisions(OWNER, NAME) if d.changed]
        await stage.engine.scale(OWNER, NAME, 8)
        await stage.engine.resume(OWNER, NAME)
        assert last_change(stage) == (8, 4, "from 8 to 4: autoscaling goes on; max is 4")
        await stage.engine.autoscale(OWNER, NAME, replace(POLICY, max=3))
        assert last_change(stage)[:2] == (4, 3)
        assert last_change(stage)[2].endswith("; max is 3")

    play(scene)


def test_what_is_not_autoscaled_cannot_be_resumed() -> None:
    async def scene(stage: Stage) -> None:
        await stage.ready(1)
        with pytest.raises(Conflict, match="is not autoscaled"):
            await stage.engine.resume(OWNER, NAME)
        with pytest.raises(Conflict, match="is not autoscaled"):
            await stage.engine.remove_rule(OWNER, NAME, "r1")
        with pytest.raises(Conflict, match="is not autoscaled"):
            await stage.engine.remove_schedule(OWNER, NAME, "s1")

    play(scene)


# --- rules and schedules -------------------------------------------------------------------------------------


def test_rules_are_added_and_removed_one_by_one() -> None:
    async def scene(stage: Stage) -> None:
        await stage.ready(2)
        await stage.engine.autoscale(OWNER, NAME, POLICY)
        await stage.engine.add_rule(OWNER, NAME, {"metric": "gpu_util", "above": 80})
        theirs = {"metric_name": "cuda_mem", "threshold": "90", "comparator": ">", "step_size": 2}
        view = await stage.engine.add_rule(OWNER, NAME, {"metric_source": "kernel", **theirs})
        assert view.autoscaling is not None
        assert [(r.id, r.metric) for r in view.autoscaling.rules] == [("r1", "gpu_util"), ("r2", "gpu_memory")]
        assert await last_told(stage) == "autoscaling: rule r2 on gpu_memory was added"
        with pytest.raises(InvalidRequest, match="gpu_util"):
            await stage.engine.add_rule(OWNER, NAME, {"metric": "gpu_utl", "above": 80})
        with pytest.raises(InvalidRequest):
            await stage.engine.add_rule(OWNER, NAME, {"metric": "prometheus:depth", "above": 80})
        with pytest.raises(NotFound, match="r7"):
            await stage.engine.remove_rule(OWNER, NAME, "r7")
        await stage.engine.remove_rule(OWNER, NAME, "r1")
        assert [r.id for r in shown(stage).rules] == ["r2"]
        assert stored(stage)[1] is not None

    play(scene)


def test_a_rule_makes_a_policy_if_it_says_how_many_there_may_be_and_calls_count_then_too() -> None:
    async def scene(stage: Stage) -> None:
        await stage.ready(2)
        with pytest.raises(InvalidRequest, match="is not autoscaled: say with the rule's max"):
            await stage.engine.add_rule(OWNER, NAME, {"metric": "queued", "above": 1})
        view = await stage.engine.add_rule(OWNER, NAME, {"metric": "queued", "above": 1, "max": 4})
        assert (shown(stage).min, shown(stage).max, shown(stage).target, wanted(stage)) == (1, 4, True, 2)
        assert view.notices[0].startswith("It was not autoscaled before, and is now: 1 to 4 replicas, by its calls")
        await stage.engine.adjust(OWNER, NAME, {"min": 0, "max": 8})
        assert (shown(stage).min, shown(stage).max, shown(stage).target) == (0, 8, True)
        view = await stage.engine.add_rule(OWNER, NAME, {"metric": "concurrency", "above": 1})
        assert view.notices == []

    play(scene)


def test_a_rule_on_a_figure_that_is_not_known_says_what_that_means() -> None:
    async def scene(stage: Stage) -> None:
        await stage.ready(1)
        await stage.engine.autoscale(OWNER, NAME, POLICY)
        view = await stage.engine.add_rule(OWNER, NAME, {"metric": "gpu_util", "above": 0.8})
        doubted, unknown = view.notices
        assert doubted == "Rule r1: above is 0.8 percent of gpu_util; is 80 meant?"
        assert unknown.startswith("Rule r1: gpu_util is unknown here now (replica ")
        assert unknown.endswith("); while it is, the number of replicas does not fall, and never to zero.")
        view = await stage.engine.add_rule(OWNER, NAME, {"metric": "queued", "above": 1})
        assert view.notices == [], "of a new rule only"

    play(scene)


def test_a_change_leaves_all_else_as_it_is_when_its_turn_comes() -> None:
    """Two at once lose nothing, and what others hold or added meanwhile stays."""

    async def scene(stage: Stage) -> None:
        await stage.ready(2)
        await stage.engine.autoscale(OWNER, NAME, POLICY)
        await stage.engine.scale(OWNER, NAME, 2)
        await asyncio.gather(
            stage.engine.add_rule(OWNER, NAME, {"metric": "queued", "above": 3}),
            stage.engine.adjust(OWNER, NAME, {"max": 9, "down-delay": 60}),
            stage.engine.add_schedule(OWNER, NAME, {"when": "Mon 08:00-09:00", "min": 3}),
            stage.engine.adjust(OWNER, NAME, {"target_concurrency": None, "idle_after": 30}),
        )
        found = stored(stage)[1]
        assert found is not None
        assert [each.id for each in (*found.rules, *found.schedules)] == ["r1", "s1"]
        assert (found.min, found.max, found.down_delay, found.idle_after, found.held) == (POLICY.min, 9, 60, 30, True)
        assert found.target_concurrency is None
        with pytest.raises(InvalidRequest, match="min is 10, above max, which is 9"):
            await stage.engine.adjust(OWNER, NAME, {"min": 10})
        await stage.engine.adjust(OWNER, NAME, {"rules": [], "schedules": None})
        assert (shown(stage).rules, shown(stage).schedules, shown(stage).max) == ([], [], 9)

    play(scene)


def test_a_first_policy_that_could_never_change_the_count_is_asked_for_its_max() -> None:
    async def scene(stage: Stage) -> None:
        await stage.ready(1)
        with pytest.raises(InvalidRequest, match="Say with max how many replicas there may be"):
            await stage.engine.adjust(OWNER, NAME, {"target": True, "target_concurrency": 4})
        assert stage.view.autoscaling is None
        await stage.engine.adjust(OWNER, NAME, {"min": 0})
        assert (shown(stage).min, shown(stage).max) == (0, 1)

    play(scene)


@pytest.mark.parametrize(
    ("schedule", "bounds"),
    [
        ({"min": 3}, (2, 3)),
        ({"max": 1}, (1, 2)),
        ({"max": 5}, (2, 2)),
        ({"min": 3, "max": 4}, (2, 2)),
    ],
)
def test_a_schedule_of_a_service_that_does_not_scale_stays_as_it_was_written(
    schedule: dict[str, int], bounds: tuple[int, int]
) -> None:
    """A max that was invented for it would beat the one that is set later."""

    async def scene(stage: Stage) -> None:
        await stage.ready(2)
        view = await stage.engine.add_schedule(OWNER, NAME, {"when": "Mon 08:00-09:00", **schedule})
        assert (shown(stage).min, shown(stage).max) == bounds
        assert (shown(stage).schedules[0].min, shown(stage).schedules[0].max) == (
            schedule.get("min"),
            schedule.get("max"),
        )
        assert "It was not autoscaled before" in view.notices[0]
        await stage.engine.adjust(OWNER, NAME, {"min": 0, "max": 8})
        assert (shown(stage).min, shown(stage).max, shown(stage).target) == (0, 8, True)

    play(scene)


def test_a_schedule_alone_leaves_the_count_as_it_is_except_while_it_is_active() -> None:
    async def scene(stage: Stage) -> None:
        await stage.ready(1)
        now = datetime.fromtimestamp(stage.clock.now(), timezone.utc)
        when = f"Mon-Sun {(now.hour + 1) % 24:02}:00-{(now.hour + 2) % 24:02}:00"
        await stage.engine.add_schedule(OWNER, NAME, {"when": when, "min": 3})
        assert (shown(stage).min, shown(stage).max, wanted(stage)) == (1, 3, 1)
        bounds = shown(stage).bounds
        assert bounds is not None
        assert bounds.changes_at is not None
        assert bounds.changes_at % 3600 == 0
        await asyncio.sleep(bounds.changes_at - stage.clock.now() - 0.1)
        assert wanted(stage) == 1
        await asyncio.sleep(2.2)
        assert wanted(stage) == 3
        await asyncio.sleep(3600 - 2.5)
        assert wanted(stage) == 3
        await asyncio.sleep(2 * 300 + 120)
        assert wanted(stage) == 1, "without calls, after the delay, by half at a time"
        await stage.engine.remove_schedule(OWNER, NAME, "s1")
        assert shown(stage).schedules == []
        assert shown(stage).bounds is not None

    play(scene)


def test_a_morning_by_the_schedule_in_another_time_zone() -> None:
    """From nine to half past ten in Seoul at least two, else none without calls; what comes next is always told."""

    async def scene(stage: Stage) -> None:
        await stage.ready(1)
        office = Schedule("s1", "Mon-Fri 09:00-10:30", timezone="Asia/Seoul", min=2)
        await stage.engine.autoscale(OWNER, NAME, Autoscaling(0, 4, idle_after=300, schedules=(office,)))
        seen: dict[bool, set[int]] = {True: set(), False: set()}
        for _ in range(4 * 6):  # from half past seven on a Wednesday in Seoul
            await asyncio.sleep(600)
            at = stage.clock.now()
            hour = (at + 9 * 3600) % 86400 / 3600
            active = 9 <= hour < 10.5
            if 9.05 <= hour < 10.5 or not 9 <= hour < 11:
                seen[active].add(wanted(stage))
            bounds = shown(stage).bounds
            assert bounds is not None
            assert (bounds.min, bounds.why_min.startswith("schedule s1")) == ((2, True) if active else (0, False))
            assert bounds.changes_at is not None
            assert 0 < bounds.changes_at - at <= 23 * 3600
            assert (bounds.changes_at + 9 * 3600) % 86400 in (9 * 3600, 10.5 * 3600)
        assert seen == {True: {2}, False: {0}}

    play(scene)


# --- other commands --------------------------------------------------------------------------------------------


def test_a_new_service_takes_the_policy_of_its_definition_and_a_count_within_it() -> None:
    async def scene(stage: Stage) -> None:
        stage.definitions.put(FOLDER, definition(autoscaling=POLICY))
        view = await stage.create(1)
        assert view.replicas.want == 2
        assert view.autoscaling is not None
        assert await last_told(stage, "service.created") == (f"created from {FOLDER} with 2 replicas, not 1: min is 2")
        assert stored(stage) == (2, POLICY)

    play(scene)


def test_a_new_service_whose_definition_names_a_query_that_nobody_allows_is_refused() -> None:
    async def scene(stage: Stage) -> None:
        asks = replace(POLICY, rules=(Rule("r1", "prometheus:depth", above=1),))
        stage.definitions.put(FOLDER, definition(autoscaling=asks))
        with pytest.raises(InvalidRequest, match="administrator"):
            await stage.create(2)
        with pytest.raises(InvalidRequest, match="administrator"):
            await stage.engine.validate(FOLDER)

    play(scene)


def test_an_update_takes_the_policy_of_a_definition_whose_block_has_changed_and_no_other() -> None:
    async def scene(stage: Stage) -> None:
        stage.definitions.put(FOLDER, definition(autoscaling=POLICY))
        await stage.create(2)
        await stage.until(lambda: stage.view.stable_revision == 1, 60)
        own = Autoscaling(1, 5)
        await stage.engine.autoscale(OWNER, NAME, own)
        await stage.engine.update(OWNER, NAME, change=RevisionChange(environment={"A": "1"}))
        assert stored(stage)[1] == own, "the block is as it was"
        assert "autoscaled" not in await last_told(stage, "service.updated")
        await stage.until(lambda: stage.view.stable_revision == 2, 60)
        stage.definitions.put(FOLDER, definition(autoscaling=Autoscaling(3, 6)))
        await stage.engine.update(OWNER, NAME, change=RevisionChange())
        assert stored(stage) == (3, Autoscaling(3, 6))
        assert (await last_told(stage, "service.updated")).endswith(
            "; autoscaled as its definition says, scaled to 3 replicas: min is 3"
        )
        decision = [d for d in stage.engine.decisions(OWNER, NAME) if d.changed][-1]
        assert decision.reason == (
            "from 2 to 3: revision 3 is to run; autoscaled as its definition says, scaled to 3 replicas: min is 3"
        )
        await stage.until(lambda: stage.view.stable_revision == 3, 60)
        await stage.engine.rollback(OWNER, NAME)
        assert stored(stage)[1] == POLICY, "that of the revision that was gone back to"
        assert (await last_told(stage, "service.rolled_back")).endswith("; autoscaled as its definition says")
        stage.definitions.put(FOLDER, definition())
        await stage.engine.update(OWNER, NAME, change=RevisionChange())
        assert stored(stage)[1] is None
        assert (await last_told(stage, "service.updated")).endswith("; autoscaled no more")

    play(scene)


def test_an_update_that_takes_another_policy_says_what_had_been_set_by_command() -> None:
    async def scene(stage: Stage) -> None:
        stage.definitions.put(FOLDER, definition(autoscaling=Autoscaling(1, 4)))
        await stage.create(2)
        await stage.until(lambda: stage.view.stable_revision == 1, 60)
        await stage.engine.add_schedule(OWNER, NAME, {"when": "Mon 08:00-09:00", "min": 3})
        stage.definitions.put(FOLDER, definition(autoscaling=Autoscaling(1, 6)))
        view = await stage.engine.update(OWNER, NAME, change=RevisionChange())
        assert view.notices == [
            "The definition's block serving.autoscaling is another than before; autoscaled as its definition says; "
            "what had been set by command is gone, with schedule s1."
        ]
        await stage.until(lambda: stage.view.stable_revision == 2, 60)
        view = await stage.engine.rollback(OWNER, NAME)
        assert view.notices == [
            "The definition's block serving.autoscaling is another than before; autoscaled as its definition says."
        ]

    play(scene)


def test_a_count_that_was_set_by_hand_is_held_over_an_update_of_the_policy() -> None:
    async def scene(stage: Stage) -> None:
        stage.definitions.put(FOLDER, definition(autoscaling=Autoscaling(1, 4)))
        await stage.create(2)
        await stage.until(lambda: stage.view.stable_revision == 1, 60)
        await stage.engine.scale(OWNER, NAME, 6)
        stage.definitions.put(FOLDER, definition(autoscaling=Autoscaling(1, 4, idle_after=60)))
        await stage.engine.update(OWNER, NAME, change=RevisionChange())
        assert stored(stage) == (6, Autoscaling(1, 4, idle_after=60, held=True))
        assert (await last_told(stage, "service.updated")).endswith(
            "; autoscaled as its definition says, held at 6 replicas as scaled by hand"
        )
        await stage.engine.resume(OWNER, NAME)
        assert stored(stage) == (4, Autoscaling(1, 4, idle_after=60))

    play(scene)


def test_warnings_of_a_definition_and_a_count_that_it_cuts_are_told_to_who_asked() -> None:
    async def scene(stage: Stage) -> None:
        problem = Problem("serving.x", "is not a known key and has no effect", "model-definition.yaml", 7, "warning")
        stage.definitions.put(FOLDER, definition(autoscaling=Autoscaling(1, 2)), [problem])
        view = await stage.engine.create(OWNER, change=RevisionChange(folder=FOLDER), name=NAME, replicas=3)
        warned = "model-definition.yaml:7: serving.x: is not a known key and has no effect."
        cut = "It begins with 2 replicas, not 3: max is 2, as its definition's serving.autoscaling says."
        assert view.notices == [warned, cut]
        assert stage.view.notices == [], "in the answer to the change only"
        await stage.until(lambda: stage.view.stable_revision == 1, 60)
        view = await stage.engine.update(OWNER, NAME, change=RevisionChange(environment={"A": "1"}))
        assert view.notices == [warned]

    play(scene)


def test_start_stop_and_restart_of_an_autoscaled_service() -> None:
    async def scene(stage: Stage) -> None:
        await stage.ready(6)
        await stage.engine.autoscale(OWNER, NAME, POLICY)
        await stage.engine.restart(OWNER, NAME)
        assert wanted(stage) == 6
        await stage.until(lambda: stage.view.state == "ready", 60)
        await stage.engine.stop_service(OWNER, NAME)
        await stage.until(lambda: not stage.there(), 60)
        assert (stage.view.state, wanted(stage)) == ("stopped", 6)
        await stage.engine.start_service(OWNER, NAME)
        assert wanted(stage) == 2, "nobody knows what calls will come: the fewest"
        await stage.engine.autoscale(OWNER, NAME, Autoscaling(0, 2, idle_after=60))
        await stage.until(lambda: stage.view.state == "idle", 300)
        await stage.engine.restart(OWNER, NAME)
        assert stage.view.state == "idle", "there is nothing to restart"
        await stage.engine.start_service(OWNER, NAME)
        assert wanted(stage) == 1, "who starts it wants a replica"

    play(scene)


def test_an_update_while_it_is_idle_is_what_the_next_call_starts() -> None:
    async def scene(stage: Stage) -> None:
        await stage.ready(1)
        await stage.engine.autoscale(OWNER, NAME, Autoscaling(0, 2, idle_after=60))
        await stage.until(lambda: stage.view.state == "idle", 300)
        await stage.engine.update(OWNER, NAME, change=RevisionChange())
        assert stage.view.state == "idle"
        assert not (await Callers(stage).begin(0.1)).why
        assert [r.request.revision.number for r in stage.there()] == [2]
        await stage.until(lambda: stage.view.stable_revision == 2, 10)

    play(scene)


def test_an_update_that_fails_by_calls_is_taken_back_for_the_fifth_caller() -> None:
    async def scene(stage: Stage) -> None:
        def comes_up(replica: FakeReplica) -> None:
            if replica.request.revision.number == 1:
                replica.serves()
            else:
                replica.becomes("loading")
                replica.exits(1, tail=("boom",))

        await stage.ready(1)
        stage.world.on_start = comes_up
        await stage.engine.autoscale(OWNER, NAME, Autoscaling(0, 2, idle_after=60))
        await stage.until(lambda: stage.view.state == "idle", 300)
        await stage.engine.update(OWNER, NAME, change=RevisionChange())
        callers = Callers(stage)
        for _ in range(4):
            assert "its last replica exited with code 1 while loading" in (why := (await callers.begin()).why)
            assert "boom" not in why, "what the model writes is its owner's"
            await asyncio.sleep(20)
        assert not (await callers.begin(0.1)).why, "by the revision that works"
        assert "revision 2 was taken back" in (stage.view.note or "")

    play(scene)


# --- writes that fail, and kills ---------------------------------------------------------------------------------

Command = Callable[[Stage], Awaitable[ServiceView]]
RULE: dict[str, Any] = {"metric": "queued", "above": 3}
COMMANDS: list[tuple[Command, Callable[[ServiceView], bool]]] = [
    (lambda s: s.engine.autoscale(OWNER, NAME, Autoscaling(4, 8)), lambda v: v.replicas.want == 4),
    (lambda s: s.engine.autoscale(OWNER, NAME, None), lambda v: v.autoscaling is None),
    (lambda s: s.engine.scale(OWNER, NAME, 5), lambda v: v.replicas.want == 5),
    (lambda s: s.engine.add_rule(OWNER, NAME, RULE), lambda v: bool(v.autoscaling and v.autoscaling.rules)),
]


@pytest.mark.parametrize(("command", "done"), COMMANDS)
def test_a_command_that_cannot_be_written_changes_nothing(
    command: Command, done: Callable[[ServiceView], bool]
) -> None:
    async def scene(stage: Stage) -> None:
        await stage.ready(2)
        await stage.engine.autoscale(OWNER, NAME, POLICY)
        stage.store.fail_writes = "disk full"
        with pytest.raises(StoreError):
            await command(stage)
        assert not done(stage.view)
        assert shown(stage).bounds is not None
        stage.store.fail_writes = None
        assert done(await command(stage))

    play(scene)


@pytest.mark.parametrize("turns", range(8))
@pytest.mark.parametrize(("command", "done"), COMMANDS)
def test_a_gateway_that_is_killed_in_a_command_has_done_all_of_it_or_nothing(
    command: Command, done: Callable[[ServiceView], bool], turns: int
) -> None:
    async def scene(stage: Stage) -> None:
        await stage.ready(2)
        await stage.engine.autoscale(OWNER, NAME, POLICY)
        running = asyncio.ensure_future(command(stage))
        for _ in range(turns):
            await asyncio.sleep(0)
        await stage.kill()
        await asyncio.wait({running})
        await stage.reopen()
        replicas, policy = stored(stage)
        assert done(stage.view) or (replicas, policy) == (2, POLICY)
        await stage.until(lambda: stage.view.state == "ready", 60)
        assert len(stage.there()) == replicas

    play(scene)


def test_a_decision_that_cannot_be_written_holds_and_is_written_later() -> None:
    async def scene(stage: Stage) -> None:
        await stage.ready(1)
        await stage.engine.autoscale(OWNER, NAME, Autoscaling(0, 2, idle_after=60))
        stage.store.fail_writes = "disk full"
        await stage.until(lambda: stage.view.state == "idle", 300)
        assert stored(stage)[0] == 1
        assert not (await Callers(stage).begin(0.1)).why, "a full disk keeps nobody waiting"
        await stage.until(lambda: stage.view.state == "idle", 300)
        stage.store.fail_writes = None
        await stage.until(lambda: stored(stage)[0] == 0, 10)
        assert len([e for e in stage.disk.events if e.kind == "service.autoscaled"]) == 3

    play(scene)
