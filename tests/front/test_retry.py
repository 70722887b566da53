"""What happens to a call when its replica fails it: the table of ``core.retrying.after``, end to end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import socket
from collections.abc import Callable, Iterator
from time import monotonic, sleep
from typing import Any

import pytest

from jupyter_model_service.core.definition import Serving
from jupyter_model_service.core.routing import Backend
from jupyter_model_service.front.server import FrontSettings

from .site import TOKEN, Site, site, until, within
from .upstreams import (
    HANDLERS,
    Handler,
    Raw,
    Replica,
    Seen,
    body_of,
    reset,
    serve_one,
    two_of_which_one_drops,
)

Run = Callable[[Any], Any]


def refusing() -> Backend:
    """A replica at a port where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return Backend("refusing", 1, "127.0.0.1", sock.getsockname()[1])


def engine(here: Site) -> None:
    """What the engine does when a replica is refused or its lease ends, in short."""

    def refused(backend: Backend) -> None:
        backend.serving = False
        backend.lost = True
        if backend in here.backends:
            here.backends.remove(backend)
        if backend.on_lost is not None:
            backend.on_lost()

    for backend in here.backends:
        backend.on_refused = lambda backend=backend: asyncio.get_running_loop().call_soon(refused, backend)


def test_a_refused_connection_goes_to_another_replica(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    """A POST too: nothing had been sent. The engine is told, the log says why, the replica is left out for a while."""

    async def body() -> None:
        async with site(Replica()) as here:
            told: list[str] = []
            bad = refusing()
            bad.on_refused = lambda: told.append("refused")
            here.backends.insert(0, bad)
            here.backends[1].started = 5
            got = await here.call("/x", method="POST", body=b"abc")
            assert (got.status, got.json()["body"]) == (200, "abc")
            assert (told, here.meter.retries) == (["refused"], ["connect"])
            assert bad.ejected_until > 0
            assert (await here.call("/y")).status == 200
            assert told == ["refused"]
            assert "Replica refusing took no connection at 127.0.0.1:" in caplog.text
            assert "ConnectionRefusedError" in caplog.text

    run(body())


def test_only_two_refused_connections_are_retried(run: Run) -> None:
    async def body() -> None:
        async with site(settings=FrontSettings(replay_grace=0.0)) as here:
            here.backends.extend(refusing() for _ in range(5))
            got = await here.call("/x")
            assert (got.status, got.code) == (502, "connect_failed")
            assert here.meter.retries == ["connect", "connect"]
            assert sum(backend.started for backend in here.backends) == 3
            assert here.meter.statuses() == [502]

    run(body())


def test_a_spent_budget_fails_no_call_while_another_replica_is_well(run: Run) -> None:
    """20 calls at once, each sent to the dead replica first: more than 3 and 20 % of them."""

    async def body() -> None:
        async with site(Replica()) as here:
            here.backends[0].started = 1000
            bad = refusing()
            here.backends[0].in_flight = 25  # until all have been sent to the other one
            here.backends.append(bad)
            wires = [await here.wire() for _ in range(20)]
            for wire in wires:
                wire.writer.write(here.request("/x", method="POST", body=b"abc"))
            for wire in wires:
                assert (await wire.answer()).status == 200
            assert here.meter.retries == ["connect"] * 20
            here.backends[0].in_flight -= 25

    run(body())


@pytest.mark.parametrize("how", ["refused", "died"])
def test_an_outage_of_all_replicas_is_not_made_worse_by_repeats(run: Run, how: str) -> None:
    """40 calls: 20 % of them, and one for each replica of which nothing bad was known yet. None is told so late."""

    async def body() -> None:
        async with site(*[Replica(name) for name in "abc"], settings=FrontSettings(replay_grace=0.2)) as here:
            if how == "refused":
                here.endpoint.backends[:] = [refusing() for _ in range(3)]
            wires = [await here.wire() for _ in range(40)]
            for wire in wires:
                wire.writer.write(here.request("/drop", method="POST", body=b"abc"))
            got = [await wire.answer() for wire in wires]
            code = "connect_failed" if how == "refused" else "replica_died"
            assert {(answer.status, answer.code) for answer in got} == {(502, code)}
            assert 8 <= sum(backend.started for backend in here.backends) - 40 <= 8 + 3

    run(body())


def test_beyond_the_budget_a_call_waits_for_a_replica_that_is_well_or_to_come(run: Run) -> None:
    """One whose last call failed does not count, nor is it waited for; where the engine starts another, that is."""

    async def body() -> None:
        async with site(Replica("a"), Replica("b"), settings=FrontSettings(replay_grace=0.2)) as here:
            first, second = here.endpoint.backends[:]
            desk = here.front.desk(here.endpoint)
            while desk.budget.left(monotonic()):
                desk.budget.spend(monotonic())
            second.started, second.failures = 1000, 1
            got = await here.call("/drop")
            assert (got.status, got.code, first.started, second.started) == (502, "replica_died", 1, 1000)
            first.failures = first.ejected_until = 0
            wire = await here.send(here.request("/drop"))
            await until(lambda: here.endpoint.waiting)
            here.backends.clear()
            here.endpoint.wanted = True
            await asyncio.sleep(0.5)  # longer than it would wait for one that is not well
            assert here.endpoint.waiting == 1
            here.replicas[1].handlers["/drop"] = HANDLERS["*"]
            here.backends.append(here.replicas[1].backend())
            assert (await wire.answer()).status == 200

    run(body())


def test_a_lack_of_our_own_is_nobody_elses_fault(run: Run) -> None:
    """No descriptor is left: the replicas are well, so none is blamed, and a second attempt would fare no better."""

    async def body() -> None:
        async with site(Replica("a"), Replica("b")) as here:
            told: list[str] = []
            for backend in here.backends:
                backend.on_refused = lambda: told.append("refused")
            wire = await here.wire()
            for path in ("/endpoints/o/n/x", "/api"):
                with no_descriptor_left():
                    await wire.send(f"POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n{BEARER}\r\n\r\n")
                    got = await wire.answer()
                assert (got.status, got.code) == (503, "overloaded")
                assert int(got.one("Retry-After") or 0) >= 1
            assert [(b.failures, b.ejected_until) for b in here.backends] == [(0, 0.0), (0, 0.0)]
            assert (told, here.meter.retries) == ([], [])
            assert (await here.call("/x")).status == 200

    run(body())


BEARER = f"Authorization: Bearer {TOKEN}"


@contextlib.contextmanager
def no_descriptor_left() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(0)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_connection_time_out(run: Run) -> None:
    """A replica whose queue of connections is full accepts none."""

    async def body() -> None:
        async with site(serving=Serving(connect_timeout=0.1), settings=FrontSettings(replay_grace=0.0)) as here:
            with socket.socket() as sock:
                sock.bind(("127.0.0.1", 0))
                sock.listen(0)
                fillers = [socket.socket() for _ in range(4)]
                for filler in fillers:
                    filler.setblocking(False)
                    filler.connect_ex(sock.getsockname())
                here.backends.append(Backend("full", 1, *sock.getsockname()))
                got = await here.call("/x")
                assert (got.status, got.code) == (504, "connect_timeout")
                for filler in fillers:
                    filler.close()

    run(body())


@pytest.mark.parametrize("turns", range(4))
def test_time_in_which_the_front_itself_stood_still_is_none_that_the_replica_took(run: Run, turns: int) -> None:
    """A hundred connections are on their way, and the process gets no processor for longer than ``connect_timeout``,
    however many turns of the loop after they began: the kernel has them, and none is held against the replica."""

    async def body() -> None:
        settings = FrontSettings(tick=1000.0)
        async with site(Replica(), serving=Serving(connect_timeout=0.4), settings=settings) as here:
            loop = asyncio.get_running_loop()
            wires = [await here.wire() for _ in range(100)]

            def turn(left: int) -> None:
                if left:
                    loop.call_soon(turn, left - 1)
                else:
                    sleep(0.5)

            for wire in wires:
                wire.writer.write(here.request("/x"))
            await until(lambda: here.endpoint.in_flight > 0)
            turn(turns)
            assert {(await wire.answer()).status for wire in wires} == {200}
            assert (here.meter.retries, here.backends[0].failures) == ([], 0)

    run(body())


@pytest.mark.parametrize("retry", [True, False])
@pytest.mark.parametrize("written", [True, False])
@pytest.mark.parametrize("chunked", [True, False])
def test_a_kept_alive_connection_that_was_closed_unused(run: Run, retry: bool, written: bool, chunked: bool) -> None:
    """The same replica gets the call on a fresh one, whatever its method and though the service wants no repeats: it
    had not come there. Whether it was written after the end was under way, or not any more."""

    async def body() -> None:
        async with site(serving=Serving(retry=retry)) as here:
            raw = Raw()
            here.backends.append(raw.backend)
            post = here.request("/x", method="POST", body=b"abc")
            if chunked:
                post = here.request("/x", "Transfer-Encoding: chunked", method="PUT") + b"3\r\nabc\r\n0\r\n\r\n"
                post = post.replace(b"PUT", b"PATCH")
            with contextlib.closing(socket.create_connection(("127.0.0.1", here.port))) as caller:
                caller.sendall(post)
                first = await raw.accept()
                await serve_one(first, b"one")
                assert (await asyncio.to_thread(caller.recv, 1 << 16)).endswith(b"one")
                if written:
                    known = here.front.callers.known
                    here.front.callers.known = lambda token: first.close() or known(token)
                    caller.sendall(post)
                else:
                    caller.sendall(post)
                    first.close()
                second = await raw.accept()
                assert (await serve_one(second, b"two")).partition(b"\r\n\r\n")[2] == post.partition(b"\r\n\r\n")[2]
                assert (await asyncio.to_thread(caller.recv, 1 << 16)).endswith(b"two")
                second.close()
            assert here.meter.retries == ["stale"]
            assert (raw.backend.failures, raw.backend.started) == (0, 2)
            raw.close()

    run(body())


async def resets(replica: Replica, seen: Seen, writer: asyncio.StreamWriter) -> bool:
    await body_of(seen)
    reset(writer)
    return False


async def warm(here: Site) -> None:
    """Each replica has a connection that was kept alive."""
    for number in range(len(here.replicas)):
        assert (await here.call(f"/{number}")).status == 200
    assert [len(replica.seen) for replica in here.replicas] == [1] * len(here.replicas)


@pytest.mark.parametrize("end", [HANDLERS["/drop"], resets])
def test_what_a_replica_had_is_not_unused_because_its_connection_was_kept_alive(run: Run, end: Handler) -> None:
    """However soon it ends after the call came: with retry: false such a POST runs once, and by default twice."""

    async def body() -> None:
        async with site(*[Replica(name, {"/end": end}) for name in "ab"], serving=Serving(retry=False)) as here:
            await warm(here)
            got = await here.call("/end", method="POST", body=b"x")
            assert (got.status, got.code, here.meter.retries) == (502, "replica_died", [])
            assert sum(replica.paths().count("/end") for replica in here.replicas) == 1
        async with site(*[Replica(name, {"/end": end}) for name in "ab"]) as here:
            await warm(here)
            got = await here.call("/end", method="POST", body=b"x")
            assert (got.status, got.code, here.meter.retries) == (502, "replica_died", ["died"])
            assert [replica.paths().count("/end") for replica in here.replicas] == [1, 1]
            assert [backend.failures for backend in here.backends] == [1, 1]

    run(body())


def test_a_connection_that_is_accepted_and_closed_at_once_is_none(run: Run) -> None:
    """Nothing came there: another replica gets the call, also one that must not be repeated."""

    async def body() -> None:
        async with site(Replica("good"), serving=Serving(retry=False)) as here:
            raw, told = Raw(), list[str]()
            here.backends[0].started = 1000
            here.backends.append(raw.backend)
            raw.backend.on_refused = lambda: told.append("refused")
            wire = await here.send(here.request("/x", method="POST", body=b"abc"))
            while (connection := raw.accept_now()) is None:
                await asyncio.sleep(0)
            connection.close()
            got = await wire.answer()
            assert (got.status, got.json()["replica"], got.json()["body"]) == (200, "good", "abc")
            assert (here.meter.retries, told, raw.backend.failures) == (["connect"], ["refused"], 1)
            raw.close()

    run(body())


@pytest.mark.parametrize("how", ["reset", "engine"])
def test_a_killed_replica_fails_no_call(run: Run, how: str) -> None:
    """Of three replicas with 30 POSTs on them one is killed: its calls are done by the others."""

    async def body() -> None:
        async with site(Replica("a"), Replica("b"), Replica("c")) as here:
            engine(here)
            for _ in range(6):
                assert (await here.call("/warm")).status == 200
            wires = [await here.send(here.request("/hang", method="POST", body=b"x" * 100)) for _ in range(30)]
            await until(lambda: sum("/hang" in seen.target for r in here.replicas for seen in r.seen) == 30)
            assert [backend.in_flight for backend in here.backends] == [10, 10, 10]
            victim, backend = here.replicas[0], here.backends[0]
            if how == "reset":
                victim.kill()
            else:  # its machine is gone: no packet will ever tell
                backend.serving, backend.lost = False, True
                assert backend.on_lost is not None
                backend.on_lost()
            await until(lambda: sum(b.in_flight for b in here.backends if b is not backend) == 30)
            for replica in here.replicas:
                replica.release.set()
            got = [await wire.answer() for wire in wires]
            assert [a.status for a in got] == [200] * 30
            assert {a.body for a in got} == {b"b", b"c"}
            assert here.meter.retries.count("died") == 10

    run(body())


@pytest.mark.parametrize("alive", [False, True])
def test_a_replica_lost_in_any_turn_of_a_connection_attempt(run: Run, alive: bool) -> None:
    """Whether it refuses or accepts in that very turn: the call goes to the other one, once, and is answered once."""

    async def body() -> None:
        async with site(Replica("good"), Replica("lost")) as here:
            loop = asyncio.get_running_loop()
            good, spare = here.backends
            for turns in range(12):
                bad = here.replicas[1].backend() if alive else refusing()
                here.endpoint.backends[:] = [good, bad]
                good.started, spare.started = 1000, 1000
                good.ejected_until = good.failures = 0

                def lose(left: int, bad: Backend = bad) -> None:
                    if bad.started:
                        left -= 1
                    if left >= 0:
                        loop.call_soon(lose, left)
                        return
                    bad.serving, bad.lost = False, True
                    here.endpoint.backends[:] = [good]
                    if bad.on_lost is not None:
                        bad.on_lost()

                before = len(here.replicas[0].seen)
                wire = await here.send(here.request(f"/{turns}", method="POST", body=b"x"))
                loop.call_soon(lose, turns)
                got = await wire.answer()
                assert got.status == 200
                if got.json()["replica"] == "good":
                    assert len(here.replicas[0].seen) == before + 1
                await wire.send(here.request("/next"))
                assert (await wire.answer()).json()["target"] == "/next"
                assert (good.in_flight, bad.in_flight, good.failures) == (0, 0, 0)

    run(body())


def test_the_only_replica_is_killed_and_replaced(run: Run) -> None:
    """The call waits for the new one; the engine needs a moment to notice."""

    async def body() -> None:
        async with site(Replica("old")) as here:
            wire = await here.send(here.request("/hang", method="POST", body=b"x"))
            await until(lambda: here.replicas[0].seen)
            here.replicas[0].kill()
            await until(lambda: here.endpoint.waiting == 1)
            here.backends.clear()
            here.endpoint.wanted = True
            assert here.endpoint.wake is not None
            here.endpoint.wake()
            new = await Replica("new").start()
            new.release.set()
            here.backends.append(new.backend())
            here.endpoint.wake()
            assert (await wire.answer()).body == b"new"
            await new.stop()

    run(body())


def test_a_poisonous_call_kills_two_replicas_at_most(run: Run) -> None:
    """Over fresh connections and over kept-alive ones: replayed once, then 502."""

    async def body() -> None:
        for warm in (0, 8):
            async with site(*[Replica(name) for name in "abcd"]) as here:
                engine(here)
                for _ in range(warm):
                    assert (await here.call("/x")).status == 200
                got = await here.call("/poison", method="POST", body=b"death")
                assert (got.status, got.code) == (502, "replica_died")
                assert sum("/poison" in replica.paths() for replica in here.replicas) == 2
                assert (await here.call("/x")).status == 200
                assert here.meter.retries.count("died") == 1

    run(body())


def test_a_service_may_opt_out(run: Run) -> None:
    """``retry: false``: a POST that may have been worked on is not sent again; a GET is."""

    async def body() -> None:
        async with site(Replica("a"), Replica("b"), serving=Serving(retry=False)) as here:
            got = await here.call("/drop", method="POST", body=b"x")
            assert (got.status, got.code) == (502, "replica_died")
            assert sum(len(replica.seen) for replica in here.replicas) == 1
            got = await here.call("/drop")
            assert got.status == 502
            assert sum(len(replica.seen) for replica in here.replicas) == 3

    run(body())


def test_a_body_beyond_the_limit_is_not_replayed(run: Run) -> None:
    """The error says why; up to the limit it is."""

    async def body() -> None:
        async with site(Replica("a"), Replica("b"), serving=Serving(replay_limit=1000)) as here:
            got = await here.call("/drop", method="POST", body=b"x" * 1001)
            assert (got.status, got.code) == (502, "replica_died")
            assert "replay_limit" in got.json()["error"]["message"]
            got = await here.call("/drop", method="POST", body=b"x" * 1000)
            assert "replay_limit" not in got.json()["error"]["message"]
            assert sum(len(replica.seen) for replica in here.replicas) == 3

    run(body())


def test_an_empty_chunked_body_is_replayed_empty(run: Run) -> None:
    """Its end had gone out, and went out again as if it were a piece: the second replica read "0\\r\\n\\r\\n"."""

    async def body() -> None:
        async with site(*two_of_which_one_drops()) as here:
            said = here.request("/x", "Transfer-Encoding: chunked", method="PUT") + b"0\r\n\r\n"
            got = await (await here.send(said)).answer()
            assert (got.status, got.json()["body"]) == (200, "")
            assert here.meter.retries == ["died"]

    run(body())


def test_an_answer_that_has_begun_is_not_replayed(run: Run) -> None:
    async def body() -> None:
        async with site(Replica("a"), Replica("b")) as here:
            wire = await here.send(here.request("/sse"))
            await wire.head()
            backend = next(b for b in here.backends if b.in_flight)
            backend.serving, backend.lost = False, True
            assert backend.on_lost is not None
            backend.on_lost()
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await within(wire.reader.readuntil(b"0\r\n\r\n"))
            assert here.meter.statuses() == [502]
            assert here.meter.retries == []

    run(body())


HALF_HEADS = {
    "line": b"HTTP/1.1 2",
    "header": b"HTTP/1.1 200 OK\r\nContent-Le",
    "hint": b"HTTP/1.1 103 X\r\nA: b\r\n\r\n",
}


async def half_head(replica: Replica, seen: Seen, writer: asyncio.StreamWriter) -> bool:
    """Dies in the head of its answer, once ``release`` is set."""
    writer.write(HALF_HEADS[seen.target.split("?")[1]])
    await writer.drain()
    await replica.release.wait()
    return False


@pytest.mark.parametrize("lost", [False, True])
@pytest.mark.parametrize("half", HALF_HEADS)
def test_half_a_head_is_as_good_as_none(run: Run, half: str, lost: bool) -> None:
    """Whoever notices first, the connection's end or the engine: the caller got nothing of a final answer, so another
    replica gives it. One bad answer does not throw its replica out."""

    async def body() -> None:
        async with site(Replica("a", {"/x": half_head}), Replica("b")) as here:
            wire = await here.send(here.request(f"/x?{half}", method="POST", body=b"abc"))
            await until(lambda: any(call.attempt and call.attempt.spoke for call in here.front.calls))
            if lost:
                backend = here.backends[0]
                backend.serving, backend.lost = False, True
                assert backend.on_lost is not None
                backend.on_lost()
            else:
                here.replicas[0].release.set()
            got = await wire.answer()
            assert (got.status, got.json()["replica"], got.json()["body"]) == (200, "b", "abc")
            assert [len(replica.seen) for replica in here.replicas] == [1, 1]
            assert (here.meter.retries, here.meter.statuses()) == (["broken"], [200])
            assert [backend.failures for backend in here.backends] == [1, 0]
            assert here.backends[0].ejected_until == 0.0

    run(body())


@pytest.mark.parametrize(("code", "leaves"), [(500, "a"), (501, "a"), (502, "b"), (503, "b"), (504, "b")])
def test_three_bad_gateways_eject_a_replica_but_500s_do_not(run: Run, code: int, leaves: str) -> None:
    """The answer itself is passed on untouched. A bad input would throw out every replica by its 500s in turn."""

    async def body() -> None:
        async with site(Replica("a"), Replica("b")) as here:
            here.backends[1].started = 1000
            for _ in range(3):
                got = await here.call(f"/status?{code}")
                assert (got.status, got.body, got.code) == (code, str(code).encode(), None)
            assert len(here.replicas[0].seen) == 3
            assert (await here.call("/x")).json()["replica"] == leaves

    run(body())


def test_a_replica_that_answers_what_is_not_http_is_put_out(run: Run) -> None:
    """It would be the least busy one, and draw all calls."""

    async def body() -> None:
        async with site(Replica("a"), Replica("b")) as here:
            here.backends[1].started = 1000
            for _ in range(3):
                got = await here.call("/bad")
                assert (got.status, got.code, got.one("X-Model-Service-Replica")) == (502, "bad_answer", None)
            assert [len(replica.seen) for replica in here.replicas] == [3, 0]
            assert (await here.call("/x")).json()["replica"] == "b"
            assert here.meter.retries == []

    run(body())


def test_one_good_answer_forgives_the_bad_ones_before_it(run: Run) -> None:
    async def body() -> None:
        async with site(Replica("a"), Replica("b")) as here:
            here.backends[1].started = 1000
            for code in (503, 503, 200, 503, 503):
                await here.call(f"/status?{code}")
            assert (await here.call("/x")).json()["replica"] == "a"

    run(body())


async def begins_late(replica: Replica, seen: Seen, writer: asyncio.StreamWriter) -> bool:
    """A stream that begins once ``release`` is set, and goes on."""
    await replica.release.wait()
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nmore\r\n")
    await seen.reader.read(1)
    return False


def test_a_replica_whose_ejection_is_over_gets_one_call_until_that_is_answered(run: Run) -> None:
    """The others go where they are served well; with the first byte of that call's answer it is as good as any, also
    for who waits. Not with its end: that may be hours away."""

    async def body() -> None:
        never = FrontSettings(tick=1000.0)
        late = Replica("a", {"/late": begins_late})
        async with site(late, Replica("b"), serving=Serving(concurrency=3), settings=never) as here:
            back, other = here.backends
            back.ejected_until, back.failures = monotonic() - 1.0, 3
            trial = await here.send(here.request("/late"))
            await until(lambda: here.replicas[0].seen)
            wires = [await here.send(here.request("/hang")) for _ in range(3)]
            await until(lambda: len(here.replicas[1].seen) == 3)
            assert (back.in_flight, other.in_flight) == (1, 3)
            waiting = await here.send(here.request("/x"))
            await until(lambda: here.endpoint.waiting == 1)
            here.replicas[0].release.set()
            assert (await trial.head()).status == 200
            assert (await waiting.answer()).json()["replica"] == "a"
            assert (back.in_flight, back.ejected_until, back.trial, back.failures) == (1, 0.0, None, 0)
            here.replicas[1].release.set()
            for wire in wires:
                assert (await wire.answer()).status == 200

    run(body())


@pytest.mark.parametrize("how", ["503", "left"])
def test_a_trial_that_fails_puts_it_out_again_and_one_without_an_outcome_is_made_anew(run: Run, how: str) -> None:
    async def body() -> None:
        async with site(Replica("a"), Replica("b")) as here:
            back, other = here.backends
            back.ejected_until, other.started = monotonic() - 1.0, 1000
            if how == "left":
                wire = await here.send(here.request("/hang"))
                await until(lambda: here.replicas[0].seen)
                wire.close()
                await until(lambda: back.in_flight == 0)
                assert (back.trial, back.ejected_until < monotonic()) == (None, True)
                assert (await here.call("/x")).json()["replica"] == "a"
            else:
                assert (await here.call("/status?503")).status == 503
                assert (back.trial, back.ejected_until > monotonic() + 5) == (None, True)
                assert (await here.call("/x")).json()["replica"] == "b"

    run(body())


def test_the_web_part_is_gone(run: Run) -> None:
    async def body() -> None:
        async with site() as here:
            here.front.web._socket_path = "/nowhere.sock"
            got = await (await here.send("GET /api HTTP/1.1\r\nHost: h\r\n\r\n")).answer()
            assert (got.status, got.code) == (503, "web_unavailable")

    run(body())


def test_what_the_control_api_is_asked_to_do_is_done_once(run: Run) -> None:
    """Its connection was kept alive, and ends under the request: a service would be created twice."""

    async def body() -> None:
        async with site() as here:
            wire = await here.send("GET /api HTTP/1.1\r\nHost: h\r\n\r\n")
            assert (await wire.answer()).status == 200
            await wire.send("POST /drop HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx")
            got = await wire.answer()
            assert (got.status, got.code) == (503, "web_unavailable")
            assert here.web.paths() == ["/api", "/drop"]

    run(body())
