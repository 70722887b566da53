"""How long a body may be, where its service says so: refused before any of it is sent, or when it has become too long."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from jupyter_model_service.core.definition import Serving

from .site import SLOW, site, until
from .sleeper import Sleeper
from .test_heartbeat import BEATS, opened, rest, told
from .upstreams import Replica

Run = Callable[[Any], Any]
TEN = Serving(body_limit=10)
CHUNKED = "Transfer-Encoding: chunked"


@pytest.mark.parametrize("expects", [True, False])
def test_a_body_that_is_said_to_be_too_long_is_refused_before_it_is_sent(run: Run, expects: bool) -> None:
    """No 100 (Continue), and no replica hears of it; one of just the size passes."""
    more = ("Expect: 100-continue",) if expects else ()

    async def body() -> None:
        async with site(Replica(), serving=TEN) as here:
            wire = await here.send(here.request("/x", "Content-Length: 11", *more, method="PUT"))
            got = await wire.head()
            await wire.body(got)
            assert (got.status, got.code, got.one("Connection")) == (413, "body_too_large", "close")
            assert "10 bytes" in got.json()["error"]["message"]
            assert await wire.closed()
            assert here.replicas[0].connections == 0
            assert here.meter.refusals == [("o/n", "body_too_large")]
            wire = await here.send(here.request("/x", "Content-Length: 10", *more, method="PUT"))
            if expects:
                assert (await wire.head()).status == 100
            await wire.send(b"0123456789")
            assert (await wire.answer()).json()["body"] == "0123456789"
            # One that is there already leaves the connection in step.
            await wire.send(here.request("/x", method="PUT", body=b"x" * 11) + here.request("/next"))
            assert (await wire.answer()).status == 413
            assert (await wire.answer()).json()["target"] == "/next"

    run(body())


def test_a_body_in_chunks_is_counted(run: Run) -> None:
    """The replica sees a broken connection, never the end of a shorter body."""

    async def body() -> None:
        async with site(Replica(), serving=TEN) as here:
            wire = await here.send(here.request("/x", CHUNKED, method="PUT") + b"6\r\n012345\r\n")
            await until(lambda: here.replicas[0].seen)
            await wire.send(b"4\r\n6789\r\n")
            await wire.send(b"1\r\nx\r\n")
            got = await wire.answer()
            assert (got.status, got.code, got.one("Connection")) == (413, "body_too_large", "close")
            assert await wire.closed()
            await until(here.replicas[0].hung_up.is_set)
            whole = here.request("/x", CHUNKED, method="PUT") + b"6\r\n012345\r\n4\r\n6789\r\n0\r\n\r\n"
            assert (await (await here.send(whole)).answer()).json()["body"] == "0123456789"

    run(body())


def test_what_came_before_the_limit_was_known_counts(run: Run) -> None:
    """While its token is looked up, and behind another call of its connection."""
    long = b"b\r\n01234567890\r\n0\r\n\r\n"

    async def body() -> None:
        async with site(Replica(), serving=TEN) as here:
            got = await (await here.send(here.request("/x", CHUNKED, method="PUT", token=SLOW) + long)).answer()
            assert (got.status, got.code) == (413, "body_too_large")
            wire = await here.send(here.request("/first") + here.request("/x", CHUNKED, method="PUT") + long)
            assert (await wire.answer()).json()["target"] == "/first"
            assert (await wire.answer()).code == "body_too_large"
            assert here.replicas[0].paths() == ["/first"]

    run(body())


def test_a_body_that_becomes_too_long_while_its_call_waits(run: Run) -> None:
    """In the queue, and in a stream of signs of life, where the status is gone."""

    async def body() -> None:
        async with site(Replica(), serving=TEN) as here:
            sleeper = Sleeper(here)
            waits = await here.send(here.request("/x", CHUNKED, method="PUT") + b"6\r\n012345\r\n")
            stream = await opened(here, "/x", header=f"{CHUNKED}\r\n{BEATS}")
            await until(lambda: here.endpoint.waiting == 2)
            await waits.send(b"6\r\n012345\r\n")
            assert (await waits.answer()).code == "body_too_large"
            await stream[0][0].send(b"b\r\n01234567890\r\n")
            _, events, whole = await rest(stream[0])
            kind, data = told(events[0])
            assert (kind, data["status"], data["error"]["code"]) == ("error", 413, "body_too_large")
            assert whole
            assert here.endpoint.waiting == 0
            sleeper.ready()

    run(body())


def test_an_upgraded_connection_has_no_body_to_be_limited(run: Run) -> None:
    async def body() -> None:
        async with site(Replica(), serving=TEN) as here:
            wire = await here.send(here.request("/tunnel", "Connection: Upgrade", "Upgrade: shout"))
            assert (await wire.head()).status == 101
            await wire.send(b"x" * 100)
            assert (await wire.reader.readexactly(106)) == b"hello " + b"X" * 100

    run(body())
