"""What is spelt oddly, but as RFC 9112 allows, reaches the replica in the one plain form: all of its bytes are known."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any

import pytest

from .site import TOKEN, site, until
from .upstreams import Replica, answer

Run = Callable[[Any], Any]

START = "POST /endpoints/o/n/x HTTP/1.1\r\nHost: h\r\n"
AUTH = f"Authorization: Bearer {TOKEN}\r\n"
CHUNKED = START + AUTH + "Transfer-Encoding: chunked\r\n"
TE = "Transfer-Encoding: chunked\r\n"
HELLO = "5\r\nhello\r\n0\r\n\r\n"


def plain(
    body: str = "",
    *,
    framing: str = "",
    headers: str = "",
    start: str = "POST /x",
    host: str = "h",
    version: str = "1.1",
) -> str:
    """The whole of what the replica gets, with ids that are as long as the real ones."""
    return (
        f"{start} HTTP/1.1\r\nHost: {host}\r\n{headers}{framing}"
        f"X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: {host}\r\n"
        f"X-Forwarded-Prefix: /endpoints/o/n\r\nVia: {version} model-service-{'#' * 8}\r\nX-Request-Id: {'#' * 20}\r\n"
        f"\r\n{body}"
    )


ODD = {
    "chunk extension": (CHUNKED + "\r\n5;a=b\r\nhello\r\n0;end\r\n\r\n", plain(HELLO, framing=TE)),
    "chunk extension quoted": (CHUNKED + '\r\n5;a="b;0"\r\nhello\r\n0\r\n\r\n', plain(HELLO, framing=TE)),
    "chunk extension without value": (CHUNKED + "\r\n5;a;b;c\r\nhello\r\n0\r\n\r\n", plain(HELLO, framing=TE)),
    "chunk size with zeros": (CHUNKED + "\r\n0000000005\r\nhello\r\n000\r\n\r\n", plain(HELLO, framing=TE)),
    "chunk size in capitals": (
        CHUNKED + "\r\nB\r\nhello world\r\n0\r\n\r\n",
        plain("b\r\nhello world\r\n0\r\n\r\n", framing=TE),
    ),
    "chunks that look like a request": (
        CHUNKED + "\r\n13\r\nGET /evil HTTP/1.1\n\r\n5\r\n0\r\n\r\n\r\n0\r\n\r\n",
        plain("18\r\nGET /evil HTTP/1.1\n0\r\n\r\n\r\n0\r\n\r\n", framing=TE),  # small ones are joined
    ),
    "chunked, and empty": (CHUNKED + "\r\n0\r\n\r\n", plain("0\r\n\r\n", framing=TE)),
    "trailers": (
        CHUNKED + "\r\n5\r\nhello\r\n0\r\nContent-type:x\r\nsum: \t1\t\r\n\r\n",
        plain("5\r\nhello\r\n0\r\nsum: 1\r\n\r\n", framing=TE),
    ),
    "coding in capitals": (START + AUTH + "tRANSFER-eNCODING:\tCHUNKED \r\n\r\n" + HELLO, plain(HELLO, framing=TE)),
    "length with zeros": (
        START + AUTH + "content-length:  0005\t\r\n\r\nhello",
        plain("hello", framing="Content-Length: 5\r\n"),
    ),
    "length of nothing": (START + AUTH + "Content-Length: 00\r\n\r\n", plain(framing="Content-Length: 0\r\n")),
    "no length": (START + AUTH + "\r\n", plain()),
    "body of GET": (
        START.replace("POST", "GET") + AUTH + "Content-Length: 5\r\n\r\nhello",
        plain("hello", framing="Content-Length: 5\r\n", start="GET /x"),
    ),
    "blanks around a value": (
        START + AUTH + "A: \t  b\t c \t\r\nB:x\r\nC:\r\nD: \t \r\n\r\n",
        plain(headers="A: b\t c\r\nB: x\r\nC: \r\nD: \r\n"),
    ),
    "names in any case": (START + AUTH + "x-oDD: 1\r\nX-ODD: 2\r\n\r\n", plain(headers="x-oDD: 1\r\nX-ODD: 2\r\n")),
    "odd names": (START + AUTH + "!#$%&'*+.^_`|~9: 1\r\n\r\n", plain(headers="!#$%&'*+.^_`|~9: 1\r\n")),
    "bytes beyond ASCII": (START + AUTH + "A: \xe9\x80\xff\r\n\r\n", plain(headers="A: \xe9\x80\xff\r\n")),
    "host in any case": (START.replace("Host: h", "hOST:h ") + AUTH + "\r\n", plain()),
    "empty lines before": ("\r\n\r\n" + START + AUTH + "\r\n", plain()),
    "named in Connection": (START + AUTH + "A: 1\r\nconnection: a , B,,\r\nb: 2\r\nC: 3\r\n\r\n", plain(headers="C: 3\r\n")),
    "absolute form": (
        START.replace(" /end", " hTTp://Real.test:81/end") + AUTH + "\r\n",
        plain(host="Real.test:81"),
    ),
    "expectation": (START + AUTH + "Expect: 100-Continue\r\nContent-Length: 5\r\n\r\nhello", plain("hello", framing="Content-Length: 5\r\n")),
    "HTTP/1.0": (
        START.replace("1.1", "1.0") + AUTH + "Connection: Keep-Alive\r\nContent-Length: 5\r\n\r\nhello",
        plain("hello", framing="Content-Length: 5\r\n", version="1.0"),
    ),
    "odd target": (
        START.replace("n/x", "n//%2e%2E/%00/../;a?b=%zz&?c=/'\"<>\\^`{|}[]") + AUTH + "\r\n",
        plain(start="POST //%2e%2E/%00/../;a?b=%zz&?c=/'\"<>\\^`{|}[]"),
    ),
    "offer to upgrade with a body": (
        START + AUTH + "Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 5\r\n\r\nhello",
        plain("hello", framing="Content-Length: 5\r\n"),
    ),
    "cookies": (START + AUTH + "cookie:a=1;_xsrf=2 ; b=3\r\n\r\n", plain(headers="Cookie: a=1; b=3\r\n")),
}  # fmt: skip


class Recorder(Replica):
    """Answers once ``size`` bytes came, and keeps those that come after them, too."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self.raw = b""

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        while piece := await reader.read(1 << 16):
            before = len(self.raw)
            self.raw += piece
            if before < self.size <= len(self.raw):
                writer.write(answer(b"ok"))
        return False


@pytest.mark.parametrize("family", ODD)
def test_an_odd_spelling_arrives_in_the_plain_one(run: Run, family: str) -> None:
    sent, expected = (text.encode("latin-1") for text in ODD[family])

    async def body() -> None:
        recorder = Recorder(len(expected))
        async with site(recorder) as here:
            wire = await here.send(sent)
            got = await wire.answer()
            assert (got.status, got.body) == (200, b"ok"), recorder.raw
            wire.close()
            await here.still()
            raw = re.sub(rb"(?<=model-service-)[0-9a-f]{8}|(?<=X-Request-Id: )[0-9a-f]{20}", _hidden, recorder.raw)
            assert raw == expected

    run(body())


def _hidden(found: re.Match[bytes]) -> bytes:
    return b"#" * len(found[0])


def test_options_of_the_whole_server(run: Run) -> None:
    """``*`` is no endpoint's: the web part is asked, also where a proxy would have written the whole address."""

    async def body() -> None:
        async with site(Replica()) as here:
            for target in ("*", "http://h:80"):
                wire = await here.send(f"OPTIONS {target} HTTP/1.1\r\nHost: h:80\r\n\r\n")
                got = (await wire.answer()).json()
                assert (got["replica"], got["method"], got["target"]) == ("web", "OPTIONS", "*")
                assert dict(got["headers"])["Host"] == "h:80"
            wire = await here.send(f"OPTIONS http://h:80/endpoints/o/n/x HTTP/1.1\r\nHost: a\r\n{AUTH}\r\n")
            assert (await wire.answer()).json()["target"] == "/x"
            wire = await here.send("GET http://h:80 HTTP/1.1\r\nHost: a\r\n\r\n")
            assert (await wire.answer()).json()["target"] == "/"

    run(body())


@pytest.mark.parametrize("size", ["10000000000000005", "ffffffffffffffff5", "1" + "0" * 40 + "5"])
def test_a_chunk_size_that_would_wrap_is_refused(run: Run, size: str) -> None:
    """2^64 + 5 is no 5: of a caller's body, and of a replica's."""

    async def wraps(replica: Replica, seen: Any, writer: asyncio.StreamWriter) -> bool:
        writer.write(f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{size}\r\nhello\r\n0\r\n\r\n".encode())
        return True

    async def body() -> None:
        async with site(Replica(handlers={"/wraps": wraps})) as here:
            wire = await here.send(CHUNKED + f"\r\n{size}\r\nhello\r\n0\r\n\r\n")
            assert (await wire.answer()).code == "bad_request"
            assert await wire.closed()
            assert here.replicas[0].seen == []
            got = await here.call("/wraps")
            assert (got.status, got.code) == (502, "bad_answer")
            await until(here.replicas[0].hung_up.is_set)

    run(body())
