"""Each action on the control API leaves one entry in the audit log, each denied one, too; and none has a secret."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest

from jupyter_model_service.adapters.clock import SystemClock
from jupyter_model_service.app import own_deeds
from jupyter_model_service.core.access import Caller
from jupyter_model_service.core.audit import AuditQuery, Entry
from jupyter_model_service.engine.audit import Audit
from jupyter_model_service.engine.ledger import Ledger
from jupyter_model_service.web.route import Route
from jupyter_model_service.web.routes import ROUTES

ACTIONS = [route for route in ROUTES if route.method != "GET"]
BODIES: dict[str, Any] = {
    "create_service": {"folder": "/f", "name": "new", "environment": {"KEY": "s3cret-value"}},
    "update_service": {"environment": {"KEY": "s3cret-value"}},
    "validate": {"folder": "/f"},
    "scale_service": {"replicas": 3},
    "attach": {"pid": 1, "create_time": 1.0},
    "create_token": {"name": "demo"},
}
PLACES = {"owner": "alice", "name": "chat", "kind": "user", "whom": "bob"}


def address(route: Route) -> str:
    return "/" + re.sub(r"\{(\w+)\}", lambda found: PLACES.get(found[1], "t1"), route.path)


async def entries(site: Any) -> list[Entry]:
    assert await site.engine.audit.flush()
    return list(await site.store.audit.find(AuditQuery(limit=1000)))


@pytest.mark.parametrize("route", ACTIONS, ids=lambda route: route.name)
def test_each_action_leaves_one_entry_however_it_ends(site: Any, route: Route) -> None:
    """Who did what to which service, from where, under which request id, and what the answer was."""
    site.add("alice", "chat")

    async def body(client: httpx.AsyncClient) -> None:
        headers = {"X-Model-Service-Address": "10.1.2.3", "X-Request-Id": "req-1"}
        answer = await client.request(route.method, address(route), json=BODIES.get(route.name, {}), headers=headers)
        assert answer.status_code not in (401, 403, 405, 500), answer.text
        found = await entries(site)
        assert [(e.action, e.who, e.address, e.request_id, e.status, e.count) for e in found] == [
            (route.name, "alice", "10.1.2.3", "req-1", answer.status_code, 1)
        ]
        if "{name}" in route.path:
            assert found[0].target == "alice/chat"
        assert found[0].code == (answer.json()["error"]["code"] if answer.status_code >= 400 else "")
        assert "s3cret-value" not in repr(found)
        assert "jms_secret" not in repr(found)

    site.run(body)


@pytest.mark.parametrize(("token", "status"), [(None, 401), ("wrong", 401), ("jms_endpoint", 403), ("jmc_bob", 404)])
@pytest.mark.parametrize("route", [r for r in ROUTES if r.access.role is not None], ids=lambda route: f"{route.name}")
def test_each_denied_one_leaves_one_entry(site: Any, route: Route, token: str | None, status: int) -> None:
    """Reading, too. What was denied was not done."""
    site.add("alice", "chat")
    if "/admin/" in route.path:  # of a hub: for administrators, whosever service it is
        site.shared, status = True, 403 if token == "jmc_bob" else status

    async def body(client: httpx.AsyncClient) -> None:
        for _ in range(2):
            assert (await client.request(route.method, address(route))).status_code == status
        who = {"jms_endpoint": "token:demo", "jmc_bob": "bob"}.get(token or "", "")
        assert [(e.action, e.who, e.status, e.target, e.count) for e in await entries(site)] == [
            (route.name, who, status, "alice/chat", 2)
        ]
        assert "wrong" not in repr(await entries(site))

    site.run(body, token=token)


def test_reading_leaves_none(site: Any) -> None:
    site.add("alice", "chat")

    async def body(client: httpx.AsyncClient) -> None:
        assert (await client.get("/api/v1/services/alice/chat")).status_code == 200
        assert (await client.get("/api/v1/services/alice/none")).status_code == 404  # hers, and not there: not denied
        assert await entries(site) == []

    site.run(body)


def test_what_changed_is_told_before_and_after_and_nothing_secret(site: Any) -> None:
    site.add("alice", "chat")

    async def body(client: httpx.AsyncClient) -> list[Entry]:
        chat = "/api/v1/services/alice/chat"
        await client.put(f"{chat}/access/user/bob", json={"role": "viewer"})
        await client.post(f"{chat}/tokens", json={"name": "demo"})
        await client.delete(f"{chat}/tokens/t1")
        await client.put(f"{chat}/scale", json={"replicas": -1})
        await client.post("/api/v1/services", json={"folder": "/f", "name": "new", "public": True})
        return await entries(site)

    shared, token, revoked, wrong, made = site.run(body)
    assert (shared.before, shared.after) == (
        {"shares": {}} if shared.before else None, {"shares": {"user:bob": {"role": "viewer", "limits": None}}},
    )  # fmt: skip
    assert token.after == {"tokens": {"t1": {"name": "demo", "expires_at": None, "limits": None, "rules": []}}}
    assert revoked.before == token.after
    assert (wrong.status, wrong.code, wrong.after) == (400, "invalid_request", {"tried": {"replicas": -1}})
    assert (made.target, made.before) == ("alice/new", None)
    assert made.after is not None
    assert made.after["public"] is True


def test_nothing_is_done_while_it_could_not_be_written_down(site: Any) -> None:
    """503 beforehand, and reading goes on."""
    site.add("alice", "chat")

    async def body(client: httpx.AsyncClient) -> None:
        site.store.fail_writes, site.store.writes_left = "no space left", 1  # of the service, and none of the log
        first = await client.put("/api/v1/services/alice/chat/scale", json={"replicas": 2})
        assert (first.status_code, first.json()["error"]["code"]) == (503, "store")
        assert "was done" in first.json()["error"]["message"]
        site.engine.asked.clear()
        second = await client.put("/api/v1/services/alice/chat/scale", json={"replicas": 3})
        assert (second.status_code, second.headers["retry-after"]) == (503, "1")
        assert site.engine.asked == []
        assert (await client.get("/api/v1/services/alice/chat")).status_code == 200
        site.store.fail_writes = None
        third = await client.put("/api/v1/services/alice/chat/scale", json={"replicas": 4})
        assert third.status_code == 202
        assert [e.status for e in await entries(site)] == [202, 202]

    site.run(body)


def test_the_log_is_read_by_parts(site: Any) -> None:
    """An owner reads that of her service, from its creation on; of everything, whoever runs the place."""
    site.shared = True
    made = site.add("alice", "chat").created_at
    old = Entry(made - 50.0, "alice", "", "scale_service", "alice/chat")
    denied = Entry(made + 50.0, "", "", "x", "bob/chat", 401)
    kept = [Entry(made + 100.0 + n, "alice", "", "scale_service", "alice/chat") for n in range(3)]

    async def body(client: httpx.AsyncClient) -> None:
        await site.store.audit.add([old, denied, *kept])
        own = (await client.get("/api/v1/services/alice/chat/audit")).json()
        assert [each["at"] for each in own["entries"]] == [made + 100.0, made + 101.0, made + 102.0]
        assert own["next"] == own["entries"][-1]["id"]
        after = (await client.get(f"/api/v1/services/alice/chat/audit?after={own['next']}")).json()
        assert after == {"entries": [], "next": own["next"], "more": False, "kept": None}
        assert (await client.get("/api/v1/admin/audit")).status_code == 403
        boss = {"Authorization": "Bearer jmc_admin"}
        whole = (await client.get("/api/v1/admin/audit", headers=boss)).json()
        assert len(whole["entries"]) == 5
        last = (await client.get("/api/v1/admin/audit?newest=true&limit=2&service=alice/chat", headers=boss)).json()
        assert [each["at"] for each in last["entries"]] == [made + 101.0, made + 102.0]

    site.run(body)


@pytest.mark.parametrize("place", ["admin/audit", "admin/audit.jsonl", "services/alice/chat/audit"])
@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("action=stop", "action: no operation has this name (did you mean stop_gateway or stop_service?)"),
        ("action=xyzzy", "action: no operation has this name (they are in docs/operations.md#names-of-operations)"),
        ("service=chat", "service: write a service as OWNER/NAME, or user:NAME for the limits of a user"),
        ("service=user:", "service: write a service as OWNER/NAME, or user:NAME for the limits of a user"),
        ("since=yesterday", "since: write a day such as 2026-11-30, a time such as 2026-11-30T08:00 (UTC)"),
        ("until=2026-02-30", "until: write a day such as 2026-11-30, a time such as 2026-11-30T08:00 (UTC)"),
        ("since=nan", "since: write a day"),
    ],
)
def test_what_nothing_is_called_is_refused_and_does_not_look_like_an_empty_log(
    site: Any, place: str, query: str, why: str
) -> None:
    site.add("alice", "chat")

    async def body(client: httpx.AsyncClient) -> None:
        answer = await client.get(f"/api/v1/{place}?{query}")
        assert answer.status_code == 400
        if "services" not in place or "service=" not in query:
            assert why in answer.json()["error"]["message"]

    site.run(body)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("since=1970-01-02", [86400.0, 86460.0, 172800.0]),
        ("since=1970-01-02T00:01", [86460.0, 172800.0]),
        ("since=1970-01-02T00:01:00Z&until=1970-01-03", [86460.0]),
        ("since=86401&until=172800.5", [86460.0, 172800.0]),
        ("action=scale_service&until=1970-01-02", [0.0]),
    ],
)
def test_days_and_times_of_utc_are_as_good_as_unix_times(site: Any, query: str, found: list[float]) -> None:
    async def body(client: httpx.AsyncClient) -> None:
        times = (0.0, 86400.0, 86460.0, 172800.0)
        await site.store.audit.add([Entry(at, "bob", "", "scale_service", "bob/chat") for at in times])
        answer = await client.get(f"/api/v1/admin/audit?service=bob/chat&{query}")
        assert [each["at"] for each in answer.json()["entries"]] == found
        lines = (await client.get(f"/api/v1/admin/audit.jsonl?service=bob/chat&{query}")).text
        assert lines.count("\n") == len(found)

    site.run(body)


def test_what_somebody_tried_in_vain_is_told_without_secrets(site: Any) -> None:
    """Denied, wrong, or no longer possible; of nobody who is known, nothing, since anybody may send anything."""
    site.add("alice", "chat")
    share, token = "/api/v1/services/alice/chat/access/user/mallory", "jms_" + "s3cret" * 8
    wanted = {"role": "operator", "limits": {"calls_per_day": 5}, "token": token}

    async def body(client: httpx.AsyncClient) -> list[Entry]:
        bob, nobody = {"Authorization": "Bearer jmc_bob"}, {"Authorization": "Bearer wrong"}
        for headers in (bob, nobody):
            await client.put(share, json=wanted, headers=headers)
        environment = {"environment": {"KEY": "s3cret-value"}, "folder": f"/f/{token}", "image": "i" * 900}
        await client.post("/api/v1/services/alice/chat/update", json=environment, headers=bob)
        await client.patch("/api/v1/services/alice/chat/tokens/none", json={"limits": {"in_flight": 2}})
        await client.delete(f"/api/v1/services/alice/chat/tokens/{token}")
        await client.delete("/api/v1/services/alice/chat/access/group/ds")
        await client.put(share, content=b"{", headers=bob | {"Content-Type": "application/json"})
        return await entries(site)

    found = site.run(body)
    told = {(each.who, each.action, each.status): each.after for each in found}
    assert told == {
        ("bob", "share_service", 404): {
            "tried": {"role": "operator", "limits": {"calls_per_day": 5}, "user": "mallory"},
        },
        ("alice", "unshare_service", 404): {"tried": {"group": "ds"}},
        ("", "share_service", 401): None,
        ("bob", "update_service", 404): {
            "tried": {"environment": ["KEY"], "folder": "/f/…", "image": "…"},
        },
        ("alice", "change_token", 404): {"tried": {"limits": {"in_flight": 2}, "id": "none"}},
        ("alice", "revoke_token", 404): {"tried": {"id": "…"}},
    }
    assert "s3cret" not in repr(found)


def test_a_user_who_is_called_as_the_gateway_is_told_apart_from_it(site: Any) -> None:
    site.add("alice", "chat")
    site.identity.callers["jmc_gateway"] = Caller("gateway", manages=frozenset({"alice"}))

    async def body(client: httpx.AsyncClient) -> None:
        hers = {"Authorization": "Bearer jmc_gateway"}
        assert (await client.post("/api/v1/services/alice/chat/stop", headers=hers)).status_code == 202
        assert (await client.delete("/api/v1/services/bob/chat", headers=hers)).status_code == 404
        site.engine.audit.own("stop_service", "alice/chat", after={"why": "idle"})
        found = await entries(site)
        assert [(each.who, each.action) for each in found if each.who == "gateway"] == [("gateway", "stop_service")]
        assert sorted(each.action for each in found if each.who == "user:gateway") == ["delete_service", "stop_service"]

    site.run(body)


# --- what the row of an operation says of it -----------------------------------------------------------


class Begun:
    """Implements ``ports.Begun``: all that was ever begun, and what a former life left."""

    def __init__(self, *left: Entry) -> None:
        self.entries = list(left)

    async def add(self, entry: Entry) -> str:
        self.entries.append(entry)
        return str(len(self.entries))

    async def remove(self, key: str) -> None: ...

    async def left(self) -> list[tuple[str, Entry]]:
        return [(str(place), entry) for place, entry in enumerate(self.entries)]


def log_of(site: Any, begun: Begun) -> Audit:
    ledger = Ledger(site.store, SystemClock(), 0.1, lambda: None)
    site.engine.audit = Audit(site.store, SystemClock(), ledger, kept=None, retry=0.1, begun=begun)
    return site.engine.audit  # type: ignore[no-any-return]


def test_what_is_begun_says_which_service_is_to_be_made_and_what_the_whole_gateway_is_asked_for(site: Any) -> None:
    begun = Begun()
    log_of(site, begun)

    async def body(client: httpx.AsyncClient) -> None:
        await client.post("/api/v1/services", json={"folder": "/f", "name": "new"})
        await client.post("/api/v1/validate", json={"folder": "/f"})
        await client.post("/api/v1/gateway/attach", json={"pid": 7, "create_time": 1.0, "keep": True})
        await client.post("/api/v1/gateway/shutdown", json={"leave_replicas": True})

    site.run(body)
    assert [(each.action, each.target, each.after) for each in begun.entries] == [
        ("create_service", "alice/new", None),
        ("validate", "", {"folder": "/f"}),
        ("attach", "", {"pid": 7, "keep": True}),
        ("shutdown", "", {"leave_replicas": True}),
    ]


def test_on_a_full_disk_what_makes_room_is_done_and_nothing_else_is(site: Any) -> None:
    site.add("alice", "chat")

    async def body(client: httpx.AsyncClient) -> list[int]:
        # There is room for one write more, of the service and not of the log, until the copies are gone.
        left = iter([True])
        site.store.room = lambda: not site.shelf.kept or next(left, False)
        chat = "/api/v1/services/alice/chat"
        answers = [
            await client.put(f"{chat}/scale", json={"replicas": 2}),  # finds out, and is done
            await client.put(f"{chat}/scale", json={"replicas": 3}),
            await client.delete(chat),
        ]
        found = [(each.action, each.status) for each in await entries(site)]
        assert found == [("scale_service", 202), ("delete_service", 202)]
        return [each.status_code for each in answers]

    assert site.run(body) == [503, 503, 202]
    assert [each[0] for each in site.engine.asked] == ["scale", "delete"]


def test_of_a_service_whose_creation_was_interrupted_there_is_what_there_is_of_it(site: Any) -> None:
    """Of one that was only looked at when it was not there yet, nothing: somebody else has made it since."""

    def was(action: str) -> Entry:
        return Entry(1.0, "alice", "", action, "alice/new", 0)

    async def body(client: httpx.AsyncClient) -> list[Entry]:
        log_of(site, Begun(was("create_service"), was("set_notice"), was("of_another_version")))
        await site.made("alice", "new")
        await own_deeds.starts(own_deeds.Looked(site.engine, site.tokens), "http://gateway/", {})
        return await entries(site)

    made, *others = site.run(body)[:3]
    assert made.after is not None
    assert made.after["id"] == site.engine.service("alice", "new").id
    assert [(each.action, each.after) for each in others] == [("set_notice", None), ("of_another_version", None)]
