"""What the Hub has no record of is taken from the engine, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from jupyter_model_service.hub.context import LABEL
from jupyter_model_service.hub.sweep import Known, Sweep

from .deployment import TEST_LABEL, eventually
from .desk import Desk


@pytest.fixture
def desk(docker_engine: Any, base_image: str) -> Iterator[Desk]:
    desk = Desk(docker_engine, base_image)
    yield desk
    desk.close()


def container(desk: Desk, user: str, server: str, hub: str | None = None) -> str:
    of = {"hub": hub or desk.hub, "kind": "replica", "user": user, "server": server}
    labels = {TEST_LABEL: desk.hub, **{LABEL + key: value for key, value in of.items()}}
    return str(desk.engine.containers.create(desk.image, "true", labels=labels).id)


def snapshot(desk: Desk, user: str, name: str) -> str:
    of = {"hub": desk.hub, "kind": "snapshot", "user": user, "service-id": "0" * 32, "revision": "1"}
    volume = f"{desk.hub}-{name}"
    desk.engine.volumes.create(volume, labels={LABEL + key: value for key, value in of.items()})
    return volume


def there(desk: Desk) -> set[str]:
    mine = {"label": f"{TEST_LABEL}={desk.hub}"}
    found = {one["Id"] for one in desk.engine.api.containers(all=True, filters=mine)}
    return found | {volume.name for volume in desk.engine.volumes.list(filters={"label": f"{LABEL}hub={desk.hub}"})}


def test_only_what_the_hub_does_not_know_of_goes(desk: Desk) -> None:
    """A server with a record stays, as does what another Hub on the engine has; a user who is gone leaves nothing."""
    kept = {
        container(desk, "alice", "ms-a-000001"),
        container(desk, "bob", "ms-a-000002", hub="another"),
        snapshot(desk, "alice", "hers"),
    }
    container(desk, "alice", "ms-a-000003")
    container(desk, "carol", "ms-a-000001")
    snapshot(desk, "carol", "former")
    known = Known({"alice", "bob"}, {("alice", "ms-a-000001")})
    asyncio.run(Sweep(desk.docker, desk.snapshots(), desk.hub).once(lambda: known))
    assert there(desk) == kept


def test_a_removal_that_failed_is_not_waited_for_long(desk: Desk) -> None:
    """It looks at once, and again when told, although the next look would be in an hour."""

    async def body() -> None:
        sweep = Sweep(desk.docker, desk.snapshots(), desk.hub, every=3600.0)
        sweep.begin(lambda: Known(set(), set()))
        for _ in range(2):
            container(desk, "alice", "ms-a-000001")
            sweep.soon()
            await asyncio.to_thread(eventually, lambda: not there(desk), "it is gone", 20)

    asyncio.run(body())
