"""A replica may answer anything at all, at any pace: its caller gets the right answer, a clean refusal or a connection that
breaks, never a wrong answer that looks whole, and never one that was meant for somebody else."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass
from time import monotonic
from typing import Any

import h11
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from jupyter_model_service.core.definition import Serving
from jupyter_model_service.front.server import FrontSettings

from . import parsers
from .site import Answer, Site, loops, site
from .upstreams import Replica, Seen, body_of, reset

REFUSALS = {"bad_answer", "replica_died", "first_byte_timeout"}
PATIENCE = 0.5  # seconds: the replica's to begin, and to go on
SETTINGS = FrontSettings(
    linger=0.2, tick=0.02, end_proof=0.02, held_time=0.02, replay_grace=0.02, max_answer_head=8 << 10
)

FIRST_LINES = st.sampled_from(
    [
        *[b"HTTP/1.1 200 OK"] * 6, b"HTTP/1.0 200 OK", b"HTTP/1.1 204 None", b"HTTP/1.1 304 Same", b"HTTP/1.1 503 Sick",
        b"HTTP/1.1 200", b"HTTP/1.1  200 OK", b"HTTP/2.0 200 OK", b"HTTP/1.1 999 X", b"HTTP/1.1 99 X", b"HTTP/1.1 2000 X",
        b"HTP/1.1 200 OK", b"ICY 200 OK", b"HTTP/1.1 101 Go", b"HTTP/1.1 100 Continue", b"HTTP/1.1 200 \0", b"",
        b"GET / HTTP/1.1",
    ]
)  # fmt: skip
LINES = st.sampled_from(
    [
        *[b"Content-Length: 2"] * 3, b"Content-Length: 0", b"Content-Length: 5", b"Content-Length: +2",
        b"Content-Length: -1", b"Content-Length: 2, 2", b"Content-Length: 99999999999999999999", b"Content-Length: 0x2",
        b"Content-Length:", *[b"Transfer-Encoding: chunked"] * 3, b"Transfer-Encoding: gzip, chunked",
        b"Transfer-Encoding: chunked, chunked", b"Transfer-Encoding: identity", b"transfer-encoding : chunked",
        b"Connection: close", b"Connection: keep-alive", b"Connection: Upgrade", b"Upgrade: shout", b"Trailer: T",
        b"Content-Type: text/event-stream", b"X: y", b" folded", b"Bad Name: x", b"X\0: y", b": y", b"X: a\nB: c",
        b"X: " + b"y" * 9000, b"Keep-Alive: timeout=0", b"X-Request-Id: forged", b"X-Model-Service-Error: replica_died",
    ]
)  # fmt: skip
BODIES = st.sampled_from(
    [
        b"", *[b"A!"] * 3, b"A!A!A", b"2\r\nA!\r\n0\r\n\r\n", b"1;x=y\r\nA\r\n1\r\n!\r\n0\r\n\r\n", b"2\r\nA!\r\n0\r\nT: v\r\n\r\n",
        b"2\r\nA!\r\n", b"2\r\nA", b"-2\r\nA!\r\n0\r\n\r\n", b"fffffffffffffffff\r\nA!", b"2\nA!\n0\n\n", b"3\r\nA!\r\n0\r\n\r\n",
        b"2\r\nA!!\r\n0\r\n\r\n", b"A!" * 40_000,
    ]
)  # fmt: skip
EXTRA = st.sampled_from([*[b""] * 5, b"\r\n", b"junk", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nevil!", b"\0"])
EARLY = st.sampled_from([*[b""] * 5, b"HTTP/1.1 103 Early\r\nLink: </a>\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n" * 50,
                         b"HTTP/1.1 102 P\r\nContent-Length: 2\r\n\r\n"])  # fmt: skip


@dataclass(frozen=True)
class Script:
    """What a replica says to one request. ``soon``: before it has read its body; ``pieces``: in how many writes, where
    that makes no difference to what it means; ``end``: of its connection; ``again``: the same to who asks again."""

    raw: bytes
    soon: bool
    pieces: int
    end: str
    again: bool


@st.composite
def scripts(draw: st.DrawFn) -> Script:
    raw = draw(EARLY) + b"\r\n".join([draw(FIRST_LINES), *draw(st.lists(LINES, max_size=4)), b"", b""])
    raw += draw(BODIES) + draw(EXTRA)
    if draw(st.integers(0, 3)) == 0:  # anything, anywhere
        at = draw(st.integers(0, min(len(raw), 400)))
        raw = raw[:at] + draw(st.binary(max_size=6)) + raw[at + draw(st.integers(0, 9)) :]
    ends = [*["close"] * 5, *["reset"] * 2, *["next"] * 5, "stay"]
    return Script(
        raw, draw(st.booleans()), draw(st.integers(1, 5)), draw(st.sampled_from(ends)), draw(st.booleans())
    )  # fmt: skip


class Scripted:
    """One site for all examples, on one loop; its replica follows the script for ``/a…`` and answers others well."""

    def __init__(self, kind: str) -> None:
        self.loop = loops()[kind]()
        self.trouble: list[dict[str, Any]] = []
        self.loop.set_exception_handler(lambda _loop, context: self.trouble.append(context))
        serving = Serving(first_byte_timeout=PATIENCE, idle_timeout=PATIENCE)
        self.replica = Replica(handlers={"*": self._answer})
        self._site = site(self.replica, settings=SETTINGS, serving=serving)
        self.here: Site = self.loop.run_until_complete(self._site.__aenter__())
        self.script = Script(b"", False, 1, "close", False)
        self.numbers = itertools.count()
        self._asked: set[str] = set()

    def close(self) -> None:
        self.loop.run_until_complete(self._site.__aexit__(None, None, None))
        self.loop.close()

    async def _answer(self, replica: Replica, seen: Seen, writer: asyncio.StreamWriter) -> bool:
        script = self.script
        if not seen.target.startswith("/a") or (seen.target in self._asked and not script.again):
            await body_of(seen)
            body = right(seen.target) if seen.method != "HEAD" else b""
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(right(seen.target)) + body)
            return True
        self._asked.add(seen.target)
        try:
            return await self._follow(script, seen, writer)
        except RuntimeError:  # uvloop's word for a connection that was closed meanwhile
            return False

    async def _follow(self, script: Script, seen: Seen, writer: asyncio.StreamWriter) -> bool:
        if not script.soon:
            await body_of(seen)
        size = -(-len(script.raw) // script.pieces) or 1
        for at in range(0, len(script.raw), size):
            writer.write(script.raw[at : at + size])
            await writer.drain()
            await asyncio.sleep(0.001 if script.pieces > 1 else 0)
        if script.end == "next":
            if script.soon:
                await body_of(seen)
            return True
        if script.end == "stay":
            await seen.reader.read(-1)
        elif script.end == "reset":
            reset(writer)
        return False

    async def check(self, script: Script, method: str, pipelined: bool) -> None:
        number = next(self.numbers)
        meant = meaning(script.raw, method, closes=script.end == "close")
        if meant is None or meant.behind:  # what comes behind an answer, later, nobody can tell from the next one
            script = Script(script.raw, script.soon, 1, script.end, script.again)
        self.script = script
        others = asyncio.ensure_future(self._other(number))
        await self._asking(script, meant, method, number, pipelined=pipelined)
        await others
        self.loop_is_clean()

    async def _other(self, number: int) -> None:
        """Somebody else, at the same time and afterwards."""
        for turn in range(2):
            target = f"/d{number}-{turn}"
            got = await self.here.call(target, method="POST", body=b"x")
            proper(got, target, "POST")
            await asyncio.sleep(0.002)

    async def _asking(
        self, script: Script, meant: Meaning | None, method: str, number: int, *, pipelined: bool
    ) -> None:
        wire, began = await self.here.wire(), monotonic()
        target, body = f"/a{number}", b"12345" if method == "POST" else b""
        first = self.here.request(target, method=method, body=body)
        if not pipelined:  # the oldest caller, who knows the end of an answer by that of its connection
            first = first.replace(b"HTTP/1.1", b"HTTP/1.0", 1)
        await wire.send(first[: len(first) - len(body) // 2])
        await asyncio.sleep(0)
        await wire.send(first[len(first) - len(body) // 2 :])
        if pipelined:
            await wire.send(
                self.here.request(f"/b{number}") + self.here.request(f"/c{number}", method="POST", body=b"y")
            )
        try:
            got = await wire.answer(method)
        except (asyncio.IncompleteReadError, ConnectionError):
            got = None
        self.judge(got, script, meant, method, target, in_time=monotonic() - began < PATIENCE / 2)
        if got is not None and got.complete and pipelined:
            for name, verb in (("b", "GET"), ("c", "POST")):
                try:
                    later = await wire.answer(verb)
                except (asyncio.IncompleteReadError, ConnectionError):
                    break  # it said with the first that it would close, or had to
                proper(later, f"/{name}{number}", verb)
        wire.close()

    def judge(
        self, got: Answer | None, script: Script, meant: Meaning | None, method: str, target: str, *, in_time: bool
    ) -> None:
        ours = by_ourselves(
            script.raw, method, closes=script.end == "close"
        )  # stricter than h11 in some spellings, less strict in others
        must_come = in_time and meant is not None and ours is not None and script.end in ("close", "next")
        expected = meant or ours
        if got is None or not got.complete:
            assert not must_come, (script, meant)
        elif (code := got.one("X-Model-Service-Error")) is not None:
            assert got.status in (502, 504), got.status
            assert code in REFUSALS, code
            assert not must_come, (script, meant, code)
        elif got.status != 200 or got.body != (right(target) if method != "HEAD" else b""):
            # Not the one that came when it was asked again, after the first had come to nothing.
            assert expected is not None, (script, got.status, got.body[:100])
            assert (got.status, got.body) == (expected.status, expected.body), (script, got.status, got.body[:100])

    def loop_is_clean(self) -> None:
        assert not self.trouble, self.trouble


def right(target: str) -> bytes:
    return f"for {target}".encode()


def proper(got: Answer, target: str, method: str) -> None:
    """The answer to exactly this call. One that died with the connection that it shared is refused cleanly; one that
    found this machine too busy ran into its limit."""
    if got.one("X-Model-Service-Error") is not None:
        assert got.code in REFUSALS - {"bad_answer"}, (got.status, got.code)
        return
    assert (got.status, got.body) == (200, right(target)), (target, got.status, got.body[:100])


@dataclass(frozen=True)
class Meaning:
    """What a whole answer is taken for. ``behind``: there is more than the answer."""

    status: int
    body: bytes
    behind: bool = False


def meaning(raw: bytes, method: str, *, closes: bool) -> Meaning | None:
    """What h11 takes it for; ``None``: no whole answer."""
    client = h11.Connection(h11.CLIENT, max_incomplete_event_size=SETTINGS.max_answer_head)
    client.send(h11.Request(method=method, target="/", headers=[("host", "x"), ("content-length", "5")]))
    client.send(h11.Data(b"12345"))
    client.send(h11.EndOfMessage())
    status, body = 0, b""
    try:
        client.receive_data(raw)
        if closes:
            client.receive_data(b"")
        while not isinstance(event := client.next_event(), h11.EndOfMessage):
            if isinstance(event, h11.Response):
                status = event.status_code
                if not 200 <= status <= 599:
                    return None
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif (
                not isinstance(event, h11.InformationalResponse)
                or event.status_code == 101
                or any(name in (b"content-length", b"transfer-encoding") for name, _ in event.headers)
            ):
                return None
    except h11.RemoteProtocolError:
        return None
    return Meaning(status, body, bool(client.trailing_data[0]))


def by_ourselves(raw: bytes, method: str, *, closes: bool) -> Meaning | None:
    """What the front's parser takes it for."""
    ears = parsers.read_answer(raw, to_head=method == "HEAD", settings=SETTINGS)
    if ears.over != "end" or ears.answer is None or (ears.answer.until_close and not closes):
        return None
    return Meaning(ears.answer.status, ears.body)


UNFRAMED = Script(b"HTTP/1.1 200 OK\r\n\r\n" + b"A!" * 10, False, 5, "reset", True)


@pytest.mark.parametrize("kind", ["asyncio", "uvloop"])
def test_any_answer_is_right_or_refused_or_broken(kind: str) -> None:
    """In flight is 0 after each, no task of the front's is left, and nothing went wrong in any callback."""
    scripted = Scripted(kind)

    @settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
    @given(scripts(), st.sampled_from(["GET", "POST", "HEAD"]), st.booleans())
    @example(
        Script(
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nA!HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nevil!",
            False,
            1,
            "next",
            False,
        ),
        "GET",
        True,
    )
    @example(Script(b"HTTP/1.1 204 No\r\nContent-Length: 2\r\n\r\nA!", False, 1, "next", False), "GET", True)
    @example(Script(b"HTTP/1.1 200 OK\r\n\r\nA!", False, 2, "reset", False), "GET", True)
    @example(UNFRAMED, "GET", False)
    def check(script: Script, method: str, pipelined: bool) -> None:
        scripted.loop.run_until_complete(asyncio.wait_for(scripted.check(script, method, pipelined), 60))
        scripted.loop.run_until_complete(scripted.here.still())
        assert not scripted.here.front._tasks

    try:
        check()
    finally:
        scripted.close()
    assert not scripted.trouble, scripted.trouble
