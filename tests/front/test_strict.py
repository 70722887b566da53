"""Ambiguous or malformed requests are refused with 400 and a closed connection, and no byte of them goes on."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any

import pytest

from jupyter_model_service.front.server import FrontSettings

from .site import TOKEN, site, until
from .upstreams import Replica

Run = Callable[[Any], Any]

AUTH = f"Authorization: Bearer {TOKEN}\r\n"
START = "POST /endpoints/o/n/x HTTP/1.1\r\nHost: h\r\n" + AUTH
SMUGGLED = "GET /endpoints/o/n/smuggled HTTP/1.1\r\nHost: h\r\n" + AUTH + "\r\n"

BAD = {
    "CL.TE": START + "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "TE.CL": START + "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "TE.TE": START + "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "TE twice": START + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "TE list": START + "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "TE gzip": START + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "TE unknown": START + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "TE not last": START + "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "TE quoted": START + 'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n',
    "TE empty": START + "Transfer-Encoding:\r\n\r\n0\r\n\r\n",
    "TE tab": START + "Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n",
    "TE folded": START + "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "TE name with space": START + "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "TE in 1.0": START.replace("1.1", "1.0") + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "CL twice": START + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello" + SMUGGLED,
    "CL twice the same": START + "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    "CL list": START + "Content-Length: 5, 5\r\n\r\nhello",
    "CL signed": START + "Content-Length: +5\r\n\r\nhello",
    "CL negative": START + "Content-Length: -5\r\n\r\nhello",
    "CL hex": START + "Content-Length: 0x5\r\n\r\nhello",
    "CL float": START + "Content-Length: 5.0\r\n\r\nhello",
    "CL empty": START + "Content-Length:\r\n\r\nhello",
    "CL spaced": START + "Content-Length: 5 5\r\n\r\nhello",
    "CL huge": START + "Content-Length: 99999999999999999999999\r\n\r\nhello",
    "CL underscore": START + "Content-Length: 1_0\r\n\r\nhellohello",
    "chunk signed": START + "Transfer-Encoding: chunked\r\n\r\n+5\r\nhello\r\n0\r\n\r\n",
    "chunk 0x": START + "Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n",
    "chunk space": START + "Transfer-Encoding: chunked\r\n\r\n5 \r\nhello\r\n0\r\n\r\n",
    "chunk bare LF": START + "Transfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n",
    "chunk too short": START + "Transfer-Encoding: chunked\r\n\r\n5\r\nhelloXX\r\n0\r\n\r\n",
    "chunk without size": START + "Transfer-Encoding: chunked\r\n\r\n\r\nhello\r\n0\r\n\r\n",
    "chunk overflow": START + "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nhello\r\n0\r\n\r\n",
    "chunk extension LF": START + "Transfer-Encoding: chunked\r\n\r\n5;a\nb\r\nhello\r\n0\r\n\r\n",
    "chunk extension endless": START + "Transfer-Encoding: chunked\r\n\r\n5;" + "a" * 600_000,
    "trailer CL": START + "Transfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 5\r\n\r\n",
    "trailer folded": START + "Transfer-Encoding: chunked\r\n\r\n0\r\nA: b\r\n c\r\n\r\n",
    "folded header": START + "X: a\r\n b\r\n\r\n",
    "folded first": "GET / HTTP/1.1\r\n Host: h\r\n\r\n",
    "bare LF": "GET / HTTP/1.1\nHost: h\n\n",
    "bare LF between": START + "X: a\nContent-Length: 5\r\n\r\nhello",
    "bare CR": START + "X: a\rContent-Length: 5\r\n\r\nhello",
    "NUL in value": START + "X: a\0b\r\n\r\n",
    "control in value": START + "X: a\x01b\r\n\r\n",
    "NUL in name": START + "X\0: a\r\n\r\n",
    "space before colon": START + "X : a\r\n\r\n",
    "no name": START + ": a\r\n\r\n",
    "no colon": START + "X\r\n\r\n",
    "name with bracket": START + "X(: a\r\n\r\n",
    "no host": "GET / HTTP/1.1\r\n\r\n",
    "two hosts": "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
    "bad host": "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
    "host with user": "GET / HTTP/1.1\r\nHost: u@b\r\n\r\n",
    "NUL in target": "GET /a\0b HTTP/1.1\r\nHost: h\r\n\r\n",
    "tab in target": "GET /a\tb HTTP/1.1\r\nHost: h\r\n\r\n",
    "fragment": "GET /a#b HTTP/1.1\r\nHost: h\r\n\r\n",
    "no slash": "GET a HTTP/1.1\r\nHost: h\r\n\r\n",
    "asterisk": "GET * HTTP/1.1\r\nHost: h\r\n\r\n",
    "absolute ftp": "GET ftp://h/ HTTP/1.1\r\nHost: h\r\n\r\n",
    "absolute user": "GET http://u:p@h/ HTTP/1.1\r\nHost: h\r\n\r\n",
    "absolute without host": "GET http:///x HTTP/1.1\r\nHost: h\r\n\r\n",
    "CONNECT": "CONNECT h:80 HTTP/1.1\r\nHost: h\r\n\r\n",
    "TRACE": "TRACE / HTTP/1.1\r\nHost: h\r\n\r\n",
    "unknown method": "FOO / HTTP/1.1\r\nHost: h\r\n\r\n",
    "lower-case method": "get / HTTP/1.1\r\nHost: h\r\n\r\n",
    "HTTP/0.9": "GET /\r\n\r\n",
    "HTTP/2": "GET / HTTP/2.0\r\nHost: h\r\n\r\n",
    "HTTP/2 preface": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/1.2": "GET / HTTP/1.2\r\nHost: h\r\n\r\n",
    "version with space": "GET / HTTP/1.1 \r\nHost: h\r\n\r\n",
    "ICE": "SOURCE / ICE/1.0\r\nHost: h\r\n\r\n",
    "TLS": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "binary": "".join(map(chr, range(256))),
}


@pytest.mark.parametrize("split", [False, True], ids=["at-once", "in-two"])
@pytest.mark.parametrize("family", BAD)
def test_a_malformed_request_is_refused_and_the_connection_closed(run: Run, family: str, split: bool) -> None:
    """400, one answer only, nothing smuggled."""
    data = BAD[family].encode("latin-1")

    async def body() -> None:
        async with site(Replica()) as here:
            wire = await here.wire()
            if split:
                await wire.send(data[: len(data) // 2])
                await asyncio.sleep(0.005)
                data_left = data[len(data) // 2 :]
            else:
                data_left = data
            await wire.send(data_left)
            got = await wire.answer()
            assert (got.status, got.code, got.one("Connection")) == (400, "bad_request", "close")
            assert await wire.closed()
            assert "/smuggled" not in here.replicas[0].paths()
            assert here.web.seen == []

    run(body())


def test_requests_before_a_malformed_one_are_answered(run: Run) -> None:
    async def body() -> None:
        async with site(Replica()) as here:
            wire = await here.send(
                here.request("/a") + here.request("/b", method="POST", body=b"b") + b"nonsense\r\n\r\n"
            )
            assert (await wire.answer()).json()["target"] == "/a"
            assert (await wire.answer()).json()["target"] == "/b"
            assert (await wire.answer()).status == 400
            assert await wire.closed()

    run(body())


def test_bad_chunks_in_the_middle_of_a_body_stop_the_call(run: Run) -> None:
    """The replica sees a broken connection, never an end of the body."""

    async def body() -> None:
        async with site(Replica()) as here:
            wire = await here.send(here.request("/x", "Transfer-Encoding: chunked", method="PUT") + b"3\r\nabc\r\n")
            await until(lambda: here.replicas[0].seen)
            await wire.send(b"zz\r\n")
            got = await wire.answer()
            assert (got.status, got.code) == (400, "bad_request")
            assert await wire.closed()
            await until(here.replicas[0].hung_up.is_set)

    run(body())


def test_bytes_after_connection_close_are_ignored(run: Run) -> None:
    async def body() -> None:
        async with site(Replica()) as here:
            wire = await here.send(here.request("/a", "Connection: close") + here.request("/b"))
            assert (await wire.answer()).status == 200
            assert await wire.closed()
            assert here.replicas[0].paths() == ["/a"]

    run(body())


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [
        ("GET /" + "a" * 17_000 + " HTTP/1.1\r\nHost: h\r\n\r\n", 414, "target_too_long"),
        ("GET /" + "a" * 700_000, 414, "target_too_long"),
        ("GET / HTTP/1.1\r\nHost: h\r\nX: " + "a" * 70_000 + "\r\n\r\n", 431, "header_too_large"),
        ("GET / HTTP/1.1\r\nHost: h\r\nX: " + "a" * 700_000, 431, "header_too_large"),
        ("GET / HTTP/1.1\r\nHost: h\r\n" + "X" * 700_000, 431, "header_too_large"),
        ("GET / HTTP/1.1\r\nHost: h\r\n" + "X: 1\r\n" * 200 + "\r\n", 431, "header_too_large"),
        ("\r\n" * 500_000, 414, "target_too_long"),
        (
            "PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + "X: 1\r\n" * 200 + "\r\n",
            431,
            "header_too_large",
        ),
    ],
    ids=["target", "endless-target", "header", "endless-header", "endless-name", "count", "newlines", "trailers"],
)
def test_limits_of_size(run: Run, data: str, status: int, code: str) -> None:
    async def body() -> None:
        async with site(Replica()) as here:
            wire = await here.send(data)
            got = await wire.answer()
            assert (got.status, got.code, got.one("Connection")) == (status, code, "close")
            limits = {414: "longer than 16384 bytes", 431: "longer than 65536 bytes, or has more than 128 fields"}
            assert limits[status] in got.json()["error"]["message"]
            assert await wire.closed()

    run(body())


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "TLS is not spoken here"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP/2 is not spoken here"),
        (b"GET /a b HTTP/1.1\r\nHost: h\r\n\r\n", "a space within the target is written as %20"),
        (b"GET / HTTP/2.0\r\nHost: h\r\n\r\n", "HTTP/2.0 is not spoken here"),
        (b"GET / HTTP/1.1\r\nHost: h\r\n\x16: 1\r\n\r\n", "This is not valid HTTP/1.1"),
    ],
)
def test_what_is_another_protocol_is_called_so(run: Run, data: bytes, told: str) -> None:
    async def body() -> None:
        async with site(Replica()) as here:
            wire = await here.send(data)
            got = await wire.answer()
            assert (got.status, got.code) == (400, "bad_request")
            assert told in got.json()["error"]["message"]

    run(body())


def test_what_is_within_the_limits_passes(run: Run) -> None:
    async def body() -> None:
        async with site(Replica()) as here:
            got = await here.call("/" + "a" * 15_000, *[f"X-{n}: {'v' * 400}" for n in range(100)])
            assert got.status == 200

    run(body())


def test_a_head_that_does_not_come_to_an_end(run: Run) -> None:
    """408, even when a byte comes now and then; an idle connection is closed without a word."""

    async def body() -> None:
        settings = FrontSettings(head_timeout=0.3, keep_alive=0.3, tick=0.02)
        async with site(Replica(), settings=settings) as here:
            silent = await here.wire()
            slow = await here.send("GET / HTTP/1.1\r\nHost: h\r\n")

            async def drip() -> None:
                while True:
                    await slow.send("X: 1\r\n")
                    await asyncio.sleep(0.05)

            dripping = asyncio.ensure_future(drip())
            got = await slow.answer()
            dripping.cancel()
            assert (got.status, got.code) == (408, "head_timeout")
            assert await silent.closed()
            used = await here.send(here.request("/x"))
            assert (await used.answer()).status == 200
            assert await used.closed()

    run(body())


@pytest.mark.parametrize(
    "named",
    ["Content-Length", "Host", "Transfer-Encoding", "X-Forwarded-For", "X-Request-Id", "Cookie", "Authorization"],
)
def test_headers_named_in_connection_do_not_disarm_the_front(run: Run, named: str) -> None:
    """What the front itself relies on stays in force: framing, host, who called."""

    async def body() -> None:
        async with site(Replica()) as here:
            wire = await here.send(
                here.request("/x", f"Connection: {named}", "Cookie: a=1", method="POST", body=b"hello")
            )
            got = await wire.answer()
            headers = dict(got.json()["headers"])
            assert got.json()["body"] == "hello"
            assert headers["X-Forwarded-For"] == "127.0.0.1"
            assert headers["Host"] == "front.test"
            assert "Connection" not in headers

    run(body())


def test_what_a_replica_receives_is_written_anew(run: Run) -> None:
    """Odd but allowed spellings arrive in the one plain form."""

    async def body() -> None:
        async with site(Replica()) as here:
            data = (
                "\r\nPOST  /endpoints/o/n/x HTTP/1.1\r\nhOST:h\r\n" + AUTH + "X:  \t spaced \t \r\n"
                "tRANSFER-eNCODING:\tCHUNKED \r\n\r\n0003;a=b\r\nabc\r\n000\r\n\r\n"
            )
            got = await (await here.send(data)).answer()
            assert got.json()["body"] == "abc"
            raw = here.replicas[0].seen[0].raw_head
            assert raw.startswith(b"POST /x HTTP/1.1\r\nHost: h\r\n")
            assert b"X: spaced\r\n" in raw
            assert b"Transfer-Encoding: chunked\r\n" in raw
            assert re.fullmatch(rb"(?:[^\r\n\0]+\r\n)+\r\n", raw)

    run(body())
