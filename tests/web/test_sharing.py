"""Who may do what with a service, in the control API: shares are set, shown and taken away, by the owner alone."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from jupyter_model_service.core.access import Caller
from jupyter_model_service.core.limits import Limits
from jupyter_model_service.core.revision import Mount
from jupyter_model_service.core.revision_change import RevisionChange
from jupyter_model_service.core.sharing import Person, Role, Share, Sharing
from jupyter_model_service.engine.bus import Change
from jupyter_model_service.engine.engine import Engine
from jupyter_model_service.engine.views import CopyView
from jupyter_model_service.errors import Forbidden, NotFound
from jupyter_model_service.web.auth import authorise
from jupyter_model_service.web.routes import ROUTES, Access

from .conftest import FOLDER, eventually

ACCESS = "/api/v1/services/alice/chat/access"


def test_a_service_is_shared_shown_and_shared_no_more(site: Any) -> None:
    site.add("alice", "chat")

    async def body(client: httpx.AsyncClient) -> None:
        made = await client.put(f"{ACCESS}/user/bob", json={"role": "operator", "limits": {"calls_per_day": 9}})
        assert made.status_code == 200
        assert {key: made.json()[key] for key in ("kind", "name", "role", "created_by")} == {
            "kind": "user", "name": "bob", "role": "operator", "created_by": "alice",
        }  # fmt: skip
        assert made.json()["limits"]["calls_per_day"] == 9
        group = await client.put(f"{ACCESS}/group/a%2Fclass%20of%202026", json={})
        assert (group.json()["name"], group.json()["role"], group.json()["limits"]) == (
            "a/class of 2026", "caller", None,
        )  # fmt: skip
        told = (await client.get(ACCESS)).json()
        assert told["shares"] == [made.json(), group.json()]
        assert (told["visibility"], told["public_allowed"], told["person"]) == ("shared", True, None)
        assert (await client.delete(f"{ACCESS}/user/bob")).status_code == 204
        assert (await client.delete(f"{ACCESS}/user/bob")).status_code == 404
        assert [share["name"] for share in (await client.get(ACCESS)).json()["shares"]] == ["a/class of 2026"]

        assert site.engine.sharings.of("alice", "chat").get("user", "bob") is None
        await client.put(f"{ACCESS}/user/bob", json={"role": "operator", "limits": {"calls_per_day": 9}})

    site.run(body)
    share = site.engine.sharings.of("alice", "chat").get("user", "bob")
    assert (share.role, share.limits, share.created_by) == (Role.OPERATOR, Limits(calls_per_day=9), "alice")


def test_pages_of_other_origins_are_let_in_by_the_owner_alone(site: Any) -> None:
    """And what is no origin changes nothing."""
    site.add("alice", "chat")

    async def body(client: httpx.AsyncClient) -> None:
        told = await client.put(f"{ACCESS}/origins", json={"origins": ["https://App.example.org:443/"]})
        assert (told.status_code, told.json()["origins"]) == (200, ["https://app.example.org"])
        for wrong in (["*"], ["null"], "https://a"):
            assert (await client.put(f"{ACCESS}/origins", json={"origins": wrong})).status_code == 400
        assert (await client.get(ACCESS)).json()["origins"] == ["https://app.example.org"]
        bob = {"Authorization": "Bearer jmc_bob"}
        assert (await client.put(f"{ACCESS}/origins", json={"origins": []}, headers=bob)).status_code == 404
        assert (await client.put(f"{ACCESS}/origins", json={"origins": []})).json()["origins"] == []

    site.run(body)


def test_of_one_person_it_is_said_what_she_may_and_why_and_not_which_groups_she_is_in(site: Any) -> None:
    site.add("alice", "chat", Share("user", "bob", Role.VIEWER), Share("group", "ds", Role.OPERATOR))

    async def body(client: httpx.AsyncClient) -> list[Any]:
        answers = [await client.get(ACCESS, params={"user": user}) for user in ("alice", "bob", "carol")]
        return [answer.json()["person"] for answer in answers]

    alice, bob, carol = site.run(body)
    in_group = "It is shared as operator with the group ds: so it is if {} is in it."
    assert alice == {"name": "alice", "role": "owner", "perhaps": None, "why": ["alice owns alice/chat."]}
    why = ["It is shared with bob as viewer.", in_group.format("bob")]
    assert bob == {"name": "bob", "role": "viewer", "perhaps": "operator", "why": why}
    assert carol == {"name": "carol", "role": None, "perhaps": "operator", "why": [in_group.format("carol")]}


def test_of_one_person_it_is_said_which_limits_are_hers(site: Any) -> None:
    """By name she has what a group's limits would keep from her."""
    site.add(
        "alice",
        "chat",
        Share("user", "bob"),
        Share("user", "carol", limits=Limits(2.0, calls_per_day=9)),
        Share("group", "ds", limits=Limits(calls_per_day=1)),
    )

    async def body(client: httpx.AsyncClient) -> list[Any]:
        answers = [await client.get(ACCESS, params={"user": user}) for user in ("bob", "carol", "dan")]
        return [answer.json()["person"]["why"] for answer in answers]

    in_group = "It is shared as caller, each with at most 1 call a day, with the group ds: so it is if {0} is in it."
    before = "What is shared with {0} by name goes before, with {1}: limits of groups do not hold for {0}."
    most = "at most 2 calls per second and 9 calls a day"
    assert site.run(body) == [
        ["It is shared with bob as caller.", in_group.format("bob"), before.format("bob", "no limits")],
        [f"It is shared with carol as caller, {most}.", in_group.format("carol"), before.format("carol", most)],
        [in_group.format("dan")],
    ]


def test_a_public_service_is_said_to_be_anybodys(site: Any) -> None:
    site.add("alice", "chat", public=True)

    async def body(client: httpx.AsyncClient) -> Any:
        return (await client.get(ACCESS)).json()["always"]

    assert "It is public: anybody may call it." in site.run(body)


def test_where_there_are_no_people_there_is_nobody_to_share_with(site: Any) -> None:
    site.add("alice", "chat")
    site.people = False

    async def body(client: httpx.AsyncClient) -> list[httpx.Response]:
        return [
            await client.put(f"{ACCESS}/user/bob", json={}),
            await client.delete(f"{ACCESS}/user/bob"),
            await client.get(ACCESS),
        ]

    put, delete, get = site.run(body)
    for answer in (put, delete):
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "no_people")
        assert "generate-token" in answer.json()["error"]["message"]
    assert get.json()["always"] == ["alice owns alice/chat and may do everything with it."]
    assert [*site.engine.sharings.of("alice", "chat")] == []


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("user/bob", {"role": "owner"}, 400),
        ("user/bob", {"role": "boss"}, 400),
        ("user/bob", {"limits": {"calls_per_day": 0}}, 400),
        ("user/bob", {"rolle": "viewer"}, 400),
        ("team/bob", {}, 404),
        ("user/", {}, 404),
        ("user/alice", {}, 400),  # hers already
    ],
)
def test_what_is_no_share_is_refused(site: Any, path: str, body: Any, status: int) -> None:
    site.add("alice", "chat")
    assert site.run(lambda c: c.put(f"{ACCESS}/{path}", json=body)).status_code == status
    assert [*site.engine.sharings.of("alice", "chat")] == []


# --- who may, by role ------------------------------------------------------------------------------------

LEVELS = (Access.CALLER, Access.VIEWER, Access.OPERATOR, Access.OWNER)
PATH = {"owner": "alice", "name": "chat"}


@pytest.mark.parametrize("role", [None, Role.CALLER, Role.VIEWER, Role.OPERATOR])
def test_a_role_opens_what_needs_no_more_than_that(role: Role | None) -> None:
    """Who has none learns nothing: the answer is that for a service that is not there."""
    bob = Caller("bob", person=Person("bob", "bob", most=Role.OPERATOR))
    sharing = Sharing({} if role is None else {"bob": Share("user", "bob", role)})
    for needed in LEVELS:
        if role is None:
            with pytest.raises(NotFound, match=r"^There is no service alice/chat\.$"):
                authorise(needed, bob, PATH, lambda owner, name: sharing)
        elif needed.role is not None and role < needed.role:
            with pytest.raises(Forbidden):
                authorise(needed, bob, PATH, lambda owner, name: sharing)
        else:
            authorise(needed, bob, PATH, lambda owner, name: sharing)


def test_owners_and_administrators_may_all_of_it() -> None:
    for caller in (Caller("alice", manages=frozenset({"alice"})), Caller("boss", manages_all=True)):
        for needed in LEVELS:
            authorise(needed, caller, PATH, lambda owner, name: Sharing())


def test_somebody_is_enough_where_a_person_is_asked_for_and_an_endpoints_token_is_nobody() -> None:
    authorise(Access.PERSON, Caller("bob", person=Person("bob", "bob")), {}, lambda owner, name: Sharing())
    authorise(Access.PERSON, Caller("alice", manages=frozenset({"alice"})), {}, lambda owner, name: Sharing())
    token = Caller("token:x", invokes=frozenset({"alice/chat"}))
    with pytest.raises(Forbidden):
        authorise(Access.PERSON, token, {}, lambda owner, name: Sharing())
    with pytest.raises(Forbidden):
        authorise(Access.MANAGER, Caller("bob", person=Person("bob", "bob")), {}, lambda owner, name: Sharing())


# --- what those see whom it is shared with ---------------------------------------------------------------

SHARED = (Share("user", "bob", Role.OPERATOR), Share("group", "ds", Role.CALLER))
#: What a service is made of, and nobody's but its owner's to know.
OF_THE_OWNER: dict[str, Any] = {
    "environment": {"API_KEY": "k"}, "mounts": [Mount("/data", "/data")], "image": "registry/nb:1",
}  # fmt: skip


def as_person(site: Any, name: str, *groups: str, most: Role = Role.OPERATOR) -> str:
    token = f"token-of-{name}"
    site.identity.callers[token] = Caller(name, person=Person(name, name, frozenset(groups), most=most))
    return token


def test_an_operator_sees_how_a_service_is_and_not_what_it_is_made_of(site: Any) -> None:
    """Also in the answers to what she does."""
    site.add("alice", "chat", *SHARED, replicas=1, **OF_THE_OWNER)
    token = as_person(site, "bob")
    chat = "/api/v1/services/alice/chat"

    async def body(client: httpx.AsyncClient) -> list[Any]:
        calls = [("GET", "", None), ("PUT", "/scale", {"replicas": 2}), ("POST", "/restart", {})]
        calls += [("POST", "/rollback", {}), ("POST", "/stop", {}), ("POST", "/start", {})]
        await Engine.update(site.engine, "alice", "chat", change=RevisionChange())
        await eventually(lambda: site.engine.service("alice", "chat").state == "ready")
        answers = [await client.request(method, chat + rest, json=json) for method, rest, json in calls]
        assert [answer.status_code for answer in answers] == [200, *[202] * 5]
        listed = (await client.get("/api/v1/services")).json()
        assert listed["shared"] == []
        return [*(answer.json() for answer in answers), *listed["services"]]

    found = site.run(body, token=token)
    assert len(found) == 7
    for info in found:
        assert (info["role"], info["visibility"], info["owner"]) == ("operator", "shared", "alice")
        assert [revision["number"] for revision in info["revisions"]] == [1, 2]
        for revision in info["revisions"]:
            assert (revision["image"], revision["model_name"]) == ("registry/nb:1", "Tiny Chat")
            assert [revision[key] for key in ("folder", "environment", "mounts", "definition")] == ["", [], [], {}]
        for replica in info["replica_list"]:
            assert (replica["id"][:5], replica["pid"], replica["address"]) == ("chat-", None, None)
    assert found[0]["replica_list"]
    site.play(eventually(lambda: site.engine.service("alice", "chat").state == "ready"))
    owned = site.run(lambda c: c.get(chat)).json()
    assert (owned["role"], owned["revisions"][0]["folder"]) == ("owner", FOLDER)
    assert (owned["revisions"][0]["environment"], owned["revisions"][0]["mounts"][0]["source"]) == (
        ["API_KEY"],
        "/data",
    )
    assert owned["replica_list"][0]["address"].startswith("127.0.0.1:")


@pytest.mark.parametrize("role", list(Role)[:3])
def test_each_role_may_what_the_table_of_operations_says(site: Any, role: Role) -> None:
    """All operations on a service, by the access of their rows; a caller is told that she may call it."""
    site.add("alice", "chat", Share("user", "bob", role))
    token = as_person(site, "bob")
    routes = [route for route in ROUTES if route.access.role is not None]
    assert {route.access for route in routes} == {Access.VIEWER, Access.OPERATOR, Access.OWNER}

    async def body(client: httpx.AsyncClient) -> list[int]:
        where = {"owner": "alice", "name": "chat", "kind": "user", "whom": "carol", "id": "x"}
        answers = [
            await client.request(route.method, "/" + route.path.format(**where), params={"wrong": 1})
            for route in routes
        ]
        return [answer.status_code for answer in answers]

    expected = [400 if route.access.role is not None and role >= route.access.role else 403 for route in routes]
    assert site.run(body, token=token) == expected
    assert site.engine.asked == []


def test_who_may_only_call_a_service_sees_its_address_and_no_more(site: Any) -> None:
    """A member of a group, by a token that is good for calling alone."""
    site.add("alice", "chat", *SHARED)
    site.add("alice", "other")
    token = as_person(site, "carol", "ds", most=Role.CALLER)

    async def body(client: httpx.AsyncClient) -> list[Any]:
        series = await client.get("/api/v1/series", params={"services": "alice/chat,alice/other"})
        return [
            (await client.get("/api/v1/services")).json(),
            series.json(),
            (await client.get("/api/v1/")).status_code,
        ]

    listed, series, info = site.run(body, token=token)
    assert listed["services"] == []
    assert [set(each) for each in listed["shared"]] == [{"owner", "name", "state", "endpoint", "page", "role"}]
    assert (listed["shared"][0]["name"], listed["shared"][0]["role"]) == ("chat", "caller")
    assert (series, info) == ({"services": {}}, 200)


def test_the_event_stream_of_a_viewer_has_what_is_shared_with_her_until_it_is_not(site: Any) -> None:
    site.add("alice", "chat", Share("user", "bob", Role.VIEWER), **OF_THE_OWNER)
    site.add("alice", "other")
    token = as_person(site, "bob")
    copy = CopyView("alice/chat", "/home/alice/secret", 2, 0, 0, None, None, 0.0, False)

    async def body(client: httpx.AsyncClient) -> str:
        async with client.stream("GET", "/api/v1/events") as stream:
            said, step = "", 0
            async for piece in stream.aiter_text():
                said += piece
                if "hello" in said and step == 0:
                    step = 1
                    site.engine.publish(Change("copying", "alice/chat", copy=copy))
                    await site.engine.stop_service("alice", "other")
                    site.engine.publish(Change("service", "alice/chat"))
                if '"role":"viewer"' in said and step == 1:
                    step = 2
                    await site.engine.sharings.remove("alice", "chat", "user", "bob")
                    site.engine.publish(Change("service", "alice/chat"), Change("resync"))
                if "event: resync" in said:
                    break
        return said

    said = site.run(body, token=token)
    assert said.count("event: service") == 1
    assert "event: removed" in said
    assert FOLDER not in said
    assert "API_KEY" not in said
    assert "secret" not in said
    assert "other" not in said
