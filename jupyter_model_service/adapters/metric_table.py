"""Every metric of the gateway's: its labels and its meaning, and a family of it to be filled."""

from __future__ import annotations

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

__all__ = ["METRICS", "counter", "gauge", "histogram"]

#: ``docs/operations.md`` lists the same.
METRICS: dict[str, tuple[tuple[str, ...], str]] = {
    "model_service_requests_total": (
        ("service", "revision", "status"),
        "Finished calls by class of the status that the caller saw (2xx to 5xx; 499, caller left first, is 4xx).",
    ),
    "model_service_request_seconds": (("service", "revision"), "From a call's arrival to the end of its answer."),
    "model_service_first_byte_seconds": (
        ("service", "revision"),
        "From a call's arrival to the first byte of its answer.",
    ),
    "model_service_requests_in_flight": (("service",), "Calls that a replica works on now."),
    "model_service_queue_length": (("service",), "Callers that wait for a replica now."),
    "model_service_retries_total": (("service", "reason"), "Calls that were sent again to a replica."),
    "model_service_refusals_total": (
        ("service", "code"),
        "Calls that the gateway answered itself; an empty service stands for all that do not exist.",
    ),
    "model_service_broken_answers_total": (
        ("service", "reason"),
        "Answers that were broken off, and callers who left before theirs.",
    ),
    "model_service_replicas": (("service", "phase"), "Replicas that exist now."),
    "model_service_replicas_wanted": (
        ("service",),
        "Replicas that there are to be: the owner asked for so many, or the autoscaler decided it; also while the "
        "service is stopped.",
    ),
    "model_service_autoscaling_min_replicas": (
        ("service",),
        "The fewest that autoscaling may go to now, schedules taken in. Only there while a service is autoscaled.",
    ),
    "model_service_autoscaling_max_replicas": (
        ("service",),
        "The most that autoscaling may go to now, schedules taken in.",
    ),
    "model_service_autoscaling_held": (
        ("service",),
        "1 while the owner's own count holds, until autoscaling is resumed, else 0.",
    ),
    "model_service_autoscaling_decisions_total": (
        ("service", "direction"),
        "Changes of the count by autoscaling; direction is up or down.",
    ),
    "model_service_cold_starts_total": (("service",), "Calls that woke a service which was scaled to zero."),
    "model_service_gpu_utilization_ratio": (
        ("service",),
        "Mean use of the GPUs of its replicas, 0 to 1. Not there while it is unknown.",
    ),
    "model_service_gpu_memory_used_bytes": (("service",), "Memory in use on these GPUs together."),
    "model_service_gpu_memory_bytes": (("service",), "Memory of these GPUs together."),
    "model_service_restarts_total": (("service",), "Replicas that were replaced after they had failed."),
    "model_service_phase_seconds": (("service", "phase"), "How long replicas took in each phase of their start."),
    "model_service_access_log_lost_total": (
        (),
        "Lines that the access log lacks, since it could not be written as fast as calls ended. Only there while it is "
        "on.",
    ),
    "model_service_access_log_writable": ((), "1 while the access log takes lines, else 0."),
    "model_service_gateway_info": (("version",), "The running gateway."),
}


def counter(name: str) -> CounterMetricFamily:
    labels, text = METRICS[name]
    return CounterMetricFamily(name.removesuffix("_total"), text, labels=labels)


def gauge(name: str) -> GaugeMetricFamily:
    labels, text = METRICS[name]
    return GaugeMetricFamily(name, text, labels=labels)


def histogram(name: str) -> HistogramMetricFamily:
    labels, text = METRICS[name]
    return HistogramMetricFamily(name, text, labels=labels)
