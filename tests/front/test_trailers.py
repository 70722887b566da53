"""Fields behind a chunked body: they go on where they may, and nowhere else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from jupyter_model_service.front.server import FrontSettings

from .site import Site, site, until
from .sleeper import Sleeper
from .test_heartbeat import BEATS, opened, rest
from .upstreams import Handler, Replica, Seen, two_of_which_one_drops

Run = Callable[[Any], Any]
CHUNKED = "Transfer-Encoding: chunked"
TAKES = "TE: trailers"


def upload(here: Site, fields: str, *headers: str, path: str = "/x") -> bytes:
    data = f"3\r\nabc\r\n0\r\n{fields}\r\n".encode("latin-1")
    return here.request(path, CHUNKED, *headers, method="PUT") + data


def test_trailers_of_a_request_reach_the_replica(run: Run) -> None:
    """In their order, repeated ones too, with the name as it was written; announced where the caller announced them."""

    async def body() -> None:
        async with site(Replica()) as here:
            wire = await here.wire()
            said = ("Trailer: Digest ,x-sum, Authorization,", "trailer: Content-Length")
            await wire.send(upload(here, "digest: 1\r\nX-Sum:\t 2 \r\nDIGEST: 3\r\n", *said))
            assert (await wire.answer()).json()["body"] == "abc"
            seen = here.replicas[0].seen[-1]
            assert seen.trailers == ["digest: 1", "X-Sum: 2", "DIGEST: 3"]
            assert seen.all("Trailer") == ["Digest, x-sum"]
            await wire.send(upload(here, ""))
            await wire.answer()
            seen = here.replicas[0].seen[-1]
            assert (seen.trailers, seen.all("Trailer")) == ([], [])
            # Without chunks there is no place for them.
            got = await here.call("/x", "Trailer: Digest", method="PUT", body=b"abc")
            assert "Trailer" not in dict(got.json()["headers"])

    run(body())


FORBIDDEN = (
    "Authorization Cookie Host Connection Keep-Alive TE Trailer Upgrade Expect Proxy-Authorization Content-Type"
    " Content-Encoding Content-Range Range If-Match If-None-Match Cache-Control Pragma Max-Forwards X-Forwarded-For"
    " X-Forwarded-User X_Forwarded_For Via Forwarded X-Real-IP X_Real_IP X-Request-Id X-Client-Request-Id Prefer"
    " X-Model-Service-Replica X-Model-Service-Heartbeat X-XSRFToken Referer Sec-WebSocket-Protocol Origin X-Named"
    " Content_Type If_Match Cache_Control"
)


@pytest.mark.parametrize("name", FORBIDDEN.split())
def test_what_may_not_stand_behind_a_body_is_dropped(run: Run, name: str) -> None:
    """Servers such as uvicorn take trailers for headers: they would be believed, or change what was decided."""

    async def body() -> None:
        async with site(Replica()) as here:
            fields = f"A: 1\r\n{name}: evil\r\n{name.upper()}: evil\r\nB: 2\r\n"
            wire = await here.send(upload(here, fields, f"Trailer: {name}, A", "Connection: x-named"))
            assert (await wire.answer()).json()["body"] == "abc"
            seen = here.replicas[0].seen[-1]
            assert seen.trailers == ["A: 1", "B: 2"]
            assert seen.all("Trailer") == ["A"]
            assert b"evil" not in seen.raw_head + seen.raw_body

    run(body())


@pytest.mark.parametrize(
    "name", ["SCRIPT_NAME", "X-Script-Name", "PATH_INFO", "X-HTTP-Method-Override", "X_HTTP_Method", "Destination"]
)
def test_by_no_trailer_a_call_becomes_one_of_another_path_or_method(run: Run, name: str) -> None:
    """The rules of a token were asked before it came: in a head, each of them ends there or opens nothing."""

    async def body() -> None:
        async with site(Replica()) as here:
            wire = await here.send(
                upload(here, f"A: 1\r\n{name}: /evil\r\n{name.swapcase()}: /evil\r\n", f"Trailer: {name}")
            )
            assert (await wire.answer()).json()["body"] == "abc"
            seen = here.replicas[0].seen[-1]
            assert (seen.trailers, seen.all("Trailer")) == (["A: 1"], [])
            assert b"evil" not in seen.raw_head + seen.raw_body

    run(body())


def test_trailers_that_come_late_or_by_bytes(run: Run) -> None:
    async def body() -> None:
        async with site(Replica()) as here:
            wire = await here.send(here.request("/x", CHUNKED, method="PUT") + b"3\r\nabc\r\n")
            await until(lambda: here.replicas[0].seen)
            for byte in b"0\r\nDigest: x y\r\nB: 2\r\n\r\n":
                await wire.send(bytes([byte]))
                await asyncio.sleep(0)
            assert (await wire.answer()).json()["body"] == "abc"
            assert here.replicas[0].seen[0].trailers == ["Digest: x y", "B: 2"]

    run(body())


def test_trailers_of_a_request_are_sent_again_with_it(run: Run) -> None:
    async def body() -> None:
        async with site(*two_of_which_one_drops()) as here:
            got = await (await here.send(upload(here, "Digest: x\r\n"))).answer()
            assert (got.status, got.json()["body"]) == (200, "abc")
            assert [seen.trailers for replica in here.replicas for seen in replica.seen] == [["Digest: x"]] * 2

    run(body())


def test_trailers_behind_an_offer_to_upgrade_that_is_not_taken(run: Run) -> None:
    """Another parser reads the body then; what it is told of the head is no trailer."""

    async def body() -> None:
        async with site(Replica()) as here:
            wire = await here.send(upload(here, "Digest: x\r\n", "Connection: Upgrade", "Upgrade: h2c"))
            assert (await wire.answer()).json()["body"] == "abc"
            assert here.replicas[0].seen[0].trailers == ["Digest: x"]
            await wire.send(upload(here, "", "Connection: Upgrade", "Upgrade: h2c"))
            assert (await wire.answer()).json()["body"] == "abc"
            assert here.replicas[0].seen[1].trailers == []

    run(body())


def test_the_web_part_gets_no_trailers(run: Run) -> None:
    """Tornado takes them for a malformed body."""

    async def body() -> None:
        async with site(Replica()) as here:
            data = upload(here, "Digest: x\r\n", "Trailer: Digest", TAKES).replace(b"/endpoints/o/n/x", b"/api")
            wire = await here.send(data + data)
            for number in range(2):
                assert (await wire.answer()).json()["body"] == "abc"
                seen = here.web.seen[number]
                assert (seen.trailers, seen.all("Trailer"), seen.all("TE")) == ([], [], [])

    run(body())


@pytest.mark.parametrize(
    "fields", ["X: 1\r\n" * 200, "X: " + "a" * 70_000 + "\r\n", "X: " + "a" * 700_000], ids=["count", "size", "endless"]
)
def test_trailers_of_a_request_have_limits(run: Run, fields: str) -> None:
    """Those of a head; the replica sees a broken connection, never a whole request."""

    async def body() -> None:
        async with site(Replica()) as here:
            wire = await here.send(here.request("/x", CHUNKED, method="PUT") + b"3\r\nabc\r\n")
            await until(lambda: here.replicas[0].seen)
            await wire.send(f"0\r\n{fields}\r\n")
            got = await wire.answer()
            assert got.code == ("bad_request" if len(fields) > 100_000 else "header_too_large")
            assert await wire.closed()
            await until(here.replicas[0].hung_up.is_set)

    run(body())


# --- of answers ---------------------------------------------------------------------------------------------


def test_trailers_of_an_answer_reach_who_takes_them(run: Run) -> None:
    """TE: trailers says so, and the replica is told. No other caller gets any."""

    async def body() -> None:
        async with site(Replica()) as here:
            wire = await here.wire()
            for _ in range(2):
                await wire.send(here.request("/trailers", "te:gzip;q=0.5 , Trailers"))
                got = await wire.answer()
                assert (got.body, got.complete) == (b"ok", True)
                assert got.trailers == ["Digest: d", "server-timing: a , b", "Digest: e"]
                assert got.all("Trailer") == ["Digest, Server-Timing"]
                seen = here.replicas[0].seen[-1]
                assert (seen.all("TE"), seen.all("Connection")) == (["trailers"], ["TE"])
                for headers in ((), ("TE: gzip",), ("TE: xtrailers",)):
                    await wire.send(here.request("/trailers", *headers))
                    got = await wire.answer()
                    assert (got.body, got.complete, got.trailers, got.one("Trailer")) == (b"ok", True, [], None)
                    seen = here.replicas[0].seen[-1]
                    assert (seen.all("TE"), seen.all("Connection")) == ([], [])
            assert here.replicas[0].connections == 1

    run(body())


@pytest.mark.parametrize("said", ["close", "upgrade", "keep-alive"])
def test_what_trailers_say_of_their_connection_is_not_believed(run: Run, said: str) -> None:
    """The parser does, so the connection to the replica is not used again; the caller's goes on, or is refused."""

    async def closes(replica: Replica, seen: Seen, writer: asyncio.StreamWriter) -> bool:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nA: 1\r\n")
        writer.write(f"Connection: {said}\r\nUpgrade: x\r\n\r\n".encode())
        return True

    async def body() -> None:
        async with site(Replica(handlers={"/closes": closes})) as here:
            wire = await here.wire()
            for path in ("/closes", "/closes", "/x"):
                await wire.send(here.request(path, TAKES))
                got = await wire.answer()
                assert (got.status, got.complete) == (200, True)
                assert got.trailers == (["A: 1"] if path == "/closes" else [])
            assert here.replicas[0].connections == 3
            await wire.send(upload(here, f"A: 1\r\nConnection: {said}\r\nUpgrade: x\r\n"))
            assert (await wire.answer()).json()["body"] == "abc"
            assert here.replicas[0].seen[-1].trailers == ["A: 1"]
            await wire.send(here.request("/next"))
            got = await wire.answer()
            assert got.status == (400 if said == "close" else 200)

    run(body())


def test_trailers_of_an_answer_need_chunks(run: Run) -> None:
    """HTTP/1.0 has none, HEAD has no body, and an upgraded connection is not HTTP."""

    async def body() -> None:
        async with site(Replica()) as here:
            old = await here.send(here.request("/trailers", TAKES).replace(b"HTTP/1.1", b"HTTP/1.0"))
            got = await old.answer()
            assert (got.body, got.trailers, got.one("Trailer")) == (b"ok", [], None)
            assert here.replicas[0].seen[-1].all("TE") == []
            wire = await here.send(here.request("/trailers", TAKES, method="HEAD") + here.request("/trailers", TAKES))
            assert (await wire.answer("HEAD")).body == b""
            assert len((await wire.answer()).trailers) == 3
            wire = await here.send(here.request("/tunnel", TAKES, "Connection: Upgrade, TE", "Upgrade: shout"))
            assert (await wire.head()).status == 101
            assert here.replicas[0].seen[-1].all("Connection") == ["Upgrade"]
            assert here.replicas[0].seen[-1].all("TE") == []

    run(body())


def test_trailers_are_not_of_a_stream_with_signs_of_life(run: Run) -> None:
    async def events(replica: Replica, seen: Seen, writer: asyncio.StreamWriter) -> bool:
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"9\r\ndata: a\n\n\r\n0\r\nDigest: x\r\n\r\n"
        )
        return True

    async def body() -> None:
        async with site(Replica(handlers={"/events": events})) as here:
            sleeper = Sleeper(here)
            stream = (await opened(here, "/events", header=f"{TAKES}\r\n{BEATS}"))[0]
            sleeper.ready()
            assert (await rest(stream))[1:] == (["data: a"], True)
            assert stream[1].trailers == []
            assert here.replicas[0].seen[0].all("TE") == []
            await stream[0].send(here.request("/events", TAKES, BEATS))
            assert (await stream[0].answer()).trailers == ["Digest: x"]

    run(body())


def endless(start: bytes, piece: bytes) -> Handler:
    async def handler(replica: Replica, seen: Seen, writer: asyncio.StreamWriter) -> bool:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n" + start)
        while True:
            writer.write(piece)
            await writer.drain()

    return handler


@pytest.mark.parametrize(
    ("start", "piece"),
    [(b"0\r\n", b"X: 1\r\n"), (b"0\r\nX: ", b"y" * 1000), (b"0\r\n", b"z" * 1000), (b"5;", b"e" * 1000)],
    ids=["fields", "value", "name", "extension"],
)
@pytest.mark.parametrize("takes", [True, False])
def test_an_answer_whose_end_does_not_come_is_broken_off(run: Run, start: bytes, piece: bytes, takes: bool) -> None:
    """At once, not when it has been idle for too long: the parser keeps a field until it is whole."""

    async def body() -> None:
        replica = Replica(handlers={"/endless": endless(start, piece)})
        async with site(replica) as here:
            got = await here.call("/endless", *([TAKES] if takes else []))
            assert (got.status, got.body, got.complete, got.trailers) == (200, b"ok", False, [])
            await until(replica.hung_up.is_set)

    run(body())


def test_an_answer_may_come_in_small_pieces_for_ever(run: Run) -> None:
    """What is counted between them begins anew with each."""

    async def dribbles(replica: Replica, seen: Seen, writer: asyncio.StreamWriter) -> bool:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(40):
            writer.write(b"1;" + b"e" * 200)
            await writer.drain()
            await asyncio.sleep(0.001)
            writer.write(b"\r\nx\r\n")
            await writer.drain()
        writer.write(b"0\r\n\r\n")
        return True

    async def body() -> None:
        settings = FrontSettings(max_answer_head=1000)
        async with site(Replica(handlers={"/dribbles": dribbles}), settings=settings) as here:
            got = await here.call("/dribbles")
            assert (got.body, got.complete) == (b"x" * 40, True)

    run(body())
