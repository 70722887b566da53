"""Calls that have something in common go to the same replica: by a header, a cookie, or the beginning of a prompt."""

from __future__ import annotations

import asyncio
import gc
import json
import re
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import pytest

from jupyter_model_service.core import affinity
from jupyter_model_service.core.affinity import Affinity
from jupyter_model_service.core.definition import Serving
from jupyter_model_service.core.routing import Backend
from jupyter_model_service.front.home import Home
from jupyter_model_service.front.server import FrontSettings

from .site import FORWARDER, Answer, Site, site, until, within
from .sleeper import Sleeper
from .test_named import named
from .upstreams import Replica

Run = Callable[[Any], Any]

SESSION = Serving(affinity=Affinity("header", "X-Session"))
STICKY = Serving(affinity=Affinity("cookie"))
PREFIX = Serving(affinity=Affinity("prefix", None, 200, 1.25))
PATIENT = FrontSettings(prompt_time=1000.0)
THREE = ("a", "b", "c")


def replicas(names: tuple[str, ...] = THREE) -> list[Replica]:
    return [Replica(name) for name in names]


async def served_by(here: Site, *headers: str, **options: Any) -> str:
    got = await here.call("/x", *headers, **options)
    assert got.status == 200
    name: str = got.json()["replica"]
    return name


def chat(*texts: str) -> bytes:
    roles = ("user", "assistant")
    messages = [{"role": roles[n % 2], "content": text} for n, text in enumerate(texts)]
    return json.dumps({"model": "m", "messages": messages}).encode()


def test_a_session_stays_on_its_replica(run: Run) -> None:
    """Each of twelve has one; all three replicas have some. Calls that say nothing go where there is least to do."""

    async def body() -> None:
        async with site(*replicas(), serving=SESSION) as here:
            homes = {}
            for session in range(12):
                names = {await served_by(here, f"X-Session: {session}") for _ in range(3)}
                assert len(names) == 1
                homes[session] = names.pop()
            assert set(homes.values()) == set(THREE)
            assert not (await here.call("/x", "X-Session: 1")).all("set-cookie")
            started = [backend.started for backend in here.backends]
            most = max(started)
            for _ in range(3 * most - sum(started)):
                await served_by(here)
            assert [backend.started for backend in here.backends] == [most] * 3

    run(body())


def cookie_of(got: Answer) -> str:
    """What the answer sets, without its attributes; empty: nothing."""
    (line,) = got.all("set-cookie") or [""]
    return line.partition(";")[0]


def test_who_brings_no_cookie_gets_one_and_comes_back_to_her_replica(run: Run) -> None:
    """The model does not see it. Once there, it is not set again; a page that is reached by HTTPS, below a path of its
    own, has one that says so."""

    async def body() -> None:
        async with site(*replicas(), serving=STICKY) as here:
            for _ in range(3):
                first = await here.call("/x", "Cookie: theirs=1")
                name, _, value = cookie_of(first).partition("=")
                assert first.all("set-cookie") == [
                    f"model-service-replica={value}; Path=/endpoints/o/n/; HttpOnly; SameSite=Lax"
                ]
                assert re.fullmatch("[0-9a-f]{16}", value)
                for _ in range(3):
                    got = await here.call("/x", f"Cookie: {name}={value}; theirs=1")
                    assert got.json()["replica"] == first.json()["replica"]
                    assert not got.all("set-cookie")
            assert {seen.one("Cookie") for replica in here.replicas for seen in replica.seen} == {"theirs=1"}
            behind = ("X-Forwarded-Proto: https", "X-Forwarded-Prefix: /user/ann/")
            (line,) = (await here.call("/x", *behind, token=FORWARDER)).all("set-cookie")
            assert line.endswith("; Path=/user/ann/endpoints/o/n/; HttpOnly; SameSite=Lax; Secure")
            (line,) = (await here.call("/x", *behind)).all("set-cookie")
            assert line.endswith("; Path=/endpoints/o/n/; HttpOnly; SameSite=Lax"), "not believed of anybody"

    run(body())


def test_a_cookie_changes_only_when_its_replica_has_left(run: Run) -> None:
    """Not when that one is out for a while; nor because there are more."""

    async def body() -> None:
        async with site(*replicas(), serving=STICKY) as here:
            first = await here.call("/x")
            cookie, home = f"Cookie: {cookie_of(first)}", first.json()["replica"]
            backend = next(each for each in here.backends if each.replica == home)
            backend.suspect = True
            got = await here.call("/x", cookie)
            assert (got.json()["replica"] != home, cookie_of(got)) == (True, "")
            backend.suspect = False
            for number in range(50):
                here.backends.append(Backend(f"new-{number}", 1, "127.0.0.1", 9))
            assert (await here.call("/x", cookie)).json()["replica"] == home
            del here.backends[3:]
            backend.serving = False
            moved = await here.call("/x", cookie)
            assert moved.json()["replica"] != home
            assert cookie_of(moved) not in ("", cookie_of(first))
            got = await here.call("/x", f"Cookie: {cookie_of(moved)}")
            assert (got.json()["replica"], cookie_of(got)) == (moved.json()["replica"], "")

    run(body())


@pytest.mark.parametrize("prefers", [(), ("Prefer: wait=9",)])
def test_a_cookie_is_that_of_the_replica_that_answered(run: Run, prefers: tuple[str, ...]) -> None:
    """Not of the one that failed the call first."""

    async def body() -> None:
        async with site(*replicas(), serving=STICKY) as here:
            here.replicas[0].kill()
            got = await here.call("/x", *prefers)
            assert here.meter.retries == ["connect"]
            assert bool(got.all("preference-applied")) is bool(prefers)
            cookie = cookie_of(got)
            assert cookie
            again = await here.call("/x", f"Cookie: {cookie}")
            assert (again.json()["replica"], cookie_of(again)) == (got.json()["replica"], "")

    run(body())


@pytest.mark.parametrize("value", ["x", "", "a" * 4000, "%00", '"', "0123456789abcdef"])
def test_a_cookie_that_is_none_of_ours_is_replaced(run: Run, value: str) -> None:
    async def body() -> None:
        async with site(*replicas(), serving=STICKY) as here:
            got = await here.call("/x", f"Cookie: model-service-replica={value}")
            assert got.status == 200
            assert cookie_of(got)

    run(body())


def test_no_cookie_is_set_at_an_address_that_others_have_too(run: Run) -> None:
    """A Hub's, and that of all services."""

    async def body() -> None:
        async with site(*replicas(), serving=STICKY, settings=FrontSettings(own_cookie=False)) as here:
            assert not (await here.call("/x")).all("set-cookie")
        async with site(*replicas(), serving=STICKY) as here:
            got = await (await here.send(named("v1/completions", body=b'{"model": "o/n"}'))).answer()
            assert (got.status, got.all("set-cookie")) == (200, [])

    run(body())


def test_when_replicas_come_and_go_only_their_own_sessions_move(run: Run) -> None:
    """As an autoscaled service has it: one leaves, one comes."""

    async def body() -> None:
        async with site(*replicas(("a", "b", "c", "d")), serving=SESSION) as here:
            fourth = here.backends.pop()
            sessions = [f"X-Session: {number}" for number in range(16)]
            homes = [await served_by(here, session) for session in sessions]
            here.backends[0].serving = False
            without_a = [await served_by(here, session) for session in sessions]
            assert all(now == home for now, home in zip(without_a, homes, strict=True) if home != "a")
            assert "a" not in without_a
            here.backends[0].serving = True
            here.backends.append(fourth)
            with_d = [await served_by(here, session) for session in sessions]
            assert all(now in (home, "d") for now, home in zip(with_d, homes, strict=True))
            assert "d" in with_d

    run(body())


def test_a_session_is_not_bounded_by_the_others(run: Run) -> None:
    """Six calls at once, as a browser makes them, go to its one replica though the others are idle; only a cap sends
    the seventh elsewhere."""

    async def body() -> None:
        serving = Serving(affinity=Affinity("header", "X-Session"), concurrency=6)
        async with site(*replicas(), serving=serving) as here:
            home = await served_by(here, "X-Session: s")
            wires = [await here.send(here.request("/hang", "X-Session: s")) for _ in range(6)]
            await until(lambda: sum(backend.in_flight for backend in here.backends) == 6)
            assert {backend.replica: backend.in_flight for backend in here.backends if backend.in_flight} == {home: 6}
            assert await served_by(here, "X-Session: s") != home
            for replica in here.replicas:
                replica.release.set()
            for wire in wires:
                assert (await wire.answer()).status == 200

    run(body())


def test_a_call_whose_replica_dies_goes_to_the_next_one_and_so_do_those_after_it(run: Run) -> None:
    async def body() -> None:
        async with site(*replicas(), serving=SESSION) as here:
            home = await served_by(here, "X-Session: s")
            next(replica for replica in here.replicas if replica.name == home).kill()
            others = {await served_by(here, "X-Session: s", method="POST", body=b"b") for _ in range(3)}
            assert len(others) == 1
            assert home not in others
            assert here.meter.retries

    run(body())


def test_who_failed_a_call_is_not_asked_again_even_where_it_may_not_be_ejected(run: Run) -> None:
    """As one of three is out already."""

    async def body() -> None:
        async with site(*replicas(), serving=SESSION) as here:
            home = await served_by(here, "X-Session: s")
            out, rest = (each for each in here.backends if each.replica != home)
            out.ejected_until = asyncio.get_running_loop().time() + 1000
            next(replica for replica in here.replicas if replica.name == home).kill()
            assert await served_by(here, "X-Session: s") == rest.replica
            assert here.meter.retries == ["connect"]
            assert [each.ejected_until for each in here.backends if each.replica == home] == [0.0]

    run(body())


def test_a_conversation_stays_where_its_beginning_is_cached(run: Run) -> None:
    """Each later turn has the same beginning; another conversation has a replica of its own."""

    async def body() -> None:
        async with site(*replicas(), serving=PREFIX, settings=PATIENT) as here:
            homes = []
            for number in range(12):
                first = f"Question {number}?"
                turns = [chat(first), chat(first, "Answer.", "More?"), chat(first, "Answer.", "More?", "Yes.", "So?")]
                names = {await served_by(here, method="POST", body=turn) for turn in turns}
                assert len(names) == 1
                homes.append(names.pop())
            assert set(homes) == set(THREE)

    run(body())


def test_one_beginning_does_not_fill_one_replica(run: Run) -> None:
    """Twelve calls at once with the same beginning on three replicas: five at most, 1.25 times the mean, on any."""

    async def body() -> None:
        async with site(*replicas(), serving=PREFIX, settings=PATIENT) as here:
            wires = [await here.send(here.request("/hang", method="POST", body=chat("Same."))) for _ in range(12)]
            await until(lambda: sum(len(replica.seen) for replica in here.replicas) == 12)
            assert sorted(backend.in_flight for backend in here.backends)[-1] == 5
            for replica in here.replicas:
                replica.release.set()
            for wire in wires:
                assert (await wire.answer()).status == 200

    run(body())


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_in_pieces_is_waited_for_until_its_beginning_is_known(run: Run, chunked: bool) -> None:
    """No longer: the rest of it streams. Byte by byte, the beginning is the same as in one piece."""

    async def body() -> None:
        async with site(*replicas(), serving=PREFIX, settings=PATIENT) as here:
            text = chat("A question of some length?", "x" * 5000)
            home = await served_by(here, method="POST", body=text)
            for replica in here.replicas:
                replica.seen.clear()
            framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(text)}"
            head = here.request("/x", framing, token="jms_good")
            wire = await here.send(head.replace(b"GET ", b"POST ", 1))
            cut = text.index(b'"}') + 2
            for at in range(cut):
                if at == cut - 1:
                    await until(lambda: next(iter(here.front.calls)).body.size == cut - 1)
                    assert not any(replica.seen for replica in here.replicas)
                    assert not any(backend.in_flight for backend in here.backends)
                await wire.send(b"1\r\n%c\r\n" % text[at] if chunked else text[at : at + 1])
                await asyncio.sleep(0)
            await wire.send(b"1\r\n,\r\n" if chunked else b",")
            for at in range(cut + 1, len(text)):
                if any(replica.seen for replica in here.replicas):
                    break
                await wire.send(b"1\r\n%c\r\n" % text[at] if chunked else text[at : at + 1])
                await asyncio.sleep(0.001)
            assert [replica.name for replica in here.replicas if replica.seen] == [home]
            assert at < len(text) - 1
            rest = text[at:]
            await wire.send(b"%x\r\n%b\r\n0\r\n\r\n" % (len(rest), rest) if chunked else rest)
            assert (await wire.answer()).json()["body"] == text.decode()

    run(body())


def test_who_waits_for_100_continue_gets_it_before(run: Run) -> None:
    """And once: its replica is not asked."""

    async def body() -> None:
        async with site(*replicas(), serving=PREFIX, settings=PATIENT) as here:
            text = chat("Hello?")
            home = await served_by(here, method="POST", body=text)
            wire = await here.send(here.request("/x", "Expect: 100-continue", method="POST", body=text)[: -len(text)])
            assert (await wire.head()).status == 100
            assert not any(backend.in_flight for backend in here.backends)
            await wire.send(text)
            head = await wire.head()
            await wire.body(head)
            assert (head.status, head.json()["replica"], head.json()["body"]) == (200, home, text.decode())

    run(body())


def test_a_beginning_that_does_not_come_is_not_waited_for_long(run: Run) -> None:
    """The call then goes to any replica, and streams."""

    async def body() -> None:
        settings = FrontSettings(prompt_time=0.05)
        async with site(*replicas(), serving=PREFIX, settings=settings) as here:
            text = chat("Hello?")
            wire = await here.send(here.request("/x", method="POST", body=text)[:-5])
            await until(lambda: any(replica.seen for replica in here.replicas))
            await wire.send(text[-5:])
            assert (await wire.answer()).json()["body"] == text.decode()

    run(body())


def test_a_beginning_that_came_in_time_is_told_once(run: Run) -> None:
    """When the time for it is over, nothing happens to its call any more. Nothing of it is left to a collector of
    garbage."""

    async def body() -> None:
        async with site(*replicas(), serving=PREFIX, settings=FrontSettings(prompt_time=0.1)) as here:
            text = chat("Hello?")
            gc.collect()
            gc.disable()
            try:
                began = asyncio.get_running_loop().time()
                wire = await here.send(here.request("/hang", method="POST", body=text)[:-5])
                await until(lambda: here.front.calls)
                await wire.send(text[-5:])
                await until(lambda: sum(backend.started for backend in here.backends))
                await until(lambda: asyncio.get_running_loop().time() > began + 0.2)
                assert sum(backend.started for backend in here.backends) == 1
                for replica in here.replicas:
                    replica.release.set()
                assert (await wire.answer()).status == 200
                await here.still()
                assert not [each for each in gc.get_objects() if isinstance(each, Home)]
            finally:
                gc.enable()

    run(body())


def test_no_more_than_a_bufferful_is_waited_for(run: Run) -> None:
    """64 KiB that hold no whole beginning must do, and give the same replica each time, however they come."""

    async def body() -> None:
        serving = Serving(affinity=Affinity("prefix", None, 16_384, 1.25))
        async with site(*replicas(), serving=serving, settings=PATIENT) as here:
            text = json.dumps({"user": "u" * 65_600, "prompt": "never seen", "rest": "r" * 9000}).encode()
            home = affinity.pick(serving.affinity, affinity.digest(text[:16_384]), here.backends, 0.0, None)
            other = affinity.pick(serving.affinity, affinity.digest(b"never seen"), here.backends, 0.0, None)
            assert home is not other
            homes = set()
            for size in (66_000, 65_536, 69_000):
                wire = await here.send(here.request("/x", method="POST", body=text)[: -len(text)])
                await wire.send(text[:40_000])
                await until(lambda: [call.body.size for call in here.front.calls] == [40_000])
                await wire.send(text[40_000:size])
                await until(lambda: any(backend.in_flight for backend in here.backends))
                await wire.send(text[size:])
                got = await wire.answer()
                homes.add(got.json()["replica"])
            assert homes == {home.replica}

    run(body())


def test_a_caller_who_leaves_before_its_prompt_begins_leaves_nothing(run: Run) -> None:
    async def body() -> None:
        async with site(*replicas(), serving=PREFIX, settings=PATIENT) as here:
            wire = await here.send(here.request("/x", method="POST", body=chat("Hello?"))[:-5])
            await until(lambda: here.front.calls)
            (call,) = here.front.calls
            home = call.turn.home
            assert home._timer is not None
            wire.close()
            await until(lambda: not here.front.calls)
            assert home._timer is None
            assert not any(replica.seen for replica in here.replicas)
            assert here.meter.statuses() == [499]

    run(body())


def test_a_bad_body_is_refused_before_any_replica_hears_of_it(run: Run) -> None:
    async def body() -> None:
        async with site(*replicas(), serving=PREFIX, settings=PATIENT) as here:
            head = here.request("/x", "Transfer-Encoding: chunked").replace(b"GET ", b"POST ", 1)
            got = await (await here.send(head + b"3\r\nabc\r\nzz\r\n")).answer()
            assert (got.status, got.code) == (400, "bad_request")
            assert not any(replica.seen for replica in here.replicas)

    run(body())


def test_calls_that_had_to_wait_for_a_start_find_their_replica(run: Run) -> None:
    """By header at once, by prompt from a body that came meanwhile; all that are ready are there at the same moment."""

    async def body() -> None:
        for serving in (SESSION, PREFIX):
            async with site(*replicas(), serving=serving, settings=FrontSettings(tick=1000.0)) as here:
                calls = [
                    here.request("/x", f"X-Session: {number}", method="POST", body=chat(f"Question {number}?"))
                    for number in range(12)
                ]
                homes = [(await (await here.send(call)).answer()).json()["replica"] for call in calls]
                assert set(homes) == set(THREE)
                here.backends[0].in_flight += 4  # so that no bound sends one elsewhere
                here.backends[1].in_flight += 4
                here.backends[2].in_flight += 4
                sleeper = Sleeper(here)
                wires = [await here.send(call) for call in calls]
                await sleeper.waiting(12)
                here.backends.extend(sleeper.backends[:2])
                del sleeper.backends[:2]
                sleeper.ready()
                assert [(await wire.answer()).json()["replica"] for wire in wires] == homes
                for backend in here.backends:
                    backend.in_flight -= 4

    run(body())


# --- with all else ----------------------------------------------------------------------------------------------


def test_at_v1_a_conversation_is_where_it_is_at_the_services_own_address(run: Run) -> None:
    """Its body has been read for the model's name already, in whatever pieces it came."""

    async def body() -> None:
        async with site(*replicas(), serving=PREFIX, settings=PATIENT) as here:
            homes = set()
            for number in range(12):
                text = chat(f"Question {number}?").replace(b'"m"', b'"o/n"')
                home = await served_by(here, method="POST", body=text)
                got = await (await here.send(named(body=text))).answer()
                assert (got.status, got.json()["replica"], got.json()["body"]) == (200, home, text.decode())
                request = named("v1/chat/completions", "Expect: 100-continue", body=text)
                wire = await here.send(request[: -len(text)])
                assert (await wire.head()).status == 100
                for at in range(len(text)):
                    await wire.send(text[at : at + 1])
                    await asyncio.sleep(0)
                head = await wire.head()
                await wire.body(head)
                assert (head.status, head.json()["replica"], head.json()["body"]) == (200, home, text.decode())
                homes.add(home)
            assert homes == set(THREE)

    run(body())


def test_who_has_to_wait_anyway_is_not_asked_for_a_body_first(run: Run) -> None:
    """Where the queue is full, too, the refusal comes before the body. One whose body came while it waited goes to its
    replica, not to the one that became free first in the list."""

    async def body() -> None:
        serving = Serving(affinity=PREFIX.affinity, concurrency=1, queue=1)
        async with site(*replicas(), serving=serving, settings=PATIENT) as here:
            text = chat("Hello?")
            home = await served_by(here, method="POST", body=text)
            busy = [await here.send(here.request("/hang")) for _ in THREE]
            await until(lambda: sum(backend.in_flight for backend in here.backends) == 3)
            waits = await here.send(here.request("/x", method="POST", body=text)[:-5])
            await until(lambda: here.endpoint.waiting == 1)
            assert here.endpoint.wake is not None
            here.endpoint.wake()
            await waits.send(text[-5:])
            await until(lambda: len(text) in {call.body.size for call in here.front.calls})
            request = here.request("/x", "Expect: 100-continue", method="POST", body=text)
            refused = await (await here.send(request[: -len(text)])).head()
            assert refused.status == 503
            for backend in here.backends:  # all three are free in one moment
                backend.in_flight -= 1
            here.endpoint.wake()
            assert (await waits.answer()).json()["replica"] == home
            for backend in here.backends:
                backend.in_flight += 1
            for replica in here.replicas:
                replica.release.set()
            for wire in busy:
                assert (await wire.answer()).status == 200

    run(body())


@pytest.mark.parametrize("serving", [PREFIX, STICKY])
def test_an_upgrade_has_no_prompt_and_keeps_to_its_cookie(run: Run, serving: Serving) -> None:
    """Bytes that come early are none of a body. A cookie may come with the 101, and counts for the next one."""

    async def body() -> None:
        async with site(*replicas(), serving=serving, settings=PATIENT) as here:
            cookies, homes = [], []
            for _ in range(3):
                shout = ("Connection: Upgrade", "Upgrade: shout", *(f"Cookie: {cookie}" for cookie in cookies[:1]))
                wire = await here.send(here.request("/tunnel", *shout) + b"early ")
                got = await wire.head()
                assert got.status == 101
                assert await within(wire.reader.readexactly(12)) == b"hello EARLY "
                homes.append(got.one("x-model-service-replica"))
                cookies += filter(None, [cookie_of(got)])
            assert len(cookies) == (1 if serving is STICKY else 0)
            assert len(set(homes)) == (1 if serving is STICKY else 3)

    run(body())


def test_who_waited_before_a_prompt_was_known_goes_before_it(run: Run) -> None:
    async def body() -> None:
        serving = Serving(affinity=PREFIX.affinity, concurrency=1)
        async with site(Replica("a"), serving=serving, settings=FrontSettings(prompt_time=1000.0, tick=1000.0)) as here:
            text = chat("Hello?")
            late = await here.send(here.request("/late", method="POST", body=text)[:-5])
            await until(lambda: [call.body.size for call in here.front.calls] == [len(text) - 5])
            busy = await here.send(here.request("/hang"))
            await until(lambda: here.backends[0].in_flight == 1)
            waits = await here.send(here.request("/waits"))
            await until(lambda: here.endpoint.waiting == 1)
            here.backends[0].in_flight -= 1  # free, and nobody was told
            await late.send(text[-5:])
            assert (await waits.answer()).status == (await late.answer()).status == 200
            here.backends[0].in_flight += 1
            here.replicas[0].release.set()
            assert (await busy.answer()).status == 200
            assert here.replicas[0].paths() == ["/hang", "/waits", "/late"]

    run(body())


def test_a_service_at_zero_is_woken_before_the_body_came(run: Run) -> None:
    """Half of it is there when a replica is: that must do."""

    async def body() -> None:
        async with site(*replicas(), serving=PREFIX, settings=PATIENT) as here:
            sleeper = Sleeper(here)
            text = chat("Hello?")
            wire = await here.send(here.request("/x", method="POST", body=text)[:-5])
            await sleeper.waiting(1)
            assert sleeper.called == 1
            sleeper.ready()
            await until(lambda: sum(backend.in_flight for backend in here.backends) == 1)
            await wire.send(text[-5:])
            assert (await wire.answer()).json()["body"] == text.decode()

    run(body())


def test_a_service_that_is_removed_while_a_prompt_is_waited_for(run: Run) -> None:
    async def body() -> None:
        async with site(*replicas(), serving=PREFIX, settings=PATIENT) as here:
            text = chat("Hello?")
            wire = await here.send(here.request("/x", method="POST", body=text)[:-5])
            await until(lambda: [call.body.size for call in here.front.calls] == [len(text) - 5])
            here.routing.remove("o", "n")
            await wire.send(text[-5:])
            assert (await wire.answer()).code == "not_found"
            assert not any(replica.seen for replica in here.replicas)

    run(body())


@pytest.mark.parametrize("size", [100, 200_000])
def test_a_call_whose_beginning_was_waited_for_can_be_sent_again_with_all_of_its_body(run: Run, size: int) -> None:
    async def body() -> None:
        async with site(*replicas(), serving=PREFIX, settings=PATIENT) as here:
            text = chat("Hello?" + "x" * size)
            home = await served_by(here, method="POST", body=text)
            next(replica for replica in here.replicas if replica.name == home).kill()
            got = await here.call("/x", method="POST", body=text)
            assert (got.status, got.json()["replica"] != home) == (200, True)
            assert got.json()["body"] == (text.decode() if size < 10_000 else sha256(text).hexdigest())

    run(body())


def test_a_replica_that_is_half_open_is_tried_by_one_call_of_its_own(run: Run) -> None:
    """The others go to the next one until that is answered; then they come back."""

    async def body() -> None:
        async with site(*replicas(), serving=SESSION) as here:
            home = await served_by(here, "X-Session: s")
            backend = next(each for each in here.backends if each.replica == home)
            backend.failures, backend.ejected_until = 3, asyncio.get_running_loop().time() + 1000
            assert await served_by(here, "X-Session: s") != home
            backend.ejected_until = asyncio.get_running_loop().time() - 1
            trial = await here.send(here.request("/hang", "X-Session: s"))
            await until(lambda: backend.in_flight == 1)
            assert await served_by(here, "X-Session: s") != home
            next(replica for replica in here.replicas if replica.name == home).release.set()
            assert (await trial.answer()).status == 200
            assert backend.ejected_until == 0.0
            assert await served_by(here, "X-Session: s") == home

    run(body())


def test_a_replica_that_drains_gets_no_call_of_its_sessions(run: Run) -> None:
    """The open one goes on there."""

    async def body() -> None:
        async with site(*replicas(), serving=SESSION) as here:
            home = await served_by(here, "X-Session: s")
            open_one = await here.send(here.request("/hang", "X-Session: s"))
            await until(lambda: any(backend.in_flight for backend in here.backends))
            next(each for each in here.backends if each.replica == home).serving = False
            assert await served_by(here, "X-Session: s") != home
            next(replica for replica in here.replicas if replica.name == home).release.set()
            assert (await open_one.answer()).status == 200

    run(body())
