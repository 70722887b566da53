"""How fast a busy service gets through its calls, and so when somebody who is refused finds a place."""

from __future__ import annotations

from collections import deque

from .traffic import Traffic

__all__ = ["Pace", "turn_in"]

LEAST, MOST = 1.0, 60.0  # seconds; clients that keep to Retry-After seldom do to one of more than a minute
WINDOW = 10.0  # seconds: what was longer ago counts only where there is nothing younger
STEP = 1.0


def turn_in(ahead: int, slots: int, seconds_per_call: float) -> float:
    """Seconds until those ``ahead`` have been served and one more place is free, where ``slots`` calls are worked on at
    once: they end at the rate ``slots / seconds_per_call``. From 1 to 60."""
    return min(MOST, max(LEAST, (ahead + 1) * seconds_per_call / max(1, slots)))


class Pace:
    """Seconds per call of one service, lately. Looked at only while callers wait or are refused; then about once a
    second. Times are monotonic."""

    __slots__ = ("_marks",)

    def __init__(self) -> None:
        self._marks: deque[tuple[float, int, float]] = deque()  # when, calls that had ended, seconds in flight

    def look(self, traffic: Traffic, now: float) -> None:
        marks = self._marks
        if marks and now - marks[-1][0] < STEP:
            return
        marks.append((now, traffic.finished, traffic.in_flight_seconds(now)))
        while marks[0][0] < now - WINDOW:
            marks.popleft()

    def seconds_per_call(self, traffic: Traffic, slots: int, now: float) -> float:
        """The time that calls were in flight over the number of those that ended: times without calls do not count, and
        calls that have not ended do. ``slots`` are in flight now; until as many have ended as that, those count as if
        they ended now, as nobody knows better."""
        seconds = traffic.in_flight_seconds(now)
        ever = seconds / max(1, traffic.finished, slots)
        if not self._marks or self._marks[0][0] < now - WINDOW:
            return ever
        _, finished, before = self._marks[0]
        ended, lately = traffic.finished - finished, seconds - before
        if ended < max(2, slots):  # one end says nothing of how long it took: 17 s were told where calls take 5.5 s
            return max(ever, lately / max(1, slots))
        return (lately + ever) / ended  # one more than were seen to end had begun, it may be
