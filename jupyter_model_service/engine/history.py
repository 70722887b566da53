"""Figures of each service over the last day, for pictures: two seconds apart for ten minutes, half a minute for four
hours, five minutes for a day. Pure: times come in, nothing is read or written.

How figures are brought together: rates are counts over seconds; quantiles are those of all calls of the interval, from
their counts by duration (a mean of p95s would be no p95 at all); replicas are what there was last; everything else is
the mean over time. What nobody knew is unknown, never zero.
"""

from __future__ import annotations

import json
import math
import sys
from array import array
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

from ..core.traffic import quantile

__all__ = ["COLUMNS", "TIERS", "Histories", "History", "Point", "SeriesView"]

TIERS = ((2.0, 300), (30.0, 480), (300.0, 288))  # seconds between points, and how many of them
QUANTILES = {"latency_p50": 0.5, "latency_p95": 0.95, "latency_p99": 0.99}
_MEANS = ("in_flight", "queued", "gpu_util", "gpu_memory", "cpu_util")
_LASTS = ("replicas_wanted", "replicas_ready")
COLUMNS = ("calls_per_second", "errors_per_second", *QUANTILES, *_MEANS, *_LASTS)
_LONGEST = 60.0  # seconds that one point may stand for; a gateway that slept for longer knows nothing of that time
_SHORTEST = 0.001  # for a point without length, the first of a life, so that it has a weight at all
_FORMAT = 1


@dataclass(frozen=True)
class Point:
    """What was measured over the ``seconds`` that end now: calls that came, those that failed with 500 or above, and
    those that were answered by duration (as ``core.traffic`` counts; empty: none). Percent for GPUs and CPU."""

    seconds: float
    calls: float | None = None
    errors: float | None = None
    latency: Sequence[int] = ()
    in_flight: float | None = None
    queued: float | None = None
    replicas_wanted: float | None = None
    replicas_ready: float | None = None
    gpu_util: float | None = None
    gpu_memory: float | None = None
    cpu_util: float | None = None


@dataclass(frozen=True)
class SeriesView:
    """``values[name][i]`` is of the ``step`` seconds that begin at ``times[i]`` (Unix); ``None`` is unknown. The last
    interval is still growing."""

    step: float
    times: list[float]
    values: dict[str, list[float | None]]


@dataclass
class _Open:
    """The interval that is still growing. Sums are weighted by seconds."""

    counted: float = 0.0  # seconds for which calls are known
    calls: float = 0.0
    errors: float = 0.0
    latency: dict[int, float] = field(default_factory=dict)  # bucket → calls; a share of them, at the ends
    sums: dict[str, tuple[float, float]] = field(default_factory=dict)  # name → sum, seconds
    lasts: dict[str, float] = field(default_factory=dict)

    def add(self, point: Point, share: float) -> None:
        """``share`` of the point's time is in this interval."""
        seconds = max(point.seconds, _SHORTEST) * share
        if point.calls is not None and point.seconds > 0:
            self.counted += seconds
            self.calls += point.calls * share
            self.errors += (point.errors or 0.0) * share
        for bucket, count in enumerate(point.latency):
            if count:
                self.latency[bucket] = self.latency.get(bucket, 0.0) + count * share
        for name in _MEANS:
            value = getattr(point, name)
            if value is not None:
                total, weight = self.sums.get(name, (0.0, 0.0))
                self.sums[name] = (total + value * seconds, weight + seconds)
        for name in _LASTS:
            value = getattr(point, name)
            if value is not None:
                self.lasts[name] = value

    def figures(self) -> Iterator[tuple[str, float]]:
        """What is known of it."""
        if self.counted:
            yield "calls_per_second", self.calls / self.counted
            yield "errors_per_second", self.errors / self.counted
        if self.latency:
            counts = [self.latency.get(bucket, 0.0) for bucket in range(max(self.latency) + 1)]
            for name, share in QUANTILES.items():
                seconds = quantile(counts, share)
                if seconds is not None:
                    yield name, seconds
        for name, (total, weight) in self.sums.items():
            yield name, total / weight
        yield from self.lasts.items()


class _Ring:
    """One resolution. Slots are numbered by ``floor(Unix time / step)``; a column takes memory from its first value."""

    def __init__(self, step: float, length: int) -> None:
        self.step = step
        self.length = length
        self.first: int | None = None  # the oldest slot that was ever written
        self.newest = 0
        self.columns: dict[str, array[float]] = {}
        self.open = _Open()

    def add(self, now: float, point: Point) -> None:
        last = math.floor(now / self.step)
        began = now - min(point.seconds, _LONGEST)
        if self.first is None:
            self.first = self.newest = math.floor(began / self.step)
        elif last < self.newest - 1:
            self._go_back(last)
        if last < self.newest or began >= now:
            self._go_to(max(last, self.newest))
            self.open.add(point, 1.0)
            return
        start = began
        for slot in range(max(math.floor(began / self.step), self.newest), last + 1):
            end = min(now, (slot + 1) * self.step)
            if end > start:
                self._go_to(slot)
                self.open.add(point, (end - start) / (now - began))
                start = end

    def _go_to(self, slot: int) -> None:
        if slot == self.newest:
            return
        self.close()
        for skipped in range(max(self.newest + 1, slot - self.length + 1), slot + 1):
            self._blank(skipped)
        self.newest = slot
        self.open = _Open()

    def _go_back(self, slot: int) -> None:
        """The clock was set back: what lies in its future is of another time."""
        for wrong in range(max(slot, self.newest - self.length + 1), self.newest + 1):
            self._blank(wrong)
        self.newest = slot
        self.first = min(self.first or slot, slot)
        self.open = _Open()

    def _blank(self, slot: int) -> None:
        for column in self.columns.values():
            column[slot % self.length] = math.nan

    def close(self) -> None:
        """Write down what is known of the newest slot so far."""
        place = self.newest % self.length
        for name, value in self.open.figures():
            column = self.columns.get(name)
            if column is None:
                column = self.columns[name] = array("f", [math.nan]) * self.length
            column[place] = value

    def read(self, since: float, now: float) -> SeriesView:
        last = max(math.ceil(now / self.step) - 1, self.newest)
        first = max(math.floor(since / self.step), last - self.length + 1)
        if self.first is None:
            return SeriesView(self.step, [], {name: [] for name in COLUMNS})
        self.close()
        slots = range(max(first, self.first), last + 1)
        values = {name: [self._value(name, slot) for slot in slots] for name in COLUMNS}
        return SeriesView(self.step, [slot * self.step for slot in slots], values)

    def _value(self, name: str, slot: int) -> float | None:
        column = self.columns.get(name)
        if column is None or not self.newest - self.length < slot <= self.newest:
            return None
        value = column[slot % self.length]
        return None if math.isnan(value) else float(f"{value:.6g}")  # it has no more digits than these


class History:
    """One service."""

    def __init__(self) -> None:
        self.rings = [_Ring(step, length) for step, length in TIERS]

    def add(self, now: float, point: Point) -> None:
        """``now`` is Unix time. Each point begins where the one before ended."""
        for ring in self.rings:
            ring.add(now, point)

    def read(self, now: float, since: float | None = None, step: float | None = None) -> SeriesView:
        """At the finest resolution that is no finer than ``step`` (seconds) and reaches back to ``since`` (Unix time);
        without ``since`` all that there is at that resolution."""
        coarse_enough = [ring for ring in self.rings if ring.step >= (step or 0.0)] or self.rings[-1:]
        far_enough = [r for r in coarse_enough if since is None or since >= now - r.step * (r.length - 1)]
        ring = (far_enough or coarse_enough[-1:])[0]
        return ring.read(now - ring.step * ring.length if since is None else since, now)


class Histories:
    """Those of all services, by id. ``dump`` and ``load`` bring them over a restart of the gateway."""

    def __init__(self) -> None:
        self._of: dict[str, History] = {}

    def of(self, service_id: str) -> History:
        return self._of.setdefault(service_id, History())

    def forget(self, service_id: str) -> None:
        self._of.pop(service_id, None)

    def dump(self) -> bytes:
        """A line of JSON that says what follows, then the columns as they lie in memory."""
        services = []
        pieces: list[bytes] = []
        for service_id, history in self._of.items():
            rings = []
            for ring in history.rings:
                ring.close()
                rings.append({"first": ring.first, "newest": ring.newest, "columns": list(ring.columns)})
                pieces += [column.tobytes() for column in ring.columns.values()]
            services.append({"id": service_id, "rings": rings})
        head = {"format": _FORMAT, "order": sys.byteorder, "tiers": TIERS, "services": services}
        return b"".join([json.dumps(head).encode("ascii"), b"\n", *pieces])

    def load(self, data: bytes, wanted: Collection[str]) -> None:
        """Take those of these services from what ``dump`` gave; the last interval of each resolution begins anew.
        ``ValueError`` when it is nothing of ours; then nothing was taken."""
        line, _, body = data.partition(b"\n")
        try:
            head = json.loads(line)
            if (head["format"], head["order"]) != (_FORMAT, sys.byteorder) or head["tiers"] != [list(t) for t in TIERS]:
                raise ValueError("it is of another version or machine")
            found = dict(_histories(head["services"], memoryview(body)))
        except (KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            raise ValueError(f"it is damaged ({type(error).__name__})") from error
        self._of.update({service_id: history for service_id, history in found.items() if service_id in wanted})


def _histories(services: Sequence[dict[str, object]], body: memoryview) -> Iterator[tuple[str, History]]:
    at = 0
    for plain in services:
        history = History()
        for ring, saved in zip(history.rings, plain["rings"], strict=True):  # type: ignore[call-overload]
            ring.first = None if saved["first"] is None else int(saved["first"])
            ring.newest = int(saved["newest"])
            for name in saved["columns"]:
                column: array[float] = array("f")
                column.frombytes(body[at : at + ring.length * column.itemsize])
                at += ring.length * column.itemsize
                if len(column) != ring.length or name not in COLUMNS:
                    raise ValueError("it is damaged")
                ring.columns[name] = column
        yield str(plain["id"]), history
    if at != len(body):
        raise ValueError("it is damaged")
