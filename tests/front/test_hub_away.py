"""A Hub that is away, with streams open: whoever it knew goes on for 300 s after its last word, and nobody after that."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jupyter_model_service.adapters import hub_identity
from jupyter_model_service.adapters.clock import SystemClock
from jupyter_model_service.adapters.hub_identity import HubIdentity
from jupyter_model_service.adapters.hub_models import HubUser
from jupyter_model_service.adapters.hub_users import HubUsers
from jupyter_model_service.core.sharing import NOBODY, Share
from jupyter_model_service.engine.callers import Callers
from jupyter_model_service.engine.tokens import EndpointTokens
from jupyter_model_service.errors import HubUnavailable
from jupyter_model_service.front.server import FrontSettings
from jupyter_model_service.testing import ManualClock, MemoryStore
from jupyter_model_service.testing.hub_in_memory import MemoryHub

from .site import Site, site, until, within
from .upstreams import Replica

Run = Callable[[Any], Any]

BOBS, NEW = "bobs", "bobs new one"
SOON = FrontSettings(recheck_every=0.05, identity_timeout=0.5)


VISITS = HubUser("bob", scopes=frozenset({"access:services!service=model-service"}))


async def code(here: Site, token: str) -> str | None:
    got = await here.call("/x", token=token)
    return str(got.status) if got.code is None else got.code


@pytest.mark.parametrize("hangs", [False, True], ids=["refuses", "hangs"])
def test_streams_and_calls_go_on_for_five_minutes_without_the_hub_and_no_longer(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hangs: bool
) -> None:
    """And nothing is opened by a token that came for the first time."""
    monkeypatch.setattr(hub_identity, "SLOW", 0.05)  # seconds that a Hub which hangs holds up a call

    async def body() -> None:
        hub, clock = MemoryHub([HubUser("bob", created="2026")], {BOBS: VISITS, NEW: VISITS}), ManualClock()
        users = HubUsers(hub, clock, tmp_path / "owners.json")
        endpoints = EndpointTokens(MemoryStore(), clock, {})
        identity = HubIdentity(hub, clock, endpoints=endpoints, system_user="nobody", meet=users.meet)
        async with site(Replica(), Replica(), settings=SOON) as here:
            here.front.callers = Callers(identity, SystemClock(), timeout=SOON.identity_timeout)
            here.endpoint.sharing = NOBODY.with_share(Share("user", "bob", made="2026"))
            events = await here.send(here.request("/sse", token=BOBS))
            got = await events.head()
            socket = await here.send(here.request("/tunnel", "Connection: Upgrade", "Upgrade: shout", token=BOBS))
            assert (got.status, (await socket.head()).status) == (200, 101)
            hub.hold, hub.silent = asyncio.Event() if hangs else None, HubUnavailable("The Hub is down.")
            for seconds in (31.0, 268.5):  # the Hub is to be asked again, and 299.5 s after its last word
                clock.advance(seconds)
                looks = here.front.rechecks._next
                await until(lambda looks=looks: here.front.rechecks._next > looks + 0.1, "two looks at what is open")
                assert len(here.front.calls) == 2
                assert [await code(here, token) for token in (BOBS, NEW)] == ["200", "identity_unavailable"]
            clock.advance(1.0)
            await events.body(got)
            assert not got.complete
            assert await within(socket.reader.read(-1)) == b"hello "
            assert here.meter.broken_answers == ["revoked", "revoked"]
            assert [await code(here, token) for token in (BOBS, NEW)] == ["identity_unavailable"] * 2
            await identity.close()  # what hangs is asked no more
            hub.hold = hub.silent = None
            assert [await code(here, token) for token in (BOBS, NEW)] == ["200", "200"]
        await identity.close()
        await users.stop()

    run(body())
