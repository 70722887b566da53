"""What is noted of each call when it ends, and why an answer was broken off."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from typing import Any

import pytest

from jupyter_model_service.core.access_line import Entry, line
from jupyter_model_service.core.definition import Serving
from jupyter_model_service.core.ending import Broken
from jupyter_model_service.core.routing import Endpoint
from jupyter_model_service.front.access_log import AccessLog
from jupyter_model_service.front.server import FrontSettings

from .site import FORWARDER, OTHER, SLOW, TOKEN, Site, Wire, site, until, within
from .upstreams import Replica, Seen, answer, body_of, reset

Run = Callable[[Any], Any]

SHOUT = ("Connection: Upgrade", "Upgrade: shout")
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def noted(log: AccessLog) -> list[dict[str, Any]]:
    return [json.loads(line(Entry._make(entry), 0.0)) for entry in log.entries]


async def only(here: Site, log: AccessLog, number: int = 1) -> dict[str, Any]:
    """The line of the only call, which has ended."""
    await until(lambda: len(log.entries) >= number, "a line")
    await here.still()
    lines = noted(log)
    assert len(lines) == number
    return lines[-1]


def part(found: dict[str, Any], *names: str) -> tuple[Any, ...]:
    return tuple(found[name] for name in names)


# --- whole calls ---------------------------------------------------------------------------------------


def test_a_call_is_one_line(run: Run) -> None:
    async def body() -> None:
        log = AccessLog()
        async with site(Replica(), access_log=log) as here:
            got = await here.call(
                "/v1/score?key=secret",
                "X-Request-Id: mine-1",
                f"traceparent: 00-{TRACE}-00f067aa0ba902b7-01",
                method="POST",
                body=b"12345",
            )
            found = await only(here, log)
            assert here.replicas[0].seen[0].one("traceparent") == f"00-{TRACE}-00f067aa0ba902b7-01"
            assert found["request_id"] == got.one("X-Request-Id")
            assert part(found, "service", "owner", "revision", "caller") == ("o/n", "o", 1, "token:good")
            assert part(found, "address", "method") == ("127.0.0.1", "POST")
            assert part(found, "path", "status", "code", "broken") == ("/endpoints/o/n/v1/score", 200, None, None)
            assert part(found, "bytes_in", "bytes_out") == (5, len(got.body))
            assert part(found, "replica", "tries", "trace_id", "upgrade") == ("r1", 1, TRACE, None)
            assert 0 <= found["first_byte_seconds"] <= found["seconds"] < 20
            assert found["wait_seconds"] == 0
            assert "jms_" not in str(log.entries)

    run(body())


def test_without_a_log_nothing_is_noted(run: Run) -> None:
    async def body() -> None:
        async with site(Replica()) as here:
            assert here.front.access_log is None
            assert (await here.call()).status == 200

    run(body())


async def chunks(replica: Replica, seen: Seen, writer: asyncio.StreamWriter) -> bool:
    await body_of(seen)
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
    return True


def test_bodies_are_counted_without_their_framing(run: Run) -> None:
    """Chunks both ways, an answer until the connection's end, one without a body; each on a line of its own."""

    async def body() -> None:
        log = AccessLog()
        replica = Replica(handlers={"/chunked": chunks})
        async with site(replica, access_log=log, serving=Serving(replay_limit=10)) as here:
            pieces = b"5\r\nabcde\r\n14\r\n" + b"x" * 20 + b"\r\n0\r\n\r\n"
            wire = await here.send(here.request("/chunked", "Transfer-Encoding: chunked") + pieces)
            assert (await wire.answer()).body == b"abcde"
            await until(lambda: len(log.entries) == 1)
            assert (await here.call("/until-close")).body == b"to the end"
            await until(lambda: len(log.entries) == 2)
            assert (await here.call("/x", method="HEAD")).status == 200
            await until(lambda: len(log.entries) == 3)
            assert len((await here.call("/huge?3000000")).body) == 3000000
            await until(lambda: len(log.entries) == 4)
            sizes = [part(each, "bytes_in", "bytes_out") for each in noted(log)]
            assert sizes == [(25, 5), (0, 10), (0, 0), (0, 3000000)]

    run(body())


def test_an_upgraded_connection_is_a_line_when_it_ends(run: Run) -> None:
    async def body() -> None:
        log = AccessLog()
        async with site(Replica(), access_log=log) as here:
            wire = await here.send(here.request("/tunnel", *SHOUT) + b"early ")
            await wire.head()
            assert await within(wire.reader.readexactly(12)) == b"hello EARLY "
            await wire.send(b"more")
            assert await within(wire.reader.readexactly(4)) == b"MORE"
            assert not log.entries
            wire.close()
            found = await only(here, log)
            assert part(found, "status", "upgrade", "broken") == (101, "shout", None)
            assert part(found, "bytes_in", "bytes_out") == (10, 16)

    run(body())


def test_a_wait_in_the_queue_and_every_try_are_told(run: Run) -> None:
    """The first replica dies under the call, which then waits for the second one's only place."""

    async def body() -> None:
        log = AccessLog()
        good = Replica("good")
        async with site(Replica("bad"), good, access_log=log, serving=Serving(concurrency=1)) as here:
            bad_backend = here.backends[0]
            bad_backend.serving = False
            first = await here.send(here.request("/hang"))
            await until(lambda: good.seen)
            bad_backend.serving = True
            second = await here.send(here.request("/poison"))
            await until(lambda: here.endpoint.waiting)
            good.handlers["/poison"] = good.handlers["*"]
            await asyncio.sleep(0.15)
            good.release.set()
            assert (await first.answer()).status == (await second.answer()).status == 200
            found = await only(here, log, 2)
            assert part(found, "path", "status", "replica", "tries") == ("/endpoints/o/n/poison", 200, "good", 2)
            assert 0.1 < found["wait_seconds"] <= found["seconds"]
            assert noted(log)[0]["wait_seconds"] == 0

    run(body())


# --- whose, and from where -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("token", "headers", "trusted", "address", "caller"),
    [
        ("jms_good", ("X-Forwarded-For: 10.1.1.1",), (), "127.0.0.1", "token:good"),
        ("jms_good", ("X-Forwarded-For: 6.6.6.6, 10.1.1.1",), ("127.0.0.0/8",), "10.1.1.1", "token:good"),
        (
            "jms_good",
            ("X-Forwarded-For: 6.6.6.6, 9.9.9.9, 10.1.1.1",),
            ("127.0.0.1", "10.0.0.0/8"),
            "9.9.9.9",
            "token:good",
        ),
        ("jms_good", (), ("127.0.0.0/8",), "127.0.0.1", "token:good"),
        (FORWARDER, ("X-Forwarded-For: 10.1.1.1",), (), "10.1.1.1", "o"),
        ("jms_good", ("X-Forwarded-For: " + "9" * 5000,), ("127.0.0.1",), "9" * 127 + "…", "token:good"),
        (SLOW, (), (), "127.0.0.1", "token:slow"),
    ],
)
def test_the_address_is_the_one_that_is_believed(
    run: Run, token: str, headers: tuple[str, ...], trusted: tuple[str, ...], address: str, caller: str
) -> None:
    async def body() -> None:
        log = AccessLog()
        settings = FrontSettings(trusted_proxies=trusted)
        async with site(Replica(), access_log=log, settings=settings) as here:
            assert (await here.call("/", *headers, token=token)).status == 200
            assert part(await only(here, log), "address", "caller") == (address, caller)
            assert max(len(each) for each in log.entries[0] if isinstance(each, bytes)) <= 128

    run(body())


async def own_code(replica: Replica, seen: Seen, writer: asyncio.StreamWriter) -> bool:
    writer.write(answer(b"{}", "x-model-service-error: forbidden", status="403 No"))
    return True


@pytest.mark.parametrize(
    ("path", "token", "status", "code", "service", "caller"),
    [
        ("/endpoints/o/n/x", None, 401, "unauthenticated", "o/n", None),
        ("/endpoints/o/n/x", "jms_wrong", 401, "unauthenticated", "o/n", None),
        ("/endpoints/o/n/x", OTHER, 404, "not_found", "o/n", "token:other"),
        ("/endpoints/o/gone/", "jms_good", 404, "not_found", "o/gone", "token:good"),
        ("/endpoints/o/n", "jms_good", 308, None, None, None),
        ("/api/v1/services?x=1", "jms_good", 200, None, None, None),
        ("/own-code", None, 403, "forbidden", None, None),  # of the control API
        ("/status?503", None, 503, None, None, None),
    ],
)
def test_what_is_no_call_of_a_service_is_a_line_too(
    run: Run, path: str, token: str | None, status: int, code: str | None, service: str | None, caller: str | None
) -> None:
    """Refusals with their codes; what the control API answers is of no service, and of nobody that we know here."""

    async def body() -> None:
        log = AccessLog()
        async with site(Replica(), access_log=log) as here:
            here.web.handlers["/own-code"] = own_code
            said = f"Authorization: Bearer {token}\r\n" if token else ""
            wire = await here.send(f"GET {path} HTTP/1.1\r\nHost: a\r\n{said}\r\n")
            assert (await wire.answer()).status == status
            found = await only(here, log)
            assert part(found, "status", "code", "service", "caller") == (status, code, service, caller)
            assert found["path"] == path.partition("?")[0]
            assert part(found, "replica", "revision") == (None, None)
            if token:
                assert token not in str(log.entries)

    run(body())


LONG = b"/" + b"a" * 20000


@pytest.mark.parametrize(
    ("sent", "status", "code", "method", "path"),
    [
        (b"GET /x?y HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 2\r\n\r\n", 400, "bad_request", "GET", "/x"),
        (b"POST /x HTTP/1.1\r\nHost: a\r\nA: " + b"a" * 70000 + b"\r\n\r\n", 431, "header_too_large", "POST", "/x"),
        (b"GET /x HTTP/1.1\r\nHost: a\r\nExpect: 1\r\n\r\n", 417, "expectation_failed", "GET", "/x"),
        (b"\x16\x03\x01\x02\x00\x01", 400, "bad_request", None, None),
        (b"GET " + LONG + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414, "target_too_long", "GET", "/" + "a" * 1022 + "…"),
        (b"GET /jms_secret HTTP/1.1\r\nHo", 408, "head_timeout", "GET", "/[token]"),
        (b"GE", 408, "head_timeout", None, None),
    ],
)
def test_what_could_not_be_read_is_a_line_too(
    run: Run, sent: bytes, status: int, code: str, method: str | None, path: str | None
) -> None:
    """With what was read of it, and an id that the answer has, too."""

    async def body() -> None:
        log = AccessLog()
        settings = FrontSettings(head_timeout=0.3, tick=0.02)
        async with site(Replica(), access_log=log, settings=settings) as here:
            wire = await here.send(sent)
            got = await wire.answer()
            assert (got.status, got.code) == (status, code)
            found = await only(here, log)
            assert part(found, "status", "code", "address") == (status, code, "127.0.0.1")
            assert part(found, "method", "path", "service", "tries") == (method, path, None, 0)
            assert found["request_id"] == got.one("X-Request-Id")
            assert found["request_id"]
            assert max(len(each) for each in log.entries[0] if isinstance(each, bytes)) <= 1024

    run(body())


def test_what_could_not_be_read_behind_others_is_not_theirs(run: Run) -> None:
    """On the same connection: a whole request, and one whose body breaks off before its turn has come."""

    async def body() -> None:
        log = AccessLog()
        async with site(Replica(), access_log=log) as here:
            wire = await here.send(here.request("/hang"))
            await until(lambda: here.replicas[0].seen)
            await wire.send(b"PUT /later HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nno chunk\r\n")
            here.replicas[0].release.set()
            first, second = await wire.answer(), await wire.answer()
            assert (first.status, second.status) == (200, 400)
            await only(here, log, 2)
            whole, unread = noted(log)
            assert part(whole, "method", "path", "status") == ("GET", "/endpoints/o/n/hang", 200)
            assert part(unread, "method", "path", "status") == ("PUT", "/later", 400)
            ids = [whole["request_id"], unread["request_id"]]
            assert ids == [first.one("X-Request-Id"), second.one("X-Request-Id")]
            assert ids[0] != ids[1]

    run(body())


def test_a_bad_head_behind_a_whole_request_is_not_mixed_up_with_it(run: Run) -> None:
    async def body() -> None:
        log = AccessLog()
        async with site(Replica(), access_log=log) as here:
            wire = await here.send(here.request("/one") + b"\x16\x03\x01")
            assert ((await wire.answer()).status, (await wire.answer()).status) == (200, 400)
            await only(here, log, 2)
            assert part(noted(log)[1], "method", "path") == (None, None)

    run(body())


def test_names_that_anybody_may_write_are_bounded(run: Run) -> None:
    """16 KB of a path would be kept for each of 16,384 calls while a disk hangs."""

    async def body() -> None:
        log = AccessLog()
        async with site(Replica(), access_log=log) as here:
            wire = await here.send(f"GET /endpoints/{'o' * 7000}/{'n' * 7000}/x HTTP/1.1\r\nHost: a\r\n\r\n")
            assert (await wire.answer()).status == 401
            await only(here, log)
            (entry,) = log.entries
            assert max(len(each) for each in entry if isinstance(each, bytes | str)) <= 1024

    run(body())


# --- broken answers ------------------------------------------------------------------------------------


async def wrong_chunk(replica: Replica, seen: Seen, writer: asyncio.StreamWriter) -> bool:
    """A good one first, so that the answer has begun."""
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ngood\r\n")
    await writer.drain()
    await replica.release.wait()
    writer.write(b"no chunk\r\n")
    return False


async def answers_early(replica: Replica, seen: Seen, writer: asyncio.StreamWriter) -> bool:
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ngood\r\n")
    await writer.drain()
    await replica.release.wait()
    return False


def lose(here: Site) -> None:
    backend = here.backends[0]
    backend.lost = True
    assert backend.on_lost is not None
    backend.on_lost()


async def dies(here: Site) -> None:
    wire = await here.send(here.request("/half-chunked"))
    assert not (await wire.answer()).complete


async def is_lost(here: Site) -> None:
    wire = await here.send(here.request("/sse"))
    await wire.head()
    lose(here)


async def is_silent(here: Site) -> None:
    wire = await here.send(here.request("/sse"))
    await wire.head()


async def says_no_http(here: Site) -> None:
    wire = await here.send(here.request("/wrong"))
    await wire.head()
    here.replicas[0].release.set()


async def goes_on_wrong(here: Site) -> None:
    wire = await here.send(here.request("/early", "Transfer-Encoding: chunked", method="PUT"))
    await wire.head()
    await wire.send(b"no chunk\r\n")


async def leaves(here: Site) -> None:
    wire = await here.send(here.request("/sse"))
    await wire.head()
    wire.close()


async def leaves_before(here: Site) -> None:
    wire = await here.send(here.request("/hang"))
    await until(lambda: here.replicas[0].seen)
    reset(wire.writer)


async def reads_nothing(here: Site) -> None:
    wire = await here.send(here.request("/huge?50000000"))
    wire.writer.transport.pause_reading()  # type: ignore[attr-defined]
    await until(lambda: here.meter.calls)


async def quiet_bridge(here: Site) -> None:
    wire = await here.send(here.request("/tunnel", *SHOUT))
    await wire.head()


async def is_revoked(here: Site) -> None:
    wire = await here.send(here.request("/sse"))
    await wire.head()
    here.tokens.ended.add(TOKEN)  # looked at again each ``recheck_every``


async def is_drained(here: Site) -> None:
    wire = await here.send(here.request("/sse"))
    await wire.head()
    backend = here.backends[0]
    backend.serving = False
    assert backend.on_drained is not None
    backend.on_drained()


async def stops(here: Site) -> None:
    wire = await here.send(here.request("/sse"))
    await wire.head()
    await here.front.stop(0.0)


@pytest.mark.parametrize(
    ("end", "status", "reason", "begun"),
    [
        (dies, 502, "replica_died", True),
        (is_lost, 502, "replica_died", True),
        (is_drained, 502, "drained", True),
        (is_revoked, 502, "revoked", True),
        (is_silent, 502, "idle_timeout", True),
        (says_no_http, 502, "bad_answer", True),
        (goes_on_wrong, 502, "bad_body", True),
        (leaves, 499, "caller_gone", True),
        (leaves_before, 499, "caller_gone", False),
        (reads_nothing, 499, "reader_timeout", True),
        (quiet_bridge, 101, "bridge_timeout", True),
        (stops, 502, "shutting_down", True),
    ],
)
def test_why_an_answer_was_broken_off(run: Run, end: Any, status: int, reason: str, begun: bool) -> None:
    """In the line of the call, and counted; with the first byte's time where the answer had begun."""

    async def body() -> None:
        log = AccessLog()
        short = 0.4 if reason.endswith("_timeout") else 50.0
        settings = FrontSettings(tick=0.02, reader_timeout=short, bridge_timeout=short, recheck_every=0.05)
        replica = Replica(handlers={"/wrong": wrong_chunk, "/early": answers_early})
        serving = Serving(idle_timeout=short)
        async with site(replica, access_log=log, settings=settings, serving=serving) as here:
            await end(here)
            found = await only(here, log)
            assert part(found, "status", "broken", "code") == (status, reason, None)
            assert (found["first_byte_seconds"] is not None) is begun
            assert here.meter.broken_answers == [reason]
            assert here.meter.statuses() == [status]

    run(body())


def test_each_reason_is_seen_by_a_test() -> None:
    (parameters,) = [mark for mark in test_why_an_answer_was_broken_off.pytestmark if mark.name == "parametrize"]  # type: ignore[attr-defined]
    assert {reason for _, _, reason, _ in parameters.args[1]} == {each.value for each in Broken}


def test_an_answer_of_our_own_is_not_broken_off(run: Run) -> None:
    """The replica dies before anything of its answer went out: that has a code, and nothing is cut."""

    async def body() -> None:
        log = AccessLog()
        async with site(Replica(), access_log=log, serving=Serving(retry=False)) as here:
            assert (await here.call("/drop", method="POST")).code == "replica_died"
            found = await only(here, log)
            assert part(found, "status", "code", "broken", "tries") == (502, "replica_died", None, 1)
            assert part(found, "bytes_out", "first_byte_seconds", "replica") == (0, None, "r1")
            assert here.meter.broken_answers == []

    run(body())


async def half_of_little(replica: Replica, seen: Seen, writer: asyncio.StreamWriter) -> bool:
    """So short that it is held until it is there."""
    await body_of(seen)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
    await writer.drain()
    return False


def test_what_never_went_out_is_not_counted(run: Run) -> None:
    """Half of an answer that was held, and an upgrade that the replica did not make."""

    async def body() -> None:
        log = AccessLog()
        replica = Replica(handlers={"/held": half_of_little})
        async with site(replica, access_log=log, serving=Serving(retry=False)) as here:
            assert (await here.call("/held", method="POST")).code == "replica_died"
            assert part(await only(here, log), "status", "bytes_out") == (502, 0)
            assert (await here.call("/x", *SHOUT)).status == 200
            assert part(await only(here, log, 2), "status", "upgrade") == (200, None)

    run(body())


def test_a_refusal_within_a_heartbeat_has_its_code(run: Run) -> None:
    async def body() -> None:
        log = AccessLog()
        serving = Serving(concurrency=1, queue_timeout=1.5)
        async with site(Replica(), access_log=log, serving=serving) as here:
            first = await here.send(here.request("/hang"))
            await until(lambda: here.replicas[0].seen)
            got = await here.call("/x", "X-Model-Service-Heartbeat: 1")
            assert b"queue_timeout" in got.body
            found = noted(log)[-1]
            assert part(found, "status", "code") == (503, "queue_timeout")
            assert found["wait_seconds"] >= 1.4
            here.replicas[0].release.set()
            assert (await first.answer()).status == 200

    run(body())


# --- bounds --------------------------------------------------------------------------------------------


def test_what_does_not_fit_is_lost_counted_and_said_once(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    """The calls themselves are as ever."""

    async def body() -> None:
        log = AccessLog(most=3)
        async with site(Replica(), access_log=log) as here:
            for _ in range(5):
                assert (await here.call()).status == 200
            wire: Wire = await here.send(b"nonsense\r\n\r\n")
            assert (await wire.answer()).status == 400
            await here.still()
            assert (len(log.entries), log.lost) == (3, 3)
            log.entries.clear()
            assert (await here.call()).status == 200
            await until(lambda: len(log.entries) == 1)

    with caplog.at_level(logging.WARNING):
        run(body())
    (said,) = [record.getMessage() for record in caplog.records if "access log" in record.getMessage()]
    assert said.endswith("1 of its lines are lost")


def test_an_entry_keeps_no_head_alive(run: Run) -> None:
    """Only small, plain things: a head may be 64 KB, and 16,384 entries may wait."""

    async def body() -> None:
        log = AccessLog()
        async with site(Replica(), access_log=log) as here:
            here.routing.put(Endpoint("o", "gone", False, Serving()))
            await here.call("/x", "X-Large: " + "x" * 60000, method="POST", body=b"y" * 100000)
            await here.call("/half-chunked")
            await here.still()
            plain = (int, float, str, bytes, bool, type(None), Broken)
            assert len(log.entries) == 2
            for entry in log.entries:
                assert all(isinstance(each, plain) for each in entry)

    run(body())
