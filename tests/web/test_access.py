"""Who may do what: bearer tokens only, deny by default, and nothing is learnt about other people's services."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from jupyter_model_service.core.access import Caller
from jupyter_model_service.errors import HubUnavailable

from .conftest import eventually

CHAT = "/api/v1/services/alice/chat"


def get(site: Any, path: str, token: str | None, **options: Any) -> httpx.Response:
    return site.run(lambda c: c.get(path, **options), token=token)


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Basic YTpi", "jmc_control", "Bearer wrong", "Bearer " + "x" * 5000],
    ids=["empty", "no-token", "basic", "bare", "unknown", "long"],
)
def test_what_is_no_valid_token_gets_401(site: Any, header: str) -> None:
    """Every one of them has the same status, code and challenge."""
    answer = get(site, "/api/v1/services", None, headers={"Authorization": header})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.headers["x-model-service-error"] == answer.json()["error"]["code"] == "unauthenticated"


def test_two_tokens_are_none(site: Any) -> None:
    """As at an endpoint: nobody says by which of them it is to be."""
    headers = [("Authorization", "Bearer jmc_control"), ("Authorization", "Bearer jmc_control")]
    answer = get(site, "/api/v1/services", None, headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "unauthenticated")
    assert "twice" in answer.json()["error"]["message"]


@pytest.mark.parametrize("error", [HubUnavailable("The Hub is away."), OSError("jmc_secret")], ids=["away", "broken"])
def test_where_nobody_can_say_whose_a_token_is_the_answer_is_that_of_an_endpoint(site: Any, error: Exception) -> None:
    site.identity.error = error
    answer = get(site, "/api/v1/services", "unheard-of")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "identity_unavailable")
    assert answer.headers["Retry-After"] == "1"
    assert "jmc_secret" not in answer.text


@pytest.mark.parametrize("name", ["token", "Token", "access_token", "api_key"])
@pytest.mark.parametrize("path", ["/api/v1/services", "/health/live", "/api/v1/events"])
def test_a_token_in_the_query_is_refused_even_beside_a_good_header(site: Any, path: str, name: str) -> None:
    """400 with a sentence that says where it belongs and that does not repeat it."""
    answer = get(site, path, "jmc_control", params={name: "jmc_control"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "token_in_address"), "as at an endpoint"
    assert "Authorization: Bearer" in answer.json()["error"]["message"]
    assert "jmc_control" not in answer.text


def test_a_cookie_is_no_credential(site: Any) -> None:
    """A browser that sends our token as a cookie is nobody."""
    answer = get(site, "/api/v1/services", None, headers={"Cookie": "token=jmc_control; Authorization=jmc_control"})
    assert answer.status_code == 401


def test_an_endpoint_token_may_not_manage(site: Any) -> None:
    """403 where it may know of the service or of the operation, 404 where it may not even know."""
    site.add("alice", "chat")
    site.add("alice", "other")

    async def body(client: httpx.AsyncClient) -> list[int]:
        calls = [
            ("GET", "/api/v1/"),
            ("GET", "/api/v1/services"),
            ("POST", "/api/v1/services"),
            ("GET", "/api/v1/events"),
            ("GET", "/metrics"),
            ("POST", "/api/v1/gateway/shutdown"),
            ("GET", CHAT),
            ("DELETE", CHAT),
            ("GET", f"{CHAT}/tokens"),
            ("GET", "/api/v1/services/alice/other"),
            ("GET", "/api/v1/services/alice/nothing"),
        ]
        return [(await client.request(method, path)).status_code for method, path in calls]

    assert site.run(body, token="jms_endpoint") == [403] * 9 + [404] * 2
    assert site.engine.asked == []
    assert site.ended == []


def test_somebody_elses_service_looks_like_none(site: Any) -> None:
    """Bob cannot tell alice's service from one that does not exist, by any method."""
    site.add("alice", "chat")

    async def body(client: httpx.AsyncClient) -> list[tuple[int, str]]:
        answers = []
        for name in ("chat", "none"):
            for method, verb in (("GET", ""), ("DELETE", ""), ("PUT", "/scale"), ("POST", "/tokens")):
                answer = await client.request(method, f"/api/v1/services/alice/{name}{verb}", json={"replicas": 1})
                answers.append((answer.status_code, answer.json()["error"]["message"].replace(name, "NAME")))
        return answers

    found = site.run(body, token="jmc_bob")
    assert set(found) == {(404, "There is no service alice/NAME.")}
    assert site.engine.asked == []


def test_a_list_holds_only_what_the_caller_manages(site: Any) -> None:
    site.add("alice", "chat")
    site.add("bob", "code")
    answer = get(site, "/api/v1/services", "jmc_bob")
    assert [s["name"] for s in answer.json()["services"]] == ["code"]


def test_a_new_service_belongs_to_its_caller(site: Any) -> None:
    site.run(lambda c: c.post("/api/v1/services", json={"folder": "/m"}), token="jmc_bob")
    assert [view.key for view in site.engine.services()] == ["bob/tiny-chat"]


def test_a_caller_of_several_owners_creates_in_its_own_name(site: Any) -> None:
    """And one that is none of the several has to be refused: whose would the service be?"""
    both = frozenset({"alice", "bob"})
    site.identity.callers["several"] = Caller("bob", manages=both)
    site.identity.callers["robot"] = Caller("robot", manages=both)
    site.identity.callers["helper"] = Caller("helper", manages=frozenset({"alice"}))
    answers = [
        site.run(lambda c: c.post("/api/v1/services", json={"folder": "/m"}), token=token)
        for token in ("several", "robot", "helper")
    ]
    assert [a.status_code for a in answers] == [201, 403, 201]
    assert [view.key for view in site.engine.services()] == ["alice/tiny-chat", "bob/tiny-chat"]


def test_a_token_that_is_not_in_memory_is_resolved(site: Any) -> None:
    """``known`` first; only what it does not know is asked for."""
    site.identity.elsewhere["late"] = site.identity.callers["jmc_control"]
    assert get(site, "/api/v1/services", "late").status_code == 200
    assert get(site, "/api/v1/services", "jmc_control").status_code == 200
    assert site.identity.asked == ["late"]


def test_health_needs_no_token_and_says_nothing(site: Any) -> None:
    """Ready follows the database; the reason stays in the log, since anyone may ask."""
    assert get(site, "/health/live", None).text == "ok\n"
    assert get(site, "/health/ready", None).text == "ok\n"
    site.add("alice", "chat", replicas=1)
    site.store.fail_writes = "disk full at /home/alice/secret"
    (replica,) = site.world
    replica.exits(1)  # which cannot be written down
    site.play(eventually(lambda: site.engine.store_error))
    answer = get(site, "/health/ready", None)
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"
    assert "alice" not in answer.text
    assert get(site, "/health/live", None).status_code == 200


def test_metrics_can_be_opened(site: Any) -> None:
    assert get(site, "/metrics", None).status_code == 401
    site.open_metrics = True
    answer = get(site, "/metrics", None)
    assert answer.text == "model_service_replicas 1.0\n"
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")


def test_who_may_not_any_more_when_her_folder_is_copied_has_nothing_made_of_it(site: Any) -> None:
    """Copies take hours; whoever may no longer, by then, is refused as if she had asked then."""
    site.add("alice", "chat")
    hers = dict(site.identity.callers)
    token = next(each for each, caller in hers.items() if caller.name == "alice")
    ways: dict[str, Any] = {
        "revoked": (None, 401, 401),
        "for calling alone": (Caller("alice", invokes=frozenset({"alice/chat"})), 403, 403),
        "of another by now": (Caller("bob", manages=frozenset({"bob"}), home="bob"), 403, 404),
    }

    async def body(client: httpx.AsyncClient) -> None:
        for name, (now, created, updated) in ways.items():

            def change(now: Any = now) -> None:
                site.identity.callers = {**hers, token: now}

            site.storage.meanwhile = change
            site.identity.callers = dict(hers)
            answer = await client.post("/api/v1/services", json={"folder": "/f", "name": "new"})
            assert answer.status_code == created, name
            site.identity.callers = dict(hers)
            answer = await client.post("/api/v1/services/alice/chat/update", json={"folder": "/f"})
            assert answer.status_code == updated, name
        site.storage.meanwhile = lambda: None
        site.identity.callers = dict(hers)
        assert (await client.post("/api/v1/services", json={"folder": "/f", "name": "new"})).status_code == 201

    site.run(body)
    made = {view.key: view.revision for view in site.engine.services()}
    assert made == {"alice/chat": 1, "alice/new": 1}


# --- a gateway that several users share --------------------------------------------------------------


def statuses(site: Any, token: str, *calls: tuple[str, str, Any]) -> list[int]:
    async def body(client: httpx.AsyncClient) -> list[int]:
        return [(await client.request(method, path, json=sent)).status_code for method, path, sent in calls]

    found: list[int] = site.run(body, token=token)
    return found


WHOLE = (
    ("GET", "/metrics", None),
    ("POST", "/api/v1/gateway/attach", {"pid": 1, "create_time": 1.0}),
    ("POST", "/api/v1/gateway/shutdown", {}),
)


def test_what_concerns_a_shared_gateway_as_a_whole_is_for_administrators(site: Any) -> None:
    """Any user of a hub manages services, and none of them may end the gateway or count everybody's calls."""
    site.shared = True
    assert statuses(site, "jmc_bob", *WHOLE) == [403, 403, 403]
    assert site.ended == site.attached == []
    assert statuses(site, "jmc_admin", *WHOLE) == [200, 200, 202]


def test_an_administrator_sees_and_manages_everybodys_services(site: Any) -> None:
    site.shared = True
    site.add("alice", "chat")
    site.add("bob", "draw")
    listed = get(site, "/api/v1/services", "jmc_admin").json()["services"]
    assert [(each["owner"], each["name"]) for each in listed] == [("alice", "chat"), ("bob", "draw")]
    assert statuses(site, "jmc_admin", ("DELETE", CHAT, None)) == [202]
    assert [each["owner"] for each in get(site, "/api/v1/services", "jmc_bob").json()["services"]] == ["bob"]


@pytest.mark.parametrize(("token", "owner"), [("jmc_bob", "bob"), ("jmc_admin", "boss")])
def test_new_services_and_the_gateways_description_are_the_callers_own(site: Any, token: str, owner: str) -> None:
    assert get(site, "/api/v1/", token).json()["owner"] == owner
    assert statuses(site, token, ("POST", "/api/v1/services", {"folder": "/m"})) == [201]
    assert site.engine.asked[-1][:2] == ("create", owner)


def test_a_service_of_the_hub_has_no_home_for_new_services(site: Any) -> None:
    """It may manage everybody's; whose a new one would be it cannot say."""
    site.identity.callers["robot"] = Caller("service:robot", manages_all=True)
    site.add("alice", "chat")
    assert statuses(site, "robot", ("POST", "/api/v1/services", {"folder": "/m"}), ("GET", CHAT, None)) == [403, 200]
