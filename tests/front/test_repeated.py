"""What says the same is judged once: callers who repeat their head on a connection, replicas who repeat theirs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from .site import Site, site, until
from .sleeper import Sleeper
from .test_heartbeat import BEATS, HANDLERS, opened, rest
from .upstreams import Handler, Replica, Seen, answer

Run = Callable[[Any], Any]


def test_only_the_same_head_is_taken_for_the_same(run: Run) -> None:
    """On one connection, with each call twice: other headers, methods, targets, lengths, tokens, cookies, versions."""
    variants: list[tuple[str, tuple[str, ...], dict[str, Any]]] = [
        ("/a", (), {}),
        ("/a", ("X-Mine: 1",), {}),
        ("/a", ("X-Mine: 2",), {}),
        ("/a", ("x-mine: 2",), {}),
        ("/b", ("X-Mine: 2",), {}),
        ("/b", ("X-Mine: 2", "Cookie: a=1; jupyterhub-session-id=secret"), {}),
        ("/b", ("X-Mine: 2",), {"method": "PUT", "body": b"one"}),
        ("/b", ("X-Mine: 2",), {"method": "PUT", "body": b"three"}),
    ]

    async def body() -> None:
        async with site(Replica()) as here:
            wire = await here.wire()
            ids = set()
            for path, headers, options in variants:
                for _ in range(2):
                    await wire.send(here.request(path, *headers, **options))
                    got = await wire.answer()
                    told = got.json()
                    assert told["target"] == path
                    assert told["body"].encode() == options.get("body", b"")
                    sent = [f"{name}: {value}" for name, value in told["headers"]]
                    assert [line for line in sent if line.lower().startswith("x-mine")] == [
                        line for line in headers if line.lower().startswith("x-mine")
                    ]
                    assert ("Cookie: a=1" in sent) is (len(headers) == 2)
                    assert f"X-Request-Id: {got.one('X-Request-Id')}" in sent
                    ids.add(got.one("X-Request-Id"))
                await wire.send(here.request(path, *headers, token="wrong", **options))
                assert (await wire.answer()).status == 401
            assert len(ids) == 2 * len(variants)
            assert here.replicas[0].connections == 1

    run(body())


def test_what_a_replica_says_differently_comes_differently(run: Run) -> None:
    """In its status, headers, length; and the same answer for another caller: HTTP/1.0, HEAD, a closed connection."""
    said = [("200 OK", "A: 1"), ("200 OK", "A: 2"), ("404 No", "A: 2"), ("200 OK", "a: 2")]

    def says(number: int) -> Handler:
        async def handler(_: Replica, seen: Seen, writer: asyncio.StreamWriter) -> bool:
            status, line = said[number]
            whole = answer(b"x" * number, line, status=status)
            writer.write(whole.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" if seen.method == "HEAD" else whole)
            return True

        return handler

    async def seen_by(here: Site, path: str, number: int) -> None:
        status, line = said[number]
        for headers, method in (((), "GET"), (("Connection: close",), "GET"), ((), "HEAD"), ((), "GET")):
            wire = await here.send(here.request(path, *headers, method=method))
            got = await wire.answer(method)
            assert got.status == int(status[:3])
            assert f"{line.split(': ')[0]}" in [name for name, _ in got.headers]
            assert got.one("A") == line[-1]
            assert got.one("Content-Length") == str(number)
            assert got.one("Connection") == ("close" if headers else None)
            assert got.body == (b"" if method == "HEAD" else b"x" * number)
            wire.close()

    async def body() -> None:
        handlers = {f"/{number}": says(number) for number in range(len(said))}
        async with site(Replica(handlers=handlers)) as here:
            for _ in range(2):
                for number in range(len(said)):
                    await seen_by(here, f"/{number}", number)

    run(body())


def test_what_a_waiting_call_goes_without_does_not_stay_away(run: Run) -> None:
    """A call whose answer goes into a stream of ours offers no compression; the same head once more does."""

    async def body() -> None:
        async with site(Replica(handlers=HANDLERS)) as here:
            sleeper = Sleeper(here)
            header = f"Accept-Encoding: gzip\r\n{BEATS}"
            stream = (await opened(here, "/tokens", header=header))[0]
            sleeper.ready()
            assert (await rest(stream))[2]
            await stream[0].send(here.request("/tokens", header))
            assert (await stream[0].answer()).status == 200
            first, second = here.replicas[0].seen
            assert (first.one("Accept-Encoding"), second.one("Accept-Encoding")) == (None, "gzip")

    run(body())


def test_a_connection_that_is_idle_keeps_no_head(run: Run) -> None:
    """5,000 of them cost memory: it goes within seconds."""

    async def body() -> None:
        async with site(Replica()) as here:
            wire = await here.wire()
            await wire.send(here.request("/"))
            await wire.answer()
            (connection,) = here.front.connections
            assert connection._reader.remembers
            await until(lambda: not connection._reader.remembers)
            await wire.send(here.request("/"))
            assert (await wire.answer()).status == 200

    run(body())
