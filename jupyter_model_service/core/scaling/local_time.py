"""Moments at which the clock of a time zone passes a local time, right across its changes.

Everything follows from one rule. A window **begins** when the local clock first shows its beginning or something later,
and **ends** when the local clock has shown something before its end for the last time. So where the clock is put
forward (02:00 → 03:00) a time that is left out is passed at the change, and where it is put back (03:00 → 02:00) a
window that begins at 02:30 begins at the first 02:30, and one that ends at 02:30 ends at the second: it is never
shorter than it is written.
"""

from __future__ import annotations

import difflib
from datetime import datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

__all__ = ["begin", "end", "local", "shift_around", "zone_named", "zones_like"]

_EPOCH = datetime(1970, 1, 1)
# Not zones of their own: this machine's, and clocks that count leap seconds (27 s behind all others).
_NO_ZONES = ("localtime", "posixrules", "Factory", "posix/", "right/")


def zone_named(name: str) -> ZoneInfo:
    """``ValueError`` for anything but an IANA name that is known here."""
    if not name.startswith(_NO_ZONES):
        try:
            return ZoneInfo(name)
        except (KeyError, ValueError, OSError):  # unknown; no name of a file; the name of a folder
            pass
    raise ValueError(name)


def zones_like(name: str) -> list[str]:
    """The zones that ``name`` probably stands for, at most three: Asia/Seoul for ``Seoul`` and ``asia/seoul``."""
    known = _known()
    plain = "_".join(name.lower().split())
    found = [zone for low, zone in known.items() if plain in (low, low.rpartition("/")[2])]
    return (found or [known[low] for low in difflib.get_close_matches(plain, known, n=1, cutoff=0.8)])[:3]


@cache
def _known() -> dict[str, str]:
    """By their names in small letters. Looking for them walks through 1,500 files, 20 ms."""
    return {zone.lower(): zone for zone in sorted(available_timezones()) if not zone.startswith(_NO_ZONES)}


def local(zone: ZoneInfo, unix: float) -> datetime:
    """What the clock shows then, to the second, without a zone."""
    return datetime.fromtimestamp(unix // 1, zone).replace(tzinfo=None)


def shift_around(zone: ZoneInfo, unix: float) -> timedelta:
    """By how much the clock is put forward or back within two days of then; by 24 h at the most, over the date line."""
    moments = [datetime.fromtimestamp(unix + hours * 3600, zone) for hours in range(-48, 49, 6)]
    offsets = [moment.utcoffset() or timedelta() for moment in moments]
    return max(offsets) - min(offsets)


def begin(zone: ZoneInfo, wall: datetime) -> float:
    """When the clock first shows ``wall`` (no zone) or something later. Unix time."""
    before, after = _offset(zone, wall, 0), _offset(zone, wall, 1)
    return _change(zone, wall, before, after) if before < after else _utc(wall) - before


def end(zone: ZoneInfo, wall: datetime) -> float:
    """When the clock has shown something before ``wall`` (no zone) for the last time. Unix time."""
    # The second before is what counts: a clock that is put back to 02:00 shows nothing before 02:00 again.
    last = wall - timedelta(seconds=1)
    before, after = _offset(zone, last, 0), _offset(zone, last, 1)
    return _change(zone, last, before, after) if before < after else _utc(wall) - after


def _utc(wall: datetime) -> float:
    return (wall - _EPOCH).total_seconds()


def _offset(zone: ZoneInfo, wall: datetime, fold: int) -> float:
    offset = wall.replace(tzinfo=zone, fold=fold).utcoffset()
    return (offset or timedelta()).total_seconds()


def _change(zone: ZoneInfo, wall: datetime, before: float, after: float) -> float:
    """The moment at which the clock is put forward past ``wall``: between the two ways to read what it never shows."""
    low, high = _utc(wall) - after, _utc(wall) - before
    while high - low > 1:
        middle = (low + high) // 2
        offset = datetime.fromtimestamp(middle, zone).utcoffset() or timedelta()
        low, high = (low, middle) if offset.total_seconds() == after else (middle, high)
    return high
