"""How ends are told."""

from __future__ import annotations

import pytest

from jupyter_model_service.core.reports import Exit
from jupyter_model_service.core.sentences import counted, duration, in_about, in_bytes, last_line, told


@pytest.mark.parametrize(
    ("exit", "was_ready", "expected"),
    [
        (
            Exit("serve", code=1, tail=("Traceback", "ModuleNotFoundError: No module named 'x'", "  ", "")),
            False,
            "exited with code 1 while loading: ModuleNotFoundError: No module named 'x'",
        ),
        (
            Exit("serve", signal="SIGKILL", oom=True),
            True,
            "was killed by SIGKILL (out of memory) after it had been ready",
        ),
        (Exit("serve", signal="SIGSEGV"), False, "was killed by SIGSEGV while loading"),
        (Exit("serve", code=0), True, "exited with code 0 after it had been ready"),
        (
            Exit("prepare", code=1, action=2, tail=("no such index",)),
            False,
            "exited with code 1 in pre-start action 2: no such index",
        ),
        (
            Exit("serve", code=127, message="there is no uvicorn", tail=("x",)),
            False,
            "exited with code 127 while loading: there is no uvicorn",
        ),
        (
            Exit("prepare", message="the environment cannot be made: disk full"),
            False,
            "ended before the pre-start actions: the environment cannot be made: disk full",
        ),
        (
            Exit("serve", code=1, message="the start command ended with exit status 1", tail=("KeyError: 'x'",)),
            False,
            "exited with code 1 while loading: KeyError: 'x'",
        ),
        (
            Exit("serve", signal="SIGKILL", message="the start command was ended by SIGKILL", tail=("GET /health",)),
            True,
            "was killed by SIGKILL after it had been ready",
        ),
        (
            Exit("serve", signal="SIGABRT", tail=("assertion failed",)),
            True,
            "was killed by SIGABRT after it had been ready: assertion failed",
        ),
    ],
)
def test_an_end_is_told_in_one_clause(exit: Exit, was_ready: bool, expected: str) -> None:
    assert told(exit, was_ready=was_ready) == expected


def test_a_flood_of_a_line_is_cut() -> None:
    assert len(last_line(["x" * 100_000])) == 300
    assert last_line(["a", "  two\twords  ", "\n"]) == "two words"
    assert last_line([]) == ""


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0.04, "0 s"),
        (0.44, "0.4 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (60, "1 min"),
        (185, "3 min 5 s"),
        (7860, "2 h 11 min"),
        (7200, "2 h"),
        (-1, "0 s"),
    ],
)
def test_durations_are_for_people(seconds: float, expected: str) -> None:
    assert duration(seconds) == expected


def test_the_action_that_failed_is_named() -> None:
    exit = Exit("prepare", code=1, action=2, tail=("no such index",))
    expected = "exited with code 1 in pre-start action 2 (run_command pip install x): no such index"
    assert told(exit, was_ready=False, label="run_command pip install x") == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (-1.0, "now"),
        (0.49, "now"),
        (0.5, "in about 1 s"),
        (0.9, "in about 1 s"),
        (1.9, "in about 2 s"),
        (59.7, "in about 1 min"),
    ],
)
def test_a_wait_is_told_in_whole_units(seconds: float, expected: str) -> None:
    assert in_about(seconds) == expected


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (1023, "1,023 bytes"),
        (1024, "1 KiB"),
        (1536, "1.5 KiB"),
        (150 << 10, "150 KiB"),
        ((1 << 20) - 1, "1 MiB"),
        (512 << 20, "512 MiB"),
        (5 << 40, "5120 GiB"),
    ],
)
def test_a_size_is_told_in_the_unit_that_fits(size: int, expected: str) -> None:
    assert in_bytes(size) == expected


def test_one_is_one_and_many_are_many() -> None:
    assert [counted(n, "file") for n in (0, 1, 12_000)] == ["0 files", "1 file", "12,000 files"]
