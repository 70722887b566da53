"""Calls that go on when their callers may not call any more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from jupyter_model_service.core.access import Caller
from jupyter_model_service.core.definition import Serving
from jupyter_model_service.core.grants import PathRule
from jupyter_model_service.core.limits import Allowance, Limits
from jupyter_model_service.core.sharing import NOBODY, Person, Share
from jupyter_model_service.front.server import FrontSettings

from .site import OWNER, SLOW, TOKEN, Site, site, until, within
from .upstreams import Replica

Run = Callable[[Any], Any]

SOON = FrontSettings(recheck_every=0.05)
GROUP = "a-students"


async def open_stream(here: Site, token: str | None = TOKEN) -> tuple[Any, Any]:
    wire = await here.send(here.request("/sse", token=token))
    return wire, await wire.head()


async def ends(here: Site, wire: Any, got: Any) -> None:
    """Seen as broken off; the replica works on it no more."""
    await wire.body(got)
    assert not got.complete
    await within(here.replicas[0].hung_up.wait())
    assert here.meter.broken_answers == ["revoked"]


async def rounds(here: Site, count: int = 3) -> None:
    """So many looks at all open calls have begun."""
    for _ in range(count):
        before = here.front.rechecks._next
        await until(lambda before=before: here.front.rechecks._next > before, "another look")


@pytest.mark.parametrize("token", [TOKEN, SLOW])
def test_a_stream_ends_when_its_token_does(run: Run, token: str) -> None:
    """Also one of which nothing is known from memory when it is looked at; the other goes on."""

    async def body() -> None:
        async with site(Replica(), settings=SOON) as here:
            wire, got = await open_stream(here, token)
            other, _ = await open_stream(here, SLOW if token == TOKEN else TOKEN)
            await rounds(here)
            assert len(here.front.calls) == 2
            here.tokens.ended.add(token)
            await ends(here, wire, got)
            await rounds(here)
            assert len(here.front.calls) == 1
            other.close()

    run(body())


def test_an_upgraded_connection_ends_too(run: Run) -> None:
    async def body() -> None:
        async with site(Replica(), settings=SOON) as here:
            wire = await here.send(here.request("/tunnel", "Connection: Upgrade", "Upgrade: shout"))
            assert (await wire.head()).status == 101
            await rounds(here)
            here.tokens.ended.add(TOKEN)
            assert await within(wire.reader.read(-1)) == b"hello "
            assert here.meter.broken_answers == ["revoked"]

    run(body())


def test_a_call_that_got_nothing_yet_is_refused(run: Run) -> None:
    """On a replica, and in the queue: before any of them gets it."""

    async def body() -> None:
        async with site(Replica(), settings=SOON, serving=Serving(concurrency=1)) as here:
            first = await here.send(here.request("/hang"))
            await until(lambda: here.backends[0].in_flight == 1, "on the replica")
            second = await here.send(here.request("/x"))
            await until(lambda: here.endpoint.waiting == 1, "in the queue")
            here.tokens.ended.add(TOKEN)
            for wire in (first, second):
                got = await wire.answer()
                assert (got.status, got.code) == (401, "unauthenticated")
            assert here.replicas[0].paths() == ["/hang"]

    run(body())


@pytest.mark.parametrize("how", ["revoked", "unshared", "for other paths", "private"])
def test_what_was_taken_back_while_a_call_waited_keeps_it_from_the_replica(run: Run, how: str) -> None:
    """At once: with the usual time between two looks at open calls, which is 10 s."""
    person = Person("bob", "bob", frozenset({"class"}))

    async def body() -> None:
        async with site(Replica(), serving=Serving(concurrency=1)) as here:
            identity, token = here.tokens, {"revoked": TOKEN, "private": None}.get(how, GROUP)
            here.endpoint.sharing = NOBODY.with_share(Share("group", "class"))
            here.endpoint.public = how == "private"
            identity.callers[GROUP] = Caller("bob", person=person)
            first = await here.send(here.request("/hang", token=OWNER))
            await until(lambda: here.backends[0].in_flight == 1, "on the replica")
            second = await here.send(here.request("/x", token=token))
            await until(lambda: here.endpoint.waiting == 1, "in the queue")
            here.endpoint.public = False
            if how == "revoked":
                identity.ended.add(TOKEN)
            elif how == "unshared":
                here.endpoint.sharing = NOBODY
            else:
                identity.callers[GROUP] = Caller("bob", person=person, rules=(PathRule("/y"),))
            here.replicas[0].release.set()
            assert (await first.answer()).status == 200
            expected = {"unshared": (404, "not_found"), "for other paths": (403, "path_not_allowed")}
            got = await second.answer()
            assert (got.status, got.code) == expected.get(how, (401, "unauthenticated"))
            assert here.replicas[0].paths() == ["/hang"]

    run(body())


def test_a_call_that_shows_signs_of_life_is_still_its_callers(run: Run) -> None:
    """When it is looked at meanwhile, and when a replica is free for it."""

    async def body() -> None:
        async with site(Replica(), settings=SOON, serving=Serving(concurrency=1)) as here:
            first = await here.send(here.request("/hang", token=OWNER))
            await until(lambda: here.backends[0].in_flight == 1, "on the replica")
            second = await here.send(here.request("/x", "X-Model-Service-Heartbeat: 1"))
            assert (await second.head()).status == 200
            await rounds(here)
            here.replicas[0].release.set()
            await first.answer()
            await until(lambda: "/x" in here.replicas[0].paths(), "it gets to the replica")

    run(body())


def test_of_whose_token_memory_tells_nothing_a_call_that_waited_goes_on(run: Run) -> None:
    """The Hub is not waited for by everybody behind it."""

    async def body() -> None:
        async with site(Replica(), serving=Serving(concurrency=1)) as here:
            first = await here.send(here.request("/hang", token=OWNER))
            await until(lambda: here.backends[0].in_flight == 1, "on the replica")
            second = await here.send(here.request("/x", token=SLOW))
            await until(lambda: here.endpoint.waiting == 1, "in the queue")
            here.replicas[0].release.set()
            assert [(await wire.answer()).status for wire in (first, second)] == [200, 200]

    run(body())


@pytest.mark.parametrize("how", ["unshared", "left the group", "deleted and made again"])
def test_a_stream_ends_when_what_was_shared_is_taken_back(run: Run, how: str) -> None:
    person = Person("bob", "bob", frozenset({"class"}), made="2026")
    by_user = how == "deleted and made again"

    async def body() -> None:
        async with site(Replica(), settings=SOON) as here:
            share = Share("user", "bob", made="2026") if by_user else Share("group", "class")
            here.endpoint.sharing = NOBODY.with_share(share)
            here.tokens.callers[GROUP] = Caller("bob", person=person)
            wire, got = await open_stream(here, GROUP)
            assert got.status == 200
            await rounds(here)
            if how == "unshared":
                here.endpoint.sharing = NOBODY
            else:
                now = replace(person, made="2027") if by_user else replace(person, groups=frozenset())
                here.tokens.callers[GROUP] = Caller("bob", person=now)
            await ends(here, wire, got)

    run(body())


@pytest.mark.parametrize("rule", [PathRule("/v1/chat/*"), PathRule("/sse", ("POST",))])
def test_a_stream_ends_when_its_token_is_for_other_paths_or_methods_from_now_on(run: Run, rule: PathRule) -> None:
    """One that is still within the new rules goes on."""

    async def body() -> None:
        async with site(Replica(), settings=SOON) as here:
            may_call = Caller("token:chat", invokes=frozenset({"o/n"}), rules=(PathRule("/sse", ("GET",)),))
            here.tokens.callers[GROUP] = may_call
            wire, got = await open_stream(here, GROUP)
            assert got.status == 200
            here.tokens.callers[GROUP] = replace(may_call, rules=(PathRule("/*", ("GET",)),))
            await rounds(here)
            assert len(here.front.calls) == 1
            here.tokens.callers[GROUP] = replace(may_call, rules=(rule,))
            await ends(here, wire, got)

    run(body())


def test_what_waits_is_refused_when_its_token_is_for_other_paths_from_now_on(run: Run) -> None:
    async def body() -> None:
        async with site(Replica(), settings=SOON) as here:
            may_call = Caller("token:chat", invokes=frozenset({"o/n"}), rules=(PathRule("/hang"),))
            here.tokens.callers[GROUP] = may_call
            wire = await here.send(here.request("/hang", token=GROUP))
            await until(lambda: here.backends[0].in_flight == 1, "on the replica")
            here.tokens.callers[GROUP] = replace(may_call, rules=(PathRule("/v1/*"),))
            got = await wire.answer()
            assert (got.status, got.code) == (403, "path_not_allowed")

    run(body())


def test_limits_that_are_lowered_end_no_stream(run: Run) -> None:
    """They are for new calls: of three that are open none ends, and a fourth has to wait until one is left."""

    async def body() -> None:
        async with site(Replica(), settings=SOON) as here:
            allowance = Allowance(Limits(in_flight=3))
            caller = Caller("token:chat", invokes=frozenset({"o/n"}), allowance=allowance)
            here.tokens.callers[GROUP] = caller
            wires = [(await open_stream(here, GROUP))[0] for _ in range(3)]
            allowance.change(Limits(in_flight=1), 0)
            await rounds(here)
            assert len(here.front.calls) == 3
            for left in (2, 1):
                assert (await open_stream(here, GROUP))[1].status == 429
                wires.pop().close()
                await until(lambda left=left: len(here.front.calls) == left, "one has left")
            assert (await open_stream(here, GROUP))[1].status == 429
            wires.pop().close()
            await until(lambda: not here.front.calls, "all have left")
            last, got = await open_stream(here, GROUP)
            assert got.status == 200
            last.close()

    run(body())


def test_a_stream_without_a_token_ends_when_its_service_is_made_private(run: Run) -> None:
    async def body() -> None:
        async with site(Replica(), settings=SOON, public=True) as here:
            wire, got = await open_stream(here, None)
            await rounds(here)
            assert len(here.front.calls) == 1
            here.endpoint.public = False
            await ends(here, wire, got)

    run(body())


def test_a_hub_that_is_away_ends_nothing_while_its_last_word_is_good(run: Run) -> None:
    async def body() -> None:
        async with site(Replica(), settings=SOON) as here:
            tokens = here.tokens
            wire, got = await open_stream(here, SLOW)
            tokens.met = lambda token: True
            tokens.error = OSError("the hub is down")
            await rounds(here)
            assert len(here.front.calls) == 1
            tokens.met = lambda token: False
            await ends(here, wire, got)

    run(body())


def test_one_question_for_all_calls_of_a_token(run: Run) -> None:
    """While it is not answered no other is asked, and a call that ends meanwhile is no trouble."""

    async def body() -> None:
        async with site(Replica(), settings=SOON) as here:
            wires = [(await open_stream(here, SLOW))[0] for _ in range(5)]
            tokens = here.tokens
            tokens.answer = asyncio.Event()
            tokens.asked.clear()
            await until(lambda: tokens.asked, "a question")
            await rounds(here)
            assert tokens.asked == [SLOW]
            wires.pop().close()
            await until(lambda: len(here.front.calls) == 4, "one has left")
            tokens.ended.add(SLOW)
            tokens.answer.set()
            await until(lambda: not here.front.calls, "all are over")

    run(body())
