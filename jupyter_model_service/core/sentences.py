"""How an end is told to people: one clause that goes behind "replica chat-x1y2z3 …"."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from .reports import Exit

LINE = 300  # characters of a log line that a sentence takes up


def last_line(tail: Sequence[str]) -> str:
    """The last log line that says something, cut to what a sentence can bear."""
    for line in reversed(tail):
        if text := " ".join(line.split()):
            return text if len(text) <= LINE else text[: LINE - 1] + "…"
    return ""


def names_folder(lines: Iterable[str], folder: str) -> bool:
    """Whether one of them names something in ``folder`` (absolute), and not in one that only ends like it."""
    inside = re.compile(rf"(?<![\w.~/-]){re.escape(folder)}/")
    return any(inside.search(line) for line in lines)


def told(exit: Exit, *, was_ready: bool, label: str = "") -> str:
    """``exited with code 1 while loading: ModuleNotFoundError: …`` and the like. ``label`` is that of the
    pre-start action that ended."""
    if exit.signal is not None:
        how = f"was killed by {exit.signal}"
    elif exit.code is not None:
        how = f"exited with code {exit.code}"
    else:
        how = "ended"
    if exit.oom:
        how += " (out of memory)"
    if exit.stage != "prepare":
        where = "after it had been ready" if was_ready else "while loading"
    elif exit.action is None:
        where = "before the pre-start actions"
    else:
        where = f"in pre-start action {exit.action}" + (f" ({label})" if label else "")
    why = _why(exit)
    return f"{how} {where}" + (f": {why}" if why else "")


def _why(exit: Exit) -> str:
    """What the runner found out, else the last line of the log; nobody has last words when it is killed."""
    repeats = f"was ended by {exit.signal}" if exit.signal is not None else f"ended with exit status {exit.code}"
    if exit.message and repeats not in exit.message:
        return exit.message
    return "" if exit.signal == "SIGKILL" else last_line(exit.tail)


def in_about(seconds: float) -> str:
    """``now``, ``in about 2 s``: a wait in whole units, so that a sentence about it does not differ at every look."""
    return "now" if seconds < 0.5 else f"in about {duration(max(1, round(seconds)))}"


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


def lasting(seconds: float) -> str:
    """As :func:`duration`, in days where they are whole: ``30 days``."""
    days, rest = divmod(seconds, 86400)
    return counted(int(days), "day") if days and not rest else duration(seconds)


def counted(count: int, what: str) -> str:
    """``1 file``, ``12,000 files``."""
    return f"{count:,} {what}" + ("" if count == 1 else "s")


def in_bytes(size: float) -> str:
    """``0 bytes``, ``1.5 KiB``, ``30 MiB``: enough to judge by."""
    if size < 1024:
        return counted(int(size), "byte")
    unit = next((u for u in (1, 2) if size / 1024**u < 1023.5), 3)
    return f"{size / 1024**unit:.{0 if size / 1024**unit >= 99.95 else 1}f}".removesuffix(".0") + f" {' KMG'[unit]}iB"
