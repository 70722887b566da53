"""Sizes, durations and the values of metrics as people write them, wherever they do: ``8g``, ``1h30m``, ``80%``."""

from __future__ import annotations

import re

from ..errors import InvalidRequest

__all__ = ["DURATION", "UNIT_VALUE", "amount", "duration", "parse_duration", "parse_size", "threshold"]

DURATION = r"(?:\d+(?:\.\d+)?[smhdw])+"  # to be matched whole, in either case
UNIT_VALUE = r"[+-]?[\d.]+ *(%|/?[A-Za-z]{1,3}|[smhdwSMHDW][\d.smhdwSMHDW]+)"  # of a metric, to be matched whole
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgtp]?)i?b?", re.ASCII | re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}
_DURATION = re.compile(DURATION, re.ASCII | re.IGNORECASE)
_PART = re.compile(r"(\d+(?:\.\d+)?)([smhdw])", re.ASCII | re.IGNORECASE)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_EXAMPLES = {
    "percent": "80 or 80%",
    "share": "0.05 or 5%",
    "seconds": "1.5, 1.5s or 500ms",
    "bytes": "8g or 512m",
    "calls per second": "4",
    "calls": "4",
    "": "a plain number, since its unit is not known here",
}


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
    if plain_seconds and re.fullmatch(r"\d+(\.\d+)?", cleaned, re.ASCII) and len(cleaned) <= 30:
        seconds = float(cleaned)
    elif len(cleaned) <= 60 and _DURATION.fullmatch(cleaned):
        seconds = sum(float(amount) * _SECONDS[unit.lower()] for amount, unit in _PART.findall(cleaned))
    else:
        seconds = 0.0
    if seconds <= 0:
        raise InvalidRequest(f"{text!r} is no duration: write a number and a unit, such as 90s, 2h or 3d.")
    return seconds


def duration(text: str) -> float | None:
    """As :func:`parse_duration` reads it, also none at all (``0s``); ``None`` for what is no duration."""
    if len(text) > 30 or not re.fullmatch(DURATION, text.strip(), re.ASCII | re.IGNORECASE):
        return None
    return parse_duration(text) if re.search("[1-9]", text) else 0.0


def amount(text: str) -> float | None:
    """A plain number; ``None`` for anything else."""
    number = re.fullmatch(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?", text.strip(), re.ASCII)
    return float(text) if number and len(text) <= 40 else None


def threshold(text: str, unit: str) -> float:
    """The value of a metric of this ``unit`` (``core.scaling.metrics``; empty: only somebody else knows it), in it.
    Raises ``ValueError`` with what it would have to be like."""
    plain = amount(text)
    if plain is not None:
        return plain
    example = _EXAMPLES[unit.partition(",")[0]]
    number, suffix = _split(text)
    if number is not None and suffix == "%" and unit in ("percent", "share, 0 to 1"):
        return number if unit == "percent" else number / 100
    if number is not None and suffix == "ms" and unit == "seconds":
        return number / 1000
    try:
        if unit == "seconds":
            return parse_duration(text)
        if unit == "bytes":
            return float(parse_size(text))
    except InvalidRequest:
        pass
    if number is not None and suffix == "/s" and unit == "calls per second":
        return number
    raise ValueError(f"{unit}: {example}" if unit else example)


def _split(text: str) -> tuple[float | None, str]:
    match = re.fullmatch(r"\s*([+-]?[\d.]+)\s*(%|ms|/s)\s*", text, re.ASCII)
    return (amount(match[1]), match[2]) if match else (None, "")
