"""The clocks that other tests rely on."""

from __future__ import annotations

import asyncio
import time

import pytest

from jupyter_model_service.ports import Clock
from jupyter_model_service.testing import LoopClock, ManualClock, run_in_virtual_time


def test_a_manual_clock_wakes_sleepers_in_order_and_lets_them_sleep_again() -> None:
    clock = ManualClock()
    seen: list[tuple[str, float]] = []

    async def ticks(name: str, every: float) -> None:
        while True:
            await clock.sleep(every)
            seen.append((name, clock.monotonic()))

    async def body() -> None:
        tasks = [asyncio.create_task(ticks("a", 2)), asyncio.create_task(ticks("b", 3))]
        await clock.pass_time(6.5)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await clock.pass_time(10)

    asyncio.run(body())
    assert sorted(seen[-2:]) == [("a", 1006.0), ("b", 1006.0)]
    assert seen[:-2] == [("a", 1002.0), ("b", 1003.0), ("a", 1004.0)]
    assert clock.monotonic() == 1016.5


def test_a_changed_wall_clock_leaves_monotonic_time_alone() -> None:
    clock = ManualClock()
    now, monotonic = clock.now(), clock.monotonic()
    clock.step(-3600)
    assert (clock.now(), clock.monotonic()) == (now - 3600, monotonic)
    with pytest.raises(ValueError):
        clock.advance(-1)


def test_ten_minutes_of_virtual_time_take_no_time() -> None:
    async def body() -> float:
        clock: Clock = LoopClock()
        before = clock.monotonic()
        await asyncio.gather(clock.sleep(600), clock.sleep(300))
        return clock.monotonic() - before

    began = time.monotonic()
    assert run_in_virtual_time(body()) == 600
    assert time.monotonic() - began < 60


def test_virtual_time_waits_for_threads() -> None:
    def work() -> str:
        time.sleep(0.05)
        return "done"

    async def body() -> str:
        return await asyncio.to_thread(work)

    assert run_in_virtual_time(body()) == "done"


def test_a_wait_for_what_never_comes_ends_with_or_without_timers() -> None:
    async def never() -> None:
        await asyncio.Event().wait()

    async def ticks() -> None:
        while True:
            await asyncio.sleep(1)

    with pytest.raises(TimeoutError):
        run_in_virtual_time(never(), patience=0.1)
    with pytest.raises(TimeoutError):
        run_in_virtual_time(ticks(), limit=60)
