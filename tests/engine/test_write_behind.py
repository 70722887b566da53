"""Counts are stored a little later, whatever goes wrong in between."""

from __future__ import annotations

import asyncio

import pytest

from jupyter_model_service.engine.write_behind import WriteBehind
from jupyter_model_service.testing import ManualClock


@pytest.mark.parametrize("wrong", [KeyError("of a row"), OSError("of a disk")])
def test_what_could_not_be_stored_is_tried_again_whatever_was_wrong(
    wrong: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    """And told once, not each second."""

    async def scene() -> None:
        clock, tries, stored = ManualClock(), 0, asyncio.Event()

        async def write() -> None:
            nonlocal tries
            tries += 1
            if tries < 4:
                raise wrong
            stored.set()

        behind = WriteBehind("counts", write, clock, 1.0)
        behind.start()
        behind.counted()
        while not stored.is_set():
            clock.advance(1.0)
            await asyncio.sleep(0)
        await behind.stop()

    asyncio.run(asyncio.wait_for(scene(), 20))
    assert [record.message for record in caplog.records] == [f"The counts could not be stored, trying again: {wrong}"]


def test_an_end_that_cannot_store_is_an_end(caplog: pytest.LogCaptureFixture) -> None:
    async def scene() -> None:
        async def write() -> None:
            raise KeyError("of a row")

        behind = WriteBehind("counts", write, ManualClock(), 1.0)
        behind.start()
        await behind.stop()

    asyncio.run(asyncio.wait_for(scene(), 20))
    assert "The counts could not be stored" in caplog.text
