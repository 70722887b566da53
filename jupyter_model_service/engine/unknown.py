"""Why a figure that a rule looks at is unknown, in one clause: that is what its owner has to mend."""

from __future__ import annotations

from ..core.scaling.metrics import query_name
from ..core.scaling.signals import Sample
from ..ports import Queries
from .sampling import OF_REPLICAS, RATE, STALE, WINDOW, Look
from .state import Replica, Service

_SHARED = frozenset({"concurrency", "calls_per_second"})  # among the replicas that are ready


def explained(sample: Sample, service: Service, seen: Look, queries: Queries) -> Sample:
    """``sample``, made complete with a reason for each measure that has no value."""
    missing = [name for name, value in sample.measures.items() if value is None]
    if not missing:
        return sample
    sample.unknown = {name: why_unknown(name, service, seen, queries) for name in missing}
    return sample


def why_unknown(name: str, service: Service, seen: Look, queries: Queries) -> str:
    """Of a measure that has no value."""
    if (query := query_name(name)) is not None:
        return queries.reason(query, service.record.owner, service.record.name)
    if name in OF_REPLICAS:
        return _of_replicas(name, seen) if seen.ready else "no replica is ready"
    if name in _SHARED and not seen.ready:
        return "no replica is ready"
    if name == "calls_per_second":
        return f"its calls have been counted for less than {RATE:g} s"
    return f"no call has ended within {WINDOW:g} s"


def _of_replicas(name: str, seen: Look) -> str:
    """Of the first replica that lacks it: one is enough for the mean to be unknown."""
    said = (_of_replica(name, replica, seen.at) for replica in seen.ready)
    return next((why for why in said if why), "")


def _of_replica(name: str, replica: Replica, now: float) -> str:
    """Empty where nothing is missing."""
    sample = replica.sample
    if not replica.lease_open:
        return f"replica {replica.id} is out of contact"
    if sample is None:
        return f"replica {replica.id} has told no figures yet"
    if now - replica.sample_at > STALE:
        return f"the figures of replica {replica.id} are {now - replica.sample_at:.0f} s old"
    if name == "cpu_util":
        return "" if replica.cpu is not None else f"replica {replica.id} has told its CPU time less than twice"
    if name == "memory":
        return "" if sample.rss is not None else f"replica {replica.id} does not tell how much memory it has"
    if sample.gpus:
        sized = all(gpu.memory_total for gpu in sample.gpus)
        return "" if name == "gpu_util" or sized else f"a GPU of replica {replica.id} does not tell its memory"
    if sample.gpus is not None:
        return f"replica {replica.id} sees no GPU, or only parts of one (MIG), which tell nothing"
    if replica.revision.resources.gpus:
        return f"NVIDIA's driver tells nothing of the GPUs of replica {replica.id}"
    return f"replica {replica.id} was given no GPU, and sees none"
