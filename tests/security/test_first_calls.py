"""A thousand first calls at once: the Hub is asked once for each token, however many come with it."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

from jupyter_model_service.adapters.clock import SystemClock
from jupyter_model_service.adapters.hub_identity import HubIdentity
from jupyter_model_service.adapters.hub_models import HubUser
from jupyter_model_service.adapters.hub_users import Met
from jupyter_model_service.engine.tokens import EndpointTokens
from jupyter_model_service.testing import MemoryStore
from jupyter_model_service.testing.hub import FakeHub
from jupyter_model_service.testing.hub_site import PREFIX, HubSite, hub_site

MANY = 1_000


async def call(site: HubSite, token: str) -> str:
    """The error's code, on a connection of its own, as so many programs would have. ``no_replica``: it was let in."""
    host, port = site.address.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        head = f"GET {PREFIX}endpoints/alice/chat/ HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n"
        writer.write(head.encode())
        answer = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        return answer.partition("x-model-service-error: ")[2].partition("\r\n")[0]
    finally:
        writer.close()


def test_a_thousand_first_calls_with_one_token_ask_the_hub_once(tmp_path: Path) -> None:
    async def main(hub: FakeHub) -> tuple[set[str], int, int]:
        async with hub_site(hub, tmp_path / "gateway") as site:
            await site.deploy("chat", site.notebook("alice"))
            token, before = site.visitor("alice"), len(hub.calls)
            answered = set(await asyncio.gather(*(call(site, token) for _ in range(MANY))))
            asked = [path for _, _, path in hub.calls[before:]]
            answered |= {await call(site, token)}
            later = [path for _, _, path in hub.calls[before + len(asked) :]]
        return answered, asked.count("/hub/api/user"), later.count("/hub/api/user")

    with FakeHub(users=["alice"], interrupt=0.02) as hub:
        answered, asked, later = asyncio.run(main(hub))
    assert answered == {"no_replica"}
    assert (asked, later) == (1, 0)


def test_a_thousand_first_calls_with_a_thousand_tokens_ask_the_hub_once_for_each(tmp_path: Path) -> None:
    """A class begins. Whoever cannot be told in time whether she may comes back after a second, as she is told to, and
    by then it is known: the Hub is not asked again."""

    async def comes(site: HubSite, token: str) -> str:
        while (said := await call(site, token)) == "identity_unavailable":
            await asyncio.sleep(1.0)
        return said

    async def main(hub: FakeHub) -> tuple[Counter[str], int]:
        async with hub_site(hub, tmp_path / "gateway") as site:
            await site.deploy("chat", site.notebook("alice"))
            tokens, before = [site.visitor("alice") for _ in range(MANY)], len(hub.calls)
            answered = Counter(await asyncio.gather(*(comes(site, token) for token in tokens)))
            return answered, [path for _, _, path in hub.calls[before:]].count("/hub/api/user")

    with FakeHub(users=["alice"], interrupt=0.02) as hub:
        answered, asked = asyncio.run(main(hub))
    assert answered == {"no_replica": MANY}
    assert asked == MANY


class Counting:
    """A Hub that answers when it is told to, and counts."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.answers = asyncio.Event()

    async def user_of(self, token: str, *, patience: float = 0.0) -> HubUser | None:
        self.asked[token] += 1
        await self.answers.wait()
        return HubUser("bob", scopes=frozenset({"access:services!service=model-service"}))


def test_a_thousand_tokens_are_asked_for_once_each() -> None:
    """Three calls with each of them come before the Hub has answered the first."""

    async def met(name: str) -> Met:
        return Met(True, "2026-01-01")

    async def main() -> Counter[str]:
        hub, clock = Counting(), SystemClock()
        endpoints = EndpointTokens(MemoryStore(), clock, {})
        identity = HubIdentity(hub, clock, endpoints=endpoints, system_user="nobody", meet=met)
        calls = [asyncio.ensure_future(identity.resolve(f"token {n % MANY}")) for n in range(3 * MANY)]
        await asyncio.sleep(0)
        hub.answers.set()
        callers = await asyncio.gather(*calls)
        assert {caller.name for caller in callers if caller is not None} == {"bob"}
        assert all(identity.known(f"token {n}") is not None for n in range(MANY))
        await identity.close()
        return hub.asked

    asked = asyncio.run(main())
    assert (len(asked), set(asked.values())) == (MANY, {1})
