"""What the Hub has no record of any more, although the engine still has it.

The Hub forgets a server whether or not its container could be removed: an engine that is restarted brings the ended
containers back after that. And it forgets a user without asking what of hers there is. So what there is of ours is
compared with what the Hub knows, each minute, and soon after a removal has failed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from jupyterhub import orm

from ..core.hub_options import SERVER_PREFIX
from .context import LABEL
from .docker_calls import ENGINE_ERRORS, DockerCalls, explained
from .snapshots import Snapshots

__all__ = ["Known", "Sweep", "known_of"]

EVERY = 60.0  # seconds between two looks
SOON = 2.0  # seconds until the next one after a removal that failed

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Known:
    """``servers`` are pairs of a user's and a server's name, of ours only."""

    users: Collection[str]
    servers: Collection[tuple[str, str]]


def known_of(db: Any) -> Known:
    """From the Hub's database, in its own thread."""
    users = {name for (name,) in db.query(orm.User.name)}
    ours = db.query(orm.User.name, orm.Spawner.name).join(orm.Spawner, orm.Spawner.user_id == orm.User.id)
    servers = {(user, name) for user, name in ours.filter(orm.Spawner.name.startswith(SERVER_PREFIX))}
    return Known(users, servers)


class Sweep:
    """``hub`` tells the things of this Hub from those of another on the same engine. The task ends with the loop."""

    def __init__(self, docker: DockerCalls, snapshots: Snapshots, hub: str, *, every: float = EVERY) -> None:
        self._docker = docker
        self._snapshots = snapshots
        self._hub = hub
        self._every = every
        self._poked = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def begin(self, known: Callable[[], Known]) -> None:
        """Once; a second call changes nothing."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(known), name="model service sweep")

    def soon(self) -> None:
        """Something could not be removed."""
        self._poked.set()

    async def _run(self, known: Callable[[], Known]) -> None:
        while True:
            try:
                await self.once(known)
                pause = self._every
            except ENGINE_ERRORS as error:
                log.info("Model service: what is left over cannot be looked for: %s", explained(error))
                pause = SOON
            except Exception:  # a fault of ours must not end the task, nor the Hub
                log.exception("Model service: what is left over could not be looked for")
                pause = self._every
            try:
                await asyncio.wait_for(self._poked.wait(), pause)
                await asyncio.sleep(SOON)
            except asyncio.TimeoutError:
                pass
            self._poked.clear()

    async def once(self, known: Callable[[], Known]) -> None:
        """One look. What the engine has is listed first: the record of a server is there before its container."""
        wanted = [f"{LABEL}hub={self._hub}", f"{LABEL}kind=replica"]
        there = await self._docker("containers", all=True, filters={"label": wanted})
        now = known()
        for container in there:
            labels = container.get("Labels") or {}
            if (labels.get(f"{LABEL}user"), labels.get(f"{LABEL}server")) in now.servers:
                continue
            log.warning(
                "Model service: removing the container of a server that the Hub has no more: %s", _name(container)
            )
            if await self._docker.try_("remove_container", container["Id"], force=True, v=True) not in (None, 404, 409):
                self.soon()
        gone = await self._snapshots.collect_users(now.users)
        if gone["removed"]:
            log.warning("Model service: removed snapshots of users who are gone: %s", ", ".join(gone["removed"]))


def _name(container: Any) -> str:
    return str((container.get("Names") or [container.get("Id")])[0]).lstrip("/")
