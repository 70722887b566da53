"""Who called what how often: counted by day, stored soon, once, and for 400 days; bounded, and by whoever it was."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from jupyter_model_service.core.access import Caller
from jupyter_model_service.core.limits import DAY, Limits
from jupyter_model_service.core.sharing import Person
from jupyter_model_service.engine import uses as uses_module
from jupyter_model_service.engine.uses import KEPT, LOOK_EVERY, Uses
from jupyter_model_service.engine.write_behind import COUNTS_EVERY
from jupyter_model_service.ports import UseRecord
from jupyter_model_service.testing import ManualClock, MemoryStore

from .test_tokens import REVISION, service

LIMITS = Limits(calls_per_day=2)


class Setting:
    def __init__(self, store: MemoryStore | None = None, clock: ManualClock | None = None) -> None:
        self.store = store or MemoryStore()
        self.clock = clock or ManualClock()
        self.uses = Uses(self.store, self.clock)

    @property
    def day(self) -> int:
        return int(self.clock.now() // DAY)

    async def next_process(self) -> Setting:
        after = Setting(self.store.reopened(), self.clock)
        await after.uses.load()
        return after

    async def stored(self) -> dict[tuple[str, str], tuple[int, int]]:
        """Of today: calls and refused ones by who and when made."""
        records = await self.store.access.uses("s1", self.day)
        return {(record.who, record.made): (record.calls, record.refused) for record in records}

    def capped(self, person: Person) -> bool:
        """A call by whoever has a share with a limit, as the front makes it; whether it gets in."""
        allowance = self.uses.allowance("s1", person, LIMITS, "by alice for the group ds")
        tally = self.uses.of(caller(person), "s1")
        if allowance.admit(int(self.clock.monotonic() * 1e9), self.clock.now()) is not None:
            tally.refuse()
            return False
        tally.let_in()
        allowance.release(0.1)
        return True


def caller(person: Person) -> Caller:
    return Caller(person.owner, person=person)


def bob(made: str | None = "then") -> Person:
    return Person("Bob", "bob", made=made)


def run(body: Callable[[Setting], Coroutine[Any, Any, None]]) -> None:
    async def whole() -> None:
        at = Setting()
        for id, name in (("s1", "chat"), ("s2", "draw")):
            await at.store.add_service(service(id, name), REVISION)
        await at.uses.load()
        await body(at)

    asyncio.run(whole())


def test_each_is_counted_for_herself_and_refused_calls_apart() -> None:
    """By the Hub's name and when she was made; whoever is no person by name; calls by nobody together."""

    async def body(at: Setting) -> None:
        uses = at.uses
        for who, service_id in ((caller(bob()), "s1"), (caller(bob("later")), "s1"), (caller(bob()), "s2")):
            uses.of(who, service_id).let_in()
        uses.of(caller(bob()), "s1").refuse()
        uses.of(Caller("service:grader"), "s1").let_in()
        uses.of(Caller("ada"), "s1").let_in()
        uses.anyone("s1").let_in()
        uses.token("s1", "t7").let_in()
        assert uses.today() == {"s1": 6, "s2": 1}
        await uses.flush()
        assert await at.stored() == {
            ("user:Bob", "then"): (1, 1),
            ("user:Bob", "later"): (1, 0),
            ("user:ada", ""): (1, 0),
            ("service:grader", ""): (1, 0),
            ("anyone", ""): (1, 0),
            ("token:t7", ""): (1, 0),
        }
        assert uses.token_today("s1", "t7") == 1
        assert uses.token_today("s2", "t7") == 0
        assert uses.person_today("s1", "Bob", "then") == (1, at.clock.now())
        assert uses.person_today("s1", "Bob", None) == (0, None)

    run(body)


def test_counts_are_stored_within_a_second_and_added_up_over_restarts() -> None:
    async def body(at: Setting) -> None:
        token = at.uses.token("s1", "t7")
        at.uses.start()
        at.uses.start()  # once, not twice
        token.let_in()
        await at.clock.pass_time(0.99)
        assert await at.stored() == {("token:t7", ""): (1, 0)}
        before = at.store.disk.writes
        await at.clock.pass_time(30.0)
        assert at.store.disk.writes == before, "nobody called"
        token.let_in()
        await at.uses.stop()
        assert len(asyncio.all_tasks()) == 1
        assert await at.stored() == {("token:t7", ""): (2, 0)}
        after = await at.next_process()
        assert after.uses.token_today("s1", "t7") == 2
        after.uses.token("s1", "t7").let_in()
        assert after.uses.today() == {"s1": 3}
        await after.uses.flush()
        assert await after.stored() == {("token:t7", ""): (3, 0)}

    run(body)


def test_what_could_not_be_stored_is_stored_later_and_said_once(caplog: pytest.LogCaptureFixture) -> None:
    async def body(at: Setting) -> None:
        at.uses.start()
        at.store.fail_writes = "disk full"
        at.uses.anyone("s1").let_in()
        await at.clock.pass_time(10 * COUNTS_EVERY)
        assert [record.levelno for record in caplog.records] == [logging.WARNING]
        at.uses.anyone("s1").refuse()
        assert await at.uses.since("s1", at.day, 10) == [], "what is stored can be read"
        assert at.uses.today() == {"s1": 1}
        at.store.fail_writes = None
        await at.uses.stop()
        assert await at.stored() == {("anyone", ""): (1, 1)}

    run(body)


def test_a_new_day_begins_at_nothing_and_the_former_stays_readable() -> None:
    async def body(at: Setting) -> None:
        token, first = at.uses.token("s1", "t7"), at.day
        at.uses.start()
        token.let_in()
        at.uses.of(caller(bob()), "s1").let_in()
        await at.clock.pass_time(1.0)
        at.clock.advance(DAY)
        await at.clock.pass_time(LOOK_EVERY)
        assert at.uses.today() == {}
        token.let_in()
        assert at.uses.token_today("s1", "t7") == 1, "a token keeps its tally"
        await at.uses.stop()
        found = await at.uses.since("s1", 0, 10)
        assert [(use.day, use.who, use.calls) for use in found] == [
            (first, "token:t7", 1),
            (first, "user:Bob", 1),
            (first + 1, "token:t7", 1),
        ]
        assert [use.day for use in await at.uses.since("s1", 0, 2)] == [first, first + 1], "the newest"
        assert len(await at.uses.since("s1", first + 1, 10)) == 1

    run(body)


def test_what_is_older_than_400_days_is_forgotten_at_a_start_and_each_day() -> None:
    async def body(at: Setting) -> None:
        days = [at.day - KEPT - 1, at.day - KEPT, at.day - KEPT + 1]
        await at.store.access.add_uses([UseRecord("s1", "anyone", day, 1) for day in days])
        after = await at.next_process()
        assert [use.day for use in await after.uses.since("s1", 0, 10)] == days[1:]
        after.uses.start()
        at.clock.advance(DAY)
        await at.clock.pass_time(LOOK_EVERY)
        await at.clock.pass_time(0)
        assert [use.day for use in await after.uses.since("s1", 0, 10)] == days[2:]
        await after.uses.stop()

    run(body)


def test_of_more_people_than_are_told_apart_the_others_are_counted_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whom a share limits is counted for herself: her limit holds over a restart. The next day others have the places,
    and another service has its own."""
    monkeypatch.setattr(uses_module, "MOST_PEOPLE", 3)

    async def body(at: Setting) -> None:
        people = [Person(f"p{number}", f"p{number}", made="m") for number in range(5)]
        for person in people:
            at.uses.of(caller(person), "s1").let_in()
        at.uses.of(caller(people[4]), "s2").let_in()
        assert [at.capped(bob()) for _ in range(3)] == [True, True, False]
        await at.uses.flush()
        told = {("user:p0", "m"): (1, 0), ("user:p1", "m"): (1, 0), ("user:p2", "m"): (1, 0)}
        assert await at.stored() == {**told, ("user:Bob", "then"): (2, 1), ("others", ""): (2, 0)}
        after = await at.next_process()
        assert not after.capped(bob())
        after.uses.of(caller(people[3]), "s1").let_in()
        await after.uses.flush()
        assert (await after.stored())["others", ""] == (3, 0), "also after a restart"
        after.uses.start()
        at.clock.advance(DAY)
        await at.clock.pass_time(LOOK_EVERY)
        after.uses.of(caller(people[4]), "s1").let_in()
        assert after.capped(bob())
        await after.uses.stop()
        assert await after.stored() == {("user:p4", "m"): (1, 0), ("user:Bob", "then"): (1, 0)}

    run(body)


def test_whoever_is_made_anew_has_calls_of_her_own_and_the_former_ones_stay_counted() -> None:
    async def body(at: Setting) -> None:
        assert [at.capped(bob()) for _ in range(3)] == [True, True, False]
        assert [at.capped(bob("anew")) for _ in range(3)] == [True, True, False]
        await at.uses.flush()
        after = await at.next_process()
        assert [after.capped(each) for each in (bob(), bob("anew"), bob("once more"))] == [False, False, True]

    run(body)


def test_what_she_called_before_she_was_limited_counts() -> None:
    async def body(at: Setting) -> None:
        at.uses.of(caller(bob()), "s1").let_in()
        assert [at.capped(bob()) for _ in range(2)] == [True, False]

    run(body)


@pytest.mark.parametrize("how", ["cannot be stored", "is being stored"])
def test_a_count_that_is_not_stored_yet_is_still_there_when_others_of_the_day_before_are_forgotten(how: str) -> None:
    """Who called yesterday, and today again: what was counted today stays hers."""

    async def body(at: Setting) -> None:
        stored, add = asyncio.Event(), at.store.access.add_uses

        async def held(records: Any) -> None:
            await stored.wait()
            await add(records)

        at.uses.start()
        at.uses.of(caller(bob()), "s1").let_in()
        await at.clock.pass_time(1.0)
        at.clock.advance(DAY)
        if how == "cannot be stored":
            at.store.fail_writes = "disk full"
        else:
            at.store.access.add_uses = held  # type: ignore[method-assign]
        at.uses.of(caller(bob()), "s1").let_in()
        await at.clock.pass_time(LOOK_EVERY)
        at.store.fail_writes = None
        stored.set()
        await at.clock.pass_time(10 * COUNTS_EVERY)
        assert at.uses.person_today("s1", "Bob", "then")[0] == 1
        assert [at.capped(bob()) for _ in range(2)] == [True, False]
        await at.uses.stop()
        assert await at.stored() == {("user:Bob", "then"): (2, 1)}

    run(body)
