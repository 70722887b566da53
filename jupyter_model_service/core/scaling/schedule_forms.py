"""The two ways to write a schedule, and the windows of local time that they stand for."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from functools import lru_cache

from cronsim import CronSim, CronSimError

from ..spelling import alternatives, near, shown

__all__ = ["LEAST_DURATION", "LONGEST_WHEN", "MOST_DURATION", "Windows", "WrongSchedule", "windows_of"]

DAY = 86_400  # seconds of an ordinary day
LONGEST_WHEN = 100  # characters
LEAST_DURATION, MOST_DURATION = 60.0, 31.0 * DAY  # seconds; of the cron form

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_LONG_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_GROUPS = {"daily": range(7), "weekdays": range(5), "weekends": range(5, 7)}
_EXAMPLE = 'write it like "Mon-Fri 08:00-19:00"'
_FIELDS = {"Bad minute": "minute", "Bad hour": "hour", "Bad month": "month", "Bad day-of-week": "day of the week",
           "Bad day-of-month": "day of the month"}  # fmt: skip
# The calendar of 28 years has every date on every day of the week; what does not happen in 40 never does.
_FIRST_YEAR, _LAST_YEAR = 2000, 2040


class WrongSchedule(ValueError):
    """``field`` is ``when`` or ``duration``; the message is what must be said of it, without the field's name."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True)
class Windows:
    """``runs`` begin and end so many seconds after the midnight with which a day begins on which ``on`` is true, by the
    local clock; in order, apart from each other, within a day or going on in the days after it. ``always``: there is
    no moment outside of them."""

    runs: tuple[tuple[float, float], ...]
    on: Callable[[date], bool]
    always: bool = False

    @property
    def reach(self) -> int:
        """For how many days after its own a window may go on."""
        return int(self.runs[-1][1] // DAY) + 1

    def next_day(self, day: date, last: date) -> date | None:
        """The first day from ``day`` on, and not after ``last``, that has windows."""
        while day <= last:
            if self.on(day):
                return day
            day += timedelta(days=1)
        return None


@lru_cache(maxsize=4096)
def windows_of(when: str, duration: float | None) -> Windows:
    """Raises :class:`WrongSchedule`. ``duration`` in seconds, for the cron form."""
    text = " ".join(when.replace("–", "-").split())
    if not text or len(when) > LONGEST_WHEN:
        raise WrongSchedule("when", f"must be a text of 1 to {LONGEST_WHEN} characters; {_EXAMPLE}")
    if ":" not in text and not text[0].isalpha():
        return _cron(text, duration)
    if duration is not None:
        raise WrongSchedule("duration", "belongs to the cron form only; this schedule says itself when it ends")
    return _weekly(re.sub(r"\s*([-,])\s*", r"\1", text))


# --- Mon-Fri 08:00-19:00 -----------------------------------------------------------------------------


def _weekly(text: str) -> Windows:
    days_text, _, times = text.rpartition(" ")
    if not days_text:
        hint = f'; write "daily {text}" for every day' if re.fullmatch(r"[\d:-]+", text) else ""
        raise WrongSchedule("when", f"must be days and a time of day, not {shown(text)}{hint or f'; {_EXAMPLE}'}")
    days = frozenset(day for part in days_text.split(",") for day in _days(part))
    first, hyphen, last = times.partition("-")
    if not hyphen or re.search("(?i)[ap]m", times):
        raise WrongSchedule("when", f"must end with two times of 24 hours, not {shown(times)}; {_EXAMPLE}")
    start, end = _seconds(first, most=DAY - 60), _seconds(last, most=DAY)
    if start == end:
        raise WrongSchedule("when", f'begins and ends at {first}; write "00:00-24:00" for the whole day')
    if end < start:
        end += DAY  # past midnight
    always = len(days) == 7 and end - start == DAY
    return Windows(((float(start), float(end)),), lambda day: day.weekday() in days, always)


def _days(part: str) -> Iterable[int]:
    if part.lower() in _GROUPS:
        return _GROUPS[part.lower()]
    first, hyphen, last = part.partition("-")
    start = _day(first)
    end = _day(last) if hyphen else start
    return ((start + n) % 7 for n in range((end - start) % 7 + 1))  # Fri-Mon: over the weekend


def _day(word: str) -> int:
    for names in (_DAYS, _LONG_DAYS):
        if word.lower() in names:
            return names.index(word.lower())
    close = near(word, [*_DAYS, *_LONG_DAYS, *_GROUPS])
    hint = f"did you mean {alternatives([name.title() for name in close[:1]])}?" if close else _EXAMPLE
    raise WrongSchedule("when", f"has {shown(word)}, which is no day of the week; {hint}")


def _seconds(word: str, most: int) -> int:
    match = re.fullmatch(r"(\d{1,2}):(\d\d)", word, re.ASCII)
    seconds = int(match[1]) * 3600 + int(match[2]) * 60 if match and int(match[2]) < 60 else DAY + 1
    if seconds > most:
        span = "00:00 to 23:59, or 24:00 as an end"
        raise WrongSchedule("when", f"has {shown(word)}, which is no time of day (they are {span}); {_EXAMPLE}")
    return seconds


# --- 0 8 * * 1-5, for so long ------------------------------------------------------------------------


def _cron(text: str, duration: float | None) -> Windows:
    fields = text.split(" ")
    if len(fields) != 5:
        raise WrongSchedule(
            "when",
            f"must be days and times (Mon-Fri 08:00-19:00) or the five fields of cron (0 8 * * 1-5: minute, hour, day "
            f"of the month, month, day of the week), not {shown(text)}",
        )
    try:
        cron = CronSim(text, datetime(_FIRST_YEAR, 1, 1))
    except CronSimError as error:
        field = _FIELDS.get(str(error))
        if field == "day of the month" and re.fullmatch("[0-9,/*-]+", fields[2]) and _in_range(fields[2]):
            raise _never(text) from None
        raise WrongSchedule("when", f"has no {field} that cron knows in {shown(text)}") from None
    windows = Windows(_runs(cron, _checked(duration)), lambda day: day.month in cron.months and cron.match_day(day))
    if windows.next_day(date(_FIRST_YEAR, 1, 1), date(_LAST_YEAR, 1, 1)) is None:
        raise _never(text)
    every_day = cron.months >= {*range(1, 13)} and cron.days >= {*range(1, 32)} and cron.weekdays >= {*range(7)}
    begin, end = windows.runs[0]
    return replace(windows, always=every_day and end - begin >= DAY)


def _checked(duration: float | None) -> float:
    if duration is None:
        raise WrongSchedule(
            "duration",
            "is missing: a cron expression only says when a schedule begins (on the command line, --for says how long "
            "it lasts)",
        )
    if not LEAST_DURATION <= duration <= MOST_DURATION:  # a NaN is in no range
        most = f"{MOST_DURATION:.0f}, which are {MOST_DURATION / DAY:.0f} days"
        raise WrongSchedule("duration", f"must be from {LEAST_DURATION:.0f} seconds to {most}")
    return float(duration)


def _runs(cron: CronSim, duration: float) -> tuple[tuple[float, float], ...]:
    """The windows of one day; those that touch are one."""
    runs: list[tuple[float, float]] = []
    for begin in sorted(hour * 3600.0 + minute * 60.0 for hour in cron.hours for minute in cron.minutes):
        if runs and begin <= runs[-1][1]:
            runs[-1] = runs[-1][0], begin + duration
        else:
            runs.append((begin, begin + duration))
    return tuple(runs)


def _in_range(field: str) -> bool:
    return all(1 <= int(number) <= 31 for number in re.findall("[0-9]+", field))


def _never(text: str) -> WrongSchedule:
    return WrongSchedule("when", f"never happens: no date fits {shown(text)}")
