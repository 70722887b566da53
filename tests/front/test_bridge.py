"""Upgraded connections: bytes both ways once the replica has accepted, and not before."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import pytest
import websockets
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

from jupyter_model_service.core.routing import Backend

from .site import SLOW, TOKEN, site, until, within
from .upstreams import Replica

Run = Callable[[Any], Any]

SHOUT = ("Connection: keep-alive, Upgrade", "Upgrade: shout")


def test_raw_bytes_are_bridged_both_ways(run: Run) -> None:
    """Also those that the caller sent before the replica had accepted. In flight as long as it lasts."""

    async def body() -> None:
        async with site(Replica()) as here:
            wire = await here.send(here.request("/tunnel", *SHOUT) + b"early ")
            got = await wire.head()
            assert (got.status, got.one("Upgrade"), got.one("Connection")) == (101, "shout", "Upgrade")
            assert await within(wire.reader.readexactly(12)) == b"hello EARLY "
            await wire.send(b"\0\xff more")
            assert await within(wire.reader.readexactly(7)) == b"\0\xff MORE"
            assert here.backends[0].in_flight == 1
            sent = dict(here.replicas[0].seen[0].headers)
            assert (sent["Connection"], sent["Upgrade"]) == ("Upgrade", "shout")
            wire.close()
            await within(here.replicas[0].hung_up.wait())
            await here.still()
            assert here.meter.statuses() == [101]

    run(body())


def test_a_refused_upgrade_is_a_plain_answer_and_the_last_on_its_connection(run: Run) -> None:
    """Whoever refuses it. The Hub's proxy keeps such a connection when its caller has gone, and the next caller's request
    waits on it in vain."""

    async def body() -> None:
        async with site(Replica()) as here:
            for token, status in ((TOKEN, 200), (None, 401)):
                wire = await here.send(here.request("/x", *SHOUT, token=token))
                got = await wire.answer()
                assert (got.status, got.one("Connection")) == (status, "close")
                assert await wire.closed()
            wire = await here.send(here.request("/x", *SHOUT) + here.request("/smuggled"))
            assert (await wire.answer()).status == 200
            assert await wire.closed()
            assert "/smuggled" not in here.replicas[0].paths()

    run(body())


def test_an_upgrade_behind_another_call(run: Run) -> None:
    """Pipelined: its early bytes wait for it, not for the call before it."""

    async def body() -> None:
        async with site(Replica()) as here:
            wire = await here.send(here.request("/x") + here.request("/tunnel", *SHOUT) + b"early ")
            assert (await wire.answer()).json()["target"] == "/x"
            assert (await wire.head()).status == 101
            assert await within(wire.reader.readexactly(12)) == b"hello EARLY "
            wire.close()

    run(body())


def test_an_upgrade_without_a_token(run: Run) -> None:
    async def body() -> None:
        async with site(Replica()) as here:
            wire = await here.send(here.request("/tunnel", *SHOUT, token=None))
            assert (await wire.answer()).status == 401
            assert here.replicas[0].connections == 0

    run(body())


def test_a_replica_that_switches_without_being_asked(run: Run) -> None:
    async def body() -> None:
        async with site(Replica()) as here:
            got = await here.call("/tunnel")
            assert (got.status, got.code) == (502, "bad_answer")

    run(body())


def test_the_replica_of_a_bridge_dies(run: Run) -> None:
    async def body() -> None:
        async with site(Replica()) as here:
            wire = await here.send(here.request("/tunnel", *SHOUT))
            await wire.head()
            await within(wire.reader.readexactly(6))
            here.replicas[0].kill()
            assert await wire.closed()
            await here.still()

    run(body())


def test_a_lost_replica_of_a_bridge(run: Run) -> None:
    async def body() -> None:
        async with site(Replica()) as here:
            wire = await here.send(here.request("/tunnel", *SHOUT))
            await wire.head()
            await within(wire.reader.readexactly(6))
            backend = here.backends[0]
            backend.serving, backend.lost = False, True
            assert backend.on_lost is not None
            backend.on_lost()
            assert await wire.closed()

    run(body())


def test_a_bridge_holds_back_both_sides(run: Run) -> None:
    """A caller who sends and does not read is held back."""

    async def body() -> None:
        async with site(Replica()) as here:
            reader, writer = await asyncio.open_connection("127.0.0.1", here.port, limit=1 << 12)
            writer.write(here.request("/tunnel", *SHOUT))
            await within(reader.readuntil(b"hello "))
            sent = 0

            async def push() -> None:
                nonlocal sent
                while sent < 64 << 20:
                    writer.write(b"x" * 65536)
                    await writer.drain()
                    sent += 65536

            pushing = asyncio.ensure_future(push())
            before = -1
            while sent != before:
                before = sent
                await asyncio.sleep(0.2)
            assert sent < 60 << 20

            async def pull() -> int:
                total = 0
                while data := await reader.read(1 << 16):
                    total += data.count(b"X")
                    if total >= 64 << 20:
                        break
                return total

            assert await within(pull(), 60) == 64 << 20
            await pushing
            writer.close()

    run(body())


async def chat(connection: ServerConnection) -> None:
    with contextlib.suppress(websockets.ConnectionClosed):
        async for message in connection:
            if message == "close":
                await connection.close(4001, "as you wish")
            else:
                await connection.send(message)


def test_websockets(run: Run) -> None:
    """Text, binary, 2 MB, pings, subprotocol and close code arrive as they were sent."""

    async def body() -> None:
        async with serve(chat, "127.0.0.1", 0, subprotocols=["chat.v1"]) as server, site() as here:  # type: ignore[list-item]
            port = next(iter(server.sockets)).getsockname()[1]
            here.backends.append(Backend("ws", 1, "127.0.0.1", port))
            url = f"ws://127.0.0.1:{here.port}/endpoints/o/n/ws"
            headers = {"Authorization": f"Bearer {TOKEN}"}
            async with connect(
                url,
                additional_headers=headers,
                subprotocols=["chat.v1"],
                max_size=None,
                proxy=None,  # type: ignore[list-item]
            ) as client:
                assert client.subprotocol == "chat.v1"
                for message in ("hällo", b"\0\1\2", "x" * 100_000):
                    await client.send(message)
                    assert await within(client.recv()) == message
                await within(await client.ping())
                assert here.endpoint.in_flight == 1
                await client.send("close")
                with pytest.raises(websockets.ConnectionClosed) as closed:
                    await within(client.recv())
                assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4001, "as you wish")
            await until(lambda: here.endpoint.in_flight == 0)
            with pytest.raises(websockets.InvalidStatus) as refused:
                async with connect(url, proxy=None):
                    pass
            assert refused.value.response.status_code == 401

    run(body())


def offering(*protocols: str) -> str:
    return f"Sec-WebSocket-Protocol: {', '.join(protocols)}"


def test_a_token_among_the_protocols_opens_a_websocket_and_goes_no_further(run: Run) -> None:
    """As browsers can send one. What the model chooses of the others is what the page is told."""
    offered: list[list[str]] = []

    def choose(connection: ServerConnection, protocols: Any) -> Any:
        offered.append(list(protocols))
        return protocols[0] if protocols else None

    async def body() -> None:
        serving = serve(chat, "127.0.0.1", 0, subprotocols=["chat.v1"], select_subprotocol=choose)  # type: ignore[list-item]
        async with serving as server, site() as here:
            here.backends.append(Backend("ws", 1, "127.0.0.1", next(iter(server.sockets)).getsockname()[1]))
            url = f"ws://127.0.0.1:{here.port}/endpoints/o/n/ws"
            for sent in (["chat.v1", f"bearer.{TOKEN}"], [f"Bearer.{TOKEN}", "chat.v1"]):
                async with connect(url, subprotocols=sent, proxy=None) as client:  # type: ignore[arg-type]
                    assert client.subprotocol == "chat.v1"
                    await client.send("hello")
                    assert await within(client.recv()) == "hello"
                    (call,) = here.front.calls
                    assert call.credential == TOKEN, "by it the call is looked at again"
            async with connect(url, subprotocols=[f"bearer.{TOKEN}"], proxy=None) as client:  # type: ignore[list-item]
                assert client.subprotocol is None
            assert offered == [["chat.v1"], ["chat.v1"], []]

    run(body())


@pytest.mark.parametrize(
    "headers",
    [
        (*SHOUT, offering("bearer.wrong")),
        (*SHOUT, offering(f"bearer.{TOKEN}", f"bearer.{TOKEN}")),
        (*SHOUT, offering(TOKEN)),
        (*SHOUT, offering(f"bearer.{TOKEN}"), "Authorization: Bearer wrong"),
        (*SHOUT, offering(f"bearer.{TOKEN}"), "Authorization: Basic eDp5"),
        (offering(f"bearer.{TOKEN}"),),
    ],
)
def test_what_is_no_token_among_the_protocols_opens_nothing(run: Run, headers: tuple[str, ...]) -> None:
    """A wrong one, two, one by itself; beside a header that says something else; of a call that is no upgrade."""

    async def body() -> None:
        async with site(Replica()) as here:
            wire = await here.send(here.request("/tunnel", *headers, token=None))
            assert (await wire.answer()).status == 401
            assert here.replicas[0].connections == 0

    run(body())


def test_pages_of_other_origins_open_websockets_where_the_owner_lists_them(run: Run) -> None:
    """Browsers ask nobody before. A program says no origin, and what is in the header no page can send."""
    app, evil = "https://app.example.org", "https://evil.test"
    by_protocol = (*SHOUT, offering(f"bearer.{TOKEN}"))

    async def body() -> None:
        async with site(Replica()) as here:
            here.endpoint.origins = (app,)
            host = here.request("/").partition(b"Host: ")[2].partition(b"\r\n")[0].decode()
            for origin, status in (
                ((), 101),
                ((f"Origin: {app}",), 101),
                ((f"Origin: https://{host}",), 101),
                ((f"Origin: {evil}",), 403),
                (("Origin: null",), 403),
                ((f"Origin: {app}", f"Origin: {evil}"), 403),
                ((f"Origin: https://{host}", f"Origin: {evil}"), 403),
                ((f"Origin: {evil}", "Connection: origin"), 403),
            ):
                wire = await here.send(here.request("/tunnel", *by_protocol, *origin, token=None))
                got = await (wire.head() if status == 101 else wire.answer())
                assert got.status == status, origin
                if status == 403:
                    assert got.code == "origin_not_allowed"
                wire.close()
            wire = await here.send(here.request("/tunnel", *SHOUT, f"Origin: {evil}"))
            assert (await wire.head()).status == 101
            wire.close()
            unknown = here.request("/tunnel", *by_protocol, f"Origin: {evil}", token=None)
            wire = await here.send(unknown.replace(b"/o/n/", b"/o/missing/"))
            assert (await wire.answer()).code == "origin_not_allowed", "that there is none is not told"

    run(body())


def test_a_page_of_another_origin_guesses_no_tokens_from_its_visitors_address(run: Run) -> None:
    """Any page opens WebSockets without asking: what it sends among the subprotocols is not looked up, and does not
    count, whether there is such a service or not."""

    async def body() -> None:
        async with site(Replica()) as here:
            for number in range(30):
                junk = offering("chat", f"bearer.junk{number}")
                asked = here.request("/tunnel", *SHOUT, junk, "Origin: https://evil.test", token=None)
                wire = await here.send(asked.replace(b"/o/n/", b"/o/missing/") if number % 2 else asked)
                answer = await wire.answer()
                assert (answer.status, answer.code) == (403, "origin_not_allowed")
            assert here.tokens.asked == []
            assert (await here.call("/x", token=SLOW)).status == 200, "nothing of it counts against the address"

    run(body())
