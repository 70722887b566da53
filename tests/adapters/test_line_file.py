"""Whole lines in a file that may be moved, filled up or taken away at any time."""

from __future__ import annotations

import logging
import os
import resource
import signal
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from jupyter_model_service.adapters.line_file import LineFile, LineStream


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "access.log"


def test_the_file_is_its_owners_alone_whatever_the_umask_is(path: Path) -> None:
    former = os.umask(0)
    try:
        LineFile(path).write(b"a\n")
    finally:
        os.umask(former)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_that_is_there_is_gone_on_with_and_keeps_its_mode(path: Path) -> None:
    path.write_bytes(b"before\n")
    path.chmod(0o640)
    LineFile(path).write(b"after\n")
    assert path.read_bytes() == b"before\nafter\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


@pytest.mark.parametrize("create", [False, True])
def test_the_next_lines_are_in_a_new_file_when_it_was_moved(path: Path, create: bool) -> None:
    """As logrotate moves it, which may make the new one itself."""
    file = LineFile(path)
    file.write(b"1\n")
    path.rename(path.with_suffix(".1"))
    if create:
        path.touch(0o640)
    file.write(b"2\n")
    file.write(b"3\n")
    assert path.read_bytes() == b"2\n3\n"
    assert path.with_suffix(".1").read_bytes() == b"1\n"


def test_a_file_that_was_cut_or_removed_goes_on(path: Path) -> None:
    """Cut as logrotate's copytruncate does: nothing is written behind a hole."""
    file = LineFile(path)
    file.write(b"1\n")
    os.truncate(path, 0)
    file.write(b"2\n")
    assert path.read_bytes() == b"2\n"
    path.unlink()
    file.write(b"3\n")
    assert path.read_bytes() == b"3\n"


def test_at_its_limit_it_takes_the_place_of_the_former_one(path: Path) -> None:
    file = LineFile(path, 10)
    for number in range(7):
        file.write(b"%d---\n" % number)
    assert path.read_bytes() == b"6---\n"
    assert Path(f"{path}.1").read_bytes() == b"4---\n5---\n"
    file.write(b"more than the limit\n")
    assert path.read_bytes() == b"more than the limit\n", "what is larger than the limit is in a file of its own"


def test_an_empty_file_takes_nobodys_place(path: Path) -> None:
    """The first lines alone are beyond the limit."""
    Path(f"{path}.1").write_bytes(b"former\n")
    LineFile(path, 10).write(b"more than the limit\n")
    assert path.read_bytes() == b"more than the limit\n"
    assert Path(f"{path}.1").read_bytes() == b"former\n"


def test_what_another_gateway_left_counts(path: Path) -> None:
    path.write_bytes(b"12345678\n")
    LineFile(path, 10).write(b"new\n")
    assert path.read_bytes() == b"new\n"


def test_a_file_that_cannot_be_renamed_is_gone_on_with_and_that_is_said_once(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Path(f"{path}.1").mkdir()
    file = LineFile(path, 4)
    for _ in range(3):
        file.write(b"abc\n")
    assert path.read_bytes() == b"abc\n" * 3
    (said,) = [record.getMessage() for record in caplog.records]
    assert f"{path} stays beyond 4 bytes" in said


def test_a_torn_line_of_a_killed_gateway_stays_alone(path: Path) -> None:
    path.write_bytes(b'{"a":1}\n{"b"')
    LineFile(path).write(b"{}\n")
    assert path.read_bytes() == b'{"a":1}\n{"b"\n{}\n'


@pytest.fixture
def small_disk() -> Iterator[int]:
    """No file may be longer than so many bytes: a write beyond it comes to its middle, and the next one fails, as on a
    disk that fills up."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        yield 100
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_of_lines_that_find_no_place_nothing_is_left(path: Path, small_disk: int) -> None:
    """So they can be written again, whole, when there is."""
    file = LineFile(path)
    file.write(b"a" * 59 + b"\n")
    with pytest.raises(OSError, match="File too large"):
        file.write(b"b" * 59 + b"\n")
    assert path.read_bytes() == b"a" * 59 + b"\n"
    path.rename(path.with_suffix(".1"))
    file.write(b"b" * 59 + b"\n")
    assert path.read_bytes() == b"b" * 59 + b"\n"


def test_what_is_no_file_is_not_written_to(path: Path, tmp_path: Path) -> None:
    """A link may lead anywhere, and a pipe without a reader would make the thread wait for ever."""
    (tmp_path / "other").write_bytes(b"mine")
    path.symlink_to(tmp_path / "other")
    with pytest.raises(OSError, match="symbolic links"):
        LineFile(path).write(b"a\n")
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(OSError, match="not a regular file"):
        LineFile(path).write(b"a\n")
    path.unlink()
    path.mkdir()
    with pytest.raises(IsADirectoryError):
        LineFile(path).write(b"a\n")
    assert (tmp_path / "other").read_bytes() == b"mine"


def test_a_file_of_another_kind_is_left_alone(path: Path) -> None:
    """``access_log = "state.db"`` must not cost the database."""
    path.write_bytes(b"SQLite format 3\0")
    with pytest.raises(OSError, match="something else in it"):
        LineFile(path, 4, begins=b"{").write(b"{}\n")
    assert path.read_bytes() == b"SQLite format 3\0"
    path.write_bytes(b'{"a":1}\n')
    LineFile(path, begins=b"{").write(b"{}\n")
    assert path.read_bytes() == b'{"a":1}\n{}\n'


def test_a_file_put_in_place_of_what_was_none_is_written(path: Path) -> None:
    file = LineFile(path / "access.log")
    with pytest.raises(FileNotFoundError):
        file.write(b"a\n")
    path.mkdir()
    file.write(b"a\n")
    assert (path / "access.log").read_bytes() == b"a\n"


def test_it_leaves_no_descriptor_behind(path: Path) -> None:
    def count() -> int:
        return len(os.listdir("/proc/self/fd"))

    before = count()
    file = LineFile(path, 10)
    for number in range(30):
        file.write(b"12345\n")
        if number % 7 == 0:
            path.rename(path.with_suffix(".old"))
    path.unlink(missing_ok=True)
    path.mkdir()
    with pytest.raises(OSError, match="directory"):
        file.write(b"a\n")
    path.rmdir()
    os.mkfifo(path)
    with pytest.raises(OSError, match="not a regular file"):
        file.write(b"a\n")
    file.close()
    assert count() == before


def test_a_model_that_is_started_gets_no_descriptor_of_it(path: Path) -> None:
    file = LineFile(path)
    file.write(b"a\n")
    opened = [fd for fd in map(int, os.listdir("/proc/self/fd")) if _leads_to(fd, path)]
    assert opened
    assert not any(os.get_inheritable(fd) for fd in opened)
    file.close()


def _leads_to(descriptor: int, path: Path) -> bool:
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}") == str(path)
    except OSError:  # of the listing itself
        return False


def test_a_stream_gets_everything_though_a_pipe_takes_little(caplog: pytest.LogCaptureFixture) -> None:
    reading, writing = os.pipe()
    got: list[bytes] = []

    def read() -> None:
        while data := os.read(reading, 1000):
            got.append(data)

    reader = threading.Thread(target=read)
    reader.start()
    stream = LineStream(writing, "on a pipe")
    lines = b"".join(b"%d\n" % number for number in range(100_000))
    with caplog.at_level(logging.ERROR):
        stream.write(lines)
        stream.write(b"last\n")
    os.close(writing)
    reader.join(20)
    os.close(reading)
    assert b"".join(got) == lines + b"last\n"
    assert str(stream) == "on a pipe"


def test_a_stream_goes_on_where_a_write_failed() -> None:
    """A pipe that takes no more now: the rest of the same lines follows, and none twice."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    stream = LineStream(writing, "on a pipe")
    lines = b"".join(b"%06d\n" % number for number in range(30_000))
    got = b""
    for _ in range(30_000):
        try:
            stream.write(lines)
            break
        except BlockingIOError:
            got += os.read(reading, 1 << 16)
    os.close(writing)
    while data := os.read(reading, 1 << 16):
        got += data
    os.close(reading)
    assert got == lines
