"""The audit log is copied in order and whole, over places that are away, restarts and kills."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from jupyter_model_service.adapters.audit_sink import AuditFile, AuditSink, AuditStream, AuditSyslog, Out
from jupyter_model_service.core.audit import AuditQuery, Entry
from jupyter_model_service.core.syslog import Place
from jupyter_model_service.errors import StoreError
from jupyter_model_service.testing.store import MemoryStore


class Log:
    """The store's, with sinks that are told of what is added."""

    def __init__(self, folder: Path, database: str = "db1") -> None:
        self.store = MemoryStore()
        self.folder = folder
        self.database = database
        self.sinks: list[AuditSink] = []
        self.broken = False

    async def find(self, query: AuditQuery) -> Sequence[Entry]:
        if self.broken:
            raise StoreError("cannot be read")
        return await self.store.audit.find(query)

    async def add(self, *who: str) -> None:
        await self.store.audit.add([Entry(5.0, name, "", "scale_service") for name in who])
        for sink in self.sinks:
            sink.wake()

    def copy_to(self, out: Out) -> AuditSink:
        sink = AuditSink(out, self.find, book=self.folder / "book.json", database=self.database)
        self.sinks.append(sink)
        sink.start()
        return sink


def names(path: Path) -> list[str]:
    return [json.loads(line)["who"] for line in path.read_text().splitlines()] if path.exists() else []


async def until(condition: Callable[[], Any]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        await asyncio.sleep(0.01)


def play(scene: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(scene())  # type: ignore[arg-type]


def test_a_new_file_gets_all_that_there_is_and_then_what_comes(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"

    async def scene() -> None:
        log = Log(tmp_path)
        await log.add(*(f"u{n}" for n in range(450)))
        sink = log.copy_to(AuditFile(path))
        await log.add("later")
        await until(lambda: len(names(path)) == 451)
        assert sink.well
        await sink.stop()
        assert names(path) == [*(f"u{n}" for n in range(450)), "later"]
        assert path.stat().st_mode & 0o777 == 0o600

    play(scene)


@pytest.mark.parametrize("book", ["kept", "older", "lost"])
def test_the_next_one_goes_on_where_the_last_one_was_even_if_that_was_killed(tmp_path: Path, book: str) -> None:
    """Between the file and the note of how far it is; what was begun of a line is written again, whole."""
    path = tmp_path / "audit.jsonl"

    async def scene() -> None:
        log = Log(tmp_path)
        await log.add("a", "b")
        await log.copy_to(AuditFile(path)).stop()
        noted = (tmp_path / "book.json").read_text()
        await log.add("c")
        await log.copy_to(AuditFile(path)).stop()
        with path.open("ab") as file:
            file.write(b'{"id":4,"at":5')
        if book == "older":
            (tmp_path / "book.json").write_text(noted)
        elif book == "lost":
            (tmp_path / "book.json").unlink()
        await log.add("d")
        await log.copy_to(AuditFile(path)).stop()
        lines = path.read_bytes().splitlines()
        assert [line[:14] for line in lines[3:]] == [b'{"id":4,"at":5', b'{"id":4,"at":5']
        assert [json.loads(line)["who"] for line in (*lines[:3], lines[4])] == ["a", "b", "c", "d"]

    play(scene)


def test_what_comes_while_a_place_is_away_is_made_up_for(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Said once, and that it is over."""
    path = tmp_path / "away" / "audit.jsonl"

    async def scene() -> None:
        log = Log(tmp_path)
        sink = log.copy_to(AuditFile(path))
        await log.add("a")
        await until(lambda: not sink.well)
        await log.add("b")
        await asyncio.sleep(1.2)
        path.parent.mkdir()
        await until(lambda: names(path) == ["a", "b"])
        await until(lambda: sink.well)
        log.broken = True
        await log.add("c")
        await until(lambda: not sink.well)
        log.broken = False
        await until(lambda: names(path) == ["a", "b", "c"])
        await sink.stop()

    play(scene)
    said = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert len(said) == 2
    assert "No such file or directory" in said[0]


def test_what_nobody_thought_of_is_tried_again_too(tmp_path: Path) -> None:
    """A host that no resolver takes, say, or no thread to be had: it is no OSError, and no end of the copy."""

    class Odd(AuditFile):
        odd = True

        def put(self, entries: Sequence[Entry]) -> int:
            if self.odd:
                raise UnicodeError("label empty or too long")
            return super().put(entries)

    async def scene() -> None:
        log, out = Log(tmp_path), Odd(tmp_path / "audit.jsonl")
        await log.add("ann")
        sink = log.copy_to(out)
        await until(lambda: not sink.well)
        out.odd = False
        await until(lambda: names(tmp_path / "audit.jsonl") == ["ann"])
        await until(lambda: sink.well)
        await sink.stop()

    play(scene)


def test_a_file_that_is_something_else_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    path.write_bytes(b"SQLite format 3\0")

    async def scene() -> None:
        log = Log(tmp_path)
        sink = log.copy_to(AuditFile(path))
        await log.add("a")
        await until(lambda: not sink.well)
        await sink.stop()

    play(scene)
    assert path.read_bytes() == b"SQLite format 3\0"


def test_a_log_that_was_begun_anew_is_copied_from_its_beginning(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"

    async def scene() -> None:
        log = Log(tmp_path)
        await log.add("a", "b", "c")
        await log.copy_to(AuditFile(path)).stop()
        anew = Log(tmp_path, "db2")
        await anew.add("x")
        await anew.copy_to(AuditFile(path)).stop()
        assert names(path) == ["a", "b", "c", "x"]

    play(scene)


def test_syslog_hears_what_comes_and_after_a_restart_what_came_meanwhile(tmp_path: Path) -> None:
    """Each once, in order, also where the socket was away; not what there was before the first time."""
    address = str(tmp_path / "log")

    def listening() -> socket.socket:
        made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        made.bind(address)
        made.settimeout(20)
        return made

    def heard(by: socket.socket) -> str:
        said = by.recv(1 << 16)
        return str(json.loads(said[said.index(b"{") :])["who"])

    async def scene() -> None:
        log = Log(tmp_path)
        await log.add("long ago")
        first = listening()
        sink = log.copy_to(AuditSyslog(Place(path=address)))
        await until(lambda: sink._after is not None)
        await log.add("a", "b")
        assert [await asyncio.to_thread(heard, first) for _ in range(2)] == ["a", "b"]
        first.close()
        Path(address).unlink()
        await log.add("c")
        await until(lambda: not sink.well)
        await sink.stop()
        await log.add("d")
        second = listening()
        again = log.copy_to(AuditSyslog(Place(path=address)))
        assert [await asyncio.to_thread(heard, second) for _ in range(2)] == ["c", "d"]
        await again.stop()
        second.close()

    play(scene)


def test_syslog_of_another_machine(tmp_path: Path) -> None:
    async def scene() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as there:
            there.bind(("127.0.0.1", 0))
            there.settimeout(20)
            log = Log(tmp_path)
            sink = log.copy_to(AuditSyslog(Place(host="127.0.0.1", port=there.getsockname()[1])))
            await until(lambda: sink._after is not None)
            await log.add("a")
            said = await asyncio.to_thread(there.recv, 1 << 16)
            assert said.startswith(b"<85>1 1970-01-01T00:00:05.000000Z ")
            await sink.stop()

    play(scene)


def test_standard_output(tmp_path: Path) -> None:
    path = tmp_path / "out"

    async def scene() -> None:
        with path.open("wb") as file:
            log = Log(tmp_path)
            sink = log.copy_to(AuditStream(file.fileno()))
            await until(lambda: sink._after is not None)
            await log.add("a", "b")
            await sink.stop()
        assert names(path) == ["a", "b"]

    play(scene)
