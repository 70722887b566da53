"""What a policy may say, what is refused, and with which sentence."""

from __future__ import annotations

import dataclasses
import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jupyter_model_service.core.document import UNKNOWN_TOLD, Reader
from jupyter_model_service.core.scaling.keys import AUTOSCALING, RULE, SCHEDULE
from jupyter_model_service.core.scaling.metrics import METRICS
from jupyter_model_service.core.scaling.policy import Autoscaling, Rule, Schedule
from jupyter_model_service.core.scaling.reading import (
    autoscaling_from_plain,
    autoscaling_from_stored,
    autoscaling_to_plain,
    check,
    read_autoscaling,
    with_rule,
    with_schedule,
    without_rule,
    without_schedule,
)
from jupyter_model_service.core.spelling import near
from jupyter_model_service.errors import InvalidRequest, NotFound

from .policies import policies

GPU = {"metric": "gpu_util", "above": 80}
DAY = {"when": "Mon-Fri 08:00-19:00", "min": 1}


def refused(plain: Any, **options: Any) -> str:
    with pytest.raises(InvalidRequest) as caught:
        autoscaling_from_plain(plain, **options)
    return caught.value.message


# --- what is right -----------------------------------------------------------------------------------


def test_what_is_left_out_has_its_default() -> None:
    assert autoscaling_from_plain({}) == Autoscaling()
    assert autoscaling_from_plain({"max": 4, "target_concurrency": None, "rules": None}) == Autoscaling(max=4)


def test_everything_that_may_be_said_is_read() -> None:
    plain = {
        "min": 0,
        "max": 8,
        "target": False,
        "target-concurrency": 4,
        "idle_after": 60,
        "down_delay": 0,
        "held": True,
        "rules": [{**GPU, "id": "busy", "below": "20.5", "step": 2, "cooldown": 0, "window": 2, "min": 1, "max": 3}],
        "schedules": [{"when": "0 8 * * 1-5", "duration": 39600, "timezone": "Asia/Seoul", "min": 2, "max": 9}],
    }
    assert autoscaling_from_plain(plain) == Autoscaling(
        0,
        8,
        False,
        4.0,
        60.0,
        0.0,
        (Rule("busy", "gpu_util", 80.0, 20.5, 2, 0.0, 2.0, 1, 3),),
        (Schedule("s1", "0 8 * * 1-5", "Asia/Seoul", 39600.0, 2, 9),),
        True,
    )


def test_ids_that_are_not_given_are_the_next_free_ones() -> None:
    plain = {"max": 2, "rules": [GPU, {**GPU, "id": "r1"}, {**GPU, "id": "r3"}, GPU], "schedules": [DAY, DAY]}
    policy = autoscaling_from_plain(plain)
    assert [rule.id for rule in policy.rules] == ["r2", "r1", "r3", "r4"]
    assert [schedule.id for schedule in policy.schedules] == ["s1", "s2"]


@pytest.mark.parametrize("metric", [*METRICS, "prometheus:tokens", "prometheus:vllm:waiting.avg-1"])
def test_a_rule_may_look_at_every_metric(metric: str) -> None:
    policy = autoscaling_from_plain({"max": 2, "rules": [{"metric": metric, "above": 0.5}]})
    assert policy.rules[0].metric == metric


def test_the_tables_have_the_fields_of_the_dataclasses_and_no_others() -> None:
    for keys, owner in ((AUTOSCALING, Autoscaling), (RULE, Rule), (SCHEDULE, Schedule)):
        fields = {field.name: field.default for field in dataclasses.fields(owner)}
        assert {key.name for key in keys} == set(fields) - {"held"}
        for key in keys:
            if key.form != "list" and not key.required and key.name != "id":
                assert key.default == fields[key.name]


@pytest.mark.parametrize(
    "plain",
    [
        {"min": 2, "max": 2, "target": False},  # as many as there are, and never others
        {"max": 3, "target": False, "schedules": [DAY]},
        {"max": 3, "rules": [{**GPU, "below": 80}]},
        {"max": 3, "rules": [GPU, {"metric": "gpu_util", "below": 80}]},
        {"max": 3, "rules": [GPU, {"metric": "cpu_util", "below": 90}]},
        {"max": 3, "rules": [{"metric": "gpu_util", "above": 99.9, "below": 0.1, "min": 2, "max": 2}]},
        {"max": 3, "schedules": [{**DAY, "min": 3}]},
        {"min": 2, "max": 3, "schedules": [{"when": "daily 10:00-11:00", "max": 2}]},
        {"min": 2, "max": 3, "schedules": [{**DAY, "min": 5, "max": 5}]},
        {"max": 3, "rules": [{**GPU, "id": "a"}], "schedules": [{**DAY, "id": "a"}]},
    ],
)
def test_what_just_makes_sense_is_taken(plain: dict[str, Any]) -> None:
    assert autoscaling_from_plain(plain).max == plain["max"]


# --- there and back ----------------------------------------------------------------------------------


@settings(deadline=None)
@given(policies())
def test_a_policy_is_the_same_after_json_in_both_ways(policy: Autoscaling) -> None:
    plain = json.loads(json.dumps(autoscaling_to_plain(policy)))
    assert autoscaling_from_plain(plain) == policy
    assert autoscaling_from_stored(plain) == policy
    check(policy)


def test_what_is_stored_is_read_without_the_checks_of_today() -> None:
    """What was accepted once is kept, whatever is checked since then."""
    stored = autoscaling_to_plain(Autoscaling(5, 3, rules=(Rule("r1", "watts", 3.0),)))
    assert autoscaling_from_stored(json.loads(json.dumps(stored))).rules[0].metric == "watts"
    assert autoscaling_from_stored({"min": 0}) == Autoscaling(min=0)


@pytest.mark.parametrize("plain", [None, 3, {"rules": 3}, {"rules": ["x"]}, {"rules": [{}]}, {"colour": "red"}])
def test_what_is_no_stored_policy_is_refused_with_one_error(plain: Any) -> None:
    with pytest.raises(ValueError, match="this is not a stored autoscaling policy"):
        autoscaling_from_stored(plain)


@pytest.mark.parametrize(
    ("metric", "text", "value"),
    [
        ("gpu_util", "80%", 80.0),
        ("gpu_util", "80", 80.0),
        ("errors", "0.5%", 0.005),
        ("errors", "0.5", 0.5),
        ("latency_p95", "1.5s", 1.5),
        ("first_byte_p50", "500ms", 0.5),
        ("latency_p99", "2m", 120.0),
        ("memory", "2g", 2.0 * (1 << 30)),
        ("memory", "5m", 5.0 * (1 << 20)),
        ("calls_per_second", "10/s", 10.0),
        ("queued", "3", 3.0),
        ("prometheus:depth", "3.5", 3.5),
    ],
)
def test_a_threshold_may_have_its_metrics_unit(metric: str, text: str, value: float) -> None:
    (read,) = autoscaling_from_plain({"max": 3, "rules": [{"metric": metric, "above": text}]}).rules
    assert read.above == pytest.approx(value)


@pytest.mark.parametrize(
    ("metric", "text", "unit"),
    [
        ("gpu_util", "80s", "percent: 80 or 80%"),
        ("memory", "90%", "bytes: 8g or 512m"),
        ("concurrency", "8g", "calls: 4"),
        ("errors", "5s", "share, 0 to 1: 0.05 or 5%"),
        ("latency_p95", "1.5%", "seconds: 1.5, 1.5s or 500ms"),
        ("queued", "3/s", "calls: 4"),
        ("prometheus:depth", "3s", "a plain number, since its unit is not known here"),
    ],
)
def test_another_unit_than_the_metrics_is_refused(metric: str, text: str, unit: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        autoscaling_from_plain({"max": 3, "rules": [{"metric": metric, "above": text}]})
    assert caught.value.message == f'rules[0].above must be a value of {metric} ({unit}), not "{text}".'


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"metric": "gpu_util", "above": 0.8}, "is 0.8 percent of gpu_util; is 80 meant?"),
        ({"metric": "memory", "above": 2}, "is 2 bytes of memory; is 2g meant?"),
        ({"metric": "latency_p95", "above": 1500}, "is 1500 seconds of latency_p95; is 1500ms meant?"),
        ({"metric": "gpu_util", "above": 2}, None),
        ({"metric": "memory", "above": "2m"}, None),
        ({"metric": "queued", "above": 0.5}, None),
    ],
)
def test_a_likely_slip_is_taken_with_a_warning(keys: dict[str, Any], told: str | None) -> None:
    reader = Reader(strict=True)
    assert read_autoscaling(reader, {"max": 3, "rules": [keys]}, ("x",), "") is not None
    found = [(each.where, each.message, each.severity) for each in reader.problems]
    assert found == ([("x.rules[0].above", told, "warning")] if told else [])


def test_times_may_be_written_as_everywhere_else() -> None:
    read = autoscaling_from_plain(
        {
            "max": 3,
            "idle_after": "30m",
            "down_delay": "0s",
            "rules": [{**GPU, "cooldown": "1h30m", "window": "30s"}],
            "schedules": [{**DAY, "when": "0 8 * * *", "duration": "11h"}],
        }
    )
    assert (read.idle_after, read.down_delay) == (1800, 0)
    assert (read.rules[0].cooldown, read.rules[0].window, read.schedules[0].duration) == (5400, 30, 39600)


# --- what is refused ---------------------------------------------------------------------------------


def rule(**keys: Any) -> dict[str, Any]:
    return {"max": 5, "rules": [{k: v for k, v in {**GPU, **keys}.items() if v is not ...}]}


def schedule(**keys: Any) -> dict[str, Any]:
    return {"max": 5, "schedules": [{k: v for k, v in {**DAY, **keys}.items() if v is not ...}]}


@pytest.mark.parametrize(
    ("plain", "told"),
    [
        (None, "The autoscaling policy must be a mapping with the keys min, max, target, target_concurrency, idle_after, down_delay, rules, schedules or held."),
        ({"min": 5, "max": 3}, "min is 5, above max, which is 3; lower it or raise max."),
        ({"min": 2}, "min is 2, above max, which is 1; lower it or raise max."),
        ({"min": -1}, "min must be a whole number of at least 0 and at most 100, not -1."),
        ({"min": 0.5, "max": 3}, "min must be a whole number of at least 0 and at most 100, not 0.5."),
        ({"max": 0}, "max must be a whole number of at least 1 and at most 100, not 0."),
        ({"max": 101}, "max must be a whole number of at least 1 and at most 100, not 101."),
        ({"max": "3"}, 'max must be a whole number of at least 1 and at most 100, not "3"; write 3 without quotes.'),
        ({"max": True}, "max must be a whole number of at least 1 and at most 100, not true."),
        ({"max": float("nan")}, "max must be a whole number of at least 1 and at most 100, not nan."),
        ({"max": 10**400}, f"max must be a whole number of at least 1 and at most 100, not {str(10**400)[:57]}..."),
        ({"target_concurrency": 0}, "target_concurrency must be a number above 0 and at most 100000, not 0."),
        ({"target_concurrency": float("inf")}, "target_concurrency must be a number above 0 and at most 100000, not inf."),
        ({"idle_after": 0}, "idle_after must be a number of at least 1 and at most 604800, not 0."),
        ({"idle_after": "8d"}, 'idle_after must be seconds, a number of at least 1 and at most 604800, or a time such as 90s or 15m, not "8d".'),
        ({"idle_after": "0s"}, 'idle_after must be seconds, a number of at least 1 and at most 604800, or a time such as 90s or 15m, not "0s".'),
        ({"idle_after": "soon"}, 'idle_after must be seconds, a number of at least 1 and at most 604800, or a time such as 90s or 15m, not "soon".'),
        ({"idle_after": "90"}, 'idle_after must be a number of at least 1 and at most 604800, not "90"; write 90 without quotes.'),
        ({"idle_after": 10**9}, "idle_after must be a number of at least 1 and at most 604800, not 1000000000."),
        ({"down_delay": -1}, "down_delay must be a number of at least 0 and at most 86400, not -1."),
        ({"target": "off"}, 'target must be true or false, not "off".'),
        ({"max": 3, "target": False}, "target is off, and there are no rules and no schedules: nothing would ever move the count between 1 and 3; switch it on, or add a rule or a schedule first."),
        ({"maximum": 3}, "maximum is not a known key; did you mean max?"),
        ({"down_dellay": 3}, "down_dellay is not a known key; did you mean down_delay?"),
        ({"rules": {}}, "rules must be a list, not a mapping."),
        ({"rules": [3]}, "rules[0] must be a mapping with metric and above or below, not 3."),
        ({"max": 2, "rules": [GPU] * 21}, "rules has 21 entries, and 20 are the most."),
        ({"max": 2, "schedules": [DAY] * 21}, "schedules has 21 entries, and 20 are the most."),
        # rules
        (rule(metric=...), "rules[0].metric is missing. What the rule looks at: one of the metrics, or `prometheus:NAME`."),
        (rule(metric="gpu_utl"), 'rules[0].metric is "gpu_utl", which is not known; did you mean gpu_util or cpu_util?'),
        (rule(metric="qps"), 'rules[0].metric is "qps", which is not known; did you mean calls_per_second?'),
        (rule(metric="requests-per-second"), 'rules[0].metric is "requests-per-second", which is not known; did you mean calls_per_second?'),
        (rule(metric="watts"), f'rules[0].metric is "watts", which is not known; the metrics are {", ".join(METRICS)} and prometheus:NAME.'),
        (rule(metric="cuda_util"), 'rules[0].metric is "cuda_util", which is Backend.AI\'s name; write metric_name for it, or gpu_util.'),
        (rule(metric="net_rx"), 'rules[0].metric is "net_rx", which is not measured here; use calls_per_second.'),
        (rule(metric="prometheus:"), 'rules[0].metric is "prometheus:", which cannot name a query; write prometheus:NAME, a name that the administrator allows.'),
        (rule(metric="x" * 81), "rules[0].metric must be at most 80 characters long, not 81."),
        (rule(above=...), "rules[0] has no threshold; give above (adds replicas), below (takes them away), or both."),
        (rule(above="high"), 'rules[0].above must be a number, not "high".'),
        (rule(above=float("nan")), "rules[0].above must be a number, not nan."),
        (rule(above="1e999"), 'rules[0].above must be a number, not "1e999".'),
        (rule(above=True), "rules[0].above must be a number, not true."),
        (rule(above=20, below=80), "rules[0].above is 20, less than below, which is 80: between the two the rule would add and take away at once; exchange them."),
        (rule(above=100), "rules[0].above is 100, and gpu_util (percent) is never above 100: the rule would never add any."),
        (rule(above=-1), "rules[0].above is -1, and gpu_util is always above that: the rule would add without end."),
        (rule(above=..., below=0), "rules[0].below is 0, and gpu_util is never below 0: the rule would never take any away."),
        (rule(above=..., below=101), "rules[0].below is 101, and gpu_util (percent) is always below that."),
        (rule(metric="errors", above=5), "rules[0].above is 5, and errors (share, 0 to 1) is never above 1: the rule would never add any."),
        (rule(step=0), "rules[0].step must be a whole number of at least 1 and at most 100, not 0."),
        (rule(step=-1), "rules[0].step must be a whole number of at least 1 and at most 100, not -1."),
        (rule(cooldown=-1), "rules[0].cooldown must be a number of at least 0 and at most 86400, not -1."),
        (rule(window=7200), "rules[0].window must be a number of at least 2 and at most 3600, not 7200."),
        (rule(min=4, max=2), "rules[0].min is 4, above max, which is 2."),
        (rule(id=""), 'rules[0].id must be a name of at most 40 letters, digits, dots, - and _, not "".'),
        (rule(id="x" * 41), f'rules[0].id must be a name of at most 40 letters, digits, dots, - and _, not "{"x" * 41}".'),
        (rule(id="a/b"), 'rules[0].id must be a name of at most 40 letters, digits, dots, - and _, not "a/b".'),
        (rule(treshold=3), "rules[0].treshold is not a known key; did you mean threshold, min_threshold or max_threshold?"),
        ({"max": 2, "rules": [{**GPU, "id": "a"}, {**GPU, "id": "a"}]}, 'rules[1].id is "a", which another of the rules has already; choose another.'),
        ({"max": 2, "rules": [{**GPU, "above": 50}, {"metric": "gpu_util", "below": 80}]}, "rules[1] contradicts rule r1: for gpu_util between 50 and 80, rule r1 would add replicas and rule r2 take them away."),
        # schedules
        (schedule(when=...), "schedules[0].when is missing. Days and a time of day (`Mon-Fri 08:00-19:00`), or the five fields of cron for the beginning (`0 8 * * 1-5`)."),
        (schedule(when="0 0 30 2 *", duration=60), 'schedules[0].when never happens: no date fits "0 0 30 2 *".'),
        (schedule(when="0 8 * * *"), "schedules[0].duration is missing: a cron expression only says when a schedule begins (on the command line, --for says how long it lasts)."),
        (schedule(when="0 8 * * *", duration=10**9), "schedules[0].duration must be a number of at least 60 and at most 2678400, not 1000000000."),
        (schedule(tz="Asia/Seoul"), "schedules[0].tz is not a known key; did you mean timezone?"),
        (schedule(time_zone="Asia/Seoul"), "schedules[0].time_zone is not a known key; did you mean timezone?"),
        (schedule(zone="Asia/Seoul"), "schedules[0].zone is not a known key; did you mean timezone?"),
        ({"max": 2, "schedules": [{**DAY, "for": "11h"}]}, "schedules[0].for is not a known key; did you mean duration?"),
        (schedule(timezone="Seoul"), 'schedules[0].timezone is "Seoul", which is no time zone; did you mean Asia/Seoul?'),
        (schedule(timezone="KST"), 'schedules[0].timezone is "KST", which is no time zone; write an IANA name such as Asia/Seoul or Europe/Berlin.'),
        (schedule(min=...), "schedules[0] has neither min nor max and would have no effect; give one of them, or both."),
        (schedule(min=4, max=2), "schedules[0].min is 4, above max, which is 2; lower it or raise max."),
        (schedule(min=6), "schedules[0].min is 6, above the service's max of 5; raise that, or give the schedule a max."),
        ({"min": 3, "max": 5, "schedules": [{**DAY, "min": None, "max": 2}]}, "schedules[0].max is 2, below the service's min of 3; lower that, or give the schedule a min."),
        (schedule(max=0), "schedules[0].max must be a whole number of at least 1 and at most 100, not 0."),
        (schedule(min=101), "schedules[0].min must be a whole number of at least 0 and at most 100, not 101."),
        ({"max": 2, "schedules": [{**DAY, "id": "a"}, {**DAY, "id": "a"}]}, 'schedules[1].id is "a", which another of the schedules has already; choose another.'),
    ],
)  # fmt: skip
def test_a_policy_that_makes_no_sense_is_refused_in_a_sentence(plain: Any, told: str) -> None:
    assert refused(plain) == told


def test_all_problems_are_told_at_once() -> None:
    """Those of values and those between values, and no problem that another one brings about."""
    plain = {
        "min": 0,
        "max": 1000,
        "rules": [{"metric": "gpu_utl", "above": 20, "below": 80, "colour": 1}, {"metric": 3}, {"metric": "queued"}],
        "schedules": [{"when": "Mon 08:00-19:00", "timezone": "Seoul", "min": 50}, {"when": "soon"}],
    }
    assert refused(plain).split("\n") == [
        "max must be a whole number of at least 1 and at most 100, not 1000. "
        "rules[0].colour is not known; known here: " + refused(rule(colour=1)).split("known here: ")[1] + " "
        'rules[1].metric must be text, not 3; write it in quotes: "3". '
        'rules[0].metric is "gpu_utl", which is not known; did you mean gpu_util or cpu_util? '
        "rules[0].above is 20, less than below, which is 80: between the two the rule would add and take away at once; "
        "exchange them. "
        "rules[2] has no threshold; give above (adds replicas), below (takes them away), or both. "
        'schedules[0].timezone is "Seoul", which is no time zone; did you mean Asia/Seoul? '
        'schedules[1].when must be days and a time of day, not "soon"; write it like "Mon-Fri 08:00-19:00". '
        "schedules[1] has neither min nor max and would have no effect; give one of them, or both."
    ]


def test_a_wrong_value_hides_no_unknown_metric_and_problems_come_one_by_one() -> None:
    with pytest.raises(InvalidRequest) as caught:
        autoscaling_from_plain({"max": 3, "rules": [{"metric": "gpu_utl", "above": 80, "step": 0}]})
    assert [(each.where, each.message) for each in caught.value.problems] == [
        ("rules[0].step", "must be a whole number of at least 1 and at most 100, not 0"),
        ("rules[0].metric", 'is "gpu_utl", which is not known; did you mean gpu_util or cpu_util?'),
    ]


def test_of_very_many_problems_the_first_are_told() -> None:
    told = refused({"max": 2, "rules": [{"metric": "watts", "above": 1}] * 20})
    assert told.count("is not known") == 10
    assert told.endswith("There are 10 more problems.")


def test_a_query_must_be_allowed_where_that_is_known() -> None:
    plain = rule(metric="prometheus:tokns")
    assert autoscaling_from_plain(plain).rules[0].metric == "prometheus:tokns"
    assert refused(plain, queries=["tokens", "waiting"]) == (
        'rules[0].metric is "prometheus:tokns", which the administrator has not allowed; did you mean prometheus:tokens?'
    )
    assert refused(rule(metric="prometheus:x"), queries=["waiting", "tokens"]) == (
        'rules[0].metric is "prometheus:x", which the administrator has not allowed; allowed are prometheus:tokens, '
        "prometheus:waiting."
    )
    assert refused(rule(metric="prometheus:x"), queries=[]).endswith("; no query is allowed on this installation.")
    assert autoscaling_from_plain(rule(metric="prometheus:x"), queries=["x"]).rules[0].metric == "prometheus:x"


def test_a_policy_that_was_put_together_elsewhere_is_checked_the_same() -> None:
    with pytest.raises(InvalidRequest, match=r"^min is 5, above max, which is 3; lower it or raise max\.$"):
        check(Autoscaling(5, 3))
    with pytest.raises(InvalidRequest, match=r"^max must be a whole number"):
        check(Autoscaling(max=1000))


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=6)
    | st.sampled_from(["80", "gt", "mem"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([key.name for key in (*AUTOSCALING, *RULE, *SCHEDULE)]) | st.text(max_size=4),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@settings(deadline=None, max_examples=300)
@given(anything)
def test_whatever_comes_is_read_or_refused(plain: Any) -> None:
    try:
        policy = autoscaling_from_plain(plain)
    except InvalidRequest as error:
        message = error.message
    else:
        assert autoscaling_from_plain(autoscaling_to_plain(policy)) == policy
        message = ""
    assert message.isprintable()


# --- one rule, one schedule --------------------------------------------------------------------------

BASE = Autoscaling(max=4, rules=(Rule("r2", "queued", 3.0),), schedules=(Schedule("s1", "Mon 10:00-12:00", min=2),))


def test_a_rule_and_a_schedule_are_added_with_the_next_free_id_and_taken_away() -> None:
    more = with_rule(BASE, GPU)
    assert more.rules == (*BASE.rules, Rule("r1", "gpu_util", 80.0))
    assert [rule.id for rule in with_rule(more, {**GPU, "id": "mine"}).rules] == ["r2", "r1", "mine"]
    assert [rule.id for rule in with_rule(more, GPU).rules] == ["r2", "r1", "r3"]
    assert without_rule(more, "r1") == BASE
    more = with_schedule(BASE, DAY)
    assert more.schedules[1] == Schedule("s2", "Mon-Fri 08:00-19:00", min=1)
    assert without_schedule(more, "s2") == BASE


@pytest.mark.parametrize(
    ("plain", "told"),
    [
        (None, "The rule must be a mapping with metric and above or below, not nothing."),
        ({"metric": "queued"}, "The rule has no threshold; give above (adds replicas), below (takes them away), or both."),
        ({**GPU, "id": "r2"}, 'id is "r2", which another of the rules has already; choose another.'),
        ({**GPU, "step": 0, "cooldown": -1}, "step must be a whole number of at least 1 and at most 100, not 0. cooldown must be a number of at least 0 and at most 86400, not -1."),
        ({"metric": "queued", "below": 9}, "The rule contradicts rule r2: for queued between 3 and 9, rule r2 would add replicas and rule r1 take them away."),
        ({"metric": "gpu_utl", "above": 3}, 'metric is "gpu_utl", which is not known; did you mean gpu_util or cpu_util?'),
    ],
)  # fmt: skip
def test_a_rule_that_makes_no_sense_is_not_added(plain: Any, told: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        with_rule(BASE, plain)
    assert caught.value.message == told


@pytest.mark.parametrize(
    ("plain", "told"),
    [
        ([], "The schedule must be a mapping with the keys id, when, timezone, duration, min or max."),
        ({**DAY, "id": "s1"}, 'id is "s1", which another of the schedules has already; choose another.'),
        ({**DAY, "min": 5}, "min is 5, above the service's max of 4; raise that, or give the schedule a max."),
        ({"when": "daily 10:00-11:00"}, "The schedule has neither min nor max and would have no effect; give one of them, or both."),
        ({**DAY, "when": "Fryday 10:00-11:00"}, 'when has "Fryday", which is no day of the week; did you mean Friday?'),
        ({**DAY, "note": 3}, "note is not known; known here: duration, id, max, min, timezone or when."),
        ({**DAY, "for": 3}, "for is not a known key; did you mean duration?"),
    ],
)  # fmt: skip
def test_a_schedule_that_makes_no_sense_is_not_added(plain: Any, told: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        with_schedule(BASE, plain)
    assert caught.value.message == told


def test_no_more_are_added_than_a_policy_may_have() -> None:
    full = dataclasses.replace(BASE, rules=tuple(Rule(f"r{n}", "queued", 3.0) for n in range(20)))
    with pytest.raises(InvalidRequest, match="has 21 entries, and 20 are the most"):
        with_rule(full, GPU)


def test_a_query_of_an_added_rule_must_be_allowed() -> None:
    with pytest.raises(InvalidRequest, match="the administrator has not allowed; did you mean prometheus:tokens"):
        with_rule(BASE, {"metric": "prometheus:token", "above": 3}, queries={"tokens"})


def test_what_is_not_there_cannot_be_taken_away() -> None:
    with pytest.raises(NotFound, match=r'^There is no rule "r9"; there is r2\.$'):
        without_rule(BASE, "r9")
    with pytest.raises(NotFound, match=r'^There is no schedule "s1"; there is none\.$'):
        without_schedule(Autoscaling(), "s1")


def test_the_last_rule_stays_where_nothing_else_would_move_the_count() -> None:
    policy = Autoscaling(max=3, target=False, rules=(Rule("r1", "queued", 3.0),))
    with pytest.raises(InvalidRequest, match="nothing would ever move the count between 1 and 3"):
        without_rule(policy, "r1")


def test_a_flood_of_unknown_keys_is_told_in_short() -> None:
    """Each may be compared with every name that is known: 60,000 of them took 17 s, on the event loop."""
    reader = Reader(strict=True)
    rule = {"metric": "memory", "above": 1, **{f"abov{n}": 1 for n in range(60_000)}}
    began = time.process_time()
    assert reader.mapping(rule, (), RULE, "") is not None
    assert time.process_time() - began < 1.0
    assert len(reader.problems) == UNKNOWN_TOLD + 1
    assert "after 20 others" in reader.problems[-1].message


def test_a_key_longer_than_any_is_compared_with_none() -> None:
    assert near("target_concurrenc" + "y" * 100, ["target_concurrency"]) == []
    assert near("target_concurenc", ["target_concurrency"]) == ["target_concurrency"]
