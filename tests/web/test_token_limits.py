"""Limits of tokens in the control API: what is taken, what is refused, and what is shown."""

from __future__ import annotations

import time
from typing import Any

import httpx
import pytest

from jupyter_model_service.core.limits import Limits

TOKENS = "/api/v1/services/alice/chat/tokens"


def test_limits_are_made_shown_and_changed_one_by_one(site: Any) -> None:
    """A limit that a change leaves out stays, and null takes it away; the token itself is shown once."""
    site.add("alice", "chat")

    async def body(client: httpx.AsyncClient) -> None:
        made = (await client.post(TOKENS, json={"limits": {"calls_per_second": 2, "in_flight": 4}})).json()
        assert made["limits"] == {"calls_per_second": 2.0, "in_flight": 4, "calls_per_day": None}
        assert (made["calls_today"], made["in_flight"]) == (0, 0)
        allowance = site.tokens.known("jms_secret1").allowance
        for call in range(3):
            assert allowance.admit(call * 10**9, time.time()) is None
        allowance.release(0.1)
        (told,) = (await client.get(TOKENS)).json()["tokens"]
        assert (told["calls_today"], told["in_flight"]) == (3, 2)
        changed = await client.patch(f"{TOKENS}/t1", json={"limits": {"in_flight": None, "calls_per_day": 9}})
        assert changed.status_code == 200
        assert changed.json()["limits"] == {"calls_per_second": 2.0, "in_flight": None, "calls_per_day": 9}
        assert "token" not in changed.json()
        assert (await client.get(TOKENS)).json()["tokens"] == [changed.json()]

    site.run(body)
    assert [t.limits for t in site.of()] == [Limits(2.0, None, 9)]


def test_what_a_token_is_for_is_taken_and_shown(site: Any) -> None:
    """Methods in capitals; a path that could mean two things is refused, and no token is made."""
    site.add("alice", "chat")

    async def body(client: httpx.AsyncClient) -> None:
        rules = [{"path": "/v1/chat/*", "methods": ["post"]}, {"path": "/v1/models"}]
        made = (await client.post(TOKENS, json={"rules": rules})).json()
        assert made["rules"] == [
            {"path": "/v1/chat/*", "methods": ["POST"]},
            {"path": "/v1/models", "methods": None},
        ]
        for wrong in (
            {"path": "v1"},
            {"path": "/a/../b"},
            {"path": "/", "methods": []},
            {"path": "/", "methods": ["G T"]},
        ):
            assert (await client.post(TOKENS, json={"rules": [wrong]})).status_code == 400
        tokens = (await client.get(TOKENS)).json()["tokens"]
        assert [token["rules"] for token in tokens] == [made["rules"]]

    site.run(body)


def test_rules_change_with_and_without_limits_and_none_lets_it_call_everything(site: Any) -> None:
    site.add("alice", "chat")
    rules = [{"path": "/v1/*", "methods": ["GET"]}]

    async def body(client: httpx.AsyncClient) -> None:
        await client.post(TOKENS, json={"limits": {"in_flight": 2}})
        for change, limit, ruled in (
            ({"rules": rules}, 2, rules),
            ({"limits": {"in_flight": 3}}, 3, rules),
            ({"limits": {"in_flight": 4}, "rules": []}, 4, []),
        ):
            changed = await client.patch(f"{TOKENS}/t1", json=change)
            assert changed.status_code == 200
            assert (changed.json()["limits"]["in_flight"], changed.json()["rules"]) == (limit, ruled)
        for halves, ruled in (
            ({"paths": ["/v1/*"]}, [{"path": "/v1/*", "methods": None}]),
            ({"methods": ["GET"]}, rules),
            ({"methods": ["post"]}, [{"path": "/v1/*", "methods": ["POST"]}]),
            ({"paths": None, "limits": {"in_flight": 5}}, [{"path": "/*", "methods": ["POST"]}]),
            ({"methods": None}, []),
        ):
            changed = await client.patch(f"{TOKENS}/t1", json=halves)
            assert (changed.status_code, changed.json()["rules"]) == (200, ruled)
        assert changed.json()["limits"]["in_flight"] == 5
        for wrong in (
            {"rules": [{"path": "v1"}]},
            {"rules": None},
            {"rules": rules * 21},
            {"rules": rules, "paths": ["/x"]},
            {"rules": rules, "methods": None},
            {"paths": []},
            {"paths": ["v1"]},
            {"methods": []},
            {"methods": ["G T"]},
        ):
            assert (await client.patch(f"{TOKENS}/t1", json=wrong)).status_code == 400
        assert (await client.patch(f"{TOKENS}/t9", json={"rules": []})).status_code == 404

    site.run(body)


def test_what_of_a_token_may_be_a_slip_is_told_with_it(site: Any) -> None:
    """By the API, so that whoever asks it shows it."""
    site.add("alice", "chat")
    odd = "PSOT is no usual method: was POST meant?"

    async def body(client: httpx.AsyncClient) -> None:
        made = await client.post(TOKENS, json={"rules": [{"path": "/", "methods": ["psot", "GET"]}]})
        assert made.json()["notices"] == [odd]
        for change, told in (
            ({"methods": ["GET"]}, []),
            ({"methods": ["PSOT"]}, [odd]),
            ({"limits": {"in_flight": 1}}, []),
            ({"rules": [{"path": "/a", "methods": ["PSOT"]}, {"path": "/b", "methods": ["PSOT"]}]}, [odd]),
        ):
            assert (await client.patch(f"{TOKENS}/t1", json=change)).json()["notices"] == told
        assert (await client.get(TOKENS)).json()["tokens"][0]["notices"] == []

    site.run(body)


def test_who_narrows_one_of_a_rotation_is_told_what_the_other_still_is_for(site: Any) -> None:
    """Of those that are of it, have not ended, and are for something else."""
    site.add("alice", "chat")

    async def body(client: httpx.AsyncClient) -> list[Any]:
        await client.post(TOKENS, json={"name": "ci"})
        for token, overlap in (("t1", 600), ("t2", 600), ("t3", 600)):
            assert (await client.post(f"{TOKENS}/{token}/rotate", json={"overlap": overlap})).status_code == 201
        await site.tokens.rotate(site.of()[0].service_id, "alice/chat", "t4", 0.0)  # t4 is over
        await client.post(TOKENS, json={"name": "other"})
        await client.delete(f"{TOKENS}/t5")
        rules = [{"path": "/v1/*", "methods": ["GET", "HEAD"]}, {"path": "/x"}]
        assert (await client.patch(f"{TOKENS}/t3", json={"rules": rules})).status_code == 200
        narrowed = (await client.patch(f"{TOKENS}/t1", json={"paths": ["/v1/*"]})).json()["notices"]
        limited = (await client.patch(f"{TOKENS}/t1", json={"limits": {"in_flight": 1}})).json()["notices"]
        await client.patch(f"{TOKENS}/t3", json={"rules": [{"path": "/v1/*"}]})
        return [narrowed, limited, (await client.patch(f"{TOKENS}/t2", json={"paths": ["/v1/*"]})).json()["notices"]]

    said = "{}, which is of the same rotation, still is for {}: change it by its id if that is to be the same."
    wide, other = said.format("t2", "everything"), said.format("t3", "GET/HEAD /v1/*, /x")
    assert site.run(body) == [[wide, other], [], []]


def test_a_rotation_says_its_overlap_and_its_life_only_where_they_are_said(site: Any) -> None:
    """A life that is left out is that of the former, ``null`` is for ever."""
    site.add("alice", "chat")
    ways: list[tuple[dict[str, Any], float, float | None]] = [
        ({}, 86400.0, 7200.0),
        ({"overlap": 0, "expires_in": None}, 0.0, None),
        ({"overlap": 60.5, "expires_in": 3600}, 60.5, 3600.0),
    ]

    async def body(client: httpx.AsyncClient) -> None:
        for request, overlap, life in ways:
            now, first = time.time(), (await client.post(TOKENS, json={"name": "ci", "expires_in": 7200})).json()
            made = await client.post(f"{TOKENS}/{first['id']}/rotate", json=request)
            assert (made.status_code, made.json()["created_by"]) == (201, "alice")
            assert made.json()["token"] not in (first["token"], "")
            left = {each.id: each.expires_at for each in site.of()}
            assert left[first["id"]] == pytest.approx(min(now + overlap, first["expires_at"]), abs=5)
            assert left[made.json()["id"]] == (None if life is None else pytest.approx(now + life, abs=5))
        for wrong in ({"overlap": -1}, {"overlap": 30 * 86400 + 1}, {"expires_in": 0}, {"overlap": None}):
            assert (await client.post(f"{TOKENS}/t1/rotate", json=wrong)).status_code == 400
        assert (await client.post(f"{TOKENS}/t9/rotate", json={})).status_code == 404

    site.run(body)
    assert len(site.of()) == 6


def test_a_token_without_limits_has_no_counts(site: Any) -> None:
    site.add("alice", "chat")

    async def body(client: httpx.AsyncClient) -> Any:
        await client.post(TOKENS, json={})
        return (await client.get(TOKENS)).json()["tokens"][0]

    token = site.run(body)
    assert [token[name] for name in ("limits", "calls_today", "in_flight")] == [None, None, None]


@pytest.mark.parametrize(
    "limits",
    [
        {"calls_per_second": 0},
        {"calls_per_second": 0.0001},
        {"calls_per_second": "10"},
        {"in_flight": 0},
        {"in_flight": 1.5},
        {"in_flight": True},
        {"calls_per_day": -1},
        {"calls_per_day": 10**13},
        {"calls_per_hour": 1},
        [],
    ],
)
def test_what_is_no_limit_is_refused_for_new_and_old_tokens(site: Any, limits: Any) -> None:
    site.add("alice", "chat")

    async def body(client: httpx.AsyncClient) -> list[int]:
        await client.post(TOKENS, json={})
        answers = [
            await client.post(TOKENS, json={"limits": limits}),
            await client.patch(f"{TOKENS}/t1", json={"limits": limits}),
        ]
        return [answer.status_code for answer in answers]

    assert site.run(body) == [400, 400]
    assert [t.limits for t in site.of()] == [None]


@pytest.mark.parametrize("change", [{}, {"limits": None}, {"name": "other"}])
def test_a_change_names_what_it_changes(site: Any, change: Any) -> None:
    site.add("alice", "chat")
    answer = site.run(lambda c: c.patch(f"{TOKENS}/t1", json=change))
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_request")


def test_only_who_manages_the_service_changes_limits_of_tokens_that_there_are(site: Any) -> None:
    site.add("alice", "chat")
    change = {"limits": {"in_flight": 1}}

    async def body(client: httpx.AsyncClient) -> list[int]:
        await client.post(TOKENS, json={})
        found = []
        for token in ("jms_endpoint", "jmc_bob", "unknown"):
            headers = {"Authorization": f"Bearer {token}"}
            found.append((await client.patch(f"{TOKENS}/t1", json=change, headers=headers)).status_code)
        return [*found, (await client.patch(f"{TOKENS}/t9", json=change)).status_code]

    assert site.run(body) == [403, 404, 401, 404]
    assert [t.limits for t in site.of()] == [None]
