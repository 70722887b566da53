"""Wrong tokens, and tokens in addresses: what an address may try, and what no model gets to see."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from jupyter_model_service.front.server import FrontSettings

from .site import OTHER, SLOW, TOKEN, site, until
from .upstreams import Replica

Run = Callable[[Any], Any]


@pytest.mark.parametrize("public", [True, False])
@pytest.mark.parametrize("bearer", [TOKEN, None])
@pytest.mark.parametrize("token", [TOKEN, OTHER, SLOW])
@pytest.mark.parametrize("name", ["token", "access_token", "api_key", "Token", "%74oken"])
def test_a_token_in_the_address_never_reaches_a_model(
    run: Run, public: bool, bearer: str | None, token: str, name: str
) -> None:
    """Whoever's it is and whatever else came with it; the answer does not say it."""

    async def body() -> None:
        async with site(Replica(), public=public) as here:
            got = await here.call(f"/x?a=b&{name}={token}", token=bearer)
            assert (got.status, got.code) == (400, "token_in_address")
            assert token.encode() not in got.body
            assert here.replicas[0].connections == 0

    run(body())


def test_also_at_v1_and_where_the_address_lacks_its_slash(run: Run) -> None:
    """At ``v1/``, whose path and query a model gets, and where a redirect would repeat it."""

    async def body() -> None:
        async with site(Replica()) as here:
            data = here.request(f"/x?token={TOKEN}", method="POST", body=b'{"model": "n"}')
            got = await (await here.send(data.replace(b"/endpoints/o/n/x", b"/v1/x"))).answer()
            assert (got.status, got.code) == (400, "token_in_address")
            data = here.request(f"/?token={TOKEN}").replace(b"/endpoints/o/n/", b"/endpoints/o/n")
            got = await (await here.send(data)).answer()
            assert (got.status, got.code) == (400, "token_in_address")
            assert here.replicas[0].connections == 0

    run(body())


def test_what_is_nobodys_token_is_the_models_own_parameter(run: Run) -> None:
    """It goes on after it was looked up, with body and all, and is no credential."""

    async def body() -> None:
        async with site(Replica()) as here:
            target = "/echo?token=a-models-own&b=c"
            got = await here.call(target, method="POST", body=b"hello")
            assert (got.status, here.tokens.asked) == (200, ["a-models-own"])
            assert here.replicas[0].seen[-1].target == target
            got = await here.call(target, token=None)
            assert (got.status, got.code) == (401, "unauthenticated")

    run(body())


def test_a_token_in_the_address_that_cannot_be_looked_up_stays_here(run: Run) -> None:
    async def body() -> None:
        async with site(Replica(), public=True) as here:
            here.tokens.error = OSError("the hub is down")
            got = await here.call("/x?token=somebodys")
            assert (got.status, got.code) == (503, "identity_unavailable")
            assert here.replicas[0].connections == 0

    run(body())


async def _exhaust(here: Any, *headers: str) -> None:
    for i in range(20):
        got = await here.call("/x", *headers, token=f"wrong-{i}")
        assert (got.status, got.code) == (401, "unauthenticated")


def test_guessing_is_slow_and_who_is_known_does_not_notice(run: Run) -> None:
    """After twenty wrong ones nothing is looked up for the address, not even a good token of which nothing is known
    yet; the answer is the same for both."""

    async def body() -> None:
        async with site(Replica()) as here:
            await _exhaust(here)
            refused = [await here.call("/x", token=token) for token in ("wrong-next", SLOW)]
            assert [(got.status, got.code) for got in refused] == [(429, "too_many_attempts")] * 2
            assert refused[0].body == refused[1].body
            assert int(refused[0].one("Retry-After")) >= 1
            assert len(here.tokens.asked) == 20
            got = await here.call(f"/x?token={SLOW}")
            assert (got.status, got.code) == (429, "too_many_attempts")
            assert (await here.call("/x")).status == 200
            assert (await here.call("/x", token="wrong-19")).status == 401  # no new guess
            data = here.request("/x", token="wrong-v1").replace(b"/endpoints/o/n/x", b"/v1/models")
            assert (await (await here.send(data)).answer()).code == "too_many_attempts"

    run(body())


@pytest.mark.parametrize("trusted", [True, False])
def test_behind_a_proxy_that_is_believed_each_address_counts_for_itself(run: Run, trusted: bool) -> None:
    """And what an untrusted one says of itself buys no more guesses."""

    async def body() -> None:
        settings = FrontSettings(trusted_proxies=("127.0.0.1",) if trusted else ())
        async with site(Replica(), settings=settings) as here:
            await _exhaust(here, "X-Forwarded-For: 203.0.113.7")
            got = await here.call("/x", "X-Forwarded-For: 203.0.113.8, 203.0.113.7", token=SLOW)
            assert got.status == 429
            got = await here.call("/x", "X-Forwarded-For: 203.0.113.8", token=SLOW)
            assert got.status == (200 if trusted else 429)

    run(body())


def test_a_thousand_good_tokens_may_come_at_once(run: Run) -> None:
    """As they do through one proxy when a gateway begins: only wrong ones count."""

    async def body() -> None:
        async with site(Replica()) as here:
            here.tokens.answer = asyncio.Event()
            calls = [asyncio.ensure_future(here.call("/x", token=SLOW)) for _ in range(100)]
            await until(lambda: len(here.tokens.asked) == 100, "all of them are looked up")
            here.tokens.answer.set()
            assert {got.status for got in await asyncio.gather(*calls)} == {200}

    run(body())
