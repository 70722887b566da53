"""GPUs of the Docker host, given to replicas whole and by their ids, under one lock of the Hub's process.

What is in use is read from the engine each time: the device requests of every container, notebooks' included. Between
the choice and the container there is a moment in which only we know: a choice is remembered until its container is
seen. ``core/gpu_pool.py`` decides; this module asks NVML and the engine.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from jupyter_model_service.core.gpu_pool import (
    Gpu,
    Holder,
    Mixed,
    choose,
    held,
    holder_of,
    known_ids,
    on_trust,
    shortage,
)
from jupyter_model_service.errors import LaunchError

from .docker_calls import ENGINE_ERRORS, DockerCalls, explained, status_of

__all__ = ["GpuPool", "read_inventory"]

INVENTORY_SECONDS = 10.0  # for NVML to answer
INVENTORY_KEPT = 60.0  # seconds; GPUs come and go with driver restarts only
REMEMBERED = 600.0  # seconds for a container to appear for which GPUs were chosen: its image may have to be pulled
CREATED = 60.0  # seconds for which a container that was made and not started yet counts
LOOKED_AT = ("created", "running", "paused", "restarting")


@dataclass
class _Choice:
    ids: list[str]
    label: str
    at: float
    seen: bool = False


class GpuPool:
    """``allowed``: numbers or UUIDs of the GPUs that replicas may have, ``None`` for all of the machine.

    Where the Hub cannot ask NVML (it runs in a container), GPUs that are named in ``allowed`` are taken on trust, and a
    container that asks for GPUs in another way than they are named holds all of them.
    """

    def __init__(
        self,
        allowed: Collection[str] | None = None,
        *,
        inventory: Callable[[], Sequence[Gpu]] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._allowed = None if allowed is None else list(allowed)
        self._read = inventory or read_inventory
        self._monotonic = monotonic
        self._lock = asyncio.Lock()
        self._gpus: Sequence[Gpu] = ()
        self._gpus_at: float | None = None
        self._choices: dict[str, _Choice] = {}
        self._known: dict[str, Holder | None] = {}  # by container id: device requests never change
        self._created: dict[str, float] = {}  # containers that are not started, since when we know them

    async def take(
        self, wanted: int, replica: str, docker: DockerCalls, *, label: str, user: str | None = None
    ) -> list[str]:
        """The ids of ``wanted`` GPUs for this replica, the same again if it has a choice already. ``label`` names it to
        others (``alice/koalpaca``), ``user`` is who the sentence is for. ``LaunchError``: why there are
        none now (stage ``gpus``), or why waiting does not help (``gpus_never``)."""
        if wanted < 1:
            return []
        async with self._lock:
            gpus = await self._giveable()
            holders = await self._holders(docker)
            own = self._choices.get(replica)
            if own is not None and len(own.ids) == wanted:
                return list(own.ids)
            self._choices.pop(replica, None)
            taken = held(gpus, [each for each in holders if each.replica != replica])
            chosen = choose(gpus, taken, wanted)
            if chosen is None:
                why = shortage(wanted, gpus, taken, user)
                if wanted <= len(gpus):
                    raise LaunchError(why, stage="gpus")
                missing = known_ids(self._gpus, self._allowed)[1]
                why += f" (the setting names {', '.join(missing)}, which cannot be given)" if missing else ""
                raise LaunchError(why, stage="gpus_never")
            self._choices[replica] = _Choice(chosen, label, self._monotonic())
            return list(chosen)

    def give_back(self, replica: str) -> None:
        """The replica is gone, or was never started. What its container still holds is seen there."""
        self._choices.pop(replica, None)

    async def look(self, docker: DockerCalls) -> list[tuple[Gpu, list[Holder]]]:
        """Every GPU of the machine, also those that replicas may not have, and who holds it. ``LaunchError`` where that
        cannot be found out."""
        async with self._lock:
            await self._giveable()
            found = held(self._gpus, await self._holders(docker))
            return [(gpu, found.get(gpu.id, [])) for gpu in self._gpus]

    # --- what there is ---

    async def _giveable(self) -> list[Gpu]:
        now = self._monotonic()
        if self._gpus_at is None or now - self._gpus_at > INVENTORY_KEPT or not self._gpus:
            self._gpus = list(await asyncio.to_thread(self._read)) or self._on_trust()
            self._gpus_at = now
        return known_ids(self._gpus, self._allowed)[0]

    def _on_trust(self) -> list[Gpu]:
        try:
            return on_trust(self._allowed or ())
        except Mixed as two:
            raise LaunchError(
                f"The setting gpus names {two}, which may be one GPU, and the Hub sees none to find out: the "
                "administrator must name all by number, or all by UUID.",
                stage="gpus_never",
            ) from None

    # --- who has what ---

    async def _holders(self, docker: DockerCalls) -> list[Holder]:
        try:
            found = await self._containers(docker)
        except ENGINE_ERRORS as error:
            message = f"The Docker engine does not say which GPUs are in use: {explained(error)}"
            raise LaunchError(message, stage="gpus") from error
        self._review({holder.replica for holder in found if holder.replica is not None})
        chosen = [
            Holder("", choice.label, replica, None, tuple(choice.ids))
            for replica, choice in self._choices.items()
            if not choice.seen
        ]
        return found + chosen

    def _review(self, seen: Collection[str]) -> None:
        now = self._monotonic()
        for replica, choice in list(self._choices.items()):
            if replica in seen:
                choice.seen = True
            elif choice.seen or now - choice.at > REMEMBERED:
                del self._choices[replica]

    async def _containers(self, docker: DockerCalls) -> list[Holder]:
        listed = await docker("containers", all=True, filters={"status": list(LOOKED_AT)})
        now = self._monotonic()
        ids = {str(entry["Id"]) for entry in listed}
        created = {str(entry["Id"]) for entry in listed if entry.get("State") == "created"}
        self._created = {each: self._created.get(each, now) for each in created}
        stale = {each for each, since in self._created.items() if now - since > CREATED}
        self._known = {each: holder for each, holder in self._known.items() if each in ids}
        new = [each for each in ids if each not in self._known]
        for each, holder in zip(new, await asyncio.gather(*(_looked(docker, each) for each in new)), strict=True):
            self._known[each] = holder
        return [holder for each in sorted(ids - stale) if (holder := self._known.get(each)) is not None]


async def _looked(docker: DockerCalls, container: str) -> Holder | None:
    try:
        return holder_of(await docker("inspect_container", container))
    except ENGINE_ERRORS as error:
        if status_of(error) == 404:  # gone since it was listed
            return None
        raise


def read_inventory() -> list[Gpu]:
    """What NVML counts (blocking, bounded). Empty without a driver; ``LaunchError`` when it does not answer as it
    should."""
    script = str(Path(__file__).with_name("nvml_inventory.py"))
    asking = subprocess.Popen(
        [sys.executable, "-I", script], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        output, errors = asking.communicate(timeout=INVENTORY_SECONDS)
    except subprocess.TimeoutExpired:
        asking.kill()  # and not waited for: in the driver it may be beyond every signal
        for pipe in (asking.stdout, asking.stderr):
            if pipe is not None:
                pipe.close()
        message = f"NVIDIA's driver does not say within {INVENTORY_SECONDS:g} s which GPUs there are."
        raise LaunchError(message, stage="gpus") from None
    with contextlib.suppress(ValueError, TypeError):
        if asking.returncode == 0:
            return [Gpu(**each) for each in json.loads(output)]
    words = errors.decode("utf-8", "replace").strip().splitlines()
    why = words[-1][:300] if words else f"its reader ended with status {asking.returncode}"
    raise LaunchError(f"The GPUs of the Docker host cannot be counted: {why}.", stage="gpus")
