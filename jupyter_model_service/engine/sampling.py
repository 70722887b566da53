"""What the autoscaler looks at: one service at one moment, from its endpoint, its replicas and their runners' samples.

What is not known is ``None``, never zero: figures of a replica that are older than :data:`STALE` s, and of all replicas
as soon as one of them that is ready has none. Only what a rule looks at is computed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import fmean

from ..core.backoff import PROVEN_AFTER
from ..core.replica import STARTING_UP, Phase
from ..core.reports import LeaseSample
from ..core.scaling.metrics import query_name
from ..core.scaling.signals import Sample
from ..core.traffic import difference, quantile
from ..ports import AskedQuery, Queries
from .history import Point
from .state import Mark, Replica, Service

STALE = 5.0  # seconds
WINDOW = 60.0  # seconds that quantiles and shares of calls are of
APART = 5.0  # seconds between two marks: a dozen of them cover the window
RATE = 1.0  # seconds that a rate is of at least
WEIGHT = 0.3  # of the last start among those before it

Figures = Callable[[LeaseSample, Replica], Sequence[float | None]]
"""Those of one replica, one for each of its devices where they are of devices."""


def learn_start(service: Service, seconds: float) -> None:
    """A replica took so long from the decision to start it to its first pass."""
    before = service.endpoint.start_seconds
    service.endpoint.start_seconds = seconds if before is None else before + WEIGHT * (seconds - before)


def mark(service: Service, now: float) -> None:
    """Note what calls have done so far, for later differences."""
    marks = service.scaled.marks
    if marks and now - marks[-1].at < APART:
        return
    while len(marks) > 1 and marks[1].at <= now - WINDOW:
        marks.popleft()
    marks.append(_mark(service, now, marks[-1] if marks else None))


def _mark(service: Service, now: float, before: Mark | None) -> Mark:
    traffic = service.endpoint.traffic
    if before is not None and before.finished == traffic.finished:
        whole, first = before.whole, before.first  # most services are quiet: those cost no memory
    else:
        whole, first = tuple(traffic.whole), tuple(traffic.first)
    counts = traffic.arrived, traffic.finished, traffic.failed
    return Mark(now, *counts, whole, first, traffic.in_flight_seconds(now))


def asked(service: Service) -> list[AskedQuery]:
    """The queries that its rules look at."""
    record = service.record
    if record.autoscaling is None or not record.autoscaling.rules or service.deleting:
        return []
    names = {query_name(rule.metric) for rule in record.autoscaling.rules} - {None}
    ready = tuple(r.id for r in service.replicas.values() if r.phase is Phase.READY) if names else ()
    return [AskedQuery(name, record.owner, record.name, ready) for name in sorted(filter(None, names))]


def point(service: Service, now: float) -> Point:
    """What was measured since this was last asked, for pictures."""
    before, after = service.scaled.tick, _mark(service, now, service.scaled.tick)
    service.scaled.tick = after
    if before is None or now <= before.at:
        return Point(0.0)
    ready = [r for r in service.replicas.values() if r.phase is Phase.READY]
    seconds = now - before.at
    return Point(
        seconds=seconds,
        calls=after.arrived - before.arrived,
        errors=after.failed - before.failed,
        latency=difference(before.whole, after.whole) if after.finished != before.finished else (),
        in_flight=(after.in_flight_seconds - before.in_flight_seconds) / seconds,
        queued=service.endpoint.waiting,
        replicas_wanted=service.record.replicas,
        replicas_ready=len(ready),
        gpu_util=_of_replicas(_gpu_util, ready, now),
        gpu_memory=_of_replicas(_gpu_memory, ready, now),
        cpu_util=_of_replicas(_cpu, ready, now),
    )


def failing(service: Service, now: float) -> bool:
    """Whether replicas of the active revision end before they are ready, or soon after, and none is proved since: more
    of them would do the same. One that had served and died once is no such case, it is replaced."""
    record, retry = service.record, service.retry(service.record.active)
    if retry.failures < (2 if retry.ever_ready else 1):
        return False
    current = [r for r in service.replicas.values() if r.live() and r.revision.number == record.active]
    short = len(current) < record.replicas and not retry.refusals
    unproved = short or any(r.substitute and r.phase is not Phase.READY for r in current)
    return unproved or now - retry.counted_at < PROVEN_AFTER


def starting(service: Service) -> int:
    """Replicas that are on their way to be ready. An attempt that may find no room again is none."""
    waits = service.retry(service.record.active).refusals > 0
    return sum(r.phase in STARTING_UP and not (waits and r.record.placement is None) for r in service.replicas.values())


def take(service: Service, now: float, queries: Queries) -> Sample:
    """``now`` is monotonic."""
    endpoint = service.endpoint
    traffic = endpoint.traffic
    ready = [r for r in service.replicas.values() if r.phase is Phase.READY]
    policy = service.record.autoscaling
    names = {rule.metric for rule in policy.rules} if policy is not None else set()
    return Sample(
        at=now,
        ready=len(ready),
        starting=starting(service),
        in_flight=endpoint.in_flight,
        queued=endpoint.waiting,
        arrived=traffic.arrived,
        finished=traffic.finished,
        busy_seconds=traffic.busy_seconds,
        in_flight_seconds=traffic.in_flight_seconds(now),
        last_call=traffic.last_call,
        measures={name: measure(name, service, ready, now, queries) for name in sorted(names)},
        failing=failing(service, now),
        start_seconds=endpoint.start_seconds,
    )


def measure(name: str, service: Service, ready: list[Replica], now: float, queries: Queries) -> float | None:
    """One metric of ``core.scaling.metrics``; ``None``: unknown."""
    record = service.record
    if (query := query_name(name)) is not None:
        return queries.value(query, record.owner, record.name)
    if name in _OF_REPLICAS:
        return _of_replicas(_OF_REPLICAS[name], ready, now)
    if name == "queued":
        return float(service.endpoint.waiting)
    if name == "concurrency":
        return (service.endpoint.in_flight + service.endpoint.waiting) / len(ready) if ready else None
    if name == "calls_per_second":
        rate = arrival_rate(service, now)
        return rate / len(ready) if ready and rate is not None else None
    since = service.scaled.marks[0] if service.scaled.marks else None
    if since is None:
        return None
    traffic = service.endpoint.traffic
    if name == "errors":
        finished = traffic.finished - since.finished
        return (traffic.failed - since.failed) / finished if finished else None
    kind, _, share = name.rpartition("_p")
    counted = {"latency": (since.whole, traffic.whole), "first_byte": (since.first, traffic.first)}.get(kind)
    if counted is None or not share.isdecimal() or traffic.finished == since.finished:
        return None
    return quantile(difference(*counted), int(share) / 100)


def arrival_rate(service: Service, now: float) -> float | None:
    """Calls per second of the whole service, over the last few seconds."""
    before = next((m for m in reversed(service.scaled.marks) if m.at <= now - RATE), None)
    if before is None:
        return None
    return (service.endpoint.traffic.arrived - before.arrived) / (now - before.at)


def _of_replicas(
    of: Callable[[LeaseSample, Replica], Sequence[float | None]], ready: Sequence[Replica], now: float
) -> float | None:
    """The mean; ``None`` when there is no replica, or one of them has no figure that is fresh."""
    figures: list[float] = []
    for replica in ready:
        if replica.sample is None or not replica.lease_open or now - replica.sample_at > STALE:
            return None
        its = [figure for figure in of(replica.sample, replica) if figure is not None]
        if not its:
            return None
        figures += its
    return fmean(figures) if figures else None


def _gpu_util(sample: LeaseSample, replica: Replica) -> Sequence[float | None]:
    return [gpu.utilization for gpu in sample.gpus or ()]


def _gpu_memory(sample: LeaseSample, replica: Replica) -> Sequence[float | None]:
    return [100.0 * gpu.memory_used / gpu.memory_total for gpu in sample.gpus or () if gpu.memory_total]


def _cpu(sample: LeaseSample, replica: Replica) -> Sequence[float | None]:
    return [replica.cpu]


def _memory(sample: LeaseSample, replica: Replica) -> Sequence[float | None]:
    return [sample.rss]


_OF_REPLICAS: dict[str, Figures] = {
    "gpu_util": _gpu_util,
    "gpu_memory": _gpu_memory,
    "cpu_util": _cpu,
    "memory": _memory,
}
