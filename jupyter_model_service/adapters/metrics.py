"""Counting for Prometheus. The hot path adds to plain integers; text is made only when somebody scrapes.

What exists now (in flight, queues, replicas) is not kept here at all: it is read from the routing table and the
engine's views at scrape time, so it can neither drift nor outlive its service. Counters of a service go with it;
those of a revision that no replica runs any more go ``linger`` seconds after a scrape has seen them last.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from .._version import __version__
from ..core.routing import Endpoint, RoutingTable
from ..ports import Clock
from .metric_table import METRICS, counter, gauge, histogram

__all__ = ["METRICS", "PrometheusMeter"]

_CALL_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
_PHASE_BUCKETS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0)
_NOBODY = ("", "")
_GONE = "gone"  # views show the last few that failed, for their reasons; they do not exist any more


class _Gpu(Protocol):
    @property
    def uuid(self) -> str: ...
    @property
    def utilization(self) -> float: ...
    @property
    def memory_used(self) -> int: ...
    @property
    def memory_total(self) -> int: ...


class _Replica(Protocol):
    @property
    def phase(self) -> str: ...
    @property
    def revision(self) -> int: ...
    @property
    def gpus(self) -> Sequence[_Gpu] | None: ...


class _Bounds(Protocol):
    @property
    def min(self) -> int: ...
    @property
    def max(self) -> int: ...


class _Autoscaling(Protocol):
    @property
    def bounds(self) -> _Bounds | None: ...
    @property
    def held(self) -> bool: ...


class _Counts(Protocol):
    @property
    def want(self) -> int: ...


class ServiceLike(Protocol):
    """What is read of the engine's view of a service."""

    @property
    def owner(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def revision(self) -> int: ...
    @property
    def stable_revision(self) -> int | None: ...
    @property
    def replicas(self) -> _Counts: ...
    @property
    def replica_list(self) -> Sequence[_Replica]: ...
    @property
    def autoscaling(self) -> _Autoscaling | None: ...


class _Histogram:
    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def cumulated(self) -> list[tuple[str, float]]:
        found, so_far = [], 0
        for bound, count in zip((*map(str, self.bounds), "+Inf"), self.counts, strict=True):
            so_far += count
            found.append((bound, float(so_far)))
        return found


class _Calls:
    """The calls of one revision. ``classes[2]`` counts the 2xx."""

    __slots__ = ("classes", "first_byte", "gone_since", "whole")

    def __init__(self) -> None:
        self.classes = [0] * 6
        self.whole = _Histogram(_CALL_BUCKETS)
        self.first_byte = _Histogram(_CALL_BUCKETS)
        self.gone_since: float | None = None


class PrometheusMeter(Collector):
    """Implements ``ports.Meter``. Lives on one event loop: nothing is locked.

    ``services`` gives the engine's present views. What is counted for a service that does not exist (a scanner
    asks for a thousand names) goes to one series with an empty name.
    """

    def __init__(
        self,
        *,
        routing: RoutingTable,
        services: Callable[[], Iterable[ServiceLike]],
        clock: Clock,
        linger: float = 300.0,
    ) -> None:
        self._routing = routing
        self._services = services
        self._clock = clock
        self._linger = linger
        self._calls: dict[tuple[str, str, int], _Calls] = {}
        self._retries: Counter[tuple[str, str, str]] = Counter()
        self._refusals: Counter[tuple[str, str, str]] = Counter()
        self._broken: Counter[tuple[str, str, str]] = Counter()
        self._restarts: Counter[tuple[str, str]] = Counter()
        self._decisions: Counter[tuple[str, str, str]] = Counter()
        self._cold_starts: Counter[tuple[str, str]] = Counter()
        self._phases: dict[tuple[str, str, str], _Histogram] = {}
        self._access_log: tuple[Callable[[], int], Callable[[], bool]] | None = None
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    # --- ports.Meter ---------------------------------------------------------------------------------

    def call(self, owner: str, name: str, revision: int, status: int, seconds: float, first_byte: float | None) -> None:
        calls = self._calls.get((owner, name, revision))
        if calls is None:
            key = (owner, name, revision) if self._exists(owner, name) else (*_NOBODY, 0)
            calls = self._calls.setdefault(key, _Calls())
        calls.classes[status // 100 if status < 600 else 5] += 1
        whole, first = calls.whole, calls.first_byte
        bucket = bisect_left(_CALL_BUCKETS, seconds)
        whole.counts[bucket] += 1
        whole.total += seconds
        if first_byte is not None:
            # Most answers come in one read: their first byte is their last.
            first.counts[bucket if first_byte == seconds else bisect_left(_CALL_BUCKETS, first_byte)] += 1
            first.total += first_byte

    def retried(self, owner: str, name: str, reason: str) -> None:
        key = (*self._key(owner, name), reason)
        self._retries[key] += 1

    def refused(self, owner: str, name: str, code: str) -> None:
        key = (*self._key(owner, name), code)
        self._refusals[key] += 1

    def broken(self, owner: str, name: str, reason: str) -> None:
        key = (*self._key(owner, name), reason)
        self._broken[key] += 1

    def phase(self, owner: str, name: str, phase: str, seconds: float) -> None:
        key = (*self._key(owner, name), phase)
        if key not in self._phases:
            self._phases[key] = _Histogram(_PHASE_BUCKETS)
        self._phases[key].observe(seconds)

    def restarted(self, owner: str, name: str) -> None:
        self._restarts[self._key(owner, name)] += 1

    def scaled(self, owner: str, name: str, before: int, after: int) -> None:
        key = (*self._key(owner, name), "up" if after > before else "down")
        self._decisions[key] += 1

    def cold_start(self, owner: str, name: str) -> None:
        self._cold_starts[self._key(owner, name)] += 1

    def forget(self, owner: str, name: str) -> None:
        self._keep_only(lambda key: key != (owner, name))

    def watch_access_log(self, lost: Callable[[], int], well: Callable[[], bool]) -> None:
        """From now on it is told how many of its lines are lost, and whether it can be written."""
        self._access_log = (lost, well)

    # --- scraping ------------------------------------------------------------------------------------

    def text(self) -> bytes:
        """Everything in Prometheus' text format, version 0.0.4."""
        return generate_latest(self._registry)

    def describe(self) -> Iterable[Metric]:
        """Names only: registering must not look at an engine that is still being built."""
        return ()

    def collect(self) -> Iterator[Metric]:
        views = list(self._services())
        endpoints: list[Endpoint] = list(self._routing)
        present = {(v.owner, v.name) for v in views} | {(e.owner, e.name) for e in endpoints} | {_NOBODY}
        self._keep_only(present.__contains__)
        self._drop_gone_revisions(views, endpoints)
        yield from self._traffic()
        yield from self._now(views, endpoints)
        yield from self._scaling(views)
        yield from _gpus(views)
        if self._access_log is not None:
            lost, writable = counter("model_service_access_log_lost_total"), gauge("model_service_access_log_writable")
            lost.add_metric([], self._access_log[0]())
            writable.add_metric([], int(self._access_log[1]()))
            yield from (lost, writable)
        yield InfoMetricFamily(
            "model_service_gateway", METRICS["model_service_gateway_info"][1], value={"version": __version__}
        )

    def _traffic(self) -> Iterator[Metric]:
        requests = counter("model_service_requests_total")
        whole, first_byte = histogram("model_service_request_seconds"), histogram("model_service_first_byte_seconds")
        for (owner, name, revision), calls in self._calls.items():
            labels = [_label(owner, name), str(revision)]
            for first_digit, count in enumerate(calls.classes):
                if count:
                    requests.add_metric([*labels, f"{first_digit}xx"], count)
            whole.add_metric(labels, calls.whole.cumulated(), calls.whole.total)
            first_byte.add_metric(labels, calls.first_byte.cumulated(), calls.first_byte.total)
        retries, refusals = counter("model_service_retries_total"), counter("model_service_refusals_total")
        broken = counter("model_service_broken_answers_total")
        for family, counts in ((retries, self._retries), (refusals, self._refusals), (broken, self._broken)):
            for (owner, name, why), count in counts.items():
                family.add_metric([_label(owner, name), why], count)
        yield from (requests, whole, first_byte, retries, refusals, broken)

    def _now(self, views: Sequence[ServiceLike], endpoints: Sequence[Endpoint]) -> Iterator[Metric]:
        in_flight, queue = gauge("model_service_requests_in_flight"), gauge("model_service_queue_length")
        for endpoint in endpoints:
            in_flight.add_metric([endpoint.key], endpoint.in_flight)
            queue.add_metric([endpoint.key], endpoint.waiting)
        replicas, wanted = gauge("model_service_replicas"), gauge("model_service_replicas_wanted")
        for view in views:
            label = _label(view.owner, view.name)
            wanted.add_metric([label], view.replicas.want)
            phases_now = Counter(r.phase for r in view.replica_list if r.phase != _GONE)
            for phase, count in phases_now.items():
                replicas.add_metric([label, phase], count)
        restarts, phases = counter("model_service_restarts_total"), histogram("model_service_phase_seconds")
        for key, count in self._restarts.items():
            restarts.add_metric([_label(*key)], count)
        for (owner, name, phase), seconds in self._phases.items():
            phases.add_metric([_label(owner, name), phase], seconds.cumulated(), seconds.total)
        yield from (in_flight, queue, replicas, wanted, restarts, phases)

    def _scaling(self, views: Sequence[ServiceLike]) -> Iterator[Metric]:
        least, most = gauge("model_service_autoscaling_min_replicas"), gauge("model_service_autoscaling_max_replicas")
        held = gauge("model_service_autoscaling_held")
        for view in views:
            if (autoscaling := view.autoscaling) is None:
                continue
            label = [_label(view.owner, view.name)]
            held.add_metric(label, int(autoscaling.held))
            if (bounds := autoscaling.bounds) is not None:
                least.add_metric(label, bounds.min)
                most.add_metric(label, bounds.max)
        decisions = counter("model_service_autoscaling_decisions_total")
        for (owner, name, direction), count in self._decisions.items():
            decisions.add_metric([_label(owner, name), direction], count)
        cold_starts = counter("model_service_cold_starts_total")
        for key, count in self._cold_starts.items():
            cold_starts.add_metric([_label(*key)], count)
        yield from (least, most, held, decisions, cold_starts)

    # --- which series there are ----------------------------------------------------------------------

    def _exists(self, owner: str, name: str) -> bool:
        return self._routing.get(owner, name) is not None

    def _key(self, owner: str, name: str) -> tuple[str, str]:
        return (owner, name) if self._exists(owner, name) else _NOBODY

    def _keep_only(self, keep: Callable[[tuple[str, str]], bool]) -> None:
        every: tuple[dict[Any, Any], ...] = (self._calls, self._retries, self._refusals, self._restarts, self._phases)
        for series in (*every, self._broken, self._decisions, self._cold_starts):
            for key in [k for k in series if not keep((k[0], k[1]))]:
                del series[key]

    def _drop_gone_revisions(self, views: Sequence[ServiceLike], endpoints: Sequence[Endpoint]) -> None:
        """A revision is there while it is active, stable, or run by a replica. The last counts of one that has
        gone are still shown for a while: a scraper that comes each minute would otherwise miss them."""
        there = {(v.owner, v.name, n) for v in views for n in (v.revision, v.stable_revision)}
        there |= {(v.owner, v.name, r.revision) for v in views for r in v.replica_list if r.phase != _GONE}
        there |= {(e.owner, e.name, b.revision) for e in endpoints for b in e.backends}
        now = self._clock.monotonic()
        for key, calls in list(self._calls.items()):
            if key in there or key[2] == 0:  # 0: calls that no replica ever got
                calls.gone_since = None
            elif calls.gone_since is None:
                calls.gone_since = now
            if calls.gone_since is not None and now - calls.gone_since >= self._linger:
                del self._calls[key]


def _gpus(views: Sequence[ServiceLike]) -> Iterator[Metric]:
    use, used = gauge("model_service_gpu_utilization_ratio"), gauge("model_service_gpu_memory_used_bytes")
    whole = gauge("model_service_gpu_memory_bytes")
    for view in views:
        replicas = [replica for replica in view.replica_list if replica.phase != _GONE]
        # Replicas that are processes may share a GPU.
        found = {gpu.uuid: gpu for replica in replicas for gpu in replica.gpus or ()}
        if found:
            label = [_label(view.owner, view.name)]
            use.add_metric(label, sum(gpu.utilization for gpu in found.values()) / len(found) / 100.0)
            used.add_metric(label, sum(gpu.memory_used for gpu in found.values()))
            whole.add_metric(label, sum(gpu.memory_total for gpu in found.values()))
    yield from (use, used, whole)


def _label(owner: str, name: str) -> str:
    return f"{owner}/{name}" if name else ""
