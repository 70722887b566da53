"""What counts as damage in a write-ahead log, on logs written here by the letter of SQLite's description."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from jupyter_model_service.adapters.store_wal import wal_damage

SALTS = (0x1234, 0xABCD)
PAGE = 512

Sums = tuple[int, int]


def add(data: bytes, sums: Sums, order: str) -> Sums:
    """The checksum as SQLite describes it, word for word."""
    a, b = sums
    words = struct.unpack(f"{order}{len(data) // 4}I", data)
    for x, y in zip(words[::2], words[1::2], strict=True):
        a = (a + x + b) & 0xFFFFFFFF
        b = (b + y + a) & 0xFFFFFFFF
    return a, b


class Log:
    """``frame`` continues the checksum of the frame before it, as a writer does."""

    def __init__(self, order: str = "<", page: int = PAGE) -> None:
        self.order, self.page = order, page
        head = struct.pack(">6I", 0x377F0682 + (order == ">"), 3007000, page, 0, *SALTS)
        self.sums = add(head, (0, 0), order)
        self.header = head + struct.pack(">2I", *self.sums)
        self.frames: list[bytes] = []

    def frame(self, commit: bool = False, salts: tuple[int, int] = SALTS) -> Log:
        head = struct.pack(">2I", len(self.frames) + 1, 9 if commit else 0)
        body = bytes((len(self.frames) + n) % 251 for n in range(self.page))
        self.sums = add(body, add(head, self.sums, self.order), self.order)
        self.frames.append(head + struct.pack(">4I", *salts, *self.sums) + body)
        return self

    def left_over(self) -> Log:
        """What follows was written after other frames, which are overwritten now."""
        self.sums = (self.sums[0] ^ 0x55, self.sums[1])
        return self

    def damage(self, frame: int, place: int = 100) -> Log:
        content = bytearray(self.frames[frame])
        content[place] ^= 1
        self.frames[frame] = bytes(content)
        return self

    def written(self, folder: Path) -> Path:
        path = folder / "log"
        path.write_bytes(self.header + b"".join(self.frames))
        return path


def transactions(count: int, log: Log | None = None) -> Log:
    """Of three frames each."""
    log = log or Log()
    for _ in range(count):
        log.frame().frame().frame(commit=True)
    return log


@given(order=st.sampled_from("<>"), page=st.sampled_from([512, 1024, 4096, 65536 // 2]), count=st.integers(0, 3))
def test_a_sound_log_is_sound(tmp_path_factory: pytest.TempPathFactory, order: str, page: int, count: int) -> None:
    log = transactions(count, Log(order, page))
    assert wal_damage(log.written(tmp_path_factory.getbasetemp())) is None


@given(frame=st.integers(0, 5), place=st.integers(0, PAGE + 23))
def test_one_bit_before_the_last_transaction_is_damage(
    tmp_path_factory: pytest.TempPathFactory, frame: int, place: int
) -> None:
    """Three transactions, of which the first two are hit: at least two acknowledged ones would be lost.

    Not noticed: salts (bytes 8 to 15) of the last but one commit, which make it look like a frame of an older log.
    """
    assume(not (frame == 5 and 8 <= place < 16))
    assert wal_damage(transactions(3).damage(frame, place).written(tmp_path_factory.getbasetemp())) is not None


@pytest.mark.parametrize("frame", [6, 7, 8])
def test_the_last_transaction_may_be_half_there(tmp_path: Path, frame: int) -> None:
    """After a power failure its frames may have reached the disk in any order."""
    assert wal_damage(transactions(3).damage(frame).written(tmp_path)) is None


def test_frames_of_the_time_before_are_no_damage(tmp_path: Path) -> None:
    log = transactions(1)
    for _ in range(5):
        log.left_over().frame(salts=(1, 2)).frame(commit=True, salts=(1, 2))
    assert wal_damage(log.written(tmp_path)) is None


def test_commits_that_failed_again_and_again_are_no_damage(tmp_path: Path) -> None:
    """On a full disk each try begins at the same place: the longer ones stand out behind the shorter ones."""
    log = transactions(1)
    for _ in range(4):
        log.left_over().frame().frame(commit=True)
    assert wal_damage(log.written(tmp_path)) is None


def test_a_hole_in_the_middle_is_damage(tmp_path: Path) -> None:
    log = transactions(6)
    for frame in range(1, 8):
        log.frames[frame] = bytes(len(log.frames[frame]))
    assert wal_damage(log.written(tmp_path)) is not None


@pytest.mark.parametrize("size", [0, 1, 31, 32, 55])
def test_a_log_without_a_frame_holds_nothing(tmp_path: Path, size: int) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"\xff" * size)
    assert wal_damage(path) is None
    assert wal_damage(tmp_path / "nothing") is None
