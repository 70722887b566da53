"""What the autoscaler looks at: one service at one moment, from its endpoint, its replicas and their runners' samples.

What is not known is ``None``, never zero: figures of a replica that are older than :data:`STALE` s, and of all replicas
as soon as one of them that is ready has none. Only what a rule looks at is computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..core.backoff import PROVEN_AFTER
from ..core.replica import STARTING_UP, Phase
from ..core.scaling.metrics import query_name
from ..core.scaling.signals import Sample
from ..core.traffic import BUCKETS, difference, quantile
from ..ports import AskedQuery, Queries
from .history import Point
from .state import Mark, Replica, Service

TICK = 2.0  # seconds between two looks at a service
STALE = 5.0  # seconds
WINDOW = 60.0  # seconds that quantiles and shares of calls are of
APART = 5.0  # seconds between two marks: a dozen of them cover the window
RATE = 1.0  # seconds that a rate is of at least
WEIGHT = 0.3  # of the last start among those before it
OF_REPLICAS = frozenset({"gpu_util", "gpu_memory", "cpu_util", "memory"})


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
    named = [name for rule in record.autoscaling.rules if (name := query_name(rule.metric)) is not None]
    if not named:
        return []
    ready = tuple(r.id for r in service.replicas.values() if r.phase is Phase.READY)
    return [AskedQuery(name, record.owner, record.name, ready) for name in sorted(set(named))]


def point(service: Service, seen: Look) -> Point:
    """What was measured since this was last asked, for pictures."""
    now = seen.at
    before, after = service.scaled.tick, _mark(service, now, service.scaled.tick)
    service.scaled.tick = after
    if before is None and after.arrived:
        # Its first calls came before it was looked at for the first time: counts began with nothing.
        before = Mark(now - TICK, 0, 0, 0, (0,) * BUCKETS, (), 0.0)
    if before is None or now <= before.at:
        return Point(0.0)
    seconds = now - before.at
    return Point(
        seconds=seconds,
        calls=after.arrived - before.arrived,
        errors=after.failed - before.failed,
        latency=difference(before.whole, after.whole) if after.finished != before.finished else (),
        in_flight=(after.in_flight_seconds - before.in_flight_seconds) / seconds,
        queued=service.endpoint.waiting,
        replicas_wanted=service.record.replicas,
        replicas_ready=len(seen.ready),
        gpu_util=seen.gpu_util,
        gpu_memory=seen.gpu_memory,
        cpu_util=seen.cpu_util,
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


@dataclass(slots=True)
class Look:
    """The replicas of a service at one moment, in one pass: a thousand services with ten each are looked at every two
    seconds. Figures are means over those that are ready, GPU's over their devices; ``None``: unknown."""

    at: float
    ready: list[Replica]
    starting: int
    gpu_util: float | None = None
    gpu_memory: float | None = None
    cpu_util: float | None = None
    memory: float | None = None


def look(service: Service, now: float) -> Look:
    """``now`` is monotonic. An attempt to start one that may find no room again counts as none."""
    there, starting = service.replicas.values(), 0
    ready = [replica for replica in there if replica.life.phase is Phase.READY]
    if len(ready) < len(there):
        waits = service.retry(service.record.active).refusals > 0
        for replica in there:
            if replica.life.phase in STARTING_UP and not (waits and replica.record.placement is None):
                starting += 1
    seen = Look(now, ready, starting)
    _measure(seen, ready, now - STALE)
    return seen


def _measure(seen: Look, ready: Sequence[Replica], since: float) -> None:
    """One loop, for the time that it takes."""
    cpu, memory, util, full = 0.0, 0, 0.0, 0.0
    devices = 0
    cpu_known = memory_known = gpus_known = sized = bool(ready)
    for replica in ready:
        sample = replica.sample
        if sample is None or not replica.lease_open or replica.sample_at < since:
            return
        if replica.cpu is None:
            cpu_known = False
        else:
            cpu += replica.cpu
        if sample.rss is None:
            memory_known = False
        else:
            memory += sample.rss
        if not sample.gpus:
            gpus_known = False
            continue
        for gpu in sample.gpus:
            devices += 1
            util += gpu.utilization
            if gpu.memory_total:
                full += gpu.memory_used / gpu.memory_total
            else:
                sized = False
    seen.cpu_util = cpu / len(ready) if cpu_known else None
    seen.memory = memory / len(ready) if memory_known else None
    if gpus_known:
        seen.gpu_util = util / devices
        seen.gpu_memory = 100.0 * full / devices if sized else None


def take(service: Service, seen: Look, queries: Queries) -> Sample:
    endpoint, now = service.endpoint, seen.at
    traffic = endpoint.traffic
    policy = service.record.autoscaling
    measures: dict[str, float | None] = {}
    for rule in policy.rules if policy is not None else ():
        if rule.metric not in measures:
            measures[rule.metric] = measure(rule.metric, service, seen, queries)
    return Sample(
        at=now,
        ready=len(seen.ready),
        starting=seen.starting,
        in_flight=endpoint.in_flight,
        queued=endpoint.waiting,
        arrived=traffic.arrived,
        finished=traffic.finished,
        busy_seconds=traffic.busy_seconds,
        in_flight_seconds=traffic.in_flight_seconds(now),
        last_call=traffic.last_call,
        measures=measures,
        failing=failing(service, now),
        start_seconds=endpoint.start_seconds,
    )


def measure(name: str, service: Service, seen: Look, queries: Queries) -> float | None:
    """One metric of ``core.scaling.metrics``; ``None``: unknown."""
    record, ready = service.record, seen.ready
    if name in OF_REPLICAS:
        figure: float | None = getattr(seen, name)
        return figure
    if (query := query_name(name)) is not None:
        return queries.value(query, record.owner, record.name)
    if name == "queued":
        return float(service.endpoint.waiting)
    if name == "concurrency":
        return (service.endpoint.in_flight + service.endpoint.waiting) / len(ready) if ready else None
    if name == "calls_per_second":
        rate = arrival_rate(service, seen.at)
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
