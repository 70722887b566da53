"""A Hub, a service, and all that decides who may call it, on a clock of the test's own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from jupyter_model_service.adapters.hub_identity import HubIdentity
from jupyter_model_service.adapters.hub_models import HubUser
from jupyter_model_service.adapters.hub_tokens import HubTokens
from jupyter_model_service.adapters.hub_users import HubUsers
from jupyter_model_service.core.definition import Definition
from jupyter_model_service.core.revision import Revision
from jupyter_model_service.engine.tokens import EndpointTokens
from jupyter_model_service.errors import HubUnavailable
from jupyter_model_service.ports import ServiceRecord
from jupyter_model_service.testing import ManualClock, MemoryStore
from jupyter_model_service.testing.hub_in_memory import MemoryHub

SYSTEM = "model-service-endpoints"
BOB = HubUser("bob", groups=("ds",), scopes=frozenset({"access:servers!server=bob/"}), created="2026-01-01")
DOWN = HubUnavailable("The Hub is down.")


class Setting:
    """The service is ``alice/chat``; bob has the token ``bobs``."""

    def __init__(self, folder: Path) -> None:
        self.hub, self.clock, self.store = (
            MemoryHub([BOB, HubUser("alice", created="2026-01-02")], {"bobs": BOB}),
            ManualClock(),
            MemoryStore(),
        )
        self.users = HubUsers(self.hub, self.clock, folder / "owners.json")
        self.issuer = HubTokens(self.hub, self.clock, user=SYSTEM, name_of=self.users.name_of)
        self.tokens = EndpointTokens(self.store, self.clock, {}, self.issuer)
        self.identity = HubIdentity(
            self.hub,
            self.clock,
            endpoints=self.tokens,
            system_user=SYSTEM,
            meet=self.users.meet,
            doubt=self.users.doubt,
            members=self.users.members,
            looked=self.users.looked_within,
        )

    async def begin(self) -> None:
        record = ServiceRecord("s1", "alice", "chat", False, True, 1, 1, None, 5.0)
        await self.store.add_service(record, Revision(1, "/f", Definition("Tiny", "/models", 8000), 5.0))

    async def generate(self, expires_in: float | None = None) -> tuple[str, str]:
        record, text = await self.tokens.generate("s1", "alice/chat", "laptop", expires_in)
        return record.id, text


Run = Callable[[Callable[[Setting], Coroutine[Any, Any, None]]], None]


def played(folder: Path, body: Callable[[Setting], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        setting = Setting(folder)
        await setting.begin()
        try:
            await asyncio.wait_for(body(setting), 30)
        finally:
            await setting.issuer.stop()
            await setting.users.stop()
            await setting.identity.close()

    asyncio.run(main())
