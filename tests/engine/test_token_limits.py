"""Limits of endpoint tokens over their life: made with them, changed, counted, stored each second, kept over a restart,
and gone with the token."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Mapping

import pytest

from jupyter_model_service.core.grants import PathRule
from jupyter_model_service.core.limits import DAY, Allowance, Limits
from jupyter_model_service.engine.tokens import EndpointTokens, Use
from jupyter_model_service.engine.write_behind import COUNTS_EVERY
from jupyter_model_service.errors import InvalidRequest, NotFound, StoreError
from jupyter_model_service.ports import ServiceRecord, TokenRecord
from jupyter_model_service.testing import ManualClock, MemoryStore

from .test_tokens import REVISION, Setting, run

LIMITS = Limits(calls_per_second=10.0, in_flight=2, calls_per_day=5)


class Calls:
    """Calls with one token, as the front makes them."""

    def __init__(self, at: Setting, text: str) -> None:
        self.at, self.text = at, text

    @property
    def allowance(self) -> Allowance | None:
        caller = self.at.tokens.known(self.text)
        assert caller is not None
        return caller.allowance

    def call(self, count: int = 1) -> int:
        """How many of them get in; they end at once."""
        passed = 0
        for _ in range(count):
            allowance = self.allowance
            if allowance is None or self.begin(allowance):
                passed += 1
                if allowance is not None:
                    allowance.release(0.1)
        return passed

    def begin(self, allowance: Allowance) -> bool:
        clock = self.at.clock
        return allowance.admit(int(clock.monotonic() * 1e9), clock.now()) is None


async def limited(at: Setting, limits: Limits | None) -> tuple[TokenRecord, Calls]:
    record, text = await at.tokens.generate("s1", "u/chat", "laptop", None, limits)
    return record, Calls(at, text)


async def stored(at: Setting) -> list[tuple[Limits | None, int, int]]:
    return [(t.limits, t.day, t.calls) for t in await at.store.tokens()]


def test_a_token_without_limits_is_not_counted() -> None:
    async def body(at: Setting) -> None:
        for limits in (None, Limits()):
            record, calls = await limited(at, limits)
            assert record.limits is None
            assert calls.allowance is None
            assert at.tokens.use(record) is None

    run(body)


def test_all_calls_of_a_token_share_one_allowance_and_each_token_has_its_own() -> None:
    async def body(at: Setting) -> None:
        record, calls = await limited(at, LIMITS)
        _, others = await limited(at, LIMITS)
        assert record.limits == LIMITS
        assert calls.allowance is calls.allowance is not others.allowance
        assert calls.call(9) == 5
        assert others.call(9) == 5
        assert at.tokens.use(record) == Use(calls_today=5, in_flight=0)
        assert calls.allowance is not None
        at.clock.advance(DAY)
        assert at.tokens.use(record) == Use(0, 0)
        assert calls.begin(calls.allowance)
        assert at.tokens.use(record) == Use(1, 1)

    run(body)


@pytest.mark.parametrize("limits", [Limits(calls_per_second=0), Limits(math.nan), Limits(in_flight=0)])
def test_a_wrong_limit_is_refused_and_nothing_is_made_or_changed(limits: Limits) -> None:
    async def body(at: Setting) -> None:
        with pytest.raises(InvalidRequest):
            await limited(at, limits)
        assert await at.store.tokens() == []
        record, calls = await limited(at, LIMITS)
        with pytest.raises(InvalidRequest):
            await at.tokens.change("s1", record.id, {"calls_per_second": limits.calls_per_second, "in_flight": 0})
        assert await at.store.tokens() == at.tokens.of("s1") == [record]
        assert calls.allowance is not None
        assert calls.allowance.limits == LIMITS

    run(body)


def test_a_change_holds_for_the_next_call_and_names_only_what_it_changes() -> None:
    async def body(at: Setting) -> None:
        record, calls = await limited(at, LIMITS)
        allowance = calls.allowance
        assert allowance is not None
        assert [calls.begin(allowance) for _ in range(3)] == [True, True, False]
        changed = await at.tokens.change("s1", record.id, {"in_flight": 3, "calls_per_day": None})
        assert changed.limits == Limits(10.0, 3, None)
        assert [t.limits for t in at.tokens.of("s1")] == [t.limits for t in await at.store.tokens()] == [changed.limits]
        assert calls.allowance is allowance  # the calls in flight are still counted
        assert [calls.begin(allowance) for _ in range(2)] == [True, False]
        assert at.tokens.use(changed) == Use(3, 3)
        assert [t.limits for t in (await at.next_process()).tokens.of("s1")] == [changed.limits]

    run(body)


def test_limits_can_be_taken_away_and_given_again_with_what_was_counted() -> None:
    async def body(at: Setting) -> None:
        record, calls = await limited(at, LIMITS)
        allowance = calls.allowance
        assert allowance is not None
        assert calls.begin(allowance)
        free = await at.tokens.change(
            "s1", record.id, {"calls_per_second": None, "in_flight": None, "calls_per_day": None}
        )
        assert free.limits is None
        assert calls.allowance is None
        assert at.tokens.use(free) is None
        allowance.release(1.0)  # of the call that was let in under the limits
        again = await at.tokens.change("s1", record.id, {"calls_per_day": 2})
        assert at.tokens.use(again) == Use(1, 0)
        assert calls.call(3) == 1

    run(body)


def test_a_token_that_gets_its_first_limit_is_counted_from_then_on() -> None:
    async def body(at: Setting) -> None:
        record, calls = await limited(at, None)
        assert calls.call(7) == 7
        await at.tokens.change("s1", record.id, {"calls_per_day": 2})
        assert calls.call(7) == 2

    run(body)


def test_a_change_shows_the_last_use_as_the_list_does() -> None:
    async def body(at: Setting) -> None:
        record, calls = await limited(at, LIMITS)
        assert calls.call() == 1
        changed = await at.tokens.change("s1", record.id, {"in_flight": 3})
        assert changed.last_used_at == at.clock.now()
        assert at.tokens.of("s1") == [changed]

    run(body)


def test_two_changes_at_once_do_not_take_each_other_back() -> None:
    async def body(at: Setting) -> None:
        record, calls = await limited(at, None)
        await asyncio.gather(
            at.tokens.change("s1", record.id, {"in_flight": 3}), at.tokens.change("s1", record.id, {"calls_per_day": 4})
        )
        expected = Limits(in_flight=3, calls_per_day=4)
        assert [t.limits for t in at.tokens.of("s1")] == [t.limits for t in await at.store.tokens()] == [expected]
        assert calls.allowance is not None
        assert calls.allowance.limits == expected

    run(body)


def test_a_change_that_is_not_stored_is_none() -> None:
    async def body(at: Setting) -> None:
        record, calls = await limited(at, LIMITS)
        at.store.fail_writes = "disk full"
        with pytest.raises(StoreError):
            await at.tokens.change("s1", record.id, {"calls_per_day": None})
        assert at.tokens.of("s1") == [record]
        assert calls.call(9) == 5

    run(body)


def test_limits_and_rules_of_a_whole_family_are_one_write() -> None:
    """All of it is there after it, and a write that fails leaves nothing of it, neither here nor in the store."""

    async def body(at: Setting) -> None:
        former, _ = await at.tokens.generate("s1", "u/chat", "laptop", None, LIMITS)
        record, _ = await at.tokens.rotate("s1", "u/chat", former.id, 3600.0)
        before, rules = await at.store.tokens(), (PathRule("/v1/*", ("GET",)),)
        at.store.fail_writes = "disk full"
        with pytest.raises(StoreError):
            await at.tokens.change("s1", record.id, {"in_flight": 1}, rules)
        assert await at.store.tokens() == before
        assert at.tokens.of("s1") == before
        at.store.writes_left = 1
        await at.tokens.change("s1", record.id, {"in_flight": 1}, rules)
        assert at.store.writes_left == 0
        found = [(token.limits and token.limits.in_flight, token.rules) for token in await at.store.tokens()]
        assert found == [(1, ()), (1, rules)]
        at.store.fail_writes = None
        await at.tokens.change("s1", record.id, halves={"methods": ["POST"]})
        assert at.tokens.of("s1")[1].rules == (PathRule("/v1/*", ("POST",)),)

    run(body)


def test_two_halves_that_change_at_once_do_not_take_each_other_back() -> None:
    async def body(at: Setting) -> None:
        record, _ = await limited(at, None)
        await asyncio.gather(
            at.tokens.change("s1", record.id, halves={"methods": ["get"]}),
            at.tokens.change("s1", record.id, halves={"paths": ["/v1/*"]}),
        )
        expected = (PathRule("/v1/*", ("GET",)),)
        assert [t.rules for t in at.tokens.of("s1")] == [t.rules for t in await at.store.tokens()] == [expected]
        for wrong in ({"paths": ["v1"]}, {"methods": ["G T"]}):
            with pytest.raises(InvalidRequest):
                await at.tokens.change("s1", record.id, {"in_flight": 1}, halves=wrong)
        (kept,) = await at.store.tokens()
        assert (kept.limits, kept.rules) == (None, expected)

    run(body)


def test_a_token_that_is_gone_cannot_be_limited() -> None:
    async def body(at: Setting) -> None:
        record, calls = await limited(at, LIMITS)
        for service, id in (("s2", record.id), ("s1", "other")):
            with pytest.raises(NotFound, match="list its tokens"):
                await at.tokens.change(service, id, {"in_flight": 1})
        limiting = asyncio.ensure_future(at.tokens.change("s1", record.id, {"in_flight": 1}))
        await asyncio.sleep(0)
        at.tokens.forget("s1")  # while the change is being stored
        with pytest.raises(NotFound):
            await limiting
        assert at.tokens.known(calls.text) is None
        assert at.tokens.of("s1") == []

    run(body)


class GoneWhenStored(MemoryStore):
    """The service is deleted in the very turn of the loop in which a change has been stored."""

    then: Callable[[], None]

    async def change_tokens(
        self, limits: Mapping[str, Limits | None], rules: Mapping[str, tuple[PathRule, ...]]
    ) -> None:
        await super().change_tokens(limits, rules)
        asyncio.get_running_loop().call_soon(self.then)


def test_a_change_is_made_in_one_step_with_the_last_look() -> None:
    """With anything to wait for in between, a token would outlive its service, and open the next one of that name."""
    store = GoneWhenStored()

    async def body(at: Setting) -> None:
        record, calls = await limited(at, LIMITS)
        store.then = lambda: at.tokens.forget("s1")
        await at.tokens.change("s1", record.id, {"in_flight": 9})
        await asyncio.sleep(0)
        assert at.tokens.known(calls.text) is None
        assert at.tokens.of("s1") == []

    run(body, store)


class SlowRemoval(MemoryStore):
    """Waits with each removal of a token until it may."""

    def __init__(self) -> None:
        super().__init__()
        self.may = asyncio.Event()

    async def remove_token(self, token_id: str) -> None:
        await self.may.wait()
        await super().remove_token(token_id)


def test_a_change_does_not_open_again_what_is_just_being_revoked() -> None:
    store = SlowRemoval()

    async def body(at: Setting) -> None:
        record, calls = await limited(at, LIMITS)
        revoking = asyncio.ensure_future(at.tokens.revoke("s1", record.id))
        await asyncio.sleep(0)
        await at.tokens.change("s1", record.id, {"in_flight": 9})
        assert at.tokens.known(calls.text) is None
        store.may.set()
        await revoking

    run(body, store)


# --- counts in the store -----------------------------------------------------------------------------


def today(at: Setting) -> int:
    return int(at.clock.now() // DAY)


def test_counts_are_stored_within_a_second_and_only_when_there_are_new_ones() -> None:
    async def body(at: Setting) -> None:
        _, calls = await limited(at, LIMITS)
        at.tokens.start()
        assert COUNTS_EVERY < 1.0
        await at.clock.pass_time(5)
        writes = at.store.disk.writes
        assert calls.call(2) == 2
        await at.clock.pass_time(COUNTS_EVERY - 0.01)
        assert await stored(at) == [(LIMITS, 0, 0)]
        await at.clock.pass_time(0.02)
        assert await stored(at) == [(LIMITS, today(at), 2)]
        assert calls.call(9) == 3
        await at.clock.pass_time(COUNTS_EVERY + 0.01)
        assert await stored(at) == [(LIMITS, today(at), 5)]
        assert calls.call(9) == 0  # refused calls are no news
        await at.clock.pass_time(20)
        assert at.store.disk.writes == writes + 2
        await at.tokens.stop()
        assert len(asyncio.all_tasks()) == 1

    run(body)


class SlowCounts(MemoryStore):
    """A write of counts takes until it may end; ``written`` has whose they were."""

    def __init__(self) -> None:
        super().__init__()
        self.may = asyncio.Event()
        self.written: list[set[str]] = []

    async def count_tokens(self, counted: Mapping[str, tuple[int, int]]) -> None:
        self.written.append(set(counted))
        await self.may.wait()
        await super().count_tokens(counted)


def test_a_call_that_comes_while_counts_are_written_is_in_the_next_write() -> None:
    """And what has not changed since is not."""
    store = SlowCounts()

    async def body(at: Setting) -> None:
        first, calls = await limited(at, LIMITS)
        second, others = await limited(at, LIMITS)
        at.tokens.start()
        assert calls.call() == 1
        await at.clock.pass_time(COUNTS_EVERY + 0.01)
        assert store.written == [{first.id}]
        assert others.call() == 1
        store.may.set()
        await at.clock.pass_time(COUNTS_EVERY + 0.01)
        assert store.written == [{first.id}, {second.id}]
        assert await stored(at) == [(LIMITS, today(at), 1)] * 2
        await at.tokens.stop()

    run(body, store)


def test_counts_go_on_over_a_restart_and_begin_anew_with_the_day() -> None:
    async def body(at: Setting) -> None:
        _, calls = await limited(at, LIMITS)
        at.tokens.start()
        assert calls.call(3) == 3
        await at.tokens.stop()  # in order: what is not stored yet is
        after = await at.next_process()
        assert after.tokens.use(after.tokens.of("s1")[0]) == Use(3, 0)
        assert Calls(after, calls.text).call(9) == 2
        await after.tokens.stop()
        next_day = await after.next_process()
        next_day.clock.advance(DAY)
        assert Calls(next_day, calls.text).call(9) == 5

    run(body)


def test_a_count_that_cannot_be_stored_is_stored_later_and_told_once(caplog: pytest.LogCaptureFixture) -> None:
    async def body(at: Setting) -> None:
        _, calls = await limited(at, LIMITS)
        at.tokens.start()
        at.store.fail_writes = "disk full"
        assert calls.call() == 1
        await at.clock.pass_time(5)
        told = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
        assert len(told) == 1
        assert "disk full" in told[0]
        assert calls.text not in caplog.text
        at.store.fail_writes = None
        await at.clock.pass_time(COUNTS_EVERY + 0.01)
        assert await stored(at) == [(LIMITS, today(at), 1)]
        at.store.fail_writes = "disk full"
        assert calls.call() == 1
        await at.tokens.stop()
        assert len(asyncio.all_tasks()) == 1

    run(body)


def test_nothing_is_left_of_a_token_that_is_gone() -> None:
    """Also where a call with it is let in at that moment, which had asked the Hub first."""

    async def body(at: Setting) -> None:
        record, calls = await limited(at, LIMITS)
        _, others = await at.tokens.generate("s2", "u/draw", "", None, LIMITS)
        allowance, other = calls.allowance, Calls(at, others).allowance
        assert allowance is not None
        assert other is not None
        at.tokens.start()
        calls.begin(allowance)
        await at.tokens.revoke("s1", record.id)
        at.tokens.forget("s2")
        calls.begin(other)
        allowance.saved()
        calls.begin(allowance)
        await at.clock.pass_time(COUNTS_EVERY + 0.01)
        await at.tokens.stop()
        kept = vars(at.tokens)["_allowances"]
        assert not vars(kept)["_kept"]
        assert not vars(kept)["_unsaved"]

    run(body)


def test_a_token_is_limited_before_anybody_knows_it() -> None:
    """From what is stored, too: nobody gets a call in between the start and the limits."""

    async def body() -> None:
        store, clock = MemoryStore(), ManualClock()
        await store.add_service(ServiceRecord("s1", "u", "chat", False, True, 1, 1, None, 5.0), REVISION)
        digest = "0" * 64
        await store.add_token(TokenRecord("t1", "s1", "", digest, limits=LIMITS, day=int(clock.now() // DAY), calls=4))
        tokens = EndpointTokens(store, clock, {})
        await tokens.load()
        assert tokens.use(tokens.of("s1")[0]) == Use(4, 0)

    asyncio.run(body())
