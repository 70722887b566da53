"""Every key of an autoscaling policy, with its range, default and meaning: for requests, definition files and docs."""

from __future__ import annotations

from typing import Any

from ..bounds import MOST_REPLICAS
from ..document import Key, default_of
from .policy import Autoscaling, Rule, Schedule
from .schedule_forms import LEAST_DURATION, LONGEST_WHEN, MOST_DURATION

__all__ = ["AUTOSCALING", "BACKEND_AI_RULE", "MOST_REPLICAS", "RULE", "SCHEDULE"]

DAY = 86_400  # seconds


def _policy(name: str, form: str, meaning: str, **rest: Any) -> Key:
    return Key(name, form, meaning, default=default_of(Autoscaling, name), **rest)


def _rule(name: str, form: str, meaning: str, **rest: Any) -> Key:
    return Key(name, form, meaning, default=default_of(Rule, name), **rest)


def _schedule(name: str, form: str, meaning: str, **rest: Any) -> Key:
    return Key(name, form, meaning, default=default_of(Schedule, name), **rest)


AUTOSCALING = (
    _policy(
        "min",
        "whole",
        "The fewest replicas. With 0 a service without calls gives its place back, and the next call starts a replica.",
        least=0,
        most=MOST_REPLICAS,
    ),
    _policy("max", "whole", "The most replicas.", least=1, most=MOST_REPLICAS),
    _policy("target", "flag", "`false`: only rules and schedules decide, not the number of calls."),
    _policy(
        "target_concurrency",
        "number",
        "Calls at once that each replica is to have. Left out: 70 % of `serving.concurrency`, or 5.6 where that is not "
        "set.",
        above=0,
        most=100_000,
    ),
    _policy(
        "idle_after",
        "seconds",
        "Seconds without a call after which a service with `min` 0 goes down to zero.",
        least=1,
        most=7 * DAY,
    ),
    _policy(
        "down_delay",
        "seconds",
        "The count falls to the largest that was wanted within so many seconds.",
        least=0,
        most=DAY,
    ),
    Key("rules", "list", "Rules that look at one metric each.", default=[]),
    Key("schedules", "list", "Other bounds at certain times.", default=[]),
)

RULE = (
    Key("id", "id", "The rule's name. Left out: `r1`, `r2` …"),
    _rule(
        "metric", "line", "What the rule looks at: one of the metrics, or `prometheus:NAME`.", required=True, most=80
    ),
    _rule("above", "threshold", "A mean above this adds `step` replicas."),
    _rule("below", "threshold", "A mean below this takes `step` replicas away."),
    _rule("step", "whole", "So many replicas at a time.", least=1, most=MOST_REPLICAS),
    _rule("cooldown", "seconds", "Seconds for which the rule rests when it has fired.", least=0, most=DAY),
    _rule("window", "seconds", "Seconds over which the metric is averaged.", least=2, most=3600),
    _rule("min", "whole", "The fewest replicas that this rule may ask for.", least=0, most=MOST_REPLICAS),
    _rule("max", "whole", "The most replicas that this rule may ask for.", least=1, most=MOST_REPLICAS),
)

# What Backend.AI calls it, in both of its forms. What it becomes is said in the meaning.
BACKEND_AI_RULE = (
    Key(
        "metric_source",
        "line",
        "`KERNEL`, `INFERENCE_FRAMEWORK` or `PROMETHEUS`: where `metric_name` is from.",
        most=80,
    ),
    Key("metric_name", "line", "Becomes `metric`, where there is one that means the same.", most=80),
    Key("threshold", "decimal", "Becomes `above` or `below`, by the `comparator`."),
    Key(
        "comparator",
        "line",
        "`gt` and `ge` make `above` of the `threshold`, `lt` and `le` make `below`. At the threshold itself a rule "
        "never fires here.",
        most=80,
    ),
    Key("max_threshold", "decimal", "Becomes `above`."),
    Key("min_threshold", "decimal", "Becomes `below`."),
    Key(
        "step_size",
        "whole",
        "Becomes `step`. Beside `lt` and `le` it is negative, as it was there.",
        least=-MOST_REPLICAS,
        most=MOST_REPLICAS,
    ),
    Key("cooldown_seconds", "number", "Becomes `cooldown`.", least=0, most=DAY),
    Key("time_window", "number", "Becomes `cooldown`, which is what it is there.", least=0, most=DAY),
    Key("min_replicas", "whole", "Becomes `min`; -1: none.", least=-1, most=MOST_REPLICAS),
    Key("max_replicas", "whole", "Becomes `max`; -1: none.", least=-1, most=MOST_REPLICAS),
    Key(
        "prometheus_query_preset_id",
        "line",
        "Has no effect: the query is the one that the administrator of this installation allows under `metric_name`.",
        most=80,
    ),
    *(
        Key(name, "ignored", "Has no effect.")
        for name in ("endpoint", "endpoint_id", "model_deployment_id", "created_at", "last_triggered_at")
    ),
)

SCHEDULE = (
    Key("id", "id", "The schedule's name. Left out: `s1`, `s2` …"),
    _schedule(
        "when",
        "line",
        "Days and a time of day (`Mon-Fri 08:00-19:00`), or the five fields of cron for the beginning (`0 8 * * 1-5`).",
        required=True,
        most=LONGEST_WHEN,
    ),
    _schedule(
        "timezone",
        "line",
        "The time zone of `when`, an IANA name such as `Asia/Seoul`.",
        most=64,
        slips=("tz", "zone", "time_zone", "tzinfo"),
    ),
    _schedule(
        "duration",
        "seconds",
        "Seconds that it lasts, by the local clock. Of the cron form, which must have it, and only of that.",
        slips=("for", "length", "lasts"),
        least=LEAST_DURATION,
        most=MOST_DURATION,
    ),
    _schedule("min", "whole", "Takes the place of the service's `min`.", least=0, most=MOST_REPLICAS),
    _schedule("max", "whole", "Takes the place of the service's `max`.", least=1, most=MOST_REPLICAS),
)
