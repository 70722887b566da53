"""A thousand first calls at once: the Hub is asked once for each token and once for each user, however many come with
it, in any 30 s."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from jupyter_model_service.adapters.clock import SystemClock
from jupyter_model_service.adapters.hub_identity import HubIdentity
from jupyter_model_service.adapters.hub_models import HubUser
from jupyter_model_service.adapters.hub_users import MET, HubUsers
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


async def shared(site: HubSite) -> None:
    """alice's service with bob, of whom nobody has been asked when his first call comes, but for that."""
    alice = site.notebook("alice")
    await site.deploy("chat", alice)
    answer = await site.api("PUT", "services/alice/chat/access/user/bob", {}, token=alice)
    assert answer.status_code == 200, answer.text


def asked(hub: FakeHub, since: int) -> Counter[str]:
    """Paths of all that the Hub was asked, but for the look at all users, which is once a minute."""
    found = Counter(path for _, _, path in hub.calls[since:])
    del found["/hub/api/users"]
    return found


TOKEN, USER = "/hub/api/user", "/hub/api/users/bob"


def test_a_thousand_first_calls_with_one_token_ask_the_hub_once(tmp_path: Path) -> None:
    """Once whose it is, and once when that user was made."""

    async def main(hub: FakeHub) -> tuple[set[str], Counter[str], Counter[str]]:
        async with hub_site(hub, tmp_path / "gateway") as site:
            await shared(site)
            token, before = site.visitor("bob"), len(hub.calls)
            answered = set(await asyncio.gather(*(call(site, token) for _ in range(MANY))))
            first, between = asked(hub, before), len(hub.calls)
            answered |= {await call(site, token)}
            return answered, first, asked(hub, between)

    with FakeHub(users=["alice", "bob"], interrupt=0.02) as hub:
        answered, first, later = asyncio.run(main(hub))
    assert answered == {"no_replica"}
    assert first == {TOKEN: 1, USER: 1}
    assert later == {}


def test_a_thousand_first_calls_with_a_thousand_tokens_ask_the_hub_once_for_each(tmp_path: Path) -> None:
    """A program that gets a token for each of its runs. Whoever cannot be told in time whether she may comes back after
    a second, as she is told to, and by then it is known: the Hub is not asked again, and of the one user once in 30 s.
    """

    async def comes(site: HubSite, token: str) -> str:
        while (said := await call(site, token)) == "identity_unavailable":
            await asyncio.sleep(1.0)
        return said

    async def main(hub: FakeHub) -> tuple[Counter[str], Counter[str], float]:
        async with hub_site(hub, tmp_path / "gateway") as site:
            await shared(site)
            tokens, before = [site.visitor("bob") for _ in range(MANY)], len(hub.calls)
            began = time.monotonic()
            answered = Counter(await asyncio.gather(*(comes(site, token) for token in tokens)))
            return answered, asked(hub, before), time.monotonic() - began

    with FakeHub(users=["alice", "bob"], interrupt=0.02) as hub:
        answered, found, seconds = asyncio.run(main(hub))
    assert answered == {"no_replica": MANY}
    assert found.keys() == {TOKEN, USER}
    assert found[TOKEN] == MANY
    assert found[USER] <= 1 + seconds // MET


class Counting:
    """A Hub that answers when it is told to, and counts."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.users_asked: Counter[str] = Counter()
        self.answers = asyncio.Event()

    async def user_of(self, token: str, *, patience: float = 0.0) -> HubUser | None:
        self.asked[token] += 1
        await self.answers.wait()
        return HubUser("bob", scopes=frozenset({"access:services!service=model-service"}))

    async def user(self, name: str, *, patience: float | None = None) -> HubUser | None:
        self.users_asked[name] += 1
        await asyncio.sleep(0.05)
        return HubUser(name, created="2026-01-01")

    async def users(self, *, patience: float | None = None) -> Sequence[HubUser]:
        raise AssertionError("nobody looks at all users here")


def test_a_thousand_tokens_are_asked_for_once_each(tmp_path: Path) -> None:
    """Three calls with each of them come before the Hub has answered the first. Whose they are is one user."""

    async def main() -> Counting:
        hub, clock = Counting(), SystemClock()
        endpoints = EndpointTokens(MemoryStore(), clock, {})
        users = HubUsers(hub, clock, tmp_path / "owners.json")
        identity = HubIdentity(hub, clock, endpoints=endpoints, system_user="nobody", meet=users.meet)
        calls = [asyncio.ensure_future(identity.resolve(f"token {n % MANY}")) for n in range(3 * MANY)]
        await asyncio.sleep(0)
        hub.answers.set()
        callers = await asyncio.gather(*calls)
        assert {caller.name for caller in callers if caller is not None} == {"bob"}
        assert all(identity.known(f"token {n}") is not None for n in range(MANY))
        await identity.close()
        await users.stop()
        return hub

    hub = asyncio.run(main())
    assert (len(hub.asked), set(hub.asked.values())) == (MANY, {1})
    assert hub.users_asked == {"bob": 1}
