"""What the event stream tells somebody whom a service is shared with, and what she is told when it is so no more."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import httpx
import pytest

from jupyter_model_service.core.access import Caller
from jupyter_model_service.core.sharing import NOBODY, Person, Role, Share, Sharing
from jupyter_model_service.ports import EventRecord

from .test_stream import listening, next_event

CAROL = "jmc_carol"
HAPPENED = EventRecord(9, 2.0, "id", "service.unshared", "not shared with carol any more")
ROLES = pytest.mark.parametrize("role", [Role.CALLER, Role.VIEWER, Role.OPERATOR])


def with_carol(role: Role) -> Sharing:
    return Sharing({"carol": Share("user", "carol", role)})


@pytest.fixture
def shared(site: Any) -> Any:
    """alice/chat, and carol, who gets a part in it."""
    site.engine.add("alice", "chat")
    person = Person("carol", "carol", most=Role.OPERATOR)
    site.tokens.callers[CAROL] = Caller("carol", manages=frozenset({"carol"}), home="carol", person=person)
    return site


def share(site: Any, sharing: Sharing) -> None:
    site.engine.sharings.kept["alice", "chat"] = sharing


@ROLES
def test_who_may_see_a_service_no_more_is_told_that_it_is_gone_and_nothing_else(
    shared: Any, change: Any, role: Role
) -> None:
    """By the first thing that happens to it, and once; also where nothing was told of it since the stream began."""
    share(shared, with_carol(role))

    async def body(client: httpx.AsyncClient) -> list[tuple[str, Any]]:
        async with listening(client) as stream:
            await next_event(stream)
            share(shared, NOBODY)
            view = shared.engine.service("alice", "chat")
            shared.engine.publish(
                change("event", "alice/chat", event=HAPPENED),
                change("service", "alice/chat", view=view),
                change("resync", ""),
            )
            return [await next_event(stream) for _ in range(2)]

    assert shared.run(body, token=CAROL) == [("removed", {"service": "alice/chat"}), ("resync", {})]


@ROLES
def test_who_had_a_part_in_a_service_is_told_when_it_is_deleted(shared: Any, change: Any, role: Role) -> None:
    """Its shares are gone by then; whoever had none hears nothing."""
    share(shared, with_carol(role))

    async def body(client: httpx.AsyncClient) -> tuple[str, Any]:
        async with listening(client) as stream:
            await next_event(stream)
            share(shared, NOBODY)
            shared.engine.publish(change("removed", "alice/chat"), change("resync", ""))
            return await next_event(stream)

    assert shared.run(body, token=CAROL) == ("removed", {"service": "alice/chat"})
    assert shared.run(body, token="jmc_bob") == ("resync", {})


def test_a_caller_is_told_what_her_list_shows_and_only_when_that_is_another(shared: Any, change: Any) -> None:
    """No events, no replicas; a share that comes while she listens is told like any other change."""

    async def body(client: httpx.AsyncClient) -> list[tuple[str, Any]]:
        async with listening(client) as stream:
            await next_event(stream)
            view = shared.engine.service("alice", "chat")
            shared.engine.publish(change("service", "alice/chat", view=view))
            await asyncio.sleep(0.05)  # until then it is nothing to her
            share(shared, with_carol(Role.CALLER))
            shared.engine.publish(
                change("event", "alice/chat", event=HAPPENED),
                change("service", "alice/chat", view=view),
                change("service", "alice/chat", view=replace(view, restarts=3)),
                change("service", "alice/chat", view=replace(view, state="degraded")),
                change("resync", ""),
            )
            return [await next_event(stream) for _ in range(3)]

    first, second, last = shared.run(body, token=CAROL)
    assert [first[0], second[0], last[0]] == ["shared", "shared", "resync"]
    assert first[1] == {
        "owner": "alice", "name": "chat", "state": "ready", "endpoint": "http://127.0.0.1:1/endpoints/alice/chat/",
        "page": None, "role": "caller",
    }  # fmt: skip
    assert second[1]["state"] == "degraded"


def test_a_viewer_who_becomes_a_caller_keeps_nothing_of_what_she_saw(shared: Any, change: Any) -> None:
    share(shared, with_carol(Role.VIEWER))

    async def body(client: httpx.AsyncClient) -> list[str]:
        async with listening(client) as stream:
            await next_event(stream)
            share(shared, with_carol(Role.CALLER))
            view = shared.engine.service("alice", "chat")
            shared.engine.publish(change("service", "alice/chat", view=view))
            return [(await next_event(stream))[0] for _ in range(2)]

    assert shared.run(body, token=CAROL) == ["removed", "shared"]


def test_who_leaves_a_group_is_told_within_a_heartbeat_and_who_joins_one_looks_again(shared: Any) -> None:
    """The token is looked at again, though nothing happens to the service."""
    share(shared, Sharing(groups={"ds": Share("group", "ds", Role.VIEWER)}))
    outside = shared.tokens.callers[CAROL]
    inside = replace(outside, person=replace(outside.person, groups=frozenset({"ds"})))
    shared.tokens.callers[CAROL] = inside

    async def body(client: httpx.AsyncClient) -> list[tuple[str, Any]]:
        async with listening(client) as stream:
            found = [await next_event(stream)]
            shared.tokens.callers[CAROL] = outside
            found.append(await next_event(stream))
            shared.tokens.callers[CAROL] = inside
            return [*found, await next_event(stream)]

    assert shared.run(body, token=CAROL) == [("hello", {}), ("removed", {"service": "alice/chat"}), ("resync", {})]


def test_a_stream_ends_when_its_token_is_good_no_more(shared: Any, change: Any) -> None:
    """Also while one change follows the other, so that there is never time for a heartbeat."""

    async def body(client: httpx.AsyncClient) -> tuple[str, Any]:
        async with listening(client) as stream:
            await next_event(stream)
            del shared.tokens.callers[CAROL]
            for _ in range(1000):
                shared.engine.publish(change("resync", ""))
                if not shared.engine.subscriptions:
                    break
                await asyncio.sleep(0.01)
            else:
                raise AssertionError("it is still open")
            while (found := await next_event(stream))[0] == "resync":
                pass
            return found

    assert shared.run(body, token=CAROL) == ("end", None)
