"""Limits of a token at ``v1/``: they hold from when it is known who calls, before anything of the body is waited for."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from jupyter_model_service.core.definition import Serving
from jupyter_model_service.core.limits import Allowance, Limits
from jupyter_model_service.front.server import FrontSettings

from .site import LIMITED, SLOW_LIMITED, Site, site, until, within
from .test_limits import outcome
from .test_named import BODY, call, named, to_o_n
from .upstreams import Replica

Run = Callable[[Any], Any]
HEAD = named("v1/hang", f"Content-Length: {len(BODY)}", body=b"", token=LIMITED)


def hanging() -> Replica:
    replica = Replica()
    replica.handlers["/v1/hang"] = replica.handlers["/hang"]
    return replica


@pytest.mark.parametrize("token", [LIMITED, SLOW_LIMITED])
@pytest.mark.parametrize(
    ("limits", "code"),
    [
        (Limits(in_flight=7), "too_many_in_flight"),
        (Limits(calls_per_day=7), "daily_limit"),
        (Limits(calls_per_second=0.001), "rate_limited"),
    ],
)
def test_of_many_calls_at_once_exactly_those_that_are_allowed_get_in(
    run: Run, limits: Limits, code: str, token: str
) -> None:
    """60 heads; all but the allowed ones are refused before anybody has sent a byte of a body."""
    allowed = 1 if limits.calls_per_second else 7

    async def body() -> None:
        async with site(hanging()) as here:
            here.tokens.limited = Allowance(limits)
            here.tokens.answer = asyncio.Event()
            wires = await asyncio.gather(*(here.wire() for _ in range(60)))
            await asyncio.gather(*(wire.send(HEAD.replace(LIMITED.encode(), token.encode())) for wire in wires))
            if token == SLOW_LIMITED:
                await until(lambda: len(here.tokens.asked) == 60)
            here.tokens.answer.set()
            await until(lambda: len(here.meter.refusals) == 60 - allowed)
            assert here.tokens.limited.in_flight == len(here.front.calls) == allowed
            assert here.replicas[0].connections == 0
            await asyncio.gather(*(wire.send(BODY) for wire in wires))
            await until(lambda: len(here.replicas[0].seen) == allowed)
            here.replicas[0].release.set()
            got = await asyncio.gather(*(wire.answer() for wire in wires))
            assert Counter(map(outcome, got)) == {(200, None): allowed, (429, code): 60 - allowed}
            errors = [each.json()["error"] for each in got if each.status == 429]
            assert {each["type"] for each in errors} == {"rate_limit_error"}, "as OpenAI's clients know it"
            assert all(int(each.one("Retry-After") or 0) >= 1 for each in got if each.status == 429)
            await here.still()
            assert (here.tokens.limited.in_flight, here.tokens.limited.calls) == (0, allowed)

    run(body())


def test_a_call_beyond_the_limit_is_not_asked_for_its_body(run: Run) -> None:
    async def body() -> None:
        async with site(hanging()) as here:
            here.tokens.limited = Allowance(Limits(in_flight=1))
            expecting = HEAD.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n")
            first = await here.send(expecting)
            assert (await first.head()).status == 100
            got = await (await here.send(expecting)).head()
            assert (got.status, got.one("X-Model-Service-Error")) == (429, "too_many_in_flight")
            assert got.one("Connection") == "close"
            await first.send(BODY)
            await until(lambda: here.replicas[0].seen)
            here.replicas[0].release.set()
            assert (await first.answer()).status == 200

    run(body())


def test_what_counts(run: Run) -> None:
    """Each call once, the list of models and what names no model too; and the service's own address with them."""

    async def body() -> None:
        async with site(Replica()) as here:
            here.tokens.limited = allowance = Allowance(Limits(calls_per_day=5))

            async def look(path: str = "v1/models") -> int:
                return (await call(here, path, method="GET", body=b"", token=LIMITED)).status

            statuses = [await look(), await look("v1/models/n"), (await call(here, token=LIMITED)).status]
            statuses += [(await call(here, body=to_o_n(b"none"), token=LIMITED)).status]
            statuses += [(await here.call(token=LIMITED)).status]
            assert statuses == [200, 200, 200, 404, 200]
            assert allowance.calls == 5
            refused = [await look(), (await call(here, token=LIMITED)).status, (await here.call(token=LIMITED)).status]
            assert refused == [429, 429, 429]
            here.endpoint.publish(True)
            assert (await call(here, token=LIMITED)).status == 429, "which service it is for is not known yet"
            assert (await call(here, token=None)).status == 200
            assert allowance.calls == 5

    run(body())


# --- given back once, whatever ends the call ---------------------------------------------------------


async def answered(here: Site) -> None:
    assert (await call(here, token=LIMITED)).status == 200


async def listed(here: Site) -> None:
    assert (await call(here, "v1/models", method="GET", body=b"", token=LIMITED)).status == 200


async def no_such_model(here: Site) -> None:
    assert (await call(here, body=to_o_n(b"none"), token=LIMITED)).status == 404


async def no_body(here: Site) -> None:
    assert outcome(await call(here, "v1/x", body=b"", token=LIMITED)) == (404, "not_by_name")


async def a_caller_who_leaves_in_its_body(here: Site) -> None:
    wire = await here.send(HEAD + BODY[:20])
    await until(lambda: here.tokens.limited.in_flight == 1)
    wire.close()


async def a_body_that_stands_still(here: Site) -> None:
    assert outcome(await (await here.send(HEAD + BODY[:20])).answer()) == (408, "body_timeout")


async def a_replica_that_dies_under_it_twice(here: Site) -> None:
    for replica in here.replicas:
        replica.handlers["/v1/drop"] = replica.handlers["/drop"]
    assert outcome(await call(here, "v1/drop", token=LIMITED)) == (502, "replica_died")
    assert here.tokens.limited.calls == 1


async def a_caller_who_leaves_before_its_token_is_known(here: Site) -> None:
    here.tokens.answer = asyncio.Event()
    wire = await here.send(named(token=SLOW_LIMITED))
    await until(lambda: here.tokens.asked)
    wire.close()
    await until(lambda: not here.front.calls)
    here.tokens.answer.set()
    assert here.tokens.limited.calls == 0


async def a_token_that_is_not_known_any_more_when_the_name_is(here: Site) -> None:
    """It is asked for again, and nobody is let in twice."""
    wire = await here.send(HEAD.replace(LIMITED.encode(), SLOW_LIMITED.encode()))
    await until(lambda: here.tokens.limited.in_flight == 1)
    await wire.send(BODY)
    await until(lambda: sum(len(replica.seen) for replica in here.replicas) == 1)
    assert (here.tokens.limited.in_flight, here.tokens.limited.calls) == (1, 1)
    for replica in here.replicas:
        replica.release.set()
    assert (await wire.answer()).status == 200


async def a_front_that_stops(here: Site) -> None:
    await here.send(HEAD + BODY[:20])
    await until(lambda: here.tokens.limited.in_flight == 1)
    await within(here.front.stop(0.0))


@pytest.mark.parametrize(
    "ending",
    [
        answered,
        listed,
        no_such_model,
        no_body,
        a_caller_who_leaves_in_its_body,
        a_body_that_stands_still,
        a_replica_that_dies_under_it_twice,
        a_caller_who_leaves_before_its_token_is_known,
        a_token_that_is_not_known_any_more_when_the_name_is,
        a_front_that_stops,
    ],
)
def test_a_place_is_given_back_once_whatever_ends_the_call(run: Run, ending: Callable[[Site], Awaitable[None]]) -> None:
    timeout = 0.2 if ending is a_body_that_stands_still else 60.0

    async def body() -> None:
        settings = FrontSettings(tick=0.05, body_timeout=timeout)
        async with site(hanging(), hanging(), serving=Serving(), settings=settings) as here:
            here.tokens.limited = allowance = Allowance(Limits(in_flight=3, calls_per_day=1000))
            await ending(here)
            await here.still()
            assert allowance.in_flight == 0

    run(body())
