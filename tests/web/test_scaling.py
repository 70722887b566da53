"""Autoscaling over HTTP: what reaches the engine, and how wrong policies are refused."""

from __future__ import annotations

import time
from typing import Any

import httpx
import pytest

from jupyter_model_service.core.scaling.signals import Bounds, Decision, Wish
from jupyter_model_service.engine.history import COLUMNS, Point
from jupyter_model_service.engine.state import Decided

BASE = "/api/v1/services/alice/chat"


@pytest.fixture(autouse=True)
def chat(site: Any) -> None:
    site.add("alice", "chat")


def counted(site: Any) -> None:
    """90 calls of a minute that is over."""
    minute = 60 * (int(time.time()) // 60)
    site.engine.histories.of(site.engine.service("alice", "chat").id).add(minute, Point(60.0, calls=90.0, queued=0.0))


def test_a_policy_is_set_shown_and_ended(site: Any) -> None:
    async def body(client: httpx.AsyncClient) -> list[httpx.Response]:
        return [
            await client.get(f"{BASE}/autoscaling"),
            await client.put(f"{BASE}/autoscaling", json={"min": 0, "max": 8}),
            await client.get(f"{BASE}/autoscaling"),
            await client.get(BASE),
            await client.delete(f"{BASE}/autoscaling"),
        ]

    none, set_, shown, service, ended = site.run(body)
    assert (none.status_code, none.json()["error"]["message"]) == (404, "Service alice/chat is not autoscaled.")
    assert (set_.json()["min"], set_.json()["max"], set_.json()["aim"]) == (0, 8, 5.6)
    assert shown.json() == set_.json() == service.json()["autoscaling"]
    assert ended.json()["autoscaling"] is None
    assert site.engine.asked[0] == ("autoscale", "alice", "chat", {"min": 0, "max": 8})


def test_a_change_of_a_policy_leaves_the_rest_and_tells_what_is_doubtful_in_it(site: Any) -> None:
    changes = {"min": 0, "target_concurrency": None, "rules": [{"metric": "latency_p95", "above": 300}]}

    async def body(client: httpx.AsyncClient) -> list[httpx.Response]:
        return [
            await client.put(f"{BASE}/autoscaling", json={"max": 8, "target_concurrency": 3}),
            await client.patch(f"{BASE}/autoscaling", json=changes),
            await client.get(f"{BASE}/autoscaling"),
            await client.patch(f"{BASE}/autoscaling", json={"targe": 0}),
        ]

    _, changed, shown, wrong = site.run(body)
    assert site.engine.asked[1] == ("adjust", "alice", "chat", changes)
    assert (changed.json()["min"], changed.json()["max"], changed.json()["target_concurrency"]) == (0, 8, None)
    (doubt,) = changed.json()["notices"]
    assert doubt == "Rule r1: above is 300 seconds of latency_p95; is 300ms meant?"
    assert changed.json() == {**shown.json(), "notices": [doubt]}
    assert (wrong.status_code, wrong.json()["error"]["message"]) == (
        400,
        "targe is not a known key; did you mean target?",
    )


def test_the_problems_of_a_policy_come_one_by_one(site: Any) -> None:
    answer = site.run(lambda client: client.put(f"{BASE}/autoscaling", json={"min": -1, "rules": [{"metric": 3}]}))
    assert [each["where"] for each in answer.json()["error"]["problems"]] == ["min", "rules[0].metric"]


def test_what_was_not_given_is_not_sent_on(site: Any) -> None:
    """Defaults are the policy's own, not the request's."""
    given = {"rules": [{"metric": "queued", "above": 3}], "schedules": []}
    site.run(lambda client: client.put(f"{BASE}/autoscaling", json=given))
    assert site.engine.asked[0][3] == given


def test_rules_in_the_words_of_backend_ai_are_translated(site: Any) -> None:
    rule = {"metric_source": "KERNEL", "metric_name": "cuda_util", "threshold": "80", "comparator": "gt",
            "step_size": 2, "cooldown_seconds": 60, "max_replicas": 4}  # fmt: skip

    async def body(client: httpx.AsyncClient) -> httpx.Response:
        await client.put(f"{BASE}/autoscaling", json={"max": 8})
        return await client.post(f"{BASE}/autoscaling/rules", json=rule)

    answer = site.run(body)
    assert answer.status_code == 201
    (added,) = answer.json()["rules"]
    assert added == {"id": "r1", "metric": "gpu_util", "above": 80.0, "below": None, "step": 2, "cooldown": 60.0,
                     "window": 60.0, "min": None, "max": 4}  # fmt: skip


@pytest.mark.parametrize(
    ("policy", "sentence"),
    [
        ({"min": 3, "max": 2}, "min is 3, above max, which is 2; lower it or raise max."),
        ({"mx": 2}, "mx"),
        ({"max": "8"}, "max must be"),
        ({"target": "no"}, "target must be"),
        ({"max": 2, "rules": [{"metric": "gpu_utl", "above": 1}]}, 'rules[0].metric is "gpu_utl", which is not known'),
        ({"max": 2, "rules": [{"metric": "queued", "above": 1, "step": 0}]}, "rules[0].step must be"),
        ({"max": 2, "rules": [{"metric": "queued"}]}, "rules[0] has no threshold"),
        ({"max": 2, "rules": [{"metric": "queued", "above": 1, "below": 2}]}, "rules[0].above is 1, less than below"),
        (
            {"max": 2, "schedules": [{"when": "61 * * * *", "duration": 60, "min": 1}]},
            "schedules[0].when has no minute",
        ),
        (
            {"max": 2, "schedules": [{"when": "Mon 08:00-09:00", "timezone": "Asia/Soul", "min": 1}]},
            "did you mean Asia/Seoul?",
        ),
        ({"rules": "gpu_util"}, "rules: input should be a valid array"),
        ({"rules": ["gpu_util"]}, "rules[0]: input should be"),
    ],
)
def test_a_wrong_policy_is_refused_in_a_sentence_with_its_place(site: Any, policy: Any, sentence: str) -> None:
    answer = site.run(lambda client: client.put(f"{BASE}/autoscaling", json=policy))
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "invalid_request"
    assert sentence in answer.json()["error"]["message"]
    assert site.engine.service("alice", "chat").autoscaling is None


@pytest.mark.parametrize(
    ("path", "body", "sentence"),
    [
        ("rules", {"metric": "latency_p94", "above": 1}, "metric is"),
        ("schedules", {"when": "Mon-Fry 08:00-19:00", "min": 1}, "no day of the week"),
        ("schedules", {"when": "Mon 08:00-09:00"}, "neither min nor max"),
    ],
)
def test_what_is_added_is_judged_too(site: Any, path: str, body: Any, sentence: str) -> None:
    async def add(client: httpx.AsyncClient) -> httpx.Response:
        await client.put(f"{BASE}/autoscaling", json={"max": 8})
        return await client.post(f"{BASE}/autoscaling/{path}", json=body)

    answer = site.run(add)
    assert answer.status_code == 400
    assert sentence in answer.json()["error"]["message"]


def test_what_is_not_there_cannot_be_removed(site: Any) -> None:
    async def body(client: httpx.AsyncClient) -> list[int]:
        await client.put(f"{BASE}/autoscaling", json={"max": 8})
        return [
            (await client.delete(f"{BASE}/autoscaling/rules/r1")).status_code,
            (await client.delete(f"{BASE}/autoscaling/schedules/s1")).status_code,
            (await client.post("/api/v1/services/alice/other/autoscaling/rules", json={})).status_code,
        ]

    assert site.run(body) == [404, 404, 404]


def test_figures_of_several_services_come_in_one_answer_without_those_of_others(site: Any) -> None:
    site.add("alice", "other")
    site.add("bob", "code")
    keys = "alice/chat,bob/code,alice/gone,alice,,alice/other,alice/chat"
    counted(site)
    named = {"services": keys, "since": int(time.time()) - 600, "step": 30, "values": "calls_per_second,queued"}

    async def body(client: httpx.AsyncClient) -> list[httpx.Response]:
        return [
            await client.get("/api/v1/series", params=named),
            await client.get("/api/v1/series", params={"services": "alice/chat", "values": "queued"}),
            await client.get("/api/v1/series", params={"services": "alice/chat"}),
            await client.get("/api/v1/series"),
        ]

    several, none, all_, nothing = site.run(body)
    found = several.json()["services"]
    assert set(found) == {"alice/chat", "alice/other"}
    assert all(set(each["values"]) == {"calls_per_second", "queued"} for each in found.values())
    assert 1.5 in found["alice/chat"]["values"]["calls_per_second"]
    assert 1.5 not in found["alice/other"]["values"]["calls_per_second"]
    assert set(none.json()["services"]["alice/chat"]["values"]) == {"queued"}
    assert set(all_.json()["services"]) == {"alice/chat"}
    assert set(all_.json()["services"]["alice/chat"]["values"]) == set(COLUMNS)
    assert nothing.status_code == 400
    asked = [each[1:] for each in site.engine.asked]
    assert asked[0] == ("alice", "chat", named["since"], 30.0)
    assert not any(owner == "bob" for owner, *_ in asked)


def test_decisions_and_series_are_asked_for_as_the_query_says(site: Any) -> None:
    counted(site)
    wish = Wish("target", None, "the calls are not known yet")
    decision = Decision(1.0, 1, 1, "stays at 1", (wish,), {"demand": None}, Bounds(1, 1))
    site.engine._turns.find("alice", "chat").scaled.decisions.append(Decided(decision, 1.5, 0.5, None))
    since = int(time.time()) - 600

    async def body(client: httpx.AsyncClient) -> tuple[httpx.Response, httpx.Response, httpx.Response]:
        return (
            await client.get(f"{BASE}/decisions"),
            await client.get(f"{BASE}/series", params={"since": since, "step": 30}),
            await client.get(f"{BASE}/decisions", params={"limit": 101}),
        )

    decisions, series, too_many = site.run(body)
    (told,) = decisions.json()["decisions"]
    assert told["wishes"] == [{"source": "target", "count": None, "why": "the calls are not known yet"}]
    assert told["measured"] == {"demand": None}
    assert (told["since"], told["at"], told["changed"], told["reason"]) == (0.5, 1.5, False, "stays at 1")
    assert (series.json()["step"], set(series.json()["values"])) == (30.0, set(COLUMNS))
    lengths = {len(each) for each in (series.json()["times"], *series.json()["values"].values())}
    assert len(lengths) == 1, "one figure for each time"
    assert 1.5 in series.json()["values"]["calls_per_second"]
    assert too_many.status_code == 400
    assert site.engine.asked == [("decisions", "alice", "chat", 20), ("series", "alice", "chat", float(since), 30.0)]


def test_somebody_elses_service_is_nobodys_business(site: Any) -> None:
    async def body(client: httpx.AsyncClient) -> set[int]:
        answers = [
            await client.put(f"{BASE}/autoscaling", json={"max": 2}),
            await client.post(f"{BASE}/autoscaling/resume"),
            await client.get(f"{BASE}/decisions"),
        ]
        return {answer.status_code for answer in answers}

    assert site.run(body, token="jmc_bob") == {404}
    assert site.engine.asked == []
