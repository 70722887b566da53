"""Every form of Backend.AI's rules is taken with its meaning, or refused with the reason."""

from __future__ import annotations

from typing import Any

import pytest

from jupyter_model_service.core.document import Reader
from jupyter_model_service.core.scaling.keys import AUTOSCALING, BACKEND_AI_RULE
from jupyter_model_service.core.scaling.metrics import BACKEND_AI_METRICS, METRICS, REFUSED_METRICS, is_metric
from jupyter_model_service.core.scaling.policy import Autoscaling, Rule
from jupyter_model_service.core.scaling.reading import autoscaling_from_plain, read_autoscaling, with_rule
from jupyter_model_service.errors import InvalidRequest

BASE = Autoscaling(max=10)
V1 = {"metric_source": "KERNEL", "metric_name": "cuda_util", "threshold": "80", "comparator": "gt", "step_size": 1}
V2 = {
    "metric_source": "KERNEL",
    "metric_name": "cuda_util",
    "min_threshold": "20",
    "max_threshold": "80",
    "step_size": 2,
}


def form(base: dict[str, Any], **keys: Any) -> dict[str, Any]:
    return {k: v for k, v in {**base, **keys}.items() if v is not ...}


def read(plain: dict[str, Any]) -> Rule:
    (rule,) = with_rule(BASE, plain).rules
    return rule


def refused(plain: dict[str, Any]) -> str:
    with pytest.raises(InvalidRequest) as caught:
        with_rule(BASE, plain)
    return caught.value.message


@pytest.mark.parametrize(
    ("plain", "rule"),
    [
        (V1, Rule("r1", "gpu_util", above=80.0)),
        (form(V1, cooldown_seconds=60, min_replicas=1, max_replicas=4), Rule("r1", "gpu_util", 80.0, cooldown=60.0, min=1, max=4)),
        (form(V1, min_replicas=-1, max_replicas=-1), Rule("r1", "gpu_util", 80.0)),
        (form(V1, min_replicas=None, max_replicas=None), Rule("r1", "gpu_util", 80.0)),
        (form(V1, min_replicas=0), Rule("r1", "gpu_util", 80.0, min=0)),
        (form(V1, threshold="0.75", metric_name="cpu_util"), Rule("r1", "cpu_util", 0.75)),
        (form(V1, threshold="7.5E+1"), Rule("r1", "gpu_util", 75.0)),  # as Python writes a Decimal
        (form(V1, threshold=80), Rule("r1", "gpu_util", 80.0)),
        (form(V1, comparator="lt", step_size=-2), Rule("r1", "gpu_util", below=80.0, step=2)),
        (form(V1, step_size=...), Rule("r1", "gpu_util", 80.0)),
        (form(V1, comparator="lt", step_size=...), Rule("r1", "gpu_util", below=80.0)),
        (V2, Rule("r1", "gpu_util", 80.0, 20.0, step=2)),
        (form(V2, min_threshold=None), Rule("r1", "gpu_util", 80.0, step=2)),
        (form(V2, max_threshold=...), Rule("r1", "gpu_util", below=20.0, step=2)),
        (form(V2, time_window=120), Rule("r1", "gpu_util", 80.0, 20.0, 2, cooldown=120.0)),
        (form(V2, id="6ba7b810-9dad-11d1-80b4-00c04fd430c8", endpoint="x", created_at="2026-01-01", last_triggered_at=None), Rule("6ba7b810-9dad-11d1-80b4-00c04fd430c8", "gpu_util", 80.0, 20.0, 2)),
        ({k.replace("_", "-"): v for k, v in V2.items()}, Rule("r1", "gpu_util", 80.0, 20.0, step=2)),
        (form(V1, metric_source="INFERENCE_FRAMEWORK", metric_name="queued", threshold="3"), Rule("r1", "queued", 3.0)),
        (form(V1, metric_source="prometheus", metric_name="waiting"), Rule("r1", "prometheus:waiting", 80.0)),
        (form(V1, metric_source="PROMETHEUS", metric_name="prometheus:waiting"), Rule("r1", "prometheus:waiting", 80.0)),
        (form(V1, metric_source=..., metric_name="waiting", prometheus_query_preset_id="6ba7"), Rule("r1", "prometheus:waiting", 80.0)),
        (form(V1, metric_source=...), Rule("r1", "gpu_util", 80.0)),
        (form(V1, metric_name="gpu_util"), Rule("r1", "gpu_util", 80.0)),
        # half in our words
        ({"metric": "gpu_util", "threshold": 3, "comparator": "lt", "step": 2}, Rule("r1", "gpu_util", below=3.0, step=2)),
        ({"metric_name": "cuda_mem", "above": 3, "window": 5}, Rule("r1", "gpu_memory", 3.0, window=5.0)),
    ],
)  # fmt: skip
def test_a_rule_is_taken_with_its_meaning(plain: dict[str, Any], rule: Rule) -> None:
    assert read(plain) == rule


@pytest.mark.parametrize(
    ("comparators", "above"),
    [
        (["gt", "GT", ">", "greater_than", "GREATER-THAN", "ge", ">=", "greater_than_or_equal", "GREATER_THAN_OR_EQUAL"], True),
        (["lt", "LT", "<", "less_than", "LESS-THAN", "le", "<=", "less_than_or_equal"], False),
    ],
)  # fmt: skip
def test_comparators_are_taken_in_every_spelling(comparators: list[str], above: bool) -> None:
    for comparator in comparators:
        rule = read(form(V1, comparator=comparator, step_size=1 if above else -1))
        assert (rule.above, rule.below) == ((80.0, None) if above else (None, 80.0))


@pytest.mark.parametrize("source", ["KERNEL", "kernel", "Kernel"])
def test_sources_are_taken_in_every_spelling(source: str) -> None:
    assert read(form(V1, metric_source=source)).metric == "gpu_util"
    assert read(form(V1, metric_source="inference-framework", metric_name="concurrency")).metric == "concurrency"


@pytest.mark.parametrize(
    ("plain", "told"),
    [
        (form(V1, comparator="lt"), "step_size would add replicas while the value is low, which no rule does here; write -1 to take 1 away, or max_threshold or min_threshold instead of the threshold."),
        (form(V1, step_size=-1), "step_size would take replicas away while the value is high, which no rule does here."),
        (form(V1, step_size=0), "step_size is 0, and the rule would never do anything; write how many replicas at a time."),
        (form(V2, step_size=0), "step_size is 0, and the rule would never do anything; write how many replicas at a time."),
        (form(V2, step_size=-1), "step_size must be at least 1: a rule adds above max_threshold and takes away below min_threshold."),
        (form(V2, step_size=101), "step_size must be a whole number of at least -100 and at most 100, not 101."),
        (form(V2, step_size="1"), 'step_size must be a whole number of at least -100 and at most 100, not "1"; write 1 without quotes.'),
        (form(V1, comparator="eq"), 'comparator must be gt, ge, lt or le, not "eq" (a measured figure hardly ever equals another).'),
        (form(V1, comparator="above"), 'comparator must be gt, ge, lt or le, not "above".'),
        (form(V1, comparator=...), "threshold needs a comparator beside it: gt or lt."),
        (form(V1, threshold=...), "comparator needs a threshold beside it."),
        (form(V1, threshold="high"), 'threshold must be a number, not "high".'),
        (form(V1, threshold="NaN"), 'threshold must be a number, not "NaN".'),
        (form(V1, threshold="Infinity"), 'threshold must be a number, not "Infinity".'),
        (form(V2, min_threshold="90"), "max_threshold is 80, less than below, which is 90: between the two the rule would add and take away at once; exchange them."),
        (form(V1, comparator="le", threshold="0", step_size=-1), "threshold is 0, and gpu_util is never below 0: the rule would never take any away."),
        (form(V1, metric_source="POD"), 'metric_source must be KERNEL, INFERENCE_FRAMEWORK or PROMETHEUS, not "POD".'),
        (form(V1, metric_name=...), "metric_source needs a metric_name beside it, which says what the rule looks at."),
        (form(V1, metric_source=..., metric_name=..., prometheus_query_preset_id="6ba7"), "prometheus_query_preset_id needs a metric_name beside it, which says what the rule looks at."),
        (form(V1, metric_name="mem"), 'metric_name is "mem", which is a percentage of the session\'s memory there, and `memory` is in bytes here; use memory with bytes.'),
        (form(V1, metric_name="cuda_utl"), 'metric_name is "cuda_utl", which is not known; did you mean'),
        (form(V1, metric_source="INFERENCE_FRAMEWORK", metric_name="vllm_num_requests_waiting"), 'metric_name is "vllm_num_requests_waiting", which only the model server itself knows; use concurrency, or let the administrator allow a query of Prometheus for it.'),
        (form(V1, metric_source="INFERENCE_FRAMEWORK", metric_name="cuda_util"), 'metric_name is "cuda_util", which only the model server itself knows'),
        (form(V1, metric_source="INFERENCE_FRAMEWORK", metric_name="requests"), 'metric_name is "requests", which counts all calls so far and only grows; use calls_per_second.'),
        (form(V1, metric_source="PROMETHEUS", metric_name="rate(x[5m])"), 'metric_name is "rate(x[5m])", which cannot name a query.'),
        (form(V1, metric="gpu_util"), "metric_name says the same as metric, which is there too; keep one of them."),
        (form(V1, above=3), "threshold says the same as above, which is there too; keep one of them."),
        (form(V1, max_threshold=3), "max_threshold says the same as threshold, which is there too; keep one of them."),
        (form(V1, step=3), "step_size says the same as step, which is there too; keep one of them."),
        (form(V2, time_window=3, cooldown_seconds=3), "time_window says the same as cooldown_seconds, which is there too; keep one of them."),
        (form(V1, max=3, max_replicas=-1), "max_replicas says the same as max, which is there too; keep one of them."),
        (form(V1, min_replicas=-2), "min_replicas must be a whole number of at least -1 and at most 100, not -2."),
        (form(V1, max_replicas=0), "max_replicas must be at least 1, or -1 for none, not 0."),
        (form(V1, cooldown_seconds="300"), 'cooldown_seconds must be a number of at least 0 and at most 86400, not "300"; write 300 without quotes.'),
        (form(V2, metricName="cuda_util"), "metricName is not a known key; did you mean metric_name?"),
    ],
)  # fmt: skip
def test_a_rule_that_would_do_something_else_here_is_refused_with_the_reason(plain: dict[str, Any], told: str) -> None:
    if told.endswith("."):
        assert refused(plain) == told
    else:
        assert refused(plain).startswith(told)


@pytest.mark.parametrize("name", sorted(REFUSED_METRICS))
def test_a_metric_that_means_something_else_here_is_refused_with_the_reason(name: str) -> None:
    assert refused(form(V1, metric_name=name)) == f'metric_name is "{name}", which {REFUSED_METRICS[name]}.'


def test_each_of_their_metrics_is_one_of_ours_or_refused_and_none_both() -> None:
    assert set(BACKEND_AI_METRICS.values()) <= set(METRICS)
    assert not set(BACKEND_AI_METRICS) & set(REFUSED_METRICS)
    assert not any(is_metric(name) for name in REFUSED_METRICS)
    for theirs, ours in BACKEND_AI_METRICS.items():
        assert read(form(V1, metric_name=theirs, threshold=3)).metric == ours


def test_what_becomes_of_equality_is_told_where_a_file_is_read() -> None:
    reader = Reader()
    rule = form(V1, comparator="ge")
    policy = read_autoscaling(reader, {"max": 3, "rules": [rule]}, (), "", keys=AUTOSCALING)
    assert policy is not None
    (warning,) = reader.problems
    assert (warning.severity, warning.where) == ("warning", "rules[0].comparator")
    assert warning.message == "becomes above: exactly at the threshold the rule does not fire"


def test_no_key_of_theirs_is_unknown() -> None:
    reader = Reader(strict=True)
    plain = {key.name: 3 for key in BACKEND_AI_RULE}
    read_autoscaling(reader, {"max": 3, "rules": [plain]}, (), "")
    assert reader.problems
    assert not [problem for problem in reader.problems if "known" in problem.message]


def test_a_threshold_without_a_comparator_is_one_problem_of_a_policy_too() -> None:
    with pytest.raises(InvalidRequest) as caught:
        autoscaling_from_plain({"max": 3, "rules": [form(V1, comparator=...)]})
    assert caught.value.message == "rules[0].threshold needs a comparator beside it: gt or lt."
