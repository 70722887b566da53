"""Owned tasks end, also those to which a cancellation came at a bad moment."""

from __future__ import annotations

import asyncio

from jupyter_model_service.engine.tasks import Tasks


def test_a_task_that_swallowed_its_cancellation_is_ended_all_the_same() -> None:
    """As the ledger's loop when the store was committing: the first cancellation ends the write, not the loop."""

    async def body() -> int:
        rounds = 0

        async def loop() -> None:
            nonlocal rounds
            while True:
                try:
                    await asyncio.sleep(3600)
                except asyncio.CancelledError:
                    rounds += 1
                    if rounds > 1:
                        raise

        tasks = Tasks()
        tasks.start("loop", loop())
        await asyncio.sleep(0)
        await asyncio.wait_for(tasks.close(), 10)
        assert not tasks.running("loop")
        return rounds

    assert asyncio.run(body()) == 2
