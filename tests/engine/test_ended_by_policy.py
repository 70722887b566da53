"""Services that run for as long as the administrator lets them, in virtual time and over restarts of the gateway."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from jupyter_model_service.core.effective import Effective
from jupyter_model_service.core.policy import Policy
from jupyter_model_service.core.revision_change import RevisionChange
from jupyter_model_service.engine.lives import AFTER_A_START, EVERY

from .stage import NAME, OWNER, Stage, play

UNIT = 600.0  # seconds


class Rules:
    """One policy for all; ``known``: whether it is known what holds for whom."""

    def __init__(self, policy: Policy, known: bool = True) -> None:
        self.holds, self.known = Effective(policy, {"idle_limit": "for the group ds"}), known

    def of(self, owner: str | None) -> Effective:
        return self.holds

    def user(self, owner: str) -> str:
        return owner

    def knows(self, owner: str) -> bool:
        return self.known


async def begin(stage: Stage, policy: Policy, known: bool = True) -> Rules:
    """The gateway of the stage, anew, with a policy; it has been there for longer than nothing is stopped."""
    await stage.kill()
    rules = stage.rules = Rules(policy, known)
    await stage.reopen()
    await asyncio.sleep(min(AFTER_A_START, max(policy.idle_limit or 0.0, policy.longest_life or 0.0)))
    return rules


def call(stage: Stage) -> None:
    stage.endpoint.traffic.begun(stage.clock.monotonic())


async def waited(stage: Stage, true: Callable[[], object]) -> float:
    """Virtual seconds until it is so; looks seldom, since it is long."""
    began = stage.clock.monotonic()
    while not true():
        assert stage.clock.monotonic() - began < 9 * UNIT
        await asyncio.sleep(5.0)
    return stage.clock.monotonic() - began


async def stopped_after(stage: Stage) -> float:
    return await waited(stage, lambda: stage.view.state == "stopped")


def test_a_service_that_nobody_calls_is_stopped_with_a_warning_and_can_be_started_again() -> None:
    async def scene(stage: Stage) -> None:
        await begin(stage, Policy(idle_limit=4 * UNIT))
        await stage.ready()
        await asyncio.sleep(2 * UNIT)
        call(stage)
        assert stage.view.ends is None
        await waited(stage, lambda: stage.view.ends is not None)
        assert stage.view.state == "ready"
        assert stage.view.ends is not None
        assert abs(stage.view.ends.at - stage.clock.now() - UNIT) <= EVERY, "a quarter of the limit before"
        assert await stopped_after(stage) <= UNIT + EVERY
        why = "stopped by the administrator's policy: nobody has called it for 40 min (set for the group ds)"
        assert [event.message for event in await stage.told("service.ended_by_policy")] == [why]
        assert len(await stage.told("service.ends_soon")) == 1
        (deed,) = [each for each in stage.disk.audit if each.action == "stop_service"]
        assert (deed.who, deed.target, deed.after) == ("gateway", f"{OWNER}/{NAME}", {"why": why})
        assert stage.view.note == f"{why}; start it to go on"
        assert stage.view.ends is None
        await stage.engine.start_service(OWNER, NAME)
        await stage.until(lambda: stage.view.state == "ready")
        assert stage.view.note is None
        assert await stopped_after(stage) > 4 * UNIT - EVERY

    play(scene)


def test_calls_put_the_end_off_also_one_that_is_still_open() -> None:
    async def scene(stage: Stage) -> None:
        await begin(stage, Policy(idle_limit=2 * UNIT))
        await stage.ready()
        for _ in range(3):
            await asyncio.sleep(1.7 * UNIT)
            call(stage)
            await asyncio.sleep(2 * EVERY)
            assert stage.view.ends is None, "the warning goes with the next call"
        stage.endpoint.in_flight = 1
        await asyncio.sleep(5 * UNIT)
        assert stage.view.state == "ready"
        stage.endpoint.in_flight = 0
        assert 2 * UNIT - EVERY < await stopped_after(stage) <= 2 * UNIT + 2 * EVERY

    play(scene)


def test_a_call_counts_over_a_restart_of_the_gateway_and_so_does_when_the_service_began() -> None:
    async def scene(stage: Stage) -> None:
        await begin(stage, Policy(idle_limit=5 * UNIT, longest_life=7 * UNIT))
        await stage.ready()
        await asyncio.sleep(3 * UNIT)
        call(stage)
        await asyncio.sleep(2 * EVERY)
        await stage.kill()
        await asyncio.sleep(UNIT)
        await stage.reopen()
        await asyncio.sleep(2.5 * UNIT)
        assert stage.view.state == "ready", "65 minutes after its start, and 35 after the last call"
        assert await stopped_after(stage) <= 0.5 * UNIT + EVERY
        assert "it has run for 1 h 10 min (set for all users)" in (stage.view.note or "")

    play(scene)


def test_what_is_over_at_the_start_of_a_gateway_has_some_time_more() -> None:
    """Nobody was warned of a limit that is new, and nobody could call while the gateway was away."""

    async def scene(stage: Stage) -> None:
        await stage.ready()
        await stage.kill()
        await asyncio.sleep(3 * UNIT)
        stage.rules = Rules(Policy(idle_limit=2 * UNIT))
        await stage.reopen()
        assert 0.5 * UNIT - EVERY <= await stopped_after(stage) <= 0.5 * UNIT + 2 * EVERY
        assert len(await stage.told("service.ends_soon")) == 1

    play(scene)


def test_nobody_is_stopped_of_whom_it_is_not_known_yet_what_she_may() -> None:
    """The groups of a hub that does not answer may give her more than others have."""

    async def scene(stage: Stage) -> None:
        rules = await begin(stage, Policy(idle_limit=UNIT), known=False)
        await stage.ready()
        await asyncio.sleep(3 * UNIT)
        assert stage.view.state == "ready"
        rules.known = True
        assert await stopped_after(stage) <= 2 * EVERY

    play(scene)


def test_a_public_service_is_made_private_when_its_owner_may_have_none_any_more() -> None:
    async def scene(stage: Stage) -> None:
        await stage.ready()
        await stage.engine.update(OWNER, NAME, change=RevisionChange(), public=True)
        rules = await begin(stage, Policy(allow_public=False), known=False)
        await asyncio.sleep(2 * EVERY)
        assert stage.endpoint.public, "her group may allow it"
        rules.known = True
        await waited(stage, lambda: not stage.endpoint.public)
        assert (stage.view.visibility, stage.view.state) == ("private", "ready")
        why = "made private: public services are not allowed here any more (set for all users)"
        assert [event.message for event in await stage.told("service.closed_by_policy")] == [why]
        (deed,) = [each for each in stage.disk.audit if each.action == "make_private"]
        assert (deed.who, deed.target, deed.after) == ("gateway", f"{OWNER}/{NAME}", {"why": why})
        rules = await begin(stage, Policy(allow_public=True))
        assert not stage.endpoint.public, "it is for its owner to open it again"

    play(scene)


def test_without_a_policy_nothing_ends_and_a_stopped_service_is_left_alone() -> None:
    async def scene(stage: Stage) -> None:
        await stage.ready()
        await asyncio.sleep(3 * UNIT)
        assert stage.view.state == "ready"
        await stage.engine.stop_service(OWNER, NAME)
        rules = await begin(stage, Policy(longest_life=UNIT))
        await asyncio.sleep(2 * UNIT)
        assert rules.known
        assert await stage.told("service.ended_by_policy") == []

    play(scene)
