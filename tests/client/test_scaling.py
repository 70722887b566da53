"""Autoscaling from Python: what both clients send, and what they make of the answers."""

from __future__ import annotations

from typing import Any

import pytest

from jupyter_model_service import wire
from jupyter_model_service.client.units import parse_duration, show_span
from jupyter_model_service.client.waiting import Goal, outcome
from jupyter_model_service.errors import InvalidRequest

from .conftest import Face
from .fake_gateway import FakeGateway, autoscaling, decision, replica, service

BASE = "api/v1/services/ada/demo"


@pytest.fixture(autouse=True)
def demo(fake: FakeGateway) -> None:
    fake.services["ada/demo"] = service()


def sent(fake: FakeGateway) -> list[tuple[str, str, Any]]:
    """What was asked to be done."""
    return [(method, path, body) for method, path, _, body in fake.requests if method != "GET"]


def test_two_bounds_are_a_policy(face: Face, fake: FakeGateway) -> None:
    assert face.autoscaling("demo") is None
    info = face.autoscale("demo", min=0, max=8)
    assert isinstance(info, wire.AutoscalingInfo)
    assert (info.min, info.max) == (0, 8)
    assert face.autoscaling("demo") == info
    assert sent(fake) == [("PATCH", f"{BASE}/autoscaling", {"min": 0, "max": 8})]


def test_only_what_is_given_is_sent_so_that_nobody_elses_change_is_lost(face: Face, fake: FakeGateway) -> None:
    """The gateway merges it when its turn has come; the whole policy, read before, would take back what came between."""
    fake.services["ada/demo"] = service(autoscaling=autoscaling(min=0, max=8, held=True))
    face.autoscale("demo", max=9, down_delay="10m")
    face.autoscale("demo", rules=[{"id": "r9", "metric": "queued", "above": 3}], schedules=[])
    assert [body for _, _, body in sent(fake)] == [
        {"max": 9, "down_delay": 600.0},
        {"rules": [{"id": "r9", "metric": "queued", "above": 3}], "schedules": []},
    ]
    assert not [path for method, path, *_ in fake.requests if method == "GET" and "services" in path]


def test_the_target_can_be_given_left_to_the_definition_and_taken_away(face: Face, fake: FakeGateway) -> None:
    face.autoscale("demo", target_concurrency=2.5)
    face.autoscale("demo", target_concurrency="auto")
    face.autoscale("demo", target=False)
    assert [body for _, _, body in sent(fake)] == [
        {"target": True, "target_concurrency": 2.5},
        {"target": True, "target_concurrency": None},
        {"target": False},
    ]


def test_every_call_reaches_its_own_address(face: Face, fake: FakeGateway) -> None:
    face.autoscale("demo", max=2)
    face.add_rule("demo", "latency_p95", above=1.5, step=2, cooldown="2m", max=4)
    face.add_rule("demo", {"metric_name": "cuda_util", "threshold": "80", "comparator": "gt"}, window=30)
    info = face.add_schedule("demo", "0 8 * * 1-5", duration="11h", min=2, timezone="Asia/Seoul")
    assert [rule.id for rule in info.rules] == ["r1", "r2"]
    assert info.schedules[0].duration == 39600
    assert face.remove_rule("demo", "r1").rules[0].id == "r2"
    assert face.remove_schedule("demo", "s1").schedules == []
    face.resume_autoscaling("demo")
    assert face.stop_autoscaling("demo").autoscaling is None
    assert sent(fake)[1:] == [
        (
            "POST",
            f"{BASE}/autoscaling/rules",
            {"metric": "latency_p95", "above": 1.5, "step": 2, "cooldown": 120.0, "max": 4},
        ),
        (
            "POST",
            f"{BASE}/autoscaling/rules",
            {"metric_name": "cuda_util", "threshold": "80", "comparator": "gt", "window": 30},
        ),
        (
            "POST",
            f"{BASE}/autoscaling/schedules",
            {"when": "0 8 * * 1-5", "timezone": "Asia/Seoul", "duration": 39600.0, "min": 2},
        ),
        ("DELETE", f"{BASE}/autoscaling/rules/r1", None),
        ("DELETE", f"{BASE}/autoscaling/schedules/s1", None),
        ("POST", f"{BASE}/autoscaling/resume", {}),
        ("DELETE", f"{BASE}/autoscaling", None),
    ]


def test_decisions_and_figures_come_as_models(face: Face, fake: FakeGateway) -> None:
    wish = {"source": "rule r1", "count": None, "why": "gpu_util is unknown"}
    fake.decisions = [decision(1.0), decision(2.0, 3, 1, wishes=[wish], measured={"gpu_util": None})]
    fake.series = {"step": 30.0, "times": [0.0, 30.0], "values": {"calls_per_second": [None, 1.5]}}
    (found,) = face.decisions("demo", limit=1)
    assert (found.before, found.count, found.changed) == (1, 3, True)
    assert found.wishes[0].count is None
    assert found.measured == {"gpu_util": None}
    assert face.series("demo", since=5.0, step=30).values["calls_per_second"] == [None, 1.5]
    queries = [query for _, path, query, _ in fake.requests if path.startswith(f"{BASE}/")]
    assert queries == [{"limit": "1"}, {"since": "5.0", "step": "30"}]


def test_a_wrong_time_is_refused_before_anything_is_sent(face: Face, fake: FakeGateway) -> None:
    with pytest.raises(InvalidRequest, match="is no duration"):
        face.autoscale("demo", idle_after="soon")
    assert sent(fake) == []


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (2, "2s"),
        (90, "90s"),
        (300, "5m"),
        (900, "15m"),
        (5400, "1h30m"),
        (39600, "11h"),
        (90061, "1d1h1m1s"),
    ],
)
def test_times_are_shown_as_they_are_written(seconds: float, text: str) -> None:
    assert show_span(seconds) == text
    assert seconds == 0 or parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("goal", "changes", "ok"),
    [
        (Goal(revision=1), {}, True),  # ready once, and then without calls
        (Goal(), {}, True),
        (Goal(replicas=2), {"want": 0}, False),
        (Goal(without=frozenset({"demo-aaaaaa"})), {}, None),
        (Goal("stopped"), {}, None),
        (Goal(revision=2), {"note": "revision 2 did not come up"}, False),
    ],
)
def test_an_idle_service_is_as_well_as_a_ready_one(goal: Goal, changes: dict[str, Any], ok: bool | None) -> None:
    idle = service("demo", "idle", **{"want": 0, "replica_list": [replica("demo-aaaaaa", "draining")], **changes})
    found = outcome(idle, goal)
    assert (found.ok if found is not None else None) == ok
