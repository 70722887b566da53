"""What a rule can look at: every metric with its unit and meaning, and what becomes of Backend.AI's metrics.

Engine, parser, JSON Schema and the reference in ``docs/`` read these tables.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

__all__ = [
    "BACKEND_AI_METRICS",
    "METRICS",
    "PROMETHEUS",
    "QUERY_NAME",
    "REFUSED_METRICS",
    "SLIPS",
    "Metric",
    "is_metric",
    "of_replicas",
    "query_name",
    "unit_of",
]

PROMETHEUS = "prometheus:"  # followed by the name under which the administrator allows a query
QUERY_NAME = r"[A-Za-z_][A-Za-z0-9_.:-]{0,63}"  # to be matched whole


@dataclass(frozen=True)
class Metric:
    """``of``: ``replicas`` (the mean over them) or ``service``. ``most`` is the largest value that there is, ``None``
    where there is no such. No metric of this table is ever below zero."""

    name: str
    unit: str
    of: str
    meaning: str
    most: float | None = None


def _quantiles(name: str, meaning: str) -> tuple[Metric, ...]:
    how = {"p50": "half of the calls take longer", "p95": "one call in 20 takes longer", "p99": "one in 100"}
    return tuple(Metric(f"{name}_{p}", "seconds", "service", f"{meaning} ({told}).") for p, told in how.items())


METRICS: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("gpu_util", "percent", "replicas", "How busy the GPUs are: the mean over the devices of all "
               "replicas that are ready.", 100.0),
        Metric("gpu_memory", "percent", "replicas", "How full the memory of the GPUs is: the mean over these "
               "devices.", 100.0),
        Metric("cpu_util", "percent", "replicas", "CPU time of a replica with all of its processes: 100 is one core, "
               "400 four."),
        Metric("memory", "bytes", "replicas", "Memory of a replica with all of its processes."),
        Metric("calls_per_second", "calls per second", "replicas", "Calls that come, shared among the replicas that "
               "are ready."),
        Metric("concurrency", "calls", "replicas", "Calls that are being answered or wait for a replica, shared among "
               "the replicas that are ready."),
        Metric("queued", "calls", "service", "Calls that wait for a free replica."),
        *_quantiles("latency", "From the arrival of a call to the end of its answer, over the last 60 s"),
        *_quantiles("first_byte", "From the arrival of a call to the first byte of its answer, over the last 60 s"),
        Metric("errors", "share, 0 to 1", "service", "Answers with a status of 500 or above among all answers of the "
               "last 60 s.", 1.0),
    )
}  # fmt: skip

# Backend.AI's metrics that mean the same here.
BACKEND_AI_METRICS: Mapping[str, str] = {
    "cuda_util": "gpu_util",
    "cuda_mem": "gpu_memory",
    "cpu_util": "cpu_util",
}

# And those that do not, each with the reason and what to do instead.
REFUSED_METRICS: Mapping[str, str] = {
    "mem": "is a percentage of the session's memory there, and `memory` is in bytes here; use memory with bytes",
    "cpu_used": "only grows; use cpu_util",
    "net_rx": "is not measured here; use calls_per_second",
    "net_tx": "is not measured here; use calls_per_second",
    "io_read": "is not measured here; use cpu_util or calls_per_second",
    "io_write": "is not measured here; use cpu_util or calls_per_second",
    "io_scratch_size": "is not measured here",
    "requests": "counts all calls so far and only grows; use calls_per_second",
    "rocm_util": "is of AMD's GPUs, and only NVIDIA's are measured; use concurrency",
    "rocm_mem": "is of AMD's GPUs, and only NVIDIA's are measured; use concurrency",
}


# What people write for a metric that does not look like it.
SLIPS: Mapping[str, str] = {
    "qps": "calls_per_second",
    "rps": "calls_per_second",
    "requests_per_second": "calls_per_second",
    "request_rate": "calls_per_second",
    "in_flight": "concurrency",
    "queue": "queued",
    "queue_length": "queued",
    "latency": "latency_p95",
    "p95": "latency_p95",
    "ttft": "first_byte_p95",
    "error_rate": "errors",
    "cpu": "cpu_util",
    "gpu": "gpu_util",
    "ram": "memory",
    "vram": "gpu_memory",
}


def query_name(metric: str) -> str | None:
    """The administrator's name in ``prometheus:NAME``; ``None`` for any other metric and a name that cannot be one."""
    name = metric.removeprefix(PROMETHEUS)
    return name if name != metric and re.fullmatch(QUERY_NAME, name) else None


def is_metric(name: str) -> bool:
    return name in METRICS or query_name(name) is not None


def of_replicas(name: str) -> bool:
    """Whether it is a mean over replicas. What a query gives is of the service: it is not divided by anything."""
    return name in METRICS and METRICS[name].of == "replicas"


def unit_of(name: str) -> str:
    """``percent``, ``seconds`` …; empty for a query, whose unit only the administrator knows."""
    return METRICS[name].unit if name in METRICS else ""
