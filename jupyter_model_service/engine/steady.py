"""Services about which nothing new is to be decided: the last decision holds, for as long as what it was about does not
change. To see that costs a tenth of a decision, and most services are like that most of the time."""

from __future__ import annotations

from ..core.scaling.policy import Autoscaling
from ..core.scaling.signals import Bounds, Decision, Sample
from ..core.scaling.steady import later, steady_until
from ..ports import Queries
from .sampling import Look, measure
from .state import Service, Steady


def found_steady(service: Service, policy: Autoscaling, bounds: Bounds, sample: Sample, decision: Decision) -> None:
    """Note whether the decision that was just taken of ``sample`` will be taken again and again."""
    scaled, record, now = service.scaled, service.record, sample.at
    if sample.in_flight or sample.queued or scaled.memory is None:
        return
    if scaled.limit is not None and now < scaled.limit[1]:
        return
    retry = service.retry(record.active)
    if retry.failures or retry.refusals or retry.room is not None or now < retry.next_at:
        return  # what is said of these changes by itself
    until = steady_until(policy, sample, scaled.memory, decision, now, bounds)
    if until > now:
        about = (policy, bounds, retry, record.replicas, record.active)
        calls = (sample.arrived, sample.finished, sample.last_call, sample.in_flight_seconds)
        scaled.steady = Steady(until, now, now, about, calls, sample.ready, sample.measures)


def goes_on(
    service: Service, steady: Steady, policy: Autoscaling, bounds: Bounds, seen: Look, queries: Queries
) -> bool:
    """Whether all is as it was when it was last decided about."""
    record, endpoint, traffic = service.record, service.endpoint, service.endpoint.traffic
    if seen.at >= steady.until or seen.starting or len(seen.ready) != steady.ready:
        return False
    if endpoint.in_flight or endpoint.waiting:
        return False
    kept, kept_bounds, retry, replicas, active = steady.about
    if policy is not kept or bounds is not kept_bounds or service.retry(record.active) is not retry:
        return False
    if record.replicas != replicas or record.active != active:
        return False
    calls = (traffic.arrived, traffic.finished, traffic.last_call, traffic.in_flight_seconds(seen.at))
    if calls != steady.calls:
        return False
    return all(measure(name, service, seen, queries) == value for name, value in steady.measures.items())


def no_more_steady(service: Service) -> None:
    """Something has changed: what is remembered becomes as if it had been decided all the time."""
    scaled = service.scaled
    if scaled.steady is not None and scaled.memory is not None:
        scaled.memory = later(scaled.memory, scaled.steady.at - scaled.steady.since)
    scaled.steady = None
