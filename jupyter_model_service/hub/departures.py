"""The end of a user of the Hub while replicas of hers run.

The Hub stops nothing but her default server, and gives a deletion up (500) for any other that is active; a replica that
somebody stops before is replaced at once. So from the first step of a deletion on, which is the end of her default
server, her replicas do not count as active. Nothing of them is touched until she is gone: where the Hub gives the
deletion up all the same, since a server of her own runs, they run on.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import Any

from ..core.hub_options import SERVER_PREFIX
from .context import LABEL
from .docker_calls import ENGINE_ERRORS, DockerCalls, explained
from .gpus import GpuPool
from .snapshots import Snapshots
from .sweep import Sweep

__all__ = ["Departures"]

PATIENCE = 2.0  # seconds for the Hub to come from the first step to the last; it asks nobody on the way
LOOK = 0.02

log = logging.getLogger(__name__)


class Departures:
    """One per Hub process. A task for each user ends by itself."""

    def __init__(self, docker: DockerCalls, gpus: GpuPool, snapshots: Snapshots, sweep: Sweep, hub: str) -> None:
        self._docker = docker
        self._gpus = gpus
        self._snapshots = snapshots
        self._sweep = sweep
        self._hub = hub
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def under_way(self, user: str) -> bool:
        """Whether she is being deleted, or is gone and something of hers is not."""
        return user in self._tasks

    def begin(self, user: Any) -> None:
        """The Hub is at its first step. ``user`` is the Hub's."""
        name = user.name
        if name in self._tasks:
            return
        task = asyncio.get_running_loop().create_task(self._follow(user, name, user.db), name=f"the end of {name}")
        self._tasks[name] = task
        task.add_done_callback(lambda _: self._tasks.pop(name, None))

    async def _follow(self, user: Any, name: str, db: Any) -> None:
        servers = {each: spawner for each, spawner in user.spawners.items() if each.startswith(SERVER_PREFIX)}
        end = time.monotonic() + PATIENCE
        while user.orm_user in db:
            if time.monotonic() > end:
                return
            await asyncio.sleep(LOOK)
        for spawner in servers.values():
            spawner.stop_polling()
            if spawner.model_service_life is not None and spawner.model_service_life.replica is not None:
                self._gpus.give_back(spawner.model_service_life.replica)
        try:
            await self._remove(name)
        except ENGINE_ERRORS as error:
            log.warning("Model service: what is left of the user %s is removed later: %s", name, explained(error))
            self._sweep.soon()
        for server in servers:
            with contextlib.suppress(Exception):  # its own look at all routes takes it away some minutes later
                await user.settings["proxy"].delete_user(user, server)

    async def _remove(self, name: str) -> None:
        """Her replicas, and then her snapshots, which they use: the next user of that name must not have them."""
        wanted = [f"{LABEL}hub={self._hub}", f"{LABEL}user={name}", f"{LABEL}kind=replica"]
        there = await self._docker("containers", all=True, filters={"label": wanted})
        removals = (self._docker.try_("remove_container", each["Id"], force=True, v=True) for each in there)
        if not {None, 404, 409}.issuperset(await asyncio.gather(*removals)):
            self._sweep.soon()
        await self._snapshots.collect(name, ())
