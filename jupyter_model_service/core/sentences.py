"""How an end is told to people: one clause that goes behind "replica chat-x1y2z3 …"."""

from __future__ import annotations

from collections.abc import Sequence

from .reports import Exit

LINE = 300  # characters of a log line that a sentence takes up


def last_line(tail: Sequence[str]) -> str:
    """The last log line that says something, cut to what a sentence can bear."""
    for line in reversed(tail):
        if text := " ".join(line.split()):
            return text if len(text) <= LINE else text[: LINE - 1] + "…"
    return ""


def told(exit: Exit, *, was_ready: bool) -> str:
    """``exited with code 1 while loading: ModuleNotFoundError: …`` and the like."""
    if exit.signal is not None:
        how = f"killed by {exit.signal}" + (" (out of memory)" if exit.oom else "")
    elif exit.code is not None:
        how = f"exited with code {exit.code}" + (" (out of memory)" if exit.oom else "")
    else:
        how = "ended"
    if exit.stage == "prepare":
        where = "in the pre-start actions" if exit.action is None else f"in pre-start action {exit.action}"
    else:
        where = "after it had been ready" if was_ready else "while loading"
    why = exit.message or last_line(exit.tail)
    was = "was " if exit.signal is not None else ""
    return f"{was}{how} {where}" + (f": {why}" if why else "")


def duration(seconds: float) -> str:
    """``0.4 s``, ``12 s``, ``3 min 5 s``, ``2 h 10 min``."""
    if seconds < 9.95:
        return f"{max(0.0, seconds):.1f}".removesuffix(".0") + " s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min" + (f" {whole % 60} s" if whole % 60 else "")
    minutes = whole // 60
    return f"{minutes // 60} h" + (f" {minutes % 60} min" if minutes % 60 else "")
