"""The audit log: written before it is answered, never changed, and nothing is changed that it could not tell of."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from jupyter_model_service.adapters.store import SqlStore
from jupyter_model_service.core.audit import GATEWAY, AuditQuery, Entry
from jupyter_model_service.engine.audit import INTERRUPTED, KEPT, PATIENCE, Audit
from jupyter_model_service.engine.ledger import Ledger
from jupyter_model_service.engine.tasks import Tasks
from jupyter_model_service.errors import NoSpace, Overloaded, StoreError
from jupyter_model_service.testing.clock import EPOCH, ManualClock
from jupyter_model_service.testing.store import MemoryStore

ALL = AuditQuery(limit=KEPT * 2)


def entry(n: int = 0, **given: Any) -> Entry:
    usual: dict[str, Any] = {"at": EPOCH, "who": "ann", "address": "10.0.0.1", "action": "scale_service"}
    return Entry(**{**usual, "target": f"ann/s{n}", **given})


class Begun:
    """Implements ``ports.Begun``; outlives a gateway."""

    def __init__(self) -> None:
        self.kept: dict[str, Entry] = {}
        self.fails: StoreError | None = None

    async def add(self, entry: Entry) -> str:
        if self.fails is not None:
            raise self.fails
        self.kept[f"k{len(self.kept)}"] = entry
        return f"k{len(self.kept) - 1}"

    async def remove(self, key: str) -> None:
        self.kept.pop(key, None)

    async def left(self) -> Sequence[tuple[str, Entry]]:
        return list(self.kept.items())


class Bench:
    def __init__(self, kept: float | None = None) -> None:
        self.store = MemoryStore()
        self.begun = Begun()
        self.clock = ManualClock()
        ledger = Ledger(self.store, self.clock, 5.0, lambda: None)
        self.audit = Audit(self.store, self.clock, ledger, kept=kept, retry=5.0, begun=self.begun)
        self.tasks = Tasks()

    async def found(self) -> list[Entry]:
        return list(await self.store.audit.find(ALL))


def play(scene: Callable[[Bench], Awaitable[None]], kept: float | None = None) -> None:
    async def main() -> None:
        bench = Bench(kept)
        bench.audit.start(bench.tasks)
        try:
            await scene(bench)
        finally:
            await bench.tasks.close()

    asyncio.run(main())


def test_what_was_noted_is_there_when_that_returns() -> None:
    async def scene(bench: Bench) -> None:
        heard: list[Entry] = []
        bench.audit.tell = heard.append
        await asyncio.gather(*(bench.audit.note(entry(n)) for n in range(20)))
        assert [each.target for each in await bench.found()] == [f"ann/s{n}" for n in range(20)]
        assert len(heard) == 20

    play(scene)


def test_nothing_is_changed_while_it_cannot_be_written_and_what_was_done_is_written_later() -> None:
    """The one action that found it out is told so, and its entry is not lost."""

    async def scene(bench: Bench) -> None:
        await bench.audit.check()
        bench.store.fail_writes = "no space left"
        with pytest.raises(Overloaded, match="was done, but could not be written down"):
            await bench.audit.note(entry(1))
        with pytest.raises(Overloaded, match="Nothing is changed while") as refused:
            await bench.audit.check()
        assert (refused.value.status, refused.value.code) == (503, "store")
        assert "full" not in str(refused.value)
        bench.store.room = lambda: False
        with pytest.raises(Overloaded, match="cannot be written, because the disk is full; try again later"):
            await bench.audit.check()
        bench.store.room = lambda: True
        bench.audit.denied(entry(2, status=403))
        bench.store.fail_writes = None
        await bench.audit.check()
        assert [each.target for each in await bench.found()] == ["ann/s1"]
        assert await bench.audit.flush()
        assert [each.target for each in await bench.found()] == ["ann/s1", "ann/s2"]

    play(scene)


def test_what_is_begun_is_noted_until_its_entry_is_written() -> None:
    """Where that cannot be noted, it is not begun."""

    async def scene(bench: Bench) -> None:
        key = await bench.audit.begin(entry(1, status=0))
        assert [each.target for each in bench.begun.kept.values()] == ["ann/s1"]
        bench.store.fail_writes = "no space left"
        with pytest.raises(Overloaded):
            await bench.audit.note(entry(1), key)
        assert len(bench.begun.kept) == 1
        bench.store.fail_writes = None
        await bench.clock.pass_time(10.0)
        assert bench.begun.kept == {}
        bench.begun.fails = NoSpace("no space left")
        with pytest.raises(Overloaded, match=r"Nothing is changed while .* because the disk is full") as refused:
            await bench.audit.begin(entry(2, status=0))
        assert (refused.value.status, refused.value.code) == (503, "store")
        assert await bench.audit.begin(entry(3, status=0), makes_room=True) == ""
        bench.begun.fails = StoreError("something else")
        with pytest.raises(Overloaded):
            await bench.audit.begin(entry(3, status=0), makes_room=True)

    play(scene)


def test_what_a_gateway_had_begun_that_was_killed_is_written_down_by_the_next_one() -> None:
    """Once, and not what it had come to note. ``became`` says what there is of it."""

    async def scene(bench: Bench) -> None:
        first = await bench.audit.begin(entry(1, status=0, request_id="r1"))
        noted = await bench.audit.begin(entry(2, status=0, request_id="r2"))
        await bench.audit.note(entry(2, request_id="r2"))
        assert {first, noted} == set(bench.begun.kept)  # killed before the second was removed
        bench.clock.advance(60.0)
        for _ in range(2):
            ledger = Ledger(bench.store, bench.clock, 5.0, lambda: None)
            following = Audit(bench.store, bench.clock, ledger, kept=None, retry=5.0, begun=bench.begun)
            await following.settle(lambda begun: replace(begun, after={"replicas": 7}))
            assert bench.begun.kept == {}
        found = await bench.found()
        assert [(each.target, each.status, each.code, each.at) for each in found] == [
            ("ann/s2", 200, "", EPOCH),
            ("ann/s1", 500, INTERRUPTED, EPOCH),
        ]
        assert found[1].after == {"replicas": 7}

    play(scene)


def test_what_the_gateway_does_by_itself_is_written_soon() -> None:
    async def scene(bench: Bench) -> None:
        bench.audit.own("stop_service", "ann/s1", after={"why": "idle"})
        await bench.clock.pass_time(0.0)
        (found,) = await bench.found()
        assert (found.who, found.action, found.target, found.status) == (GATEWAY, "stop_service", "ann/s1", 200)

    play(scene)


def test_it_is_tried_again_without_anybody_asking() -> None:
    async def scene(bench: Bench) -> None:
        bench.store.fail_writes = "no space left"
        with pytest.raises(Overloaded):
            await bench.audit.note(entry())
        bench.store.fail_writes = None
        await bench.clock.pass_time(10.0)
        assert len(await bench.found()) == 1

    play(scene)


def test_denials_are_written_together_within_a_minute_and_do_not_fill_the_memory() -> None:
    """What was done is never dropped for what was denied."""

    async def scene(bench: Bench) -> None:
        for _ in range(1000):
            bench.audit.denied(entry(status=404))
        assert await bench.found() == []
        await bench.clock.pass_time(PATIENCE + 1)
        assert [each.count for each in await bench.found()] == [1000]
        bench.store.fail_writes = "no space left"
        with pytest.raises(Overloaded):
            await bench.audit.note(entry(7))
        for n in range(KEPT + 500):
            bench.audit.denied(entry(address=f"10.1.{n >> 8}.{n & 255}", status=401))
        bench.clock.advance(PATIENCE + 1)
        await bench.clock.pass_time(PATIENCE + 1)
        assert len(bench.audit._waiting) <= KEPT
        bench.store.fail_writes = None
        await bench.clock.pass_time(30.0)
        assert (await bench.found())[1].target == "ann/s7"

    play(scene)


def test_what_is_too_old_is_forgotten_and_nothing_else() -> None:
    async def scene(bench: Bench) -> None:
        await bench.audit.note(entry(1, at=EPOCH - 1000.0))
        await bench.audit.note(entry(2, at=EPOCH + 3590.0))
        await bench.clock.pass_time(3700.0)
        assert [each.target for each in await bench.found()] == ["ann/s2"]

    play(scene, kept=500.0)


def test_one_entry_that_no_database_takes_does_not_hold_up_the_others(tmp_path: Path) -> None:
    """What is no JSON would be refused, for ever. And what is written, SQLite itself keeps."""

    async def main() -> None:
        store = await SqlStore.open(tmp_path / "state.db")
        clock = ManualClock()
        audit = Audit(store, clock, Ledger(store, clock, 5.0, lambda: None), kept=None, retry=5.0)
        await audit.note(entry(who="\ud800", after={"x": {1, 2}}))
        await audit.note(entry(2))
        assert len(await store.audit.find(ALL)) == 2
        await store.close()

    asyncio.run(main())
    with closing(sqlite3.connect(tmp_path / "state.db")) as database:
        for change in ("UPDATE audit SET who = 'nobody'", "DELETE FROM audit"):
            with pytest.raises(sqlite3.IntegrityError, match="the audit log is"):
                database.execute(change)
