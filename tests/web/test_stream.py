"""The event stream, over a real connection."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx

from jupyter_model_service.engine.bus import Change
from jupyter_model_service.engine.views import CopyView
from jupyter_model_service.ports import EventRecord
from jupyter_model_service.web.stream import EventStreams

from .conftest import BOB, CONTROL, eventually


async def blocks(answer: httpx.Response) -> AsyncIterator[str]:
    """The stream's blocks, comments included."""
    text = ""
    async for piece in answer.aiter_text():
        text += piece
        while "\n\n" in text:
            block, text = text.split("\n\n", 1)
            yield block


async def next_event(stream: AsyncIterator[str]) -> tuple[str, Any]:
    """The next event, heartbeats passed over."""
    async for block in stream:
        if not block.startswith(":"):
            kind, data = block.split("\n")
            return kind.removeprefix("event: "), json.loads(data.removeprefix("data: "))
    return "end", None


@contextlib.asynccontextmanager
async def listening(client: httpx.AsyncClient) -> AsyncIterator[AsyncIterator[str]]:
    async with client.stream("GET", "/api/v1/events") as answer:
        assert answer.status_code == 200
        yield blocks(answer)


def test_hello_then_everything_that_changes(site: Any) -> None:
    """Each kind with its documented data; the subscription exists before hello."""
    site.add("alice", "chat", replicas=1)
    event = EventRecord(9, 2.0, "id", "replica.ready", "chat is ready", "chat-abc123", {"seconds": 1.5})

    async def body(client: httpx.AsyncClient) -> list[tuple[str, Any]]:
        async with listening(client) as stream:
            found = [await next_event(stream)]
            site.engine.publish(
                Change("service", "alice/chat"), Change("event", "alice/chat", event=event), Change("resync")
            )
            found += [await next_event(stream) for _ in range(3)]
            site.engine.publish(Change("removed", "alice/chat"))
            return [*found, await next_event(stream)]

    hello, service, happened, resync, removed = site.run(body)
    assert hello == ("hello", {})
    assert service[0] == "service"
    assert (service[1]["owner"], service[1]["name"], service[1]["state"]) == ("alice", "chat", "ready")
    assert happened[0] == "event"
    assert (happened[1]["id"], happened[1]["service"], happened[1]["kind"]) == (9, "alice/chat", "replica.ready")
    assert resync == ("resync", {})
    assert removed == ("removed", {"service": "alice/chat"})


def test_other_owners_changes_are_not_shown(site: Any) -> None:
    """Not their services, events or removals; a resync concerns everybody."""
    site.add("alice", "chat")
    event = EventRecord(1, 2.0, "id", "k", "m")

    async def body(client: httpx.AsyncClient) -> tuple[str, Any]:
        async with listening(client) as stream:
            await next_event(stream)
            site.engine.publish(
                Change("service", "alice/chat"),
                Change("event", "alice/chat", event=event),
                Change("removed", "alice/chat"),
                Change("resync"),
            )
            return await next_event(stream)

    assert site.run(body, token="jmc_bob") == ("resync", {})


def test_a_quiet_stream_has_a_heartbeat_and_loses_nothing_to_it(site: Any) -> None:
    """Comments keep proxies from closing it; a change after several of them still comes."""

    async def body(client: httpx.AsyncClient) -> tuple[list[str], tuple[str, Any]]:
        async with listening(client) as stream:
            await next_event(stream)
            comments = [await anext(stream) for _ in range(3)]
            site.engine.publish(Change("removed", "alice/x"))
            return comments, await next_event(stream)

    comments, last = site.run(body)
    assert all(c.startswith(":") for c in comments)
    assert last == ("removed", {"service": "alice/x"})


def test_so_has_one_beside_which_much_changes_that_is_not_its_readers(site: Any) -> None:
    """Of which there is never a pause as long as a heartbeat; a reader takes 30 s of silence for the end of the gateway."""
    site.add("alice", "chat")

    async def body(client: httpx.AsyncClient) -> list[str]:
        async def busy() -> None:
            while True:
                site.engine.publish(Change("service", "alice/chat"))
                await asyncio.sleep(0.02)

        async with listening(client) as stream:
            await next_event(stream)
            changing = asyncio.ensure_future(busy())
            try:
                return [await asyncio.wait_for(anext(stream), 5) for _ in range(3)]
            finally:
                changing.cancel()

    assert all(comment.startswith(":") for comment in site.run(body, token="jmc_bob"))


def test_nobody_may_keep_or_hold_back_the_stream(site: Any) -> None:
    async def body(client: httpx.AsyncClient) -> httpx.Headers:
        async with client.stream("GET", "/api/v1/events") as answer:
            return answer.headers

    headers = site.run(body)
    assert headers["content-type"] == "text/event-stream; charset=utf-8"
    assert headers["cache-control"] == "no-store"
    assert headers["x-accel-buffering"] == "no"


def test_a_client_that_goes_gives_its_subscription_back(site: Any) -> None:
    """At once, not with the next heartbeat."""
    site.streams = EventStreams(heartbeat=600)

    async def body(client: httpx.AsyncClient) -> None:
        async with listening(client) as stream:
            await next_event(stream)
            assert len(site.engine.subscriptions) == 1
        await eventually(lambda: not site.engine.subscriptions)
        await eventually(lambda: len(site.streams) == 0)

    site.run(body)


def test_the_end_of_the_gateway_ends_the_stream(site: Any) -> None:
    """``close`` and the end of the subscription both give the reader a proper end."""

    async def body(client: httpx.AsyncClient) -> list[tuple[str, Any]]:
        async with listening(client) as first:
            await next_event(first)
            site.engine.publish(None)
            ends = [await next_event(first)]
        async with listening(client) as second:
            await next_event(second)
            site.streams.close()
            ends.append(await next_event(second))
        await eventually(lambda: not site.engine.subscriptions)
        return ends

    assert site.run(body) == [("end", None), ("end", None)]


def test_a_reader_that_takes_nothing_is_cut_off(site: Any) -> None:
    """Bounded memory: once the socket is full, nothing more is queued for it, and after a while it is closed."""
    site.streams = EventStreams(heartbeat=0.1, stalled=0.3)
    site.add("alice", "chat")
    events = [EventRecord(number, 2.0, "id", "k", "x" * 100_000) for number in range(200)]

    async def main() -> None:
        async with site.serving():
            reader, writer = await asyncio.open_unix_connection(site.path, limit=1024)
            writer.write(b"GET /api/v1/events HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer jmc_control\r\n\r\n")
            await eventually(lambda: len(site.engine.subscriptions) == 1)
            site.engine.publish(*[Change("event", "alice/chat", event=event) for event in events])
            await eventually(lambda: not site.engine.subscriptions)
            got = await asyncio.wait_for(reader.read(), 20)
            assert len(got) < 10_000_000, "far from all 200 changes of 100 kB each were kept for it"
            writer.close()

    site.play(main())


def test_there_is_a_bound_on_open_streams(site: Any) -> None:
    site.streams = EventStreams(limit=1)

    async def body(client: httpx.AsyncClient) -> httpx.Response:
        async with listening(client) as stream:
            await next_event(stream)
            return await client.get("/api/v1/events")

    answer = site.run(body)
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "overloaded"


def test_one_caller_does_not_take_the_streams_of_all(site: Any) -> None:
    """Of the 200 that there are for all one has 40 at most, however many tokens she has; one that ends makes room."""
    usual = inspect.signature(EventStreams).parameters
    assert (usual["limit"].default, usual["of_one"].default) == (200, 40)
    site.streams = EventStreams(of_one=1)
    site.identity.callers["jmc_another"] = site.identity.callers[CONTROL]

    async def body(client: httpx.AsyncClient) -> tuple[httpx.Response, tuple[str, Any], tuple[str, Any]]:
        async with listening(client) as stream:
            await next_event(stream)
            client.headers["Authorization"] = "Bearer jmc_another"
            second = await client.get("/api/v1/events")
            client.headers["Authorization"] = f"Bearer {BOB}"
            async with listening(client) as another:
                bobs = await next_event(another)
            client.headers["Authorization"] = f"Bearer {CONTROL}"
        await eventually(lambda: not len(site.streams))
        async with listening(client) as stream:
            return second, bobs, await next_event(stream)

    second, bobs, after = site.run(body)
    assert (second.status_code, second.json()["error"]["code"]) == (503, "overloaded")
    assert bobs == after == ("hello", {})


def test_how_far_a_copy_is_goes_to_its_owner(site: Any) -> None:
    """There is no service yet that could be looked at."""
    copy = CopyView("alice/new", "/models/new", 1, 3, 30, 10, 100, 1.5, False)

    async def body(client: httpx.AsyncClient) -> tuple[str, Any]:
        async with listening(client) as stream:
            await next_event(stream)
            site.engine.publish(Change("copying", "alice/new", copy=copy), Change("resync"))
            return await next_event(stream)

    kind, data = site.run(body)
    assert kind == "copying"
    assert (data["service"], data["files"], data["of_bytes"], data["over"]) == ("alice/new", 3, 100, False)
    assert site.run(body, token="jmc_bob") == ("resync", {})
