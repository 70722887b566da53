"""Sizes and durations as people write them: ``8g``, ``512m``, ``3d``, ``1h30m``. Pure."""

from __future__ import annotations

from ..core.quantities import parse_duration, parse_size

__all__ = [
    "DEFAULT_TOKEN_SECONDS",
    "parse_duration",
    "parse_expiry",
    "parse_size",
    "show_duration",
    "show_size",
    "show_span",
]

#: A token that nobody gave an expiry: long enough for a project's demo, short enough to be forgotten safely.
DEFAULT_TOKEN_SECONDS = 30 * 86400.0


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
