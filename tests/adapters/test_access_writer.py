"""The thread that writes the access log: it costs a call nothing, whatever becomes of the file."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from jupyter_model_service.adapters.access_writer import AccessWriter
from jupyter_model_service.adapters.line_file import LineFile

Entries = deque[tuple[Any, ...]]


def entry(number: int) -> tuple[Any, ...]:
    """One call that began now."""
    now = time.monotonic()
    of_service = ("o", "n", 1, "token:t", b"127.0.0.1", b"GET", b"/%d" % number, 200, "", None)
    return (now, now + 0.5, now + 0.25, 0.0, *of_service, 0, 9, "r1", 1, b"id-%d" % number, b"", b"")


def paths(path: Path) -> list[str]:
    return [json.loads(line)["path"] for line in path.read_text().splitlines()]


async def until(condition: Callable[[], Any]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        await asyncio.sleep(0.01)


def test_lines_come_soon_in_order_and_with_the_time_of_the_day(tmp_path: Path) -> None:
    path = tmp_path / "access.log"

    async def body() -> None:
        entries: Entries = deque()
        writer = AccessWriter(entries, LineFile(path))
        writer.start()
        for number in range(1000):
            entries.append(entry(number))
        await until(lambda: path.exists() and len(path.read_text().splitlines()) == 1000)
        assert paths(path) == [f"/{number}" for number in range(1000)]
        first = json.loads(path.read_text().splitlines()[0])
        assert (first["seconds"], first["first_byte_seconds"]) == (0.5, 0.25)
        assert (
            abs(time.time() - time.mktime(time.strptime(first["time"][:19], "%Y-%m-%dT%H:%M:%S")) + time.timezone) < 60
        )
        assert writer.well
        await writer.stop()

    asyncio.run(body())


def test_what_is_there_at_the_end_is_written(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "access.log"

    async def body() -> None:
        entries: Entries = deque()
        writer = AccessWriter(entries, LineFile(path))
        writer.start()
        for number in range(300):
            entries.append(entry(number))
        await writer.stop()
        assert len(paths(path)) == 300
        assert not entries

    asyncio.run(body())
    assert caplog.text == ""


def test_lines_wait_while_they_cannot_be_written_and_it_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "folder" / "access.log"

    async def body() -> None:
        entries: Entries = deque(entry(number) for number in range(200))
        writer = AccessWriter(entries, LineFile(path))
        writer.start()
        await until(lambda: not writer.well)
        await asyncio.sleep(1.5)  # it has been tried again
        path.parent.mkdir()
        await until(lambda: writer.well and path.exists() and len(paths(path)) == 200)
        assert paths(path) == [f"/{number}" for number in range(200)]
        await writer.stop()

    with caplog.at_level(logging.WARNING):
        asyncio.run(body())
    assert [record.getMessage() for record in caplog.records] == [
        f"the access log {path} cannot be written (No such file or directory): calls go on, and it is tried again each "
        "second",
        f"the access log {path} is written again",
    ]


def test_a_folder_that_is_not_there_is_found_at_the_start(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Before anybody called; and a file that can be written is there from then on."""

    async def body() -> None:
        nowhere, path = AccessWriter(deque(), LineFile(tmp_path / "no" / "access.log")), tmp_path / "access.log"
        here = AccessWriter(deque(), LineFile(path))
        nowhere.start()
        here.start()
        await until(lambda: not nowhere.well and path.exists())
        assert (here.well, path.read_text()) == (True, "")
        await nowhere.stop()
        await here.stop()

    asyncio.run(body())
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == [
        f"the access log {tmp_path / 'no' / 'access.log'} cannot be written (No such file or directory)"
    ]


def test_lines_that_found_no_place_until_the_end_are_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def body() -> None:
        entries: Entries = deque(entry(number) for number in range(200))
        writer = AccessWriter(entries, LineFile(tmp_path / "nowhere" / "access.log"))
        writer.start()
        await until(lambda: not writer.well)
        await writer.stop()

    asyncio.run(body())
    assert caplog.records[-1].getMessage().endswith("ends without its last 200 lines")


class Hanging:
    """A file on a server that does not answer."""

    def __init__(self) -> None:
        self.free = threading.Event()
        self.tried = threading.Event()
        self.lines = b""

    def __str__(self) -> str:
        return "/nfs/access.log"

    def write(self, lines: bytes) -> None:
        self.tried.set()
        self.free.wait(60)
        self.lines += lines

    def close(self) -> None: ...


def test_a_disk_that_hangs_holds_up_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """Neither the loop nor the end; after a few seconds it is not held to be well any more."""

    async def body() -> None:
        out = Hanging()
        entries: Entries = deque([entry(1)])
        writer = AccessWriter(entries, out)
        writer.start()
        await until(out.tried.is_set)
        began = time.monotonic()
        for number in range(10_000):
            entries.append(entry(number))
        assert time.monotonic() - began < 2
        assert writer.well
        await until(lambda: not writer.well)
        assert time.monotonic() - began > 4
        began = time.monotonic()
        await writer.stop(patience=0.2)
        assert time.monotonic() - began < 2
        assert caplog.records[-1].getMessage() == "the access log /nfs/access.log ends without its last 10001 lines"
        out.free.set()

    asyncio.run(body())


def test_a_line_that_cannot_be_made_costs_that_line_only(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "access.log"

    async def body() -> None:
        entries: Entries = deque([entry(1), (1, 2, 3), entry(2)])
        writer = AccessWriter(entries, LineFile(path))
        writer.start()
        await writer.stop()
        assert paths(path) == ["/1", "/2"]

    asyncio.run(body())
    assert "a line of the access log cannot be made" in caplog.text


class Watched(deque[tuple[Any, ...]]):
    """Notes when each was taken."""

    def __init__(self, entries: Iterable[tuple[Any, ...]]) -> None:
        super().__init__(entries)
        self.taken: list[float] = []

    def popleft(self) -> tuple[Any, ...]:
        self.taken.append(time.monotonic())
        return super().popleft()


def test_many_lines_are_made_a_few_at_a_time_with_a_pause_for_the_loop(tmp_path: Path) -> None:
    """A thread that only computes is made to give way after 5 ms, which a stream of events would show."""

    async def body() -> None:
        entries = Watched(entry(number) for number in range(3000))
        writer = AccessWriter(entries, LineFile(tmp_path / "access.log"))
        writer.start()
        await writer.stop()
        assert len((tmp_path / "access.log").read_bytes().splitlines()) == 3000
        pauses = [n for n, (before, after) in enumerate(itertools.pairwise(entries.taken)) if after - before >= 0.0004]
        assert max(after - before for before, after in itertools.pairwise([-1, *pauses, 2999])) <= 128

    asyncio.run(body())


class Counted:
    """Counts the lines of each write."""

    def __init__(self) -> None:
        self.writes: list[int] = []

    def write(self, lines: bytes) -> None:
        self.writes.append(lines.count(b"\n"))

    def close(self) -> None: ...


def test_a_thousand_lines_are_one_write() -> None:
    """Each costs four system calls, and for each of those the loop may have to wait."""

    async def body() -> None:
        out = Counted()
        writer = AccessWriter(deque(entry(number) for number in range(3000)), out)
        writer.start()
        await writer.stop()
        assert out.writes == [0, 1024, 1024, 952]  # the first one is the look whether it can be written

    asyncio.run(body())
