"""What a hub's gateway has sealed in its database: over an upgrade, and with a key that was lost."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from jupyter_model_service.adapters.at_rest import AtRest
from jupyter_model_service.adapters.key_file import new_key
from jupyter_model_service.adapters.sealing import Sealer
from jupyter_model_service.core.hub_options import ReplicaOptions
from jupyter_model_service.testing.hub import FakeHub
from jupyter_model_service.testing.hub_site import HubSite, hub_site
from tests.adapters.store.samples import as_before, bytes_in

VALUE = "a-password-of-the-owners"
SERVE = "import http.server; http.server.HTTPServer(('0.0.0.0', 8000), http.server.SimpleHTTPRequestHandler).serve_forever()"
DEFINITION = f"""\
models:
- name: m
  model_path: /models
  service:
    start_command: [python3, -c, "{SERVE}"]
    port: 8000
"""


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with FakeHub(users=["alice"], interrupt=0.02) as hub:
        yield hub


def secrets_of(hub: FakeHub) -> list[bytes]:
    return [each.secret.encode() for each in hub.engine.started if isinstance(each, ReplicaOptions)]


async def shown(site: HubSite) -> dict[str, Any]:
    answer = await site.api("GET", "services/alice/chat", token=site.notebook("alice"))
    found: dict[str, Any] = answer.json()
    return found


async def until(look: Callable[[], Awaitable[object]]) -> None:
    async def seen() -> None:
        while not await look():
            await asyncio.sleep(0.05)

    await asyncio.wait_for(seen(), 40)


async def begun(site: HubSite) -> None:
    definition = {"file": "model-definition.yaml", "text": DEFINITION}
    alice = site.notebook("alice")
    await site.deploy("chat", alice, definition=definition, environment={"PASSWORD": VALUE}, replicas=1)
    await until(lambda: is_ready(site))


async def is_ready(site: HubSite) -> bool:
    return (await shown(site))["replicas"]["ready"] == 1


def test_a_hubs_gateway_that_is_brought_up_to_date_adopts_what_the_former_one_started(
    hub: FakeHub, tmp_path: Path
) -> None:
    folder = tmp_path / "gateway"
    database = folder / "state.db"

    async def main() -> None:
        async with hub_site(hub, folder) as site:
            await begun(site)
            (before,) = (await shown(site))["replica_list"]
        kept = [VALUE.encode(), *secrets_of(hub)]
        assert [each for each in kept if each in bytes_in(folder, but="key")] == []
        as_before(database, AtRest(hub.key, folder / "key"))
        assert [each for each in kept if each in database.read_bytes()] == kept
        for _ in range(2):
            async with hub_site(hub, folder) as site:
                await until(lambda: is_ready(site))
                (after,) = (await shown(site))["replica_list"]
                assert (after["id"], after["pid"]) == (before["id"], before["pid"])
                written = database.read_bytes() + database.with_name("state.db-wal").read_bytes()
                assert [each for each in kept if each in written] == []
        assert len(secrets_of(hub)) == 1, "nothing else was started"

    asyncio.run(main())


def test_a_hub_whose_key_was_lost_is_told_so_and_its_replicas_are_ended(
    hub: FakeHub, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """With the key goes what tells them from servers of somebody else's; who they are stands in the database."""
    folder = tmp_path / "gateway"

    async def main() -> None:
        async with hub_site(hub, folder) as site:
            await begun(site)
            (before,) = hub.engine.containers
        hub.key = new_key()
        hub.sealer = Sealer(hub.key)
        (folder / "key").write_text(hub.key)
        async with hub_site(hub, folder) as site:
            await until(lambda: gone(before))
            await until(lambda: says_why(site))
            alice = site.notebook("alice")
            refused = await site.api("POST", "services/alice/chat/restart", token=alice)
            assert (refused.status_code, "PASSWORD" in refused.text) == (400, True)
            definition = {"file": "model-definition.yaml", "text": DEFINITION}
            body = {"definition": definition, "environment": {"PASSWORD": VALUE}}
            assert (await site.api("POST", "services/alice/chat/update", body, token=alice)).status_code == 202
            await until(lambda: is_ready(site))

    async def gone(container: str) -> bool:
        return container not in hub.engine.containers

    async def says_why(site: HubSite) -> bool:
        return "PASSWORD cannot be read any more" in ((await shown(site))["reason"] or "")

    asyncio.run(main())
    told = [each.getMessage() for each in caplog.records if each.levelno >= logging.ERROR]
    assert [each for each in told if f"The key {folder / 'key'} is not the one" in each] != []
