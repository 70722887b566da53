"""Sizes and durations as people write them: ``8g``, ``512m``, ``3d``, ``1h30m``. Pure."""

from __future__ import annotations

import re

from ..errors import InvalidRequest

#: A token that nobody gave an expiry: long enough for a project's demo, short enough to be forgotten safely.
DEFAULT_TOKEN_SECONDS = 30 * 86400.0

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgtp]?)i?b?", re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?[smhdw])+", re.IGNORECASE)
_PART = re.compile(r"(\d+(?:\.\d+)?)([smhdw])", re.IGNORECASE)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def parse_size(text: str) -> int:
    """Bytes; ``8g``, ``8GB`` and ``8GiB`` all are 8 × 1024³, as Docker and Backend.AI read them."""
    match = _SIZE.fullmatch(text.strip())
    size = int(float(match[1]) * 1024 ** _POWERS[match[2].lower()]) if match and len(text) <= 30 else 0
    if size <= 0:
        raise InvalidRequest(f"{text!r} is no size: write a number and a unit, such as 512m or 8g.")
    return size


def parse_duration(text: str, *, plain_seconds: bool = False) -> float:
    """Seconds; units s, m, h, d, w. A bare number is refused unless ``plain_seconds``: 30 what?"""
    cleaned = text.strip()
    if plain_seconds and re.fullmatch(r"\d+(\.\d+)?", cleaned) and len(cleaned) <= 30:
        seconds = float(cleaned)
    elif len(cleaned) <= 60 and _DURATION.fullmatch(cleaned):
        seconds = sum(float(amount) * _SECONDS[unit.lower()] for amount, unit in _PART.findall(cleaned))
    else:
        seconds = 0.0
    if seconds <= 0:
        raise InvalidRequest(f"{text!r} is no duration: write a number and a unit, such as 90s, 2h or 3d.")
    return seconds


def parse_expiry(text: str) -> float | None:
    """A duration, or ``never`` (``None``)."""
    return None if text.strip().lower() == "never" else parse_duration(text)


def show_duration(seconds: float) -> str:
    """Two units at most, for people: ``850 ms``, ``12.3 s``, ``4 min 05 s``, ``3 h 20 min``, ``29 d 23 h``."""
    seconds = max(0.0, seconds)
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes:02d} min"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h"


def show_span(seconds: float) -> str:
    """As :func:`parse_duration` reads it: ``90s``, ``15m``, ``1h30m``."""
    if seconds < 120:
        return f"{seconds:g}s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return "".join(f"{n}{unit}" for n, unit in ((days, "d"), (hours, "h"), (minutes, "m"), (rest, "s")) if n)


def show_size(size: float) -> str:
    """``1.5 GiB``; binary units, as :func:`parse_size` reads them."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" or size >= 100 else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"
