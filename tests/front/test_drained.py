"""Replicas that leave, and whose time for open calls is over: what began is broken off, all else goes elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from jupyter_model_service.core.definition import Serving
from jupyter_model_service.core.routing import Backend
from jupyter_model_service.front.access_log import AccessLog

from .site import Site, site, until, within
from .test_access_log import SHOUT, noted, part
from .upstreams import Raw, Replica

Run = Callable[[Any], Any]

ONCE = Serving(retry=False)  # what a replica may have had is not repeated


def leaves(here: Site, backend: Backend) -> None:
    """As the engine has it: no new calls, and then the end of its grace."""
    backend.serving = False
    assert backend.on_drained is not None
    backend.on_drained()


@pytest.mark.parametrize("path", ["/sse", "/huge?50000000"])
def test_an_answer_that_has_begun_is_seen_as_broken(run: Run, path: str) -> None:
    """The replica's connection is closed at once, nothing is held against it, and others go on."""

    async def body() -> None:
        async with site(Replica("a"), Replica("b")) as here:
            here.backends[1].started = 5
            wire = await here.send(here.request(path))
            got = await wire.head()
            other = await here.send(here.request("/sse"))
            await other.head()
            assert [backend.in_flight for backend in here.backends] == [1, 1]
            leaves(here, here.backends[0])
            assert [backend.in_flight for backend in here.backends] == [0, 1]
            await wire.body(got)
            assert not got.complete
            await within(here.replicas[0].hung_up.wait())
            assert here.meter.broken_answers == ["drained"]
            assert here.meter.statuses() == [502]
            assert here.backends[0].failures == 0
            assert here.backends[1].in_flight == 1
            other.close()

    run(body())


def test_an_answer_that_ends_with_its_connection_does_not_look_whole(run: Run) -> None:
    async def body() -> None:
        async with site(Replica()) as here:
            wire = await here.send(here.request("/until-reset"))
            await wire.head()
            await within(wire.reader.readexactly(len(b"a\r\nto the end\r\n")))  # chunked for HTTP/1.1
            old = await here.send(here.request("/until-reset").replace(b"HTTP/1.1", b"HTTP/1.0"))
            await old.head()
            leaves(here, here.backends[0])
            assert await within(wire.reader.read(-1)) == b""  # no last chunk
            with pytest.raises(ConnectionResetError):
                await within(old.reader.read(-1))

    run(body())


@pytest.mark.parametrize(
    ("method", "serving"), [("POST", Serving()), ("GET", ONCE), ("PUT", ONCE)], ids=["POST", "GET once", "PUT once"]
)
def test_a_call_without_an_answer_yet_is_sent_to_another_replica(run: Run, method: str, serving: Serving) -> None:
    async def body() -> None:
        log = AccessLog()
        async with site(Replica("a"), Replica("b"), serving=serving, access_log=log) as here:
            here.backends[1].started = 5
            wire = await here.send(here.request("/hang", method=method, body=b"x"))
            await until(lambda: here.replicas[0].seen)
            leaves(here, here.backends[0])
            await until(lambda: here.replicas[1].seen)
            here.replicas[1].release.set()
            got = await wire.answer()
            assert (got.status, got.body) == (200, b"b")
            await within(here.replicas[0].hung_up.wait())
            assert (here.meter.retries, here.meter.broken_answers) == (["drained"], [])
            assert [part(each, "status", "replica", "tries", "broken") for each in noted(log)] == [(200, "b", 2, None)]

    run(body())


def test_what_it_held_back_of_an_answer_is_not_used(run: Run) -> None:
    """Half of a head: nothing of it went out, so that the call is another replica's now."""

    async def body() -> None:
        raw = Raw()
        try:
            async with site(Replica("b")) as here:
                here.backends.insert(0, raw.backend)
                here.backends[1].started = 5
                wire = await here.send(here.request("/x"))
                connection = await raw.accept()
                assert await asyncio.to_thread(connection.recv, 1 << 16)  # the front writes in this loop
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Le")
                await asyncio.sleep(0.05)
                leaves(here, raw.backend)
                assert (await wire.answer()).json()["replica"] == "b"
                connection.close()
        finally:
            raw.close()

    run(body())


def test_a_call_that_must_not_be_repeated_is_told_so(run: Run) -> None:
    async def body() -> None:
        log = AccessLog()
        async with site(Replica("a"), Replica("b"), serving=ONCE, access_log=log) as here:
            here.backends[1].started = 5
            wire = await here.send(here.request("/hang", method="POST", body=b"x"))
            await until(lambda: here.replicas[0].seen)
            leaves(here, here.backends[0])
            got = await wire.answer()
            assert (got.status, got.code) == (502, "drained")
            assert "serving.drain_timeout" in got.json()["error"]["message"]
            assert not here.replicas[1].seen
            assert [part(each, "status", "code", "broken") for each in noted(log)] == [(502, "drained", None)]

    run(body())


def test_without_another_replica_it_is_told_the_same(run: Run) -> None:
    """Scaled to 0, or stopped: there will be none."""

    async def body() -> None:
        async with site(Replica("a")) as here:
            wire = await here.send(here.request("/hang", method="POST", body=b"x"))
            await until(lambda: here.replicas[0].seen)
            assert not here.endpoint.wanted
            leaves(here, here.backends[0])
            got = await wire.answer()
            assert (got.status, got.code) == (502, "drained")
            assert here.endpoint.waiting == 0

    run(body())


def test_a_call_that_has_not_reached_it_may_always_go_elsewhere(run: Run) -> None:
    """In whatever turn of its connection attempt; the service lets no call be repeated that a replica may have had."""

    async def body() -> None:
        async with site(Replica("good"), Replica("leaving"), serving=ONCE) as here:
            good = here.backends[0]
            leaving = here.replicas[1].backend()
            here.endpoint.backends[:] = [good, leaving]
            good.started = 5

            def soon() -> None:
                if not leaving.in_flight:
                    asyncio.get_running_loop().call_soon(soon)
                else:
                    leaves(here, leaving)

            wire = await here.send(here.request("/x", method="POST", body=b"x"))
            soon()
            assert (await wire.answer()).json()["replica"] == "good"
            assert not here.replicas[1].seen

    run(body())


def test_a_bridge_ends_after_what_was_on_it(run: Run) -> None:
    """For both sides: bytes have no end that could be missing, so that this is no reset."""

    async def body() -> None:
        log = AccessLog()
        async with site(Replica(), access_log=log) as here:
            wire = await here.send(here.request("/tunnel", *SHOUT) + b"last words")
            await wire.head()
            assert await within(wire.reader.readexactly(16)) == b"hello LAST WORDS"
            leaves(here, here.backends[0])
            assert await within(wire.reader.read(-1)) == b""
            await within(here.replicas[0].hung_up.wait())
            assert (here.meter.statuses(), here.meter.broken_answers) == ([101], ["drained"])
            assert [part(each, "status", "broken") for each in noted(log)] == [(101, "drained")]

    run(body())


def test_a_bridge_ends_as_softly_with_the_gateway(run: Run) -> None:
    async def body() -> None:
        async with site(Replica()) as here:
            wire = await here.send(here.request("/tunnel", *SHOUT))
            await wire.head()
            assert await within(wire.reader.readexactly(6)) == b"hello "
            await within(here.front.stop(0.0))
            assert await within(wire.reader.read(-1)) == b""
            assert (here.meter.statuses(), here.meter.broken_answers) == ([101], ["shutting_down"])

    run(body())


def test_one_that_dies_while_it_leaves_has_died(run: Run) -> None:
    async def body() -> None:
        async with site(Replica("a"), Replica("b")) as here:
            here.backends[1].started = 5
            wire = await here.send(here.request("/sse"))
            got = await wire.head()
            here.backends[0].serving = False
            here.replicas[0].kill()
            await wire.body(got)
            assert not got.complete
            assert here.meter.broken_answers == ["replica_died"]

    run(body())
