"""What the event stream tells somebody whom a service is shared with, and what she is told when it is so no more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx
import pytest

from jupyter_model_service.core.access import Caller
from jupyter_model_service.core.sharing import NOBODY, Person, Role
from jupyter_model_service.engine.bus import Change

from .conftest import eventually
from .test_stream import listening, next_event

CAROL = "jmc_carol"
ROLES = pytest.mark.parametrize("role", [Role.CALLER, Role.VIEWER, Role.OPERATOR])


@pytest.fixture
def shared(site: Any) -> Any:
    """alice/chat, and carol, who gets a part in it."""
    site.add("alice", "chat")
    person = Person("carol", "carol", most=Role.OPERATOR)
    site.identity.callers[CAROL] = Caller("carol", manages=frozenset({"carol"}), home="carol", person=person)
    return site


async def with_carol(site: Any, role: Role) -> None:
    await site.engine.sharings.set("alice", "chat", "user", "carol", role=role)


async def told(site: Any, stream: AsyncIterator[str]) -> list[tuple[str, Any]]:
    """Whoever listens as carol or bob, up to now."""
    site.engine.publish(Change("removed", "carol/now"), Change("removed", "bob/now"))
    found = [await next_event(stream)]
    while not str(found[-1][1].get("service")).endswith("/now"):
        found.append(await next_event(stream))
    return found[:-1]


@ROLES
def test_who_may_see_a_service_no_more_is_told_that_it_is_gone_and_nothing_else(shared: Any, role: Role) -> None:
    """By the first thing that happens to it, and once; also where nothing was told of it since the stream began."""
    shared.play(with_carol(shared, role))

    async def body(client: httpx.AsyncClient) -> list[tuple[str, Any]]:
        async with listening(client) as stream:
            await next_event(stream)
            await shared.engine.sharings.remove("alice", "chat", "user", "carol")
            await shared.engine.stop_service("alice", "chat")
            return await told(shared, stream)

    assert shared.run(body, token=CAROL) == [("removed", {"service": "alice/chat"})]


@ROLES
def test_who_had_a_part_in_a_service_is_told_when_it_is_deleted(shared: Any, role: Role) -> None:
    """Its shares are gone by then; whoever had none hears nothing."""

    async def body(client: httpx.AsyncClient) -> list[tuple[str, Any]]:
        async with listening(client) as stream:
            await next_event(stream)
            await shared.engine.delete("alice", "chat")
            await eventually(lambda: shared.engine.services() == [])
            return await told(shared, stream)

    shared.play(with_carol(shared, role))
    assert shared.run(body, token=CAROL) == [("removed", {"service": "alice/chat"})]
    shared.play(shared.made("alice", "chat"))
    shared.play(with_carol(shared, role))
    assert shared.run(body, token="jmc_bob") == []


@ROLES
def test_so_she_is_where_its_removal_is_the_first_thing_that_she_hears(shared: Any, role: Role) -> None:
    """What was queued of a service that is gone is dropped."""
    shared.play(with_carol(shared, role))

    async def body(client: httpx.AsyncClient) -> list[tuple[str, Any]]:
        async with listening(client) as stream:
            await next_event(stream)
            shared.routing.get("alice", "chat").sharing = NOBODY
            shared.engine.publish(Change("removed", "alice/chat"))
            return await told(shared, stream)

    assert shared.run(body, token=CAROL) == [("removed", {"service": "alice/chat"})]
    shared.play(with_carol(shared, role))
    assert shared.run(body, token="jmc_bob") == []


def test_a_caller_is_told_what_her_list_shows_and_only_when_that_is_another(shared: Any) -> None:
    """No events, no replicas; a share that comes while she listens is told like any other change."""

    async def body(client: httpx.AsyncClient) -> list[list[tuple[str, Any]]]:
        async with listening(client) as stream:
            await next_event(stream)
            await shared.engine.restart("alice", "chat")
            found = [await told(shared, stream)]  # until then it is nothing to her
            await with_carol(shared, Role.CALLER)
            found.append(await told(shared, stream))
            await shared.engine.sharings.set("alice", "chat", "group", "ds")
            found.append(await told(shared, stream))
            await shared.engine.scale("alice", "chat", 1)
            await eventually(lambda: shared.engine.service("alice", "chat").state == "ready")
            return [*found, await told(shared, stream)]

    before, first, same, now = shared.run(body, token=CAROL)
    assert (before, same) == ([], [])
    assert first == [("shared", {
        "owner": "alice", "name": "chat", "state": "stopped", "endpoint": "http://127.0.0.1:1/endpoints/alice/chat/",
        "page": None, "role": "caller",
    })]  # fmt: skip
    assert {kind for kind, _ in now} == {"shared"}
    states = [data["state"] for _, data in now]
    assert states in (["starting", "ready"], ["ready"])


def test_a_viewer_who_becomes_a_caller_keeps_nothing_of_what_she_saw(shared: Any) -> None:
    shared.play(with_carol(shared, Role.VIEWER))

    async def body(client: httpx.AsyncClient) -> list[str]:
        async with listening(client) as stream:
            await next_event(stream)
            await with_carol(shared, Role.CALLER)
            return [(await next_event(stream))[0] for _ in range(2)]

    assert shared.run(body, token=CAROL) == ["removed", "shared"]


def test_who_leaves_a_group_is_told_within_a_heartbeat_and_who_joins_one_looks_again(shared: Any) -> None:
    """The token is looked at again, though nothing happens to the service."""
    shared.play(shared.engine.sharings.set("alice", "chat", "group", "ds", role=Role.VIEWER))
    outside = shared.identity.callers[CAROL]
    inside = replace(outside, person=replace(outside.person, groups=frozenset({"ds"})))
    shared.identity.callers[CAROL] = inside

    async def body(client: httpx.AsyncClient) -> list[tuple[str, Any]]:
        async with listening(client) as stream:
            found = [await next_event(stream)]
            shared.identity.callers[CAROL] = outside
            found.append(await next_event(stream))
            shared.identity.callers[CAROL] = inside
            return [*found, await next_event(stream)]

    assert shared.run(body, token=CAROL) == [("hello", {}), ("removed", {"service": "alice/chat"}), ("resync", {})]


def test_a_stream_ends_when_its_token_is_good_no_more(shared: Any) -> None:
    """Also while one change follows the other, so that there is never time for a heartbeat."""

    async def body(client: httpx.AsyncClient) -> tuple[str, Any]:
        async with listening(client) as stream:
            await next_event(stream)
            del shared.identity.callers[CAROL]
            for _ in range(1000):
                shared.engine.publish(Change("resync"))
                if not shared.engine.subscriptions:
                    break
                await asyncio.sleep(0.01)
            else:
                raise AssertionError("it is still open")
            while (found := await next_event(stream))[0] == "resync":
                pass
            return found

    assert shared.run(body, token=CAROL) == ("end", None)
