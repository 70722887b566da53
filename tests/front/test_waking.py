"""A service at zero: a call wakes it and is answered when the replica is there, within bounds; looks do not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from jupyter_model_service.core.admission import LOOKS
from jupyter_model_service.core.definition import Serving
from jupyter_model_service.front.server import FrontSettings

from .site import OWNER, Answer, site, until
from .sleeper import Sleeper
from .upstreams import Replica, Seen

Run = Callable[[Any], Any]


def refused(got: Answer) -> tuple[int, str | None, str | None]:
    return got.status, got.code, got.one("Retry-After")


NEVER = FrontSettings(tick=1000.0)


def test_a_call_wakes_the_service_at_once_and_is_answered_when_the_replica_is_ready(run: Run) -> None:
    """Without a tick on either side; the ones that follow wait with it and wake nothing."""

    async def body() -> None:
        async with site(Replica(), settings=NEVER) as here:
            sleeper = Sleeper(here)
            first = await here.send(here.request("/a", method="POST", body=b"b" * 300_000))
            await sleeper.waiting(1)
            assert (sleeper.called, here.endpoint.traffic.arrived) == (1, 1)
            second = await here.send(here.request("/b"))
            await sleeper.waiting(2)
            sleeper.ready()
            assert here.endpoint.waiting == 0
            assert (await first.answer()).json()["target"] == "/a"
            assert (await second.answer()).status == 200
            assert sleeper.called == 1
            assert here.meter.refusals == []

    run(body())


def test_a_cold_caller_is_held_for_cold_hold_and_not_for_the_limit_of_the_queue(run: Run) -> None:
    async def body() -> None:
        async with site(Replica(), serving=Serving(queue_timeout=0.1)) as here:
            sleeper = Sleeper(here, start_seconds=40.0)
            here.endpoint.cold_hold = 0.6
            wires = [await here.send(here.request(f"/{n}")) for n in range(2)]
            await sleeper.waiting(2)
            await asyncio.sleep(0.35)  # three ticks beyond queue_timeout
            assert here.endpoint.waiting == 2
            assert [refused(await wire.answer()) for wire in wires] == [(503, "queue_timeout", "40")] * 2

    run(body())


def test_who_comes_while_something_else_woke_it_is_held_by_the_same_rules(run: Run) -> None:
    """A schedule, a rule, its owner: for ``cold_hold``, so many, and told what is left of the start since it began."""

    async def body() -> None:
        async with site(Replica(), serving=Serving(queue_timeout=0.1, concurrency=1)) as here:
            sleeper = Sleeper(here, start_seconds=40.0)
            sleeper.woken(seconds_ago=25.0)
            wires = [await here.send(here.request(f"/{n}")) for n in range(10)]
            await sleeper.waiting(10)
            status, code, seconds = refused(await here.call("/more"))
            assert (status, code, sleeper.called) == (503, "queue_full", 0)
            assert 1 <= int(seconds or "") <= 15, "40 s less the 25 s that had passed, rounded up"
            await asyncio.sleep(0.35)  # three ticks beyond queue_timeout
            assert here.endpoint.waiting == 10
            sleeper.ready()
            assert [(await wire.answer()).status for wire in wires] == [200] * 10

    run(body())


def test_when_the_start_fails_and_another_follows_callers_wait_for_it_like_anybody(run: Run) -> None:
    """``queue_timeout`` from the moment on in which each came; a service with a minimum tries again by itself."""

    async def body() -> None:
        async with site(Replica(), serving=Serving(queue_timeout=0.3)) as here:
            sleeper = Sleeper(here)
            sleeper.woken()
            wire = await here.send(here.request("/x"))
            await sleeper.waiting(1)
            await asyncio.sleep(0.5)
            assert here.endpoint.waiting == 1
            here.endpoint.woken_at = None
            assert (await wire.answer()).code == "queue_timeout"

    run(body())


@pytest.mark.parametrize(
    ("concurrency", "queue", "held"), [(1, 100, 10), (None, 100, 100), (None, 1000, 100), (4, 7, 7)]
)
def test_so_many_callers_may_wait_for_a_start(run: Run, concurrency: int | None, queue: int, held: int) -> None:
    """Ten times what the replica takes at once, at most 100, and no more than the queue; the next ones are told when
    it will be ready, as past starts say."""

    async def body() -> None:
        async with site(Replica(), serving=Serving(concurrency=concurrency, queue=queue), settings=NEVER) as here:
            sleeper = Sleeper(here, start_seconds=33.5)
            wire = await here.send(b"".join([here.request("/x")]))
            wires = [wire, *[await here.send(here.request(f"/{n}")) for n in range(held - 1)]]
            await sleeper.waiting(held)
            status, code, seconds = refused(await here.call("/more"))
            assert (status, code) == (503, "queue_full")
            assert 20 <= int(seconds) <= 34, "33.5 s less the time that has passed, rounded up"
            here.endpoint.start_seconds = None
            assert refused(await here.call("/more")) == (503, "queue_full", "5")
            here.endpoint.start_seconds = 0.01  # it takes longer this time
            assert refused(await here.call("/more")) == (503, "queue_full", "1")
            sleeper.ready()
            assert {(await wire.answer()).status for wire in wires} == {200}

    run(body())


def test_no_caller_keeps_all_places_from_the_others(run: Run) -> None:
    """Ten connections of one address, most with a heartbeat, take all ten. Another caller gets one of them, up to as
    many as the first one keeps; who has as many as anybody is told that it is full."""

    async def body() -> None:
        settings = FrontSettings(tick=0.05, trusted_proxies=("127.0.0.1",))
        async with site(Replica(), serving=Serving(concurrency=1), public=True, settings=settings) as here:
            sleeper = Sleeper(here, start_seconds=30.0)
            greedy = [await here.send(here.request(f"/{n}", token=None)) for n in range(10)]
            await sleeper.waiting(10)
            assert refused(await here.call("/more", token=None))[:2] == (503, "queue_full")
            others = [await here.send(here.request("/o", "X-Forwarded-For: 1.1.1.1, 2.2.2.2", token=None))]
            assert refused(await greedy.pop().answer())[:2] == (503, "queue_full"), "the last that came"
            for _ in range(4):
                others.append(await here.send(here.request("/o", "X-Forwarded-For: 3.3.3.3, 2.2.2.2", token=None)))
                assert refused(await greedy.pop().answer())[:2] == (503, "queue_full")
            got = await here.call("/o", "X-Forwarded-For: 2.2.2.2", token=None)
            assert (got.status, got.code) == (503, "queue_full"), "five each"
            third = await here.send(here.request("/t", "X-Forwarded-For: 4.4.4.4", token=None))
            await until(lambda: here.meter.refusals.count(("o/n", "queue_full")) == 8)
            got = await here.call("/more", token=None)
            assert (got.status, got.code) == (503, "queue_full"), (
                "five, four and one: to take one would turn that round"
            )
            assert here.endpoint.waiting == 10
            sleeper.ready()
            assert (await third.answer()).status == 200
            answers = [(await wire.answer()).status for wire in (*greedy, *others)]
            assert sorted(answers) == [200] * 9 + [503]

    run(body())


def test_callers_of_a_private_service_are_told_apart_by_their_tokens(run: Run) -> None:
    async def body() -> None:
        async with site(Replica(), serving=Serving(concurrency=1), settings=NEVER) as here:
            sleeper = Sleeper(here, start_seconds=30.0)
            greedy = [await here.send(here.request(f"/{n}")) for n in range(10)]
            await sleeper.waiting(10)
            assert refused(await here.call("/more"))[:2] == (503, "queue_full")
            owner = await here.send(here.request("/o", token=OWNER))
            assert refused(await greedy.pop().answer())[:2] == (503, "queue_full")
            sleeper.ready()
            assert (await owner.answer()).status == 200

    run(body())


def test_what_may_wait_for_a_replica_that_was_lost_is_bounded_by_the_queue_alone(run: Run) -> None:
    """Not by the bound of starts from zero, nor for so long, also when the service once was woken."""

    async def body() -> None:
        async with site(Replica(), serving=Serving(concurrency=1, queue=12, queue_timeout=0.2)) as here:
            sleeper = Sleeper(here)
            call = asyncio.ensure_future(here.call("/x"))
            await sleeper.waiting(1)
            sleeper.ready()
            assert (await call).status == 200
            here.backends.clear()
            sleeper.wake()
            wires = [await here.send(here.request(f"/{n}")) for n in range(12)]
            assert [(await wire.answer()).code for wire in wires] == ["queue_timeout"] * 12

    run(body())


@pytest.mark.parametrize(("method", "path"), [("GET", "/health?x=1"), ("HEAD", "/health"), ("GET", "/metrics")])
def test_a_look_neither_wakes_nor_counts(run: Run, method: str, path: str) -> None:
    async def body() -> None:
        async with site(Replica(), settings=NEVER) as here:
            sleeper = Sleeper(here)
            got = await here.call(path, method=method)
            assert refused(got) == (503, "asleep", "30")
            assert (sleeper.called, here.endpoint.waiting) == (0, 0)
            sleeper.ready()
            assert (await here.call(path, method=method)).status == 200
            traffic = here.endpoint.traffic
            assert (traffic.arrived, traffic.finished, traffic.refused, traffic.last_call) == (0, 0, 0, None)
            here.endpoint.health_path = "/hang"
            wire = await here.send(here.request("/hang"))
            await until(lambda: here.replicas[0].paths()[-1] == "/hang")
            assert here.endpoint.in_flight == 0
            wire.close()

    run(body())


def test_looks_that_wait_for_a_busy_replica_are_few_and_count_for_nothing(run: Run) -> None:
    """40 scrapes beside one call would be "40 wait", which brings about replicas."""

    async def body() -> None:
        async with site(Replica(), serving=Serving(concurrency=1), settings=NEVER) as here:
            call = await here.send(here.request("/hang"))
            await until(lambda: here.replicas[0].seen)
            looks = [await here.send(here.request("/metrics")) for _ in range(LOOKS)]
            await until(lambda: here.front.desk(here.endpoint).looks == LOOKS)
            got = await here.call("/metrics")
            assert (got.status, got.code) == (503, "queue_full")
            assert here.endpoint.waiting == 0
            caller = await here.send(here.request("/x"))
            await until(lambda: here.endpoint.waiting == 1)
            here.replicas[0].release.set()
            for wire in (call, *looks, caller):
                assert (await wire.answer()).status == 200
            assert here.endpoint.traffic.arrived == 2

    run(body())


def test_a_look_that_waits_alone_is_let_go_when_the_replica_is_free(run: Run) -> None:
    async def body() -> None:
        async with site(Replica(), serving=Serving(concurrency=1), settings=NEVER) as here:
            call = await here.send(here.request("/hang"))
            await until(lambda: here.replicas[0].seen)
            look = await here.send(here.request("/metrics"))
            await until(lambda: here.front.desk(here.endpoint).looks == 1)
            here.replicas[0].release.set()
            for wire in (call, look):
                assert (await wire.answer()).status == 200

    run(body())


def test_a_look_does_not_wait_for_a_start(run: Run) -> None:
    """That no replica is ready is its answer, and the place is a caller's."""

    async def body() -> None:
        async with site(Replica(), settings=NEVER) as here:
            sleeper = Sleeper(here)
            sleeper.woken()
            got = await here.call("/health")
            assert (got.status, got.code) == (503, "no_replica")
            caller = await here.send(here.request("/x"))
            await sleeper.waiting(1)
            sleeper.ready()
            assert (await caller.answer()).status == 200

    run(body())


def test_who_opens_a_page_at_the_health_path_wakes_it(run: Run) -> None:
    """The probe of ``/`` looks; a browser that opens ``/`` calls, and one that opens ``/health`` looks."""
    browser = "Accept: text/html,application/xhtml+xml,*/*;q=0.8"

    async def body() -> None:
        async with site(Replica(), settings=NEVER) as here:
            sleeper = Sleeper(here)
            assert (await here.call("/health", browser)).code == "asleep"
            assert (await here.call("/metrics", browser)).code == "asleep"
            here.endpoint.health_path = "/"
            assert (await here.call("/", "Accept: */*")).code == "asleep"
            assert sleeper.called == 0
            wire = await here.send(here.request("/", browser))
            await sleeper.waiting(1)
            assert sleeper.called == 1
            sleeper.ready()
            assert (await wire.answer()).status == 200

    run(body())


def test_what_resembles_a_look_is_a_call(run: Run) -> None:
    async def body() -> None:
        async with site(Replica(), settings=NEVER) as here:
            Sleeper(here).ready()
            for path, method in [("/health", "POST"), ("/health/", "GET"), ("/", "GET"), ("/metrics/x", "GET")]:
                assert (await here.call(path, method=method)).status == 200
            assert here.endpoint.traffic.arrived == 4

    run(body())


def test_a_start_that_fails_is_told_at_once_to_those_who_wait(run: Run) -> None:
    """With the reason and when another is tried; so is who comes before that, and a later call wakes again."""

    async def body() -> None:
        async with site(Replica(), settings=NEVER) as here:
            sleeper = Sleeper(here)
            wires = [await here.send(here.request(f"/{n}")) for n in range(3)]
            await sleeper.waiting(3)
            sleeper.failed("Service o/n has no replica: the model's file is missing.", 7.5)
            sleeper.fails = True
            answers = [await wire.answer() for wire in wires] + [await here.call("/y")]
            for got in answers:
                assert refused(got) == (503, "start_failed", "8")
                assert got.json()["error"]["message"].endswith("the model's file is missing.")
            assert here.meter.refusals == [("o/n", "start_failed")] * 4
            assert sleeper.called == 2
            sleeper.fails = False
            last = await here.send(here.request("/z"))
            await sleeper.waiting(1)
            sleeper.ready()
            assert (await last.answer()).status == 200

    run(body())


def test_a_service_that_nothing_can_wake_says_why(run: Run) -> None:
    async def body() -> None:
        async with site(Replica(), settings=NEVER) as here:
            sleeper = Sleeper(here)
            sleeper.fails = True
            got = await here.call("/x")
            assert refused(got) == (503, "no_replica", "5")
            assert "idle" in got.json()["error"]["message"]

    run(body())


async def drops_late(replica: Replica, seen: Seen, writer: asyncio.StreamWriter) -> bool:
    await replica.release.wait()
    return False


def test_a_call_that_lost_its_replica_wakes_a_service_that_fell_asleep_meanwhile(run: Run) -> None:
    """The replica was leaving when it died; the call is sent again, to the one that it has had started."""

    async def body() -> None:
        async with site(Replica("a", {"/x": drops_late}), Replica("b"), settings=NEVER) as here:
            sleeper = Sleeper(here)
            sleeper.ready()
            wire = await here.send(here.request("/x"))
            await until(lambda: here.replicas[0].seen)
            here.backends[0].serving = False
            here.replicas[0].release.set()
            await sleeper.waiting(1)
            assert sleeper.called == 1
            sleeper.ready()
            assert (await wire.answer()).json()["replica"] == "b"
            assert here.endpoint.traffic.arrived == here.endpoint.traffic.finished == 1

    run(body())


def test_a_caller_who_leaves_takes_nothing_with_it(run: Run) -> None:
    """The start goes on: the next caller finds the replica."""

    async def body() -> None:
        async with site(Replica()) as here:
            sleeper = Sleeper(here)
            wire = await here.send(here.request("/x"))
            await sleeper.waiting(1)
            wire.close()
            await sleeper.waiting(0)
            assert here.endpoint.wanted
            assert (here.endpoint.traffic.refused, here.meter.statuses()) == (1, [499])
            sleeper.ready()
            assert (await here.call("/y")).status == 200
            assert here.replicas[0].paths() == ["/y"]

    run(body())


def test_prefer_wait_0_wakes_and_is_answered_at_once(run: Run) -> None:
    """Without a tick; so is who would have to wait for a busy replica."""

    async def body() -> None:
        async with site(Replica(), serving=Serving(concurrency=1), settings=NEVER) as here:
            sleeper = Sleeper(here, start_seconds=20.0)
            got = await here.call("/x", "Prefer: respond-async, wait=0")
            assert refused(got) == (503, "queue_timeout", "20")
            assert got.one("Preference-Applied") == "wait=0"
            assert (sleeper.called, here.endpoint.waiting) == (1, 0)
            sleeper.ready()
            got = await here.call("/z", "Prefer: wait=0")  # no wait, so no wish to keep to
            assert (got.status, got.one("Preference-Applied")) == (200, None)
            wire = await here.send(here.request("/hang"))
            await until(lambda: here.endpoint.in_flight == 1)
            assert refused(await here.call("/x", "Prefer: wait=0")) == (503, "queue_timeout", "1")
            here.replicas[0].release.set()
            assert (await wire.answer()).status == 200

    run(body())


def test_prefer_wait_shortens_the_wait(run: Run) -> None:
    """The answer says that the wish was kept to, also where the wait was worth it. It makes no wait longer."""

    async def body() -> None:
        async with site(Replica()) as here:
            sleeper = Sleeper(here)
            got = await here.call("/x", "Prefer: wait=1")
            assert (got.code, got.one("Preference-Applied")) == ("queue_timeout", "wait=1")
            wire = await here.send(here.request("/y", "Prefer: wait=60"))
            await sleeper.waiting(1)
            here.endpoint.cold_hold = 0.1
            assert (await here.call("/x", "Prefer: wait=60")).code == "queue_timeout"
            sleeper.ready()
            got = await wire.answer()
            assert (got.status, got.one("Preference-Applied")) == (200, "wait=60")
            assert dict(got.json()["headers"])["Prefer"] == "wait=60"

    run(body())


def test_the_counters_follow_each_call(run: Run) -> None:
    async def body() -> None:
        async with site(Replica(), serving=Serving(concurrency=1, queue=0)) as here:
            traffic = here.endpoint.traffic
            assert (await here.call("/x")).status == 200
            assert (await here.call("/status?500")).status == 500
            assert (await here.call("/drop")).status == 502
            wire = await here.send(here.request("/hang"))
            await until(lambda: here.endpoint.in_flight == 1)
            assert (await here.call("/full")).code == "queue_full"
            counted = traffic.arrived, traffic.finished, traffic.failed, traffic.refused
            assert counted == (5, 3, 2, 1)
            loop = asyncio.get_running_loop()
            began, before = loop.time(), traffic.busy_seconds
            await asyncio.sleep(0.1)
            here.replicas[0].release.set()
            await wire.answer()
            assert 0.1 <= traffic.busy_seconds - before <= loop.time() - began + 1.0
            assert traffic.in_flight_seconds(loop.time()) == pytest.approx(traffic.busy_seconds, abs=0.001)
            assert (sum(traffic.whole), sum(traffic.first)) == (4, 3)
            assert (await here.call("/x", token="jms_other")).status == 404
            assert (await here.call("/x", token=None)).status == 401
            assert traffic.arrived == 5
            assert traffic.last_call is not None
            assert traffic.last_call >= began

    run(body())
