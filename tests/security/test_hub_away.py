"""The Hub is away: whoever was let in before is so for 300 s after its last word, and nobody after that, on any way."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path

import httpx
import pytest

from jupyter_model_service.testing import ClockAhead
from jupyter_model_service.testing.hub_site import HubSite, hub_site

from .asking import HOSTS, answer, visit_answer
from .people import COLUMNS, everybody, people, visitors

WAYS = (
    "GET endpoints/alice/chat/",
    "WS endpoints/alice/chat/",
    "GET @chat--alice/",
    "GET v1/models/alice/chat",
    "POST v1/chat/completions#alice/chat",
    "GET api/v1/services",
    "GET api/v1/services/{owner}/{name}",
)
PUBLIC = ("GET endpoints/alice/open/", "GET @open--alice/", "GET v1/models/alice/open")
VISITS = ("GET/own @chat--alice/", "WS/own @chat--alice/", "NAV/nobody @chat--alice/")
EACH = {(way, who) for way in PUBLIC for who in COLUMNS}


def let_in(answered: httpx.Response) -> bool:
    """There is no replica."""
    return answered.status_code == 200 or answered.headers.get("x-model-service-error") == "no_replica"


async def let_in_now(
    site: HubSite, tokens: Mapping[str, str | None], cookies: Mapping[str, str]
) -> set[tuple[str, str]]:
    """All ways at once, since a Hub that is away makes whoever is not known wait for it."""

    async def by_token(way: str, who: str) -> bool:
        method, path = way.split(" ", 1)
        return let_in(await answer(site, method, path, tokens[who]))

    async def by_visit(way: str, who: str) -> bool:
        method, path = way.split(" ", 1)
        return let_in(await visit_answer(site, method, path, cookies[who]))

    async def at_our_page(who: str) -> bool:
        token = tokens[who]
        cookie = {} if token is None else {"Cookie": site.signed_in(token)}
        return (
            await site.status("GET", ".", {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", **cookie}) == 200
        )

    asked = {
        **{(way, who): by_token(way, who) for way in (*WAYS, *PUBLIC) for who in tokens},
        **{(way, who): by_visit(way, who) for way in VISITS for who in cookies},
        **{("our page", who): at_our_page(who) for who in tokens},
    }
    found = await asyncio.gather(*asked.values())
    return {each for each, good in zip(asked, found, strict=True) if good}


async def events(site: HubSite, token: str, begun: asyncio.Event) -> None:
    """The control API's, to its end."""
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        httpx.AsyncClient(trust_env=False, timeout=60.0) as client,
        client.stream("GET", f"{site.address}/services/model-service/api/v1/events", headers=headers) as answered,
    ):
        assert answered.status_code == 200
        async for _ in answered.aiter_lines():
            begun.set()


@pytest.mark.slow
def test_whoever_was_let_in_is_so_for_five_minutes_without_the_hub_and_nobody_after_that(tmp_path: Path) -> None:
    """But to what is public; and once the Hub is back, everybody as before. The stream of what changes ends as well. A
    token that came for the first time meanwhile is good for nothing."""
    clock = ClockAhead()

    async def body(site: HubSite) -> None:
        tokens: dict[str, str | None] = await everybody(site)
        cookies = await visitors(site)
        before = await let_in_now(site, tokens, cookies)
        assert len(before - EACH) > 50
        assert before > EACH
        tokens["late"] = site.notebook("alice")
        begun = asyncio.Event()
        listening = asyncio.ensure_future(events(site, str(tokens["operator"]), begun))
        await asyncio.wait_for(begun.wait(), 10)
        site.hub.down()
        down, public = time.monotonic(), EACH | {(way, "late") for way in PUBLIC}
        for seconds in (40.0, 250.0):  # the others of the 300 are for a busy machine: its own time goes on as well
            clock.by = seconds - (time.monotonic() - down)
            now = await let_in_now(site, tokens, cookies)
            assert sorted(now ^ (before | public)) == []
        assert not listening.done()
        clock.by = 301.0
        assert sorted(await let_in_now(site, tokens, cookies) ^ public) == []
        await asyncio.wait_for(listening, 20)
        site.hub.up()
        assert sorted(before - await let_in_now(site, tokens, cookies)) == []

    async def main() -> None:
        with people() as hub:
            async with hub_site(hub, tmp_path / "gateway", hosts=HOSTS, clock=clock) as site:
                await body(site)

    asyncio.run(main())
