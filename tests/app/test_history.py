"""Figures of the day outlive the gateway; a file that is no good costs nothing but them."""

from __future__ import annotations

import asyncio
import logging
import os
import stat
import time
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from jupyter_model_service.adapters.history_file import FILE_BYTES, HistoryFile
from jupyter_model_service.app.history import KeptHistories
from jupyter_model_service.engine.history import Histories, Point

NOW = 1_700_000_100.0


def with_figures() -> Histories:
    histories = Histories()
    histories.of("a").add(NOW, Point(2.0, calls=8))
    histories.of("b").add(NOW, Point(2.0, calls=2))
    return histories


def rates(histories: Histories, service: str) -> list[float | None]:
    return histories.of(service).read(NOW).values["calls_per_second"]


def test_they_are_saved_now_and_then_and_at_the_end(tmp_path: Path) -> None:
    file = tmp_path / "history"

    async def body() -> None:
        histories = with_figures()
        kept = KeptHistories(histories, HistoryFile(file), every=0.05)
        kept.start()
        while not file.exists():
            await asyncio.sleep(0.01)
        histories.of("c").add(NOW, Point(2.0, calls=6))
        await kept.stop()
        after = Histories()
        await KeptHistories(after, HistoryFile(file)).load({"a", "c"})
        assert (rates(after, "a"), rates(after, "b"), rates(after, "c")) == ([4.0], [], [3.0])

    asyncio.run(body())
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["history"]


def test_saves_that_take_long_are_seldom(tmp_path: Path) -> None:
    """One of 50 ms is followed by a pause of 5 s, whatever was wished: a hundredth of the time at most."""

    class Slow(HistoryFile):
        writes = 0

        def write(self, pieces: Sequence[bytes]) -> None:
            self.writes += 1
            time.sleep(0.05)

    async def body() -> None:
        slow = Slow(tmp_path / "history")
        kept = KeptHistories(with_figures(), slow, every=0.01)
        kept.start()
        await asyncio.sleep(0.5)  # time for eight of them
        assert slow.writes == 1
        await kept.stop()
        assert slow.writes == 2

    asyncio.run(body())


def test_a_pause_that_is_cut_short_by_the_end_leaves_one_whole_file(tmp_path: Path) -> None:
    """The last save waits for one that a thread is still at: it is the newest that stays."""

    class Slow(HistoryFile):
        writing = 0
        begun = asyncio.Event()

        def write(self, pieces: Sequence[bytes]) -> None:
            assert not self.writing
            self.writing += 1
            loop.call_soon_threadsafe(self.begun.set)
            time.sleep(0.2)
            super().write(pieces)
            self.writing -= 1

    async def body() -> None:
        nonlocal loop
        loop = asyncio.get_running_loop()
        histories, slow = with_figures(), Slow(tmp_path / "history")
        kept = KeptHistories(histories, slow, every=0.01)
        kept.start()
        await slow.begun.wait()
        histories.of("c").add(NOW, Point(2.0, calls=6))
        await kept.stop()
        after = Histories()
        await KeptHistories(after, HistoryFile(tmp_path / "history")).load({"c"})
        assert rates(after, "c") == [3.0]

    loop: Any = None
    asyncio.run(body())


@pytest.mark.parametrize("damage", ["nonsense", "cut", "other", "bomb", "huge", "link", "pipe", "folder", "unreadable"])
def test_what_cannot_be_used_is_passed_over(tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str) -> None:
    """Said once, nothing is taken, and the next save puts a good one in its place where that can be."""
    file = tmp_path / "history"
    good = zlib.compress(with_figures().dump())
    if damage == "link":
        (tmp_path / "real").write_bytes(good)
        file.symlink_to(tmp_path / "real")
    elif damage == "pipe":
        os.mkfifo(file)
    elif damage == "folder":
        file.mkdir()
    elif damage == "huge":
        with open(file, "wb") as writing:
            writing.truncate(FILE_BYTES + 1)
    elif damage == "unreadable":
        file.write_bytes(good)
        file.chmod(0)
        if os.access(file, os.R_OK):
            pytest.skip("needs a user who is not root")
    else:
        whole = {
            "nonsense": b"nonsense",
            "cut": good[:-5],
            "other": zlib.compress(b'{"format": 9, "order": "little"}\n'),
            "bomb": zlib.compress(with_figures().dump() + b"\0" * (1 << 20)),
        }
        file.write_bytes(whole[damage])

    if damage != "other":  # that one is refused by who knows what it means
        assert HistoryFile(file, most=1 << 20).read() is None
        caplog.clear()

    async def body() -> None:
        histories = with_figures()
        with caplog.at_level(logging.WARNING):
            kept = KeptHistories(histories, HistoryFile(file, most=1 << 20))
            await kept.load({"a", "b", "old"})
        assert len([each for each in caplog.messages if "the figures in" in each]) == 1
        assert rates(histories, "a") == [4.0]
        await kept.stop()
        if damage != "folder":
            after = Histories()
            await KeptHistories(after, HistoryFile(file)).load({"a"})
            assert rates(after, "a") == [4.0]

    asyncio.run(body())
    assert not (tmp_path / "history.new").exists()


def test_no_file_is_nothing_to_tell_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    asyncio.run(KeptHistories(Histories(), HistoryFile(tmp_path / "history")).load({"a"}))
    assert caplog.messages == []


def test_a_folder_that_cannot_be_written_is_told_of_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = HistoryFile(tmp_path / "nowhere" / "history")
    for _ in range(3):
        file.write([b"x"])
    assert len(caplog.messages) == 1


def test_the_pictures_of_a_service_go_on_after_a_restart_of_the_gateway(gateways: Any, model: Path) -> None:
    first = gateways.start("--keep")
    view = first.deploy(model, name="echo")
    where = f"api/v1/services/{view['owner']}/echo/series"

    def wanted(gateway: Any) -> dict[float, float]:
        found = gateway.call("GET", where)
        return {at: n for at, n in zip(found["times"], found["values"]["replicas_ready"], strict=True) if n}

    before = gateways.until(lambda: wanted(first))
    first.process.terminate()
    assert first.end() == 0
    second = gateways.start("--keep")
    second.ready("echo", view["owner"])
    assert min(wanted(second)) == min(before)
