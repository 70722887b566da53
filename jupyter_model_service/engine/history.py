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
from dataclasses import dataclass
from itertools import compress
from typing import NamedTuple

from ..core.traffic import BUCKETS, quantiles

__all__ = ["COLUMNS", "TIERS", "Histories", "History", "Piece", "Point", "SeriesView", "dumped"]

# Seconds between points, and how many of them; the slots of each are made of whole ones of the tier before it.
TIERS = ((2.0, 300), (30.0, 480), (300.0, 288))
QUANTILES = {"latency_p50": 0.5, "latency_p95": 0.95, "latency_p99": 0.99}
_SHARES = tuple(QUANTILES.values())
_NO_CALLS = (None,) * len(QUANTILES)
_NUMBERS = range(BUCKETS)
_MEANS = ("in_flight", "queued", "gpu_util", "gpu_memory", "cpu_util")
_LASTS = ("replicas_wanted", "replicas_ready")
COLUMNS = ("calls_per_second", "errors_per_second", *QUANTILES, *_MEANS, *_LASTS)
_LONGEST = 60.0  # seconds that one point may stand for; a gateway that slept for longer knows nothing of that time
_SHORTEST = 0.001  # for a point without length, the first of a life, so that it has a weight at all
_FORMAT = 1


class Point(NamedTuple):
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


class _Sums:
    """An interval that is still growing, as sums that are weighted by seconds; ``…_for``: seconds for which the figure
    is known. Written out figure by figure: a thousand services come by every two seconds."""

    __slots__ = (
        "calls",
        "counted",
        "cpu",
        "cpu_for",
        "errors",
        "full",
        "full_for",
        "in_flight",
        "in_flight_for",
        "latency",
        "queued",
        "queued_for",
        "ready",
        "util",
        "util_for",
        "wanted",
    )

    def __init__(self) -> None:
        self.counted = self.calls = self.errors = 0.0
        self.latency: dict[int, float] = {}  # bucket → calls; a share of them, at the ends
        self.in_flight = self.queued = self.util = self.full = self.cpu = 0.0
        self.in_flight_for = self.queued_for = self.util_for = self.full_for = self.cpu_for = 0.0
        self.wanted: float | None = None
        self.ready: float | None = None

    def add(self, point: Point, share: float) -> None:
        """``share`` of the point's time is in this interval."""
        length, calls, errors, latency, in_flight, queued, wanted, ready, util, full, cpu = point
        seconds = (length if length > _SHORTEST else _SHORTEST) * share
        if calls is not None and length > 0:
            self.counted += seconds
            self.calls += calls * share
            self.errors += (errors or 0.0) * share
        if latency:
            known = self.latency
            for bucket in compress(_NUMBERS, latency):
                known[bucket] = known.get(bucket, 0.0) + latency[bucket] * share
        if in_flight is not None:
            self.in_flight += in_flight * seconds
            self.in_flight_for += seconds
        if queued is not None:
            self.queued += queued * seconds
            self.queued_for += seconds
        if util is not None:
            self.util += util * seconds
            self.util_for += seconds
        if full is not None:
            self.full += full * seconds
            self.full_for += seconds
        if cpu is not None:
            self.cpu += cpu * seconds
            self.cpu_for += seconds
        if wanted is not None:
            self.wanted = wanted
        if ready is not None:
            self.ready = ready

    def take(self, later: _Sums) -> None:
        """Those of an interval within this one."""
        self.counted += later.counted
        self.calls += later.calls
        self.errors += later.errors
        if later.latency:
            known = self.latency
            for bucket, count in later.latency.items():
                known[bucket] = known.get(bucket, 0.0) + count
        self.in_flight += later.in_flight
        self.in_flight_for += later.in_flight_for
        self.queued += later.queued
        self.queued_for += later.queued_for
        self.util += later.util
        self.util_for += later.util_for
        self.full += later.full
        self.full_for += later.full_for
        self.cpu += later.cpu
        self.cpu_for += later.cpu_for
        if later.wanted is not None:
            self.wanted = later.wanted
        if later.ready is not None:
            self.ready = later.ready

    def figures(self) -> tuple[float | None, ...]:
        """In the order of :data:`COLUMNS`; ``None`` is unknown."""
        counted = self.counted
        return (
            self.calls / counted if counted else None,
            self.errors / counted if counted else None,
            *(quantiles(self.latency, _SHARES) if self.latency else _NO_CALLS),
            self.in_flight / self.in_flight_for if self.in_flight_for else None,
            self.queued / self.queued_for if self.queued_for else None,
            self.util / self.util_for if self.util_for else None,
            self.full / self.full_for if self.full_for else None,
            self.cpu / self.cpu_for if self.cpu_for else None,
            self.wanted,
            self.ready,
        )


class _Ring:
    """One resolution. Slots are numbered by ``floor(Unix time / step)``; a column takes memory from its first value.

    Points are added to the finest one only; what a ring has of a slot goes to ``coarser``, whose slots consist of whole
    ones of this, when the slot ends. So a coarser ring's ``open`` lacks what the finer ones still have open.
    """

    def __init__(self, step: float, length: int, finer: _Ring | None = None) -> None:
        self.step = step
        self.length = length
        self.finer = finer
        self.coarser: _Ring | None = None
        self.within = 1  # so many slots of this are one of the coarser ring
        self.first: int | None = None  # the oldest slot that was ever written
        self.newest = 0
        self.columns: dict[str, array[float]] = {}
        self.open = _Sums()
        self.continued = False  # the newest slot has figures of before a restart, which stay where no newer ones come
        if finer is not None:
            finer.coarser, finer.within = self, round(step / finer.step)

    def add(self, now: float, point: Point) -> None:
        step = self.step
        last = math.floor(now / step)
        began = now - min(point.seconds, _LONGEST)
        if self.first is None:
            self._begin(math.floor(began / step))
        elif last < self.newest:
            self._set_back(now)
        if last < self.newest or began >= now:
            self._go_to(max(last, self.newest))
            self.open.add(point, 1.0)
            return
        start = began
        for slot in range(max(math.floor(began / step), self.newest), last + 1):
            end = min(now, (slot + 1) * step)
            if end > start:
                if slot != self.newest:
                    self._go_to(slot)
                self.open.add(point, (end - start) / (now - began))
                start = end

    def _begin(self, slot: int) -> None:
        self.first = self.newest = slot
        if self.coarser is not None:
            self.coarser._begin(slot // self.within)

    def _go_to(self, slot: int) -> None:
        if slot <= self.newest:
            return
        self._write(self.open)
        for skipped in range(max(self.newest + 1, slot - self.length + 1), slot):
            self._blank(skipped)
        self._hand_on()
        self.newest = slot
        self.continued = False
        if self.coarser is not None:
            self.coarser._go_to(slot // self.within)

    def _hand_on(self) -> None:
        if self.coarser is not None:
            self.coarser.open.take(self.open)
        self.open = _Sums()

    def _set_back(self, now: float) -> None:
        """The clock was: what lies in its future is of another time, unless it is as good as now."""
        slot = math.floor(now / self.step)
        if slot < self.newest - 1:
            self._hand_on()
            for wrong in range(max(slot, self.newest - self.length + 1), self.newest + 1):
                self._blank(wrong)
            self.newest = slot
            self.continued = False
            self.first = min(self.first or slot, slot)
        if self.coarser is not None:
            self.coarser._set_back(now)

    def _blank(self, slot: int) -> None:
        for column in self.columns.values():
            column[slot % self.length] = math.nan

    def close(self) -> None:
        """Write down what is known of the newest slot so far."""
        sums = self.open
        if self.finer is not None:
            sums = _Sums()
            ring: _Ring | None = self
            while ring is not None:
                sums.take(ring.open)
                ring = ring.finer
        self._write(sums)

    def _write(self, sums: _Sums) -> None:
        place, columns = self.newest % self.length, self.columns
        for name, value in zip(COLUMNS, sums.figures(), strict=True):
            if value is not None:
                column = columns.get(name)
                if column is None:
                    column = columns[name] = array("f", [math.nan]) * self.length
                column[place] = value
            elif name in columns and not self.continued:
                columns[name][place] = math.nan

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
        self.rings: list[_Ring] = []
        for step, length in TIERS:
            self.rings.append(_Ring(step, length, self.rings[-1] if self.rings else None))

    def add(self, now: float, point: Point) -> None:
        """``now`` is Unix time. Each point begins where the one before ended."""
        self.rings[0].add(now, point)

    def read(self, now: float, since: float | None = None, step: float | None = None) -> SeriesView:
        """At the finest resolution that is no finer than ``step`` (seconds) and reaches back to ``since`` (Unix time);
        without ``since`` all that there is at that resolution."""
        coarse_enough = [ring for ring in self.rings if ring.step >= (step or 0.0)] or self.rings[-1:]
        far_enough = [r for r in coarse_enough if since is None or since >= now - r.step * (r.length - 1)]
        ring = (far_enough or coarse_enough[-1:])[0]
        return ring.read(now - ring.step * ring.length if since is None else since, now)


Piece = tuple[dict[str, object], list[bytes]]


class Histories:
    """Those of all services, by id. ``dump`` and ``load`` bring them over a restart of the gateway."""

    def __init__(self) -> None:
        self._of: dict[str, History] = {}

    def of(self, service_id: str) -> History:
        found = self._of.get(service_id)
        if found is None:
            found = self._of[service_id] = History()
        return found

    def forget(self, service_id: str) -> None:
        self._of.pop(service_id, None)

    def dump(self) -> bytes:
        """A line of JSON that says what follows, then the columns as they lie in memory."""
        return b"".join(dumped(list(self.pieces())))

    def pieces(self) -> Iterator[Piece]:
        """What :func:`dumped` makes the dump of, service by service: services may come and go, and points be added,
        between two of them. A thousand take 30 ms together."""
        for service_id in list(self._of):
            history = self._of.get(service_id)
            if history is None:
                continue
            rings, columns = [], []
            for ring in history.rings:
                ring.close()
                rings.append({"first": ring.first, "newest": ring.newest, "columns": list(ring.columns)})
                columns += [column.tobytes() for column in ring.columns.values()]
            yield {"id": service_id, "rings": rings}, columns

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


def dumped(pieces: Sequence[Piece]) -> list[bytes]:
    """A dump, not put together: a full day of a thousand services is 50 MB."""
    services = [head for head, _ in pieces]
    head = {"format": _FORMAT, "order": sys.byteorder, "tiers": TIERS, "services": services}
    return [json.dumps(head).encode("ascii"), b"\n", *[column for _, columns in pieces for column in columns]]


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
            ring.continued = True
        yield str(plain["id"]), history
    if at != len(body):
        raise ValueError("it is damaged")
