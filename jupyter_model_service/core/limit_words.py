"""Limits of a user as people read and write them: the names of the fields of a policy, and their values. Pure."""

from __future__ import annotations

from typing import Any

from ..errors import InvalidRequest
from .effective import Effective
from .policy import whose
from .policy_limits import LIMITS, Kind
from .quantities import parse_duration, parse_size
from .sentences import in_bytes, lasting

__all__ = ["idle_told", "limit_read", "limit_told", "limit_words", "limit_written"]

_UNITS = (("d", 86400), ("h", 3600), ("m", 60))
_SIZES = (("t", 1 << 40), ("g", 1 << 30), ("m", 1 << 20), ("k", 1 << 10))


def limit_words(name: str) -> str:
    """What a limit is called; the name itself of one that only a newer gateway knows."""
    return LIMITS[name].words if name in LIMITS else name


def limit_told(name: str, value: Any, used: float | None = None) -> str:
    """``2 of 5``, ``8 GiB``, ``7 days``: what a user may have, and has of it."""
    kind = LIMITS[name].kind if name in LIMITS else None
    if isinstance(value, bool):
        return "allowed" if value else "not allowed"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    said = lasting(value) if kind == "seconds" else in_bytes(int(value)) if kind == "bytes" else f"{value:g}"
    return said if used is None else f"{used:g} of {said}"


def idle_told(holds: Effective) -> list[str]:
    """What an administrator set for a user and takes nothing away, one sentence each."""
    said: list[str] = []
    for name, (value, by) in holds.idle.items():
        now = limit_told(name, getattr(holds.policy, name))
        flag = LIMITS[name].kind == "flag"
        more = "" if flag else ", and only the installation gives more"
        said.append(
            f"{limit_words(name)}: {limit_told(name, value)}, set {by}, takes nothing away: {now} "
            f"{'anyway' if flag else 'is what holds'} ({whose(holds.set_by, name)}){more}."
        )
    return said


def limit_written(name: str, value: Any) -> str:
    """As :func:`limit_read` reads it, without loss: ``8g``, ``7d``, ``90s``, ``2``."""
    kind = LIMITS[name].kind
    units, rest = (_UNITS, "s") if kind == "seconds" else (_SIZES, "") if kind == "bytes" else ((), "")
    for unit, size in units:
        if value and value % size == 0:
            return f"{value // size:.0f}{unit}"
    return (str(int(value)) if value == int(value) else f"{value:.15g}") + rest


def limit_read(name: str, text: str) -> float | int:
    """A limit that is a number. ``InvalidRequest`` with one sentence for what is none, or out of its range."""
    limit = LIMITS[name]
    value = _number(limit.kind, text.strip())
    if value is None or not limit.range.has(value):
        raise InvalidRequest(f"{limit.words}: {text[:40]!r} is not {limit.range.told}.")
    return value


def _number(kind: Kind, text: str) -> float | int | None:
    try:
        if kind == "seconds":
            return parse_duration(text)
        if kind == "bytes":
            return parse_size(text)
    except InvalidRequest:
        return None
    point = 1 if kind == "cpus" else 0
    if not text.isascii() or not text.replace(".", "", point).isdigit() or len(text) > 15:
        return None
    return float(text) if point else int(text)
