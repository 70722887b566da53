"""Whose turn it is to have something long read."""

from __future__ import annotations

import asyncio

from jupyter_model_service.engine.reading import Reading


def test_one_reads_at_a_time_and_nobody_waits_for_all_that_another_wants() -> None:
    """Of alice's twenty one may come before bob's, and the one that is being read."""
    order: list[str] = []
    now = 0

    async def main() -> None:
        reading = Reading()

        async def read(whose: str) -> None:
            nonlocal now
            async with reading.turn(whose):
                now += 1
                assert now == 1
                await asyncio.sleep(0)
                order.append(whose)
                now -= 1

        waiting = [asyncio.create_task(read("alice")) for _ in range(20)]
        await asyncio.sleep(0)
        await asyncio.gather(*waiting, read("bob"))

    asyncio.run(main())
    assert order.index("bob") <= 2
    assert len(order) == 21


def test_who_leaves_while_she_waits_holds_nobody_up() -> None:
    async def main() -> None:
        reading = Reading()

        async def read(whose: str) -> None:
            async with reading.turn(whose):
                await asyncio.sleep(0.01)

        first = [asyncio.create_task(read("alice")) for _ in range(3)]
        await asyncio.sleep(0)
        for each in first:
            each.cancel()
        await asyncio.wait_for(asyncio.gather(read("alice"), read("bob")), 5)

    asyncio.run(main())
