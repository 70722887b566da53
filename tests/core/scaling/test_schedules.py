"""Schedules are active by the clock on the wall, in every zone and on the days on which clocks are changed."""

from __future__ import annotations

import functools
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from datetime import date, datetime, timedelta, timezone
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from hypothesis import example, given, settings
from hypothesis import strategies as st

from jupyter_model_service.core.scaling import local_time
from jupyter_model_service.core.scaling.policy import Autoscaling, Schedule
from jupyter_model_service.core.scaling.schedules import State, bounds, check, state_of
from jupyter_model_service.errors import InvalidRequest

ZONES = ["Asia/Seoul", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca", "Africa/Cairo"]
MINUTE = 60


def unix(text: str, zone: str = "UTC", fold: int = 0) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp()


def told(moment: float | None, zone: str) -> str:
    """A moment as the clock there shows it, with its distance from UTC."""
    assert moment is not None
    return datetime.fromtimestamp(moment, ZoneInfo(zone)).isoformat(sep=" ", timespec="minutes")


# --- brute force: the clock is looked at each minute -------------------------------------------------


@functools.lru_cache(maxsize=64)
def clock(zone: str, first: date, days: int) -> tuple[Sequence[float], Sequence[datetime], Sequence[datetime]]:
    """Each minute, what the clock shows then; the most that it has shown so far, and the least that it will show."""
    start = datetime(first.year, first.month, first.day, tzinfo=timezone.utc).timestamp()
    minutes = [start + n * MINUTE for n in range(days * 1440)]
    shown = [datetime.fromtimestamp(minute, ZoneInfo(zone)).replace(tzinfo=None) for minute in minutes]
    most, least = list(shown), list(shown)
    for n in range(1, len(shown)):
        most[n] = max(most[n - 1], shown[n])
    for n in range(len(shown) - 2, -1, -1):
        least[n] = min(least[n + 1], shown[n])
    return minutes, most, least


def active_minutes(windows: list[tuple[datetime, datetime]], zone: str, first: date, days: int) -> list[bool]:
    """A window goes from the first minute at which the clock shows its begin or something later, up to the last one at
    which it shows something before its end."""
    minutes, most, least = clock(zone, first, days)
    active = [False] * len(minutes)
    for begin, end in windows:
        for n in range(bisect_left(most, begin), bisect_left(least, end)):
            active[n] = True
    return active


def disagreements(
    schedule: Schedule, windows: list[tuple[datetime, datetime]], first: date, days: int, margin: int
) -> list[str]:
    """When the schedule says something else than the minutes, at moments of the days after ``margin`` and before the
    end."""
    found: list[str] = []
    minutes, _, _ = clock(schedule.timezone, first, days)
    active = active_minutes(windows, schedule.timezone, first, days)
    changes = [minutes[n] for n in range(1, len(active)) if active[n] != active[n - 1]]
    inner = range(margin * 1440, len(active) - margin * 1440)
    near = {n + d for n in inner if active[n] != active[n - 1] for d in (-2, -1, 0, 1)}  # around each change
    for n in sorted({*inner[::97], *(n for n in near if inner[0] <= n <= inner[-1])}):
        for moment in (minutes[n], minutes[n] + 31.5):
            state = state_of(schedule, moment)
            at = bisect_right(changes, moment)
            if at < len(changes):
                agrees = state.changes_at == changes[at]
            else:
                agrees = state.changes_at is None or state.changes_at > minutes[-1]
            if not agrees or state.active != active[n]:
                found.append(f"{told(moment, schedule.timezone)}: {state}, and it is {active[n]}")
    return found


# Ten days around a change of the clocks: forward, back, and at midnight (Cairo), by half an hour (Lord Howe).
CHANGES = [
    ("Europe/Berlin", date(2026, 3, 24)),
    ("Europe/Berlin", date(2026, 10, 20)),
    ("America/New_York", date(2026, 3, 3)),
    ("America/New_York", date(2026, 10, 27)),
    ("Australia/Lord_Howe", date(2026, 3, 31)),
    ("Australia/Lord_Howe", date(2026, 9, 29)),
    ("Africa/Casablanca", date(2026, 2, 10)),
    ("Africa/Casablanca", date(2026, 3, 17)),
    ("Africa/Cairo", date(2026, 4, 19)),
    ("Africa/Cairo", date(2026, 10, 25)),
    ("Asia/Seoul", date(2026, 7, 1)),
]
DAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
# The hours around midnight and of the changes more often than others.
times = st.one_of(st.integers(0, 4 * 60), st.integers(22 * 60, 24 * 60 - 1), st.integers(0, 24 * 60 - 1))


def clock_time(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"


@settings(deadline=None, max_examples=120)
@given(st.sampled_from(CHANGES), st.sets(st.integers(0, 6), min_size=1), times, times)
@example(("Europe/Berlin", date(2026, 10, 20)), {5, 6}, 22 * 60, 2 * 60)  # ends when the clock is put back to 02:00
@example(("Europe/Berlin", date(2026, 10, 20)), {6}, 2 * 60 + 10, 2 * 60 + 50)
@example(("Europe/Berlin", date(2026, 3, 24)), {6}, 2 * 60 + 10, 2 * 60 + 50)
@example(("Africa/Cairo", date(2026, 4, 19)), set(range(7)), 0, 60)
def test_days_and_times_are_active_as_the_clock_shows(
    change: tuple[str, date], days: set[int], begin: int, end: int
) -> None:
    zone, first = change
    if begin == end:
        end = 24 * 60 if begin == 0 else 0
    text = f"{','.join(DAYS[d] for d in sorted(days))} {clock_time(begin)}-{clock_time(end)}"
    span = end - begin if end > begin else end - begin + 24 * 60
    windows = []
    for n in range(-3, 16):
        day = first + timedelta(days=n)
        if day.weekday() in days:
            start = datetime(day.year, day.month, day.day) + timedelta(minutes=begin)
            windows.append((start, start + timedelta(minutes=span)))
    assert disagreements(Schedule("s1", text, zone, min=2), windows, first - timedelta(days=2), 16, 2) == []


cron_field = st.sampled_from
crons = st.tuples(
    cron_field(["0", "30", "15,45", "*/20", "*"]),
    cron_field(["1", "2", "*/2", "*", "0,23", "22-23"]),
    cron_field(["*", "*", "1-15", "L", "*/3"]),
    cron_field(["*", "*", "3-10", "OCT"]),
    cron_field(["*", "*", "1-5", "SUN", "7"]),
).map(" ".join)


@settings(deadline=None, max_examples=120)
@given(
    st.sampled_from(CHANGES),
    crons,
    st.sampled_from([60, 600, 1800, 3600, 5400, 39_600, 86_400, 198_000]),  # whole minutes: those are looked at
)
@example(("Europe/Berlin", date(2026, 3, 24)), "30 2 * * *", 3600)
@example(("Europe/Berlin", date(2026, 10, 20)), "30 2 * * *", 3600)
@example(("Europe/Berlin", date(2026, 10, 20)), "0 * * * *", 1800)
@example(("America/New_York", date(2026, 10, 27)), "*/20 1 * * *", 600)
def test_cron_is_active_as_the_clock_shows(change: tuple[str, date], text: str, duration: int) -> None:
    zone, first = change
    windows = []
    ticks = CronSim(text, datetime(first.year, first.month, first.day) - timedelta(days=6))
    for begin in ticks:
        if begin.date() > first + timedelta(days=16):
            break
        windows.append((begin, begin + timedelta(seconds=duration)))
    schedule = Schedule("s1", text, zone, float(duration), min=2)
    assert disagreements(schedule, windows, first - timedelta(days=2), 16, 2) == []


@settings(deadline=None, max_examples=150)
@given(
    st.sampled_from(ZONES),
    st.one_of(
        st.builds(
            lambda d, b, e: Schedule("s1", f"{d} {clock_time(b)}-{clock_time(e)}", min=1),
            st.sampled_from(["daily", "Mon-Fri", "Sat,Sun", "Sun-Mon"]),
            times,
            st.integers(1, 1440),
        ).filter(lambda s: len(set(s.when.split(" ")[1].split("-"))) == 2),
        st.builds(
            lambda w, d: Schedule("s1", w, duration=d, min=1),
            crons,
            st.sampled_from([60.0, 90.5, 86_400.0, 2_678_400.0]),
        ),
    ),
    st.integers(0, 4_000_000_000),
)
def test_the_next_change_is_in_the_future_and_something_changes_then(zone: str, schedule: Schedule, now: int) -> None:
    schedule = Schedule("s1", schedule.when, zone, schedule.duration, min=1)
    active, at = state_of(schedule, now)
    if at is None:
        assert active  # all of these do happen
        return
    assert at > now
    assert state_of(schedule, at).active is not active
    for moment in (at - 0.5, (now + at) / 2):
        if moment >= now:
            assert state_of(schedule, moment) == State(active, at)


def test_what_a_clock_shows_twice_begins_at_the_first_and_ends_at_the_second() -> None:
    """Europe/Berlin, 2026-10-25: at 03:00 the clock is put back to 02:00."""
    zone = "Europe/Berlin"
    schedule = Schedule("s1", "Sun 02:30-04:00", zone, min=2)
    assert told(state_of(schedule, unix("2026-10-24 12:00")).changes_at, zone) == "2026-10-25 02:30+02:00"
    schedule = Schedule("s1", "Sun 01:00-02:30", zone, min=2)
    assert told(state_of(schedule, unix("2026-10-25 01:30", zone)).changes_at, zone) == "2026-10-25 02:30+01:00"
    schedule = Schedule("s1", "Sun 02:10-02:50", zone, min=2)
    assert state_of(schedule, unix("2026-10-25 02:55", zone)) == State(True, unix("2026-10-25 02:50", zone, fold=1))
    # Nothing before 02:00 is shown again when the clock is put back to it.
    schedule = Schedule("s1", "Sat 22:00-02:00", zone, min=2)
    assert told(state_of(schedule, unix("2026-10-25 01:30", zone)).changes_at, zone) == "2026-10-25 02:00+02:00"


def test_what_a_clock_leaves_out_is_passed_when_it_is_put_forward() -> None:
    """Europe/Berlin, 2026-03-29: at 02:00 the clock is put forward to 03:00."""
    zone = "Europe/Berlin"
    before = unix("2026-03-28 12:00", zone)
    assert told(state_of(Schedule("s1", "Sun 02:30-05:00", zone), before).changes_at, zone) == "2026-03-29 03:00+02:00"
    running = state_of(Schedule("s1", "Sun 01:00-02:30", zone), unix("2026-03-29 01:30", zone))
    assert told(running.changes_at, zone) == "2026-03-29 03:00+02:00"
    # A window that lies in what is left out does not take place; the next one is a week later.
    assert told(state_of(Schedule("s1", "Sun 02:10-02:50", zone), before).changes_at, zone) == "2026-04-05 02:10+02:00"


def test_a_change_of_half_an_hour_and_one_at_midnight_are_found_to_the_second() -> None:
    """Lord Howe: 02:00 becomes 02:30. Cairo: 00:00 becomes 01:00."""
    zone = "Australia/Lord_Howe"
    state = state_of(Schedule("s1", "Sun 02:15-05:00", zone), unix("2026-10-03 12:00", zone))
    assert told(state.changes_at, zone) == "2026-10-04 02:30+11:00"
    zone = "Africa/Cairo"
    state = state_of(Schedule("s1", "Fri 00:00-05:00", zone), unix("2026-04-23 12:00", zone))
    assert told(state.changes_at, zone) == "2026-04-24 01:00+03:00"


def test_a_day_that_a_zone_left_out_has_no_windows() -> None:
    """Samoa went from Thursday, 2011-12-29 to Saturday, over the date line."""
    schedule = Schedule("s1", "Fri 10:00-12:00", "Pacific/Apia", min=1)
    state = state_of(schedule, unix("2011-12-29 12:00", "Pacific/Apia"))
    assert told(state.changes_at, "Pacific/Apia") == "2012-01-06 10:00+14:00"


def test_the_duration_of_cron_is_time_of_the_local_clock() -> None:
    zone = "Europe/Berlin"
    schedule = Schedule("s1", "0 20 * * 6", zone, 11 * 3600.0, min=1)
    (winter, summer) = (state_of(schedule, unix(f"{day} 21:00", zone)) for day in ("2026-10-24", "2026-03-28"))
    assert told(winter.changes_at, zone) == "2026-10-25 07:00+01:00"  # twelve hours by a stopwatch
    assert told(summer.changes_at, zone) == "2026-03-29 07:00+02:00"  # ten


@pytest.mark.parametrize(
    ("when", "duration"),
    [("daily 00:00-24:00", None), ("0 0 * * *", 86_400.0), ("* * * * *", 60.0), ("*/5 * * * *", 300.0)],
)
@pytest.mark.parametrize("zone", ZONES)
def test_what_has_no_break_never_changes(when: str, duration: float | None, zone: str) -> None:
    for moment in ("2026-03-29 00:59", "2026-10-25 01:30", "2026-06-01 00:00"):
        assert state_of(Schedule("s1", when, zone, duration), unix(moment)) == State(True, None)


def test_windows_that_follow_each_other_are_one() -> None:
    """From Friday to Monday without a change at midnight, and half a year of days."""
    weekend = Schedule("s1", "Fri-Mon 00:00-24:00", "Asia/Seoul", min=1)
    assert told(state_of(weekend, unix("2026-11-21 12:00")).changes_at, "Asia/Seoul") == "2026-11-24 00:00+09:00"
    half = Schedule("s1", "0 0 * 1-6 *", "Europe/Berlin", 86_400.0, min=1)
    assert told(state_of(half, unix("2026-02-01 12:00")).changes_at, "Europe/Berlin") == "2026-07-01 00:00+02:00"


def test_what_happens_rarely_is_found() -> None:
    leap = Schedule("s1", "0 0 29 2 *", duration=3600.0, min=1)
    assert told(state_of(leap, unix("2026-11-01 00:00")).changes_at, "UTC") == "2028-02-29 00:00+00:00"
    fifth = Schedule("s1", "0 0 * 2 MON#5", duration=3600.0, min=1)  # a February with five Mondays
    assert told(state_of(fifth, unix("2026-11-01 00:00")).changes_at, "UTC") == "2044-02-29 00:00+00:00"
    last = Schedule("s1", "0 0 L 2 *", duration=3600.0, min=1)
    assert told(state_of(last, unix("2026-11-01 00:00")).changes_at, "UTC") == "2027-02-28 00:00+00:00"


@pytest.mark.parametrize(
    ("same", "other"),
    [
        ("MON-FRI 08:00-19:00", "mon-fri 8:00-19:00"),
        ("weekdays 08:00-19:00", "Mon,Tue,Wed,Thu,Fri 08:00-19:00"),
        ("weekends 08:00-19:00", "Saturday, Sunday 08:00 - 19:00"),
        ("daily 08:00-19:00", "Mon - Sun 08:00–19:00"),
        ("Fri-Mon 10:00-11:00", "Fri,Sat,Sun,Mon 10:00-11:00"),
        ("Mon,Wed-Fri 10:00-11:00", "wed-fri,mon 10:00-11:00"),
    ],
)
def test_days_may_be_written_in_several_ways(same: str, other: str) -> None:
    for hour in range(0, 14 * 24, 5):
        moment = unix("2026-11-01 00:30") + hour * 3600
        assert state_of(Schedule("s1", same), moment) == state_of(Schedule("s1", other), moment)


def test_a_window_over_midnight_belongs_to_the_day_on_which_it_begins() -> None:
    schedule = Schedule("s1", "Sat,Sun 10:00-02:00", min=1)
    active = [state_of(schedule, unix(f"2026-11-{day} {hour}")).active for day, hour in (
        ("21", "01:59"), ("21", "10:00"), ("22", "01:59"), ("22", "02:00"), ("23", "01:59"), ("23", "02:00"))]  # fmt: skip
    assert active == [False, True, True, False, True, False]


# --- what is refused ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("when", "duration", "why"),
    [
        ("", None, "when must be a text of 1 to 100 characters"),
        ("x" * 101, None, "when must be a text of 1 to 100 characters"),
        ("Mon-Fry 08:00-19:00", None, 'when has "Fry", which is no day of the week; write it like "Mon-Fri 08:00-19:00"'),
        ("Mondy 08:00-19:00", None, 'when has "Mondy", which is no day of the week; did you mean Monday?'),
        ("Mon-Wed-Fri 08:00-19:00", None, 'when has "Wed-Fri", which is no day'),
        ("Mon,, 08:00-19:00", None, 'when must be days and a time of day, not "Mon,,08:00-19:00"; write it like'),
        ("Mon,,Tue 08:00-19:00", None, 'when has "", which is no day'),
        ("08:00-19:00", None, 'when must be days and a time of day, not "08:00-19:00"; write "daily 08:00-19:00"'),
        ("Mon 08:00", None, 'when must end with two times of 24 hours, not "08:00"'),
        ("Mon 8am-5pm", None, 'when must end with two times of 24 hours, not "8am-5pm"'),
        ("Mon 8-19", None, 'when has "8", which is no time of day'),
        ("Mon 08:60-19:00", None, 'when has "08:60", which is no time of day'),
        ("Mon 08:00-24:01", None, 'when has "24:01", which is no time of day'),
        ("Mon 24:00-08:00", None, 'when has "24:00", which is no time of day'),
        ("Mon ８:00-19:00", None, "which is no time of day"),
        ("Mon 08:00-08:00", None, 'when begins and ends at 08:00; write "00:00-24:00" for the whole day'),
        ("Mon 08:00-19:00", 60.0, "duration belongs to the cron form only"),
        ("0 8 * * 1-5", None, "duration is missing"),
        ("0 8 * * 1-5", 59.0, "duration must be from 60 seconds to 2678400, which are 31 days"),
        ("0 8 * * 1-5", 2_678_401.0, "duration must be from 60 seconds to 2678400"),
        ("0 8 * * 1-5", float("nan"), "duration must be from 60 seconds"),
        ("0 8 * *", 60.0, "when must be days and times (Mon-Fri 08:00-19:00) or the five fields of cron"),
        ("0 0 8 * * 1", 60.0, "the five fields of cron"),
        ("@daily", 60.0, "the five fields of cron"),
        ("60 8 * * *", 60.0, 'when has no minute that cron knows in "60 8 * * *"'),
        ("0 24 * * *", 60.0, "when has no hour that cron knows"),
        ("0 0 32 * *", 60.0, "when has no day of the month that cron knows"),
        ("0 0 0 * *", 60.0, "when has no day of the month that cron knows"),
        ("0 0 * 13 *", 60.0, "when has no month that cron knows"),
        ("0 0 * * 8", 60.0, "when has no day of the week that cron knows"),
        ("0 0 * * FRI-MON", 60.0, "when has no day of the week that cron knows"),
        ("*/0 0 * * *", 60.0, "when has no minute that cron knows"),
        ("0 0 L-2/3 * 1#2/2", 60.0, "cron knows"),
        ("0 0 30 2 *", 60.0, 'when never happens: no date fits "0 0 30 2 *"'),
        ("0 0 31 2,4,6 *", 60.0, "when never happens"),
        ("0 0 */30 2 1#2", 60.0, "when never happens"),  # the first that is a second Monday
    ],
)  # fmt: skip
def test_a_schedule_that_makes_no_sense_is_refused_in_a_sentence(when: str, duration: float | None, why: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        check(Schedule("s1", when, duration=duration, min=1))
    assert caught.value.message.startswith("Schedule s1: ")
    assert why in caught.value.message


@settings(deadline=None, max_examples=400)
@given(st.text("0123456789*,-/#L MONSAT:", max_size=24), st.none() | st.just(3600.0))
def test_whatever_is_written_is_read_or_refused(when: str, duration: float | None) -> None:
    """Nothing else is raised and nothing goes on for ever, also where a date is looked for that never comes."""
    schedule = Schedule("s1", when, "Europe/Berlin", duration, min=1)
    try:
        check(schedule)
    except InvalidRequest:
        return
    assert state_of(schedule, 1_790_000_000).changes_at is not None or state_of(schedule, 1_790_000_000).active


@pytest.mark.parametrize(
    "name", ["", "Seoul", "europe/berlin!", "../../etc/passwd", "/etc/localtime", "America", "localtime", "right/UTC",
             "posix/UTC", "KST", "UTC+9", "Asia/Seoul ", "Asia\0Seoul", "x" * 64]
)  # fmt: skip
def test_what_is_no_time_zone_is_refused(name: str) -> None:
    with pytest.raises(InvalidRequest, match=r"^Schedule s1: there is no time zone"):
        check(Schedule("s1", "daily 10:00-11:00", name, min=1))


@pytest.mark.parametrize(
    ("name", "like"),
    [("Seoul", ["Asia/Seoul"]), ("asia/seoul", ["Asia/Seoul"]), ("New York", ["America/New_York"]),
     ("Europe/Berln", ["Europe/Berlin"]), ("Nowhere", [])],
)  # fmt: skip
def test_zones_are_found_by_what_people_write(name: str, like: list[str]) -> None:
    assert local_time.zones_like(name) == like


# --- bounds ------------------------------------------------------------------------------------------

NOON = unix("2026-11-20 12:00")  # a Friday


def on(id: str, **bounds: int) -> Schedule:
    return Schedule(id, "daily 08:00-19:00", **bounds)


def test_without_schedules_the_bounds_are_those_of_the_policy_and_never_change() -> None:
    got = bounds(Autoscaling(min=1, max=5), NOON)
    assert (got.min, got.max, got.why_min, got.why_max, got.changes_at) == (1, 5, "min", "max", None)


def test_an_active_schedule_takes_the_place_of_what_it_sets_and_of_nothing_else() -> None:
    policy = Autoscaling(min=1, max=5, schedules=(on("s1", min=3),))
    got = bounds(policy, NOON)
    assert (got.min, got.max, got.why_min, got.why_max) == (3, 5, "schedule s1: daily 08:00-19:00", "max")
    assert got.changes_at == unix("2026-11-20 19:00")
    night = bounds(policy, unix("2026-11-20 19:00"))
    assert (night.min, night.max, night.why_min, night.changes_at) == (1, 5, "min", unix("2026-11-21 08:00"))


def test_a_schedule_may_lower_the_bounds() -> None:
    got = bounds(Autoscaling(min=3, max=5, schedules=(on("s1", min=0, max=1),)), NOON)
    assert (got.min, got.max) == (0, 1)


def test_of_several_the_largest_of_each_holds_whatever_their_order() -> None:
    schedules = (
        on("s1", min=2, max=4),
        on("s2", min=1),
        on("s3", max=7),
        Schedule("s4", "Sun 10:00-11:00", min=9, max=9),
    )
    for some in (schedules, schedules[::-1]):
        got = bounds(Autoscaling(min=3, max=9, schedules=some), NOON)
        assert (got.min, got.max) == (2, 7)
        assert (got.why_min, got.why_max) == ("schedule s1: daily 08:00-19:00", "schedule s3: daily 08:00-19:00")


def test_min_wins_over_a_smaller_max_and_says_so() -> None:
    got = bounds(Autoscaling(min=0, max=9, schedules=(on("s1", min=5, max=6), on("s2", min=0, max=2))), NOON)
    assert (got.min, got.max) == (5, 6)
    got = bounds(Autoscaling(min=4, max=9, schedules=(on("s1", max=2),)), NOON)
    assert (got.min, got.max) == (4, 4)
    assert got.why_max == "min, above the 2 of schedule s1: daily 08:00-19:00"


def test_the_next_change_is_the_first_of_any_schedule() -> None:
    schedules = (
        on("s1", min=2),
        Schedule("s2", "Fri 13:30-14:00", "Asia/Seoul", min=1),
        Schedule("s3", "Fri 13:15-14:00", max=8),
    )
    assert bounds(Autoscaling(min=0, max=9, schedules=schedules), NOON).changes_at == unix("2026-11-20 13:15")


def test_what_begins_or_ends_without_a_difference_is_no_change() -> None:
    """Beside one that asks for as many, always or at the same time, a schedule changes nothing; a larger one does."""
    now = unix("2026-06-01 12:00")
    always = Schedule("s1", "* * * * *", duration=3600, min=3)
    morning = Schedule("s2", "daily 08:00-09:00", min=3)
    assert bounds(Autoscaling(1, 5, schedules=(always, Schedule("s2", "Mon 13:00-14:00", min=4))), now).changes_at == (
        unix("2026-06-01 13:00")
    )
    larger = Schedule("s3", "Wed 08:30-09:00", min=4)
    found = bounds(Autoscaling(1, 5, schedules=(always, morning, larger)), now)
    assert (found.min, found.changes_at) == (3, unix("2026-06-03 08:30"))


def test_a_schedule_whose_zone_is_gone_is_left_out_and_told() -> None:
    lost = Schedule("s1", "daily 08:00-19:00", "Mars/Olympus", min=4)
    got = bounds(Autoscaling(min=1, max=9, schedules=(lost, on("s2", max=3))), NOON)
    assert (got.min, got.max) == (1, 3)
    assert got.why_min == "min (Schedule s1: there is no time zone 'Mars/Olympus' here; it is left out)"


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2_000_000_000), st.permutations(ZONES))
def test_bounds_hold_until_they_change(now: int, zones: list[str]) -> None:
    schedules = (
        Schedule("s1", "Mon-Fri 08:00-19:00", zones[0], min=2),
        Schedule("s2", "Sat,Sun 22:00-02:30", zones[1], max=3),
        Schedule("s3", "30 1 * * *", zones[2], 7200.0, min=1, max=6),
    )
    policy = Autoscaling(min=0, max=5, schedules=schedules)
    got = bounds(policy, now)
    assert got.min <= got.max
    assert got.changes_at is not None
    assert got.changes_at > now
    for moment in (now, (now + got.changes_at) / 2, got.changes_at - 0.25):
        assert bounds(policy, max(now, moment)) == got
    states = [[state_of(s, t).active for s in schedules] for t in (now, got.changes_at)]
    assert any(before != after for before, after in zip(*states, strict=True))


def test_a_year_of_changes_goes_forward_and_takes_turns() -> None:
    """Begins and ends alternate, each later than the one before."""
    schedule = Schedule("s1", "daily 01:30-02:30", "Europe/Berlin", min=1)
    moment, changes = unix("2026-01-01 00:00"), []
    while moment < unix("2027-01-01 00:00"):
        active, at = state_of(schedule, moment)
        assert at is not None
        changes.append((at, active))
        moment = at
    assert len(changes) == 731  # two a day, and the first one of the next year
    assert all(a[0] < b[0] and a[1] != b[1] for a, b in pairwise(changes))
