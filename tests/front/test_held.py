"""An answer with a small body goes out whole: a replica that dies between its head and its end fails no call."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from time import monotonic
from typing import Any

import pytest

from jupyter_model_service.core.definition import Serving
from jupyter_model_service.core.routing import Backend
from jupyter_model_service.front.server import FrontSettings

from .site import Site, site, until, within
from .upstreams import Handler, Replica, Seen, answer, body_of, reset

Run = Callable[[Any], Any]

FOR_EVER = FrontSettings(held_time=1000.0, replay_grace=0.0)
MOST = FOR_EVER.held_answer


def starts(start: bytes, rest: bytes = b"", *, how: str = "fin") -> Handler:
    """Sends ``start``; once ``release`` is set, ``rest`` and then the connection's end, unless ``how`` is "stays"."""

    async def handler(replica: Replica, seen: Seen, writer: asyncio.StreamWriter) -> bool:
        if seen.one("Content-Length"):
            await body_of(seen)
        writer.write(start)
        await writer.drain()
        gone = asyncio.ensure_future(seen.reader.read(1))
        released = asyncio.ensure_future(replica.release.wait())
        await asyncio.wait([gone, released], return_when=asyncio.FIRST_COMPLETED)
        if gone.done():
            replica.hung_up.set()
        gone.cancel()
        released.cancel()
        await asyncio.gather(gone, released, return_exceptions=True)
        writer.write(rest)
        if how == "reset":
            reset(writer)
        return how == "stays"

    return handler


def cut(size: int = 55, there: int = 0, *headers: str) -> bytes:
    """The beginning of an answer of ``size`` bytes."""
    return answer(b"x" * size, "X-From: the dead", *headers)[: there - size]


async def well(replica: Replica, seen: Seen, writer: asyncio.StreamWriter) -> bool:
    await body_of(seen)
    writer.write(answer(replica.name.encode() + b":" + seen.body))
    return True


def begun(here: Site) -> Callable[[], bool]:
    """The front has all of what was sent of an answer."""
    return lambda: any(call.attempt and call.attempt.spoke for call in here.front.calls)


def lose(backend: Backend) -> None:
    """What the engine does when a lease ends."""
    backend.serving, backend.lost = False, True
    assert backend.on_lost is not None
    backend.on_lost()


@pytest.mark.parametrize("how", ["fin", "reset", "lost"])
@pytest.mark.parametrize(("size", "there"), [(55, 0), (55, 54), (MOST, MOST - 1)])
def test_a_replica_that_dies_within_a_small_answer_fails_no_call(run: Run, size: int, there: int, how: str) -> None:
    """The caller sees one answer, the other replica's; the body was sent again; nothing of the first one is left."""

    async def body() -> None:
        dying = Replica("a", {"/x": starts(cut(size, there), how=how)})
        async with site(dying, Replica("b", {"/x": well}), settings=FOR_EVER) as here:
            wire = await here.send(here.request("/x", method="POST", body=b"abc"))
            await until(begun(here))
            if how == "lost":
                lose(here.backends[0])
            else:
                dying.release.set()
            got = await wire.answer()
            assert (got.status, got.body, got.one("X-From")) == (200, b"b:abc", None)
            assert got.one("X-Model-Service-Replica") == "b"
            assert (here.meter.statuses(), here.meter.retries) == ([200], ["broken"])
            assert [backend.failures for backend in here.backends] == [1, 0]
            await wire.send(here.request("/next"))
            assert (await wire.answer()).json()["target"] == "/next"

    run(body())


SERVER = """
import socket
sock = socket.create_server(("127.0.0.1", 0))
print(sock.getsockname()[1], flush=True)
caller, _ = sock.accept()
caller.recv(65536)
caller.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 55\\r\\n\\r\\n")
caller.recv(1)
"""


def test_a_process_that_is_killed_between_head_and_body(run: Run) -> None:
    """As the kernel tells it, not as the other tests imitate it."""

    async def body() -> None:
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", SERVER, stdout=asyncio.subprocess.PIPE)
        try:
            assert process.stdout is not None
            port = int(await within(process.stdout.readline()))
            async with site(Replica("b", {"/x": well}), settings=FOR_EVER) as here:
                here.backends.insert(0, Backend("a", 1, "127.0.0.1", port))
                wire = await here.send(here.request("/x", method="POST", body=b"abc"))
                await until(begun(here))
                os.kill(process.pid, signal.SIGKILL)
                got = await wire.answer()
                assert (got.status, got.body, here.meter.retries) == (200, b"b:abc", ["broken"])
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()

    run(body())


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_it_is_sent_again_once(run: Run, version: str) -> None:
    """Then 502, on a connection that stays whole; a third replica is not tried."""

    async def body() -> None:
        replicas = [Replica(name, {"/x": starts(cut())}) for name in "abc"]
        async with site(*replicas, settings=FOR_EVER) as here:
            for replica in replicas:
                replica.release.set()
            request = here.request("/x", "Connection: keep-alive", method="POST", body=b"abc")
            wire = await here.send(request.replace(b"HTTP/1.1", b"HTTP/" + version.encode()))
            got = await wire.answer()
            assert (got.status, got.code, got.complete) == (502, "replica_died", True)
            assert [len(replica.seen) for replica in replicas] == [1, 1, 0]
            assert (here.meter.statuses(), here.meter.retries) == ([502], ["broken"])
            assert here.meter.first_bytes == [None]
            await wire.send(here.request("/next"))
            assert (await wire.answer()).status == 200

    run(body())


def test_a_service_that_opted_out_gets_a_clean_error(run: Run) -> None:
    """``retry: false`` for a POST, and a body too long to be kept: the message says which."""

    async def body() -> None:
        for serving, word in (
            (Serving(retry=False), "whole answer. It is not sent again, for this service lets no call of its method"),
            (Serving(replay_limit=2), "replay_limit"),
        ):
            replicas = [Replica(name, {"/x": starts(cut(55, 20))}) for name in "ab"]
            async with site(*replicas, serving=serving, settings=FOR_EVER) as here:
                for replica in replicas:
                    replica.release.set()
                got = await here.call("/x", method="POST", body=b"abc")
                assert (got.status, got.code) == (502, "replica_died")
                assert word in got.json()["error"]["message"]
                assert sum(len(replica.seen) for replica in replicas) == 1
                assert here.meter.retries == []

    run(body())


def test_head_and_body_leave_together(run: Run) -> None:
    """Nothing goes out before the last byte came; the time of the first byte is when it went out."""

    async def body() -> None:
        whole = answer(b"x" * 55)
        replica = Replica("a", {"/x": starts(whole[:-20], whole[-20:], how="stays")})
        async with site(replica, settings=FOR_EVER) as here:
            wire = await here.send(here.request("/x"))
            await until(begun(here))
            came = monotonic()
            reading = asyncio.ensure_future(wire.reader.read(1 << 16))
            await asyncio.sleep(0.05)
            assert not reading.done()
            held = monotonic() - came
            replica.release.set()
            got = await within(asyncio.wait_for(reading, 20))
            assert got.endswith(b"\r\n\r\n" + b"x" * 55)
            await here.still()
            assert (here.meter.statuses(), here.meter.retries) == ([200], [])
            assert (here.meter.first_bytes[0] or 0.0) >= held
            await wire.send(here.request("/next"))
            assert (await wire.answer()).status == 200
            assert replica.connections == 1

    run(body())


def test_a_slow_body_is_held_for_a_moment_only(run: Run) -> None:
    """A long poll that knows its length: what is there goes out, the rest as it comes; not sent again from then on.
    The limit of the first byte is no limit of the hold."""

    async def body() -> None:
        replicas = [Replica(name, {"/x": starts(cut(55, 3))}) for name in "ab"]
        settings = FrontSettings(held_time=0.4, tick=0.02)
        async with site(*replicas, settings=settings, serving=Serving(first_byte_timeout=0.1)) as here:
            wire = await here.send(here.request("/x"))
            await until(begun(here))
            came = monotonic()
            got = await wire.head()
            assert monotonic() - came > 0.2
            assert (got.status, await within(wire.reader.readexactly(3))) == (200, b"xxx")
            replicas[0].release.set()
            await wire.body(got)
            assert (got.body, got.complete) == (b"", False)
            assert await wire.closed()
            await here.still()
            assert (here.meter.statuses(), here.meter.retries) == ([502], [])
            assert len(replicas[1].seen) == 0

    run(body())


def test_after_the_moment_each_piece_goes_out_as_it_comes(run: Run) -> None:
    """And the answer is whole, if it is."""

    async def body() -> None:
        whole = answer(b"x" * 55)
        replica = Replica("a", {"/x": starts(whole[:-1], whole[-1:], how="stays")})
        async with site(replica, settings=FrontSettings(held_time=0.05)) as here:
            wire = await here.send(here.request("/x"))
            got = await wire.head()
            assert await within(wire.reader.readexactly(54)) == b"x" * 54
            replica.release.set()
            assert await within(wire.reader.readexactly(1)) == b"x"
            assert got.status == 200
            await wire.send(here.request("/next"))
            assert (await wire.answer()).status == 200
            assert here.meter.statuses()[0] == 200

    run(body())


NOT_HELD = {
    "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
    "until-close": b"HTTP/1.1 200 OK\r\n\r\nabc",
    "events": b"HTTP/1.1 200 OK\r\nContent-Length: 55\r\nContent-type: Text/Event-Stream; charset=utf-8\r\n\r\nabc",
    "large": b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\nabc" % (MOST + 1),
    "hint": b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n",
    "not modified": b"HTTP/1.1 304 Not Modified\r\nContent-Length: 55\r\n\r\n",
    "no content": b"HTTP/1.1 204 No Content\r\n\r\n",
    "empty": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "head": b"HTTP/1.1 200 OK\r\nContent-Length: 55\r\n\r\n",
}


@pytest.mark.parametrize("kind", NOT_HELD)
def test_what_streams_or_has_no_body_is_never_held(run: Run, kind: str) -> None:
    """Each goes out while its replica is silent."""

    async def body() -> None:
        replica = Replica("a", {"/x": starts(NOT_HELD[kind])})
        async with site(replica, settings=FOR_EVER) as here:
            wire = await here.send(here.request("/x", method="HEAD" if kind == "head" else "GET"))
            got = await wire.head()
            assert got.status == int(NOT_HELD[kind][9:12])
            if NOT_HELD[kind].endswith((b"abc", b"abc\r\n")):
                await within(wire.reader.readuntil(b"abc"))
            assert not replica.release.is_set()
            wire.close()

    run(body())


def test_the_control_api_is_not_held(run: Run) -> None:
    async def body() -> None:
        async with site(settings=FOR_EVER) as here:
            here.web.handlers["/x"] = starts(cut())
            wire = await here.send("GET /x HTTP/1.1\r\nHost: h\r\n\r\n")
            assert (await wire.head()).status == 200
            wire.close()

    run(body())


def test_a_caller_who_leaves_a_held_answer(run: Run) -> None:
    """The replica's work is cancelled; 499, without a first byte."""

    async def body() -> None:
        replica = Replica("a", {"/x": starts(cut())})
        async with site(replica, settings=FOR_EVER, serving=Serving(concurrency=1)) as here:
            wire = await here.send(here.request("/x"))
            await until(begun(here))
            wire.close()
            await within(replica.hung_up.wait())
            await here.still()
            assert (here.meter.statuses(), here.meter.first_bytes) == ([499], [None])
            assert (await here.call("/next")).status == 200

    run(body())


def test_a_caller_who_closed_its_side_gets_the_other_replicas_answer(run: Run) -> None:
    """printf … | nc: its FIN came while the first answer was held."""

    async def body() -> None:
        dying = Replica("a", {"/x": starts(cut())})
        async with site(dying, Replica("b", {"/x": well}), settings=FOR_EVER) as here:
            wire = await here.send(here.request("/x", "Connection: close"))
            await until(begun(here))
            wire.writer.write_eof()
            await until(lambda: any(connection._half_closed for connection in here.front.connections))
            dying.release.set()
            got = await wire.answer()
            assert (got.status, got.body) == (200, b"b:")
            assert await wire.closed()

    run(body())


def test_pipelined_calls_stay_in_order(run: Run) -> None:
    """The second one waits for the first, which is sent again meanwhile."""

    async def body() -> None:
        dying = Replica("a", {"/x": starts(cut())})
        async with site(dying, Replica("b", {"/x": well}), settings=FOR_EVER) as here:
            wire = await here.send(here.request("/x", method="POST", body=b"1") + here.request("/y"))
            await until(begun(here))
            dying.release.set()
            assert (await wire.answer()).body == b"b:1"
            assert (await wire.answer()).json()["target"] == "/y"

    run(body())


def test_an_answer_before_the_end_of_the_body_can_be_sent_again(run: Run) -> None:
    """What came of the body is kept as long as the answer is held."""

    async def hasty(replica: Replica, seen: Seen, writer: asyncio.StreamWriter) -> bool:
        writer.write(cut())
        await replica.release.wait()
        return False

    async def body() -> None:
        dying = Replica("a", {"/x": hasty})
        async with site(dying, Replica("b", {"/x": well}), settings=FOR_EVER) as here:
            wire = await here.send(here.request("/x", "Content-Length: 6", method="PUT") + b"abc")
            await until(begun(here))
            dying.release.set()
            await until(lambda: here.replicas[1].seen)
            await wire.send(b"def")
            got = await wire.answer()
            assert (got.status, got.body) == (200, b"b:abcdef")

    run(body())


def test_a_hint_before_a_held_answer(run: Run) -> None:
    """It went out already, which binds nobody: the final answer is the other replica's."""

    async def body() -> None:
        dying = Replica("a", {"/x": starts(NOT_HELD["hint"] + cut())})
        async with site(dying, Replica("b", {"/x": well}), settings=FOR_EVER) as here:
            wire = await here.send(here.request("/x"))
            await until(begun(here))
            dying.release.set()
            assert (await wire.answer()).body == b"b:"

    run(body())


def test_the_front_stops_while_an_answer_is_held(run: Run) -> None:
    async def body() -> None:
        async with site(Replica("a", {"/x": starts(cut())}), settings=FOR_EVER) as here:
            wire = await here.send(here.request("/x"))
            await until(begun(here))
            await within(here.front.stop(0.1))
            got = await wire.answer()
            assert (got.status, got.code) == (503, "shutting_down")

    run(body())


def test_broken_answers_count_against_their_replica(run: Run) -> None:
    """The head alone is no good answer: three of them eject it."""

    async def body() -> None:
        dying = Replica("a", {"/x": starts(cut())})
        async with site(dying, Replica("b", {"/x": well}), settings=FOR_EVER) as here:
            dying.release.set()
            here.backends[1].started = 1000
            for _ in range(3):
                assert (await here.call("/x")).body == b"b:"
            assert here.backends[0].failures == 3
            assert here.backends[0].ejected_until > monotonic()

    run(body())


def test_a_bad_chunk_that_comes_with_the_head_is_a_clean_error(run: Run) -> None:
    """Nothing went out yet; once something has, the answer is broken."""
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

    async def body() -> None:
        replica = Replica("a", {"/x": starts(head + b"no\r\n"), "/y": starts(head, b"no\r\n")})
        async with site(replica, settings=FOR_EVER) as here:
            got = await here.call("/x")
            assert (got.status, got.code) == (502, "bad_answer")
            wire = await here.send(here.request("/y"))
            late = await wire.head()
            replica.release.set()
            await wire.body(late)
            assert (late.status, late.complete) == (200, False)

    run(body())


def test_a_hint_of_the_other_replica_is_not_held(run: Run) -> None:
    """Nothing of the first answer is in the way of the second attempt, which dies as cleanly."""

    async def body() -> None:
        first, second = Replica("a", {"/x": starts(cut())}), Replica("b", {"/x": starts(NOT_HELD["hint"])})
        async with site(first, second, settings=FOR_EVER) as here:
            wire = await here.send(here.request("/x"))
            await until(begun(here))
            first.release.set()
            assert (await wire.head()).status == 103
            second.release.set()
            got = await wire.answer()
            assert (got.status, got.code) == (502, "replica_died")

    run(body())


def test_each_attempt_is_held_for_as_long(run: Run) -> None:
    """The rest of the first one's time is not the second one's."""
    seen_at = 0.0

    async def slow(replica: Replica, seen: Seen, writer: asyncio.StreamWriter) -> bool:
        nonlocal seen_at
        seen_at = monotonic()
        return await starts(cut(55, 3))(replica, seen, writer)

    async def body() -> None:
        first, second = Replica("a", {"/x": starts(cut())}), Replica("b", {"/x": slow})
        async with site(first, second, settings=FrontSettings(held_time=1.0)) as here:
            wire = await here.send(here.request("/x"))
            await until(begun(here))
            await asyncio.sleep(0.5)
            first.release.set()
            assert (await wire.head()).status == 200
            assert second.seen
            assert monotonic() - seen_at > 0.9
            wire.close()

    run(body())


def test_a_body_that_stalls_after_the_hold_is_broken_off(run: Run) -> None:
    """``idle_timeout`` counts from there on."""

    async def body() -> None:
        serving, settings = Serving(idle_timeout=0.2), FrontSettings(held_time=0.05, tick=0.02)
        async with site(Replica("a", {"/x": starts(cut(55, 3))}), serving=serving, settings=settings) as here:
            got = await here.call("/x")
            assert (got.status, got.body, got.complete) == (200, b"xxx", False)
            assert here.meter.statuses() == [502]

    run(body())


def test_the_only_replica_dies_and_no_other_comes(run: Run) -> None:
    """The service ends, too: nobody is waited for."""

    async def body() -> None:
        async with site(Replica("a", {"/x": starts(cut())}), settings=FOR_EVER) as here:
            wire = await here.send(here.request("/x"))
            await until(begun(here))
            backend = here.backends.pop()
            lose(backend)
            got = await wire.answer()
            assert (got.status, got.code) == (502, "replica_died")

    run(body())
