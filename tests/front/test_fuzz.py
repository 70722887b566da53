"""Anything at all may come at the front: a clean 4xx, an answer, or a closed connection, and nothing else."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jupyter_model_service.front.server import FrontSettings

from .site import TOKEN, Site, loops, site
from .upstreams import Replica

PIECES = st.sampled_from(
    [
        b"GET /endpoints/o/n/x HTTP/1.1\r\n", b"POST /endpoints/o/n/x HTTP/1.1\r\n", b"GET / HTTP/1.0\r\n",
        b"HEAD /endpoints/o/n HTTP/1.1\r\n", b"Host: h\r\n", f"Authorization: Bearer {TOKEN}\r\n".encode(),
        b"Content-Length: 3\r\n", b"Content-Length: 0\r\n", b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n",
        b"Connection: Upgrade\r\nUpgrade: h2c\r\n", b"Connection: Upgrade\r\nUpgrade: shout\r\n",
        b"Expect: 100-continue\r\n", b"\r\n", b"\n", b"\r", b"abc", b"3\r\nabc\r\n", b"0\r\n\r\n", b"3;x\r\nab", b":",
        b" ", b"\0", b"X: y\r\n", b"HTTP/1.1", b"\x80\xff",
    ]
)  # fmt: skip
STREAMS = st.lists(PIECES | st.binary(max_size=12), min_size=1, max_size=14)


class Fuzzed:
    """One site for all examples, on one loop."""

    def __init__(self, kind: str) -> None:
        self.loop = loops()[kind]()
        self.trouble: list[dict[str, Any]] = []
        self.loop.set_exception_handler(lambda _loop, context: self.trouble.append(context))
        self._site = site(Replica(), settings=FrontSettings(linger=0.2, tick=0.02))
        self.here: Site = self.loop.run_until_complete(self._site.__aenter__())

    def close(self) -> None:
        self.loop.run_until_complete(self._site.__aexit__(None, None, None))
        self.loop.close()

    async def send(self, pieces: list[bytes], *, end: bool) -> bytes:
        """What comes back: until the front closes after our FIN (``end``), or in a moment."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.here.port)
        try:
            for piece in pieces:
                writer.write(piece)
                await asyncio.sleep(0)
            if end:
                writer.write_eof()
                return await asyncio.wait_for(reader.read(-1), 20)
            return await asyncio.wait_for(reader.read(1 << 16), 0.02)
        except (ConnectionError, asyncio.TimeoutError):
            return b""
        finally:
            writer.close()


@pytest.mark.parametrize("kind", ["asyncio", "uvloop"])
def test_anything_gets_a_clean_answer_or_a_closed_connection(kind: str) -> None:
    """No exception in any callback, no call left behind, only well-formed answers."""
    fuzzed = Fuzzed(kind)

    @settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
    @given(STREAMS, st.booleans())
    def check(pieces: list[bytes], end: bool) -> None:
        got = fuzzed.loop.run_until_complete(fuzzed.send(pieces, end=end))
        assert got == b"" or got.startswith(b"HTTP/1.1 ")
        if got:
            assert got[9:12] in (b"200", b"308", b"400", b"401", b"404", b"414", b"417", b"431", b"101", b"100"), got[
                :80
            ]
        assert not fuzzed.trouble, fuzzed.trouble
        for seen in fuzzed.here.replicas[0].seen:
            assert seen.target.startswith(("/x", "/")), seen
        fuzzed.loop.run_until_complete(fuzzed.here.still())

    try:
        check()
    finally:
        fuzzed.close()
    assert not fuzzed.trouble, fuzzed.trouble
