"""A caller who asks for signs of life while its call waits for a replica: X-Model-Service-Heartbeat."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
from collections.abc import Callable
from typing import Any

import pytest

from jupyter_model_service.core.definition import Serving
from jupyter_model_service.front.server import FrontSettings

from .site import LIMIT, Answer, Site, Wire, site, until, within
from .sleeper import Sleeper
from .upstreams import Replica, Seen, answer, body_of

Run = Callable[[Any], Any]
BEATS = "X-Model-Service-Heartbeat: 1"
EVENTS = "Content-Type: text/event-stream; charset=utf-8"


async def tokens(replica: Replica, seen: Seen, writer: asyncio.StreamWriter) -> bool:
    """Events with a known length, as one piece."""
    await body_of(seen)
    writer.write(answer(b"data: a\n\ndata: b\n\n", EVENTS))
    return True


async def zipped(replica: Replica, seen: Seen, writer: asyncio.StreamWriter) -> bool:
    """Compressed whatever one asked for."""
    writer.write(answer(gzip.compress(b"data: a\n\n"), EVENTS, "Content-Encoding: gzip"))
    return True


async def dies_in_head(replica: Replica, seen: Seen, writer: asyncio.StreamWriter) -> bool:
    """Has said that events come, and none of them."""
    await body_of(seen)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
    await writer.drain()
    replica.kill()
    return False


async def dies_in_events(replica: Replica, seen: Seen, writer: asyncio.StreamWriter) -> bool:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\nContent-Type: text/event-stream\r\n\r\ndata: a\n\n")
    await writer.drain()
    return False


async def dies_in_answer(replica: Replica, seen: Seen, writer: asyncio.StreamWriter) -> bool:
    """Within an answer that is one event when it is whole."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nhalf")
    await writer.drain()
    await replica.release.wait()
    replica.kill()
    return False


HANDLERS = {"/tokens": tokens, "/zipped": zipped, "/dies-in-head": dies_in_head, "/dies-in-events": dies_in_events}


async def opened(here: Site, *paths: str, header: str = BEATS, **options: Any) -> list[tuple[Wire, Answer]]:
    """Calls whose stream has begun, with a first comment."""
    wires = [await here.send(here.request(path, header, **options)) for path in paths]
    begun = []
    for wire in wires:
        head = await wire.head()
        assert (head.status, head.one("Content-Type")) == (200, "text/event-stream")
        assert head.one("X-Accel-Buffering") == "no"
        begun.append((wire, head))
    return begun


async def rest(stream: tuple[Wire, Answer]) -> tuple[int, list[str], bool]:
    """How many comments came, the events after them, and whether the stream ended as one that is whole."""
    wire, head = stream
    await wire.body(head)
    *blocks, end = head.body.decode().split("\n\n")
    assert end == ""
    beats = [block for block in blocks if block.startswith(":")]
    assert blocks[: len(beats)] == beats  # none after the first event
    return len(beats), blocks[len(beats) :], head.complete


def told(event: str) -> tuple[str, dict[str, Any]]:
    kind, data = event.split("\n")
    assert kind.startswith("event: ")
    assert data.startswith("data: ")
    return kind[7:], json.loads(data[6:])


def test_events_of_the_model_follow_in_the_same_stream(run: Run) -> None:
    """A comment each second, then the events as they are; the connection serves on. The model sees neither the header
    nor an offer to compress, since the head of the stream is gone already."""

    async def body() -> None:
        async with site(Replica(handlers=HANDLERS)) as here:
            sleeper = Sleeper(here)
            stream = (await opened(here, "/tokens", header=f"Accept-Encoding: gzip\r\nPrefer: wait=90\r\n{BEATS}"))[0]
            assert stream[1].one("Preference-Applied") == "wait=90"
            assert stream[1].one("Connection") is None
            for _ in range(2):
                await within(stream[0].reader.readuntil(b"\n\n\r\n"))
            sleeper.ready()
            assert (await rest(stream))[1:] == (["data: a", "data: b"], True)
            seen = here.replicas[0].seen[0]
            assert seen.one("X-Model-Service-Heartbeat") is None
            assert seen.one("Accept-Encoding") is None
            await stream[0].send(here.request("/next"))
            assert (await stream[0].answer()).json()["target"] == "/next"
            assert here.meter.calls == [("o/n", 1, 200)] * 2

    run(body())


def test_a_call_that_is_served_sooner_gets_the_answer_of_the_model_untouched(run: Run) -> None:
    """Whether it waited for less than its seconds or not at all, and so does one that does not ask."""

    async def body() -> None:
        async with site(Replica()) as here:
            sleeper = Sleeper(here)
            one = await here.send(here.request("/x", "Accept-Encoding: gzip", "X-Model-Service-Heartbeat: 60"))
            other = await here.send(here.request("/x"))
            await sleeper.waiting(2)
            await asyncio.sleep(1.3)
            sleeper.ready()
            for wire in (one, other):
                assert (await wire.answer()).json()["replica"] == "r1"
            got = await here.call("/x", BEATS)
            assert got.json()["replica"] == "r1"
            assert dict(here.replicas[0].seen[0].headers)["Accept-Encoding"] == "gzip"
            assert all(seen.one("X-Model-Service-Heartbeat") is None for seen in here.replicas[0].seen)

    run(body())


def test_the_beats_end_with_the_first_byte_of_the_model(run: Run) -> None:
    """A comment could fall into the middle of an event."""

    async def body() -> None:
        async with site(Replica()) as here:
            sleeper = Sleeper(here)
            wire = (await opened(here, "/sse"))[0][0]
            sleeper.ready()
            await within(wire.reader.readuntil(b"data: 0\n\n\r\n"))
            await asyncio.sleep(1.3)
            here.replicas[0].release.set()
            assert await within(wire.reader.readuntil(b"data: 1\n\n\r\n")) == b"9\r\ndata: 1\n\n\r\n"
            wire.close()

    run(body())


def test_other_answers_of_the_model_come_as_one_event(run: Run) -> None:
    """``answer`` below 400, ``error`` from there on: with its status and its body, in base64 where that is no text."""

    async def body() -> None:
        async with site(Replica(handlers=HANDLERS), settings=FrontSettings(gathered_answer=10_000)) as here:
            sleeper = Sleeper(here)
            paths = ["/json", "/status?422", "/status?204", "/zipped", "/chunked", "/bad", "/huge?10001", "/huge?10000"]
            streams = await opened(here, *paths)
            sleeper.ready()
            got = []
            for stream in streams:
                _, events, whole = await rest(stream)
                assert whole
                assert len(events) == 1
                got.append(told(events[0]))
            kind, data = got[0]
            assert (kind, data["status"], data["content_type"]) == ("answer", 200, "application/json")
            assert json.loads(data["body"])["target"] == "/json"
            kind, data = got[1]
            assert (kind, data["status"], data["body"]) == ("error", 422, "422")
            assert data["error"]["code"] == "model_error"
            assert got[2] == ("answer", {"status": 204, "body": ""})
            kind, data = got[3]
            assert (kind, data["content_encoding"]) == ("answer", "gzip")
            assert gzip.decompress(base64.b64decode(data["body_base64"])) == b"data: a\n\n"
            assert (got[4][0], got[4][1]["body"]) == ("answer", "abcde")
            assert (got[5][0], got[5][1]["status"], got[5][1]["error"]["code"]) == ("error", 502, "bad_answer")
            assert (got[6][0], got[6][1]["error"]["code"]) == ("error", "answer_too_long")
            assert (got[7][0], len(got[7][1]["body"])) == ("answer", 10_000)
            assert sorted(here.meter.statuses()) == [200] * 4 + [204, 422, 502, 502]

    run(body())


def test_refusals_of_ours_come_as_an_error_event(run: Run) -> None:
    """With what the body of the refusal would have had, its status and when to try again."""

    async def body() -> None:
        async with site(Replica(), serving=Serving(queue_timeout=0.1)) as here:
            sleeper = Sleeper(here, start_seconds=50.0)
            wait = await opened(here, "/a", header=f"Prefer: wait=2\r\n{BEATS}")
            kept, closes = await opened(here, "/b"), await opened(here, "/c", header=f"Connection: close\r\n{BEATS}")
            beats, events, whole = await rest(wait[0])
            assert (beats in (1, 2), whole) == (True, True)
            kind, data = told(events[0])
            assert (kind, data["status"], data["error"]["code"]) == ("error", 503, "queue_timeout")
            assert 30 <= data["retry_after"] <= 48  # of the 50, two have passed
            sleeper.failed("It has no GPU.", 3.5)
            for stream in (kept[0], closes[0]):
                _, events, whole = await rest(stream)
                assert whole
                error = {"code": "start_failed", "message": "It has no GPU."}
                assert told(events[0]) == ("error", {"error": error, "status": 503, "retry_after": 4})
            assert closes[0][1].one("Connection") == "close"
            assert await closes[0][0].closed()
            assert here.meter.refusals == [("o/n", "queue_timeout")] + [("o/n", "start_failed")] * 2
            await kept[0][0].send(here.request("/health"))
            assert (await kept[0][0].answer()).code == "asleep"

    run(body())


def test_a_call_is_sent_again_until_the_first_byte_of_the_model_went_out(run: Run) -> None:
    """A head alone is none. While it goes on, so do the beats."""

    async def body() -> None:
        async with site(Replica("a", {"/t": dies_in_head}), Replica("b", {"/t": tokens})) as here:
            sleeper = Sleeper(here)
            streams = await opened(here, "/t", method="POST", body=b"question")
            sleeper.ready()
            await until(lambda: here.meter.retries)
            await within(streams[0][0].reader.readuntil(b"\n\n\r\n"))
            await within(streams[0][0].reader.readuntil(b"\n\n\r\n"))
            sleeper.ready()
            assert (await rest(streams[0]))[1:] == (["data: a", "data: b"], True)
            assert here.replicas[1].seen[0].body == b"question"
            assert here.meter.statuses() == [200]

    run(body())


def test_nothing_of_an_answer_that_broke_is_in_the_event_of_the_next(run: Run) -> None:
    async def body() -> None:
        async with site(Replica("a", {"/x": dies_in_answer}), Replica("b", {"/x": HANDLERS["/zipped"]})) as here:
            sleeper = Sleeper(here)
            stream = (await opened(here, "/x"))[0]
            sleeper.ready()
            await until(lambda: here.backends[0].answered_at)
            sleeper.ready()
            here.replicas[0].release.set()
            _, events, whole = await rest(stream)
            assert (whole, here.meter.retries) == (True, ["broken"])
            kind, data = told(events[0])
            assert kind == "answer"
            assert gzip.decompress(base64.b64decode(data["body_base64"])) == b"data: a\n\n"

    run(body())


@pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/1.0"])
def test_a_stream_of_the_model_that_breaks_is_seen_as_broken(run: Run, version: str) -> None:
    """By a caller of HTTP/1.0, too, although the model said how long its answer was."""

    async def body() -> None:
        async with site(Replica(handlers=HANDLERS)) as here:
            sleeper = Sleeper(here)
            data = here.request("/dies-in-events", BEATS).replace(b"HTTP/1.1", version.encode())
            wire = await here.send(data)
            head = await wire.head()
            sleeper.ready()
            await wire.body(head)
            assert not head.complete

    run(body())


def test_a_caller_of_http_1_0_is_told_the_end_by_closing(run: Run) -> None:
    async def body() -> None:
        async with site(Replica(handlers=HANDLERS)) as here:
            sleeper = Sleeper(here)
            header = f"Connection: keep-alive\r\n{BEATS}"
            wires = [
                await here.send(here.request(path, header).replace(b"HTTP/1.1", b"HTTP/1.0"))
                for path in ("/tokens", "/status?404")
            ]
            heads = [await wire.head() for wire in wires]
            assert [(head.one("Transfer-Encoding"), head.one("Connection")) for head in heads] == [(None, "close")] * 2
            sleeper.ready()
            assert (await rest((wires[0], heads[0])))[1:] == (["data: a", "data: b"], True)
            assert told((await rest((wires[1], heads[1])))[1][0])[0] == "error"

    run(body())


def test_bad_values_are_refused_before_anything_is_woken(run: Run) -> None:
    async def body() -> None:
        async with site(Replica()) as here:
            sleeper = Sleeper(here)
            for value in ("0", "61", "-1", "1.5", "soon", "", "5, 5", "1\r\nX-Model-Service-Heartbeat: 1"):
                got = await here.call("/x", f"X-Model-Service-Heartbeat: {value}")
                assert (got.status, got.code) == (400, "bad_request"), value
            assert sleeper.called == here.endpoint.traffic.arrived == 0

    run(body())


def test_what_has_no_body_to_beat_in_waits_in_silence(run: Run) -> None:
    """HEAD, and an offer to upgrade."""

    async def body() -> None:
        async with site(Replica()) as here:
            sleeper = Sleeper(here)
            head = await here.send(here.request("/x", BEATS, method="HEAD"))
            upgrade = await here.send(here.request("/tunnel", BEATS, "Connection: Upgrade", "Upgrade: shout"))
            await opened(here, "/x")
            sleeper.ready()
            assert int((await head.answer("HEAD")).one("Content-Length") or 0) > 10
            assert (await upgrade.head()).status == 101

    run(body())


def test_a_caller_who_waits_for_our_word_gets_it_before_the_stream(run: Run) -> None:
    """Who sent Expect would not send its body after a final head. The connection ends with such a call."""

    async def body() -> None:
        async with site(Replica(handlers=HANDLERS)) as here:
            sleeper = Sleeper(here)
            head = here.request("/tokens", "Content-Length: 3", "Expect: 100-continue", BEATS, method="PUT")
            wire = await here.send(head)
            assert (await wire.head()).status == 100
            got = await wire.head()
            assert (got.status, got.one("Connection")) == (200, "close")
            sleeper.ready()
            await wire.send(b"abc")
            assert (await rest((wire, got)))[1:] == (["data: a", "data: b"], True)
            assert here.replicas[0].seen[0].body == b"abc"

    run(body())


def test_a_caller_who_leaves_its_stream_leaves_nothing_behind(run: Run) -> None:
    """While it waits, and while its replica works; the start that was only for it goes on."""

    async def body() -> None:
        async with site(Replica()) as here:
            sleeper = Sleeper(here)
            (early, _), (late, _) = await opened(here, "/early", "/hang")
            early.close()
            await sleeper.waiting(1)
            sleeper.ready()
            await until(lambda: here.replicas[0].seen)
            late.close()
            await within(here.replicas[0].hung_up.wait(), LIMIT)
            await here.still()
            assert here.replicas[0].paths() == ["/hang"]
            assert here.meter.statuses() == [499, 499]

    run(body())


def test_the_front_that_stops_says_so_in_the_stream(run: Run) -> None:
    async def body() -> None:
        async with site(Replica()) as here:
            Sleeper(here)
            stream = (await opened(here, "/x"))[0]
            await here.front.stop(0.0)
            _, events, whole = await rest(stream)
            assert whole
            assert told(events[0])[1]["error"]["code"] == "shutting_down"

    run(body())
