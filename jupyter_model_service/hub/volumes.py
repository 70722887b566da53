"""The volumes that revisions' snapshots are kept in: whose they are, how large, and when they go.

Everything is in the engine's own records, so that neither a restart of the Hub nor one of the gateway loses it. Each
snapshot is a volume with labels (hub, user, service, revision). Labels cannot be changed later, so when a copy is
complete an empty volume called ``<name>.kept`` is made beside it, whose labels say how many files and bytes there are.
A volume without such a record is unfinished: it counts for nothing and is collected.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .context import LABEL
from .docker_calls import DockerCalls

__all__ = ["KeptVolume", "labels", "record_kept", "remove", "usage", "volumes_of"]

HUB, USER, KIND = LABEL + "hub", LABEL + "user", LABEL + "kind"
SERVICE_ID, REVISION = LABEL + "service-id", LABEL + "revision"
BYTES, FILES = LABEL + "bytes", LABEL + "files"

SNAPSHOT, RECORD, COPIER = "snapshot", "record", "copier"
_RECORD_NAME = ".kept"


@dataclass(frozen=True)
class KeptVolume:
    """``bytes`` and ``files`` are ``None`` while (or because) the copy is not complete."""

    name: str
    user: str
    service_id: str
    revision: int
    bytes: int | None = None
    files: int | None = None


def labels(kind: str, hub: str, user: str, service_id: str, revision: int) -> dict[str, str]:
    return {KIND: kind, HUB: hub, USER: user, SERVICE_ID: service_id, REVISION: str(revision)}


async def volumes_of(docker: DockerCalls, hub: str, user: str | None = None) -> list[KeptVolume]:
    """The snapshots of this Hub (of this user), by name."""
    return kept_volumes(await _ours(docker, hub, user))


def kept_volumes(volumes: Iterable[Mapping[str, Any]]) -> list[KeptVolume]:
    """From the engine's list, in which each snapshot and its record are entries of their own."""
    found = {str(volume["Name"]): volume.get("Labels") or {} for volume in volumes}
    kept = []
    for name, of in sorted(found.items()):
        if of.get(KIND) == SNAPSHOT:
            record = found.get(name + _RECORD_NAME, {})
            kept.append(
                KeptVolume(
                    name,
                    of.get(USER, ""),
                    of.get(SERVICE_ID, ""),
                    _number(of.get(REVISION)) or 0,
                    _number(record.get(BYTES)),
                    _number(record.get(FILES)),
                )
            )
    return kept


def usage(volumes: Iterable[KeptVolume], *, without: str = "") -> int:
    """Bytes of all complete snapshots but the one called ``without``."""
    return sum(volume.bytes or 0 for volume in volumes if volume.name != without)


async def record_kept(docker: DockerCalls, name: str, of: Mapping[str, str], files: int, size: int) -> None:
    """Make the snapshot count: its copy is complete."""
    what = {**of, KIND: RECORD, BYTES: str(size), FILES: str(files)}
    await docker("create_volume", name + _RECORD_NAME, labels=what)


async def remove(docker: DockerCalls, name: str) -> int | None:
    """The snapshot with its record; ``None``, or the status with which the engine refuses (409: in use)."""
    refused = await docker.try_("remove_volume", name)
    if refused is not None and refused != 404:
        return refused
    refused = await docker.try_("remove_volume", name + _RECORD_NAME)
    return None if refused == 404 else refused


async def collect(
    docker: DockerCalls, hub: str, user: str, keep: Collection[str], busy: Collection[str] = ()
) -> dict[str, list[str]]:
    """Remove this user's snapshots but those in ``keep`` and ``busy`` (being made). ``in_use`` are those that a
    container still has: they go at a later collection."""
    return await _remove_all(docker, await _ours(docker, hub, user), {*keep, *busy})


async def collect_users(docker: DockerCalls, hub: str, users: Collection[str]) -> dict[str, list[str]]:
    """Remove the snapshots of everybody who is not among ``users``: who is gone can ask for nothing any more."""
    gone = [v for v in await _ours(docker, hub, None) if (v.get("Labels") or {}).get(USER) not in users]
    return await _remove_all(docker, gone, ())


async def _remove_all(
    docker: DockerCalls, volumes: Sequence[Mapping[str, Any]], keep: Collection[str]
) -> dict[str, list[str]]:
    told: dict[str, list[str]] = {"removed": [], "in_use": []}
    for name in sorted({str(volume["Name"]).removesuffix(_RECORD_NAME) for volume in volumes} - set(keep)):
        told["removed" if await remove(docker, name) is None else "in_use"].append(name)
    return told


async def belongs(docker: DockerCalls, hub: str, user: str, name: str) -> bool:
    """Whether there is such a snapshot, complete, of this user of this Hub."""
    return any(volume.name == name and volume.bytes is not None for volume in await volumes_of(docker, hub, user))


async def _ours(docker: DockerCalls, hub: str, user: str | None) -> list[dict[str, Any]]:
    wanted = [f"{HUB}={hub}"] + ([] if user is None else [f"{USER}={user}"])
    answer = await docker("volumes", filters={"label": wanted})
    kinds = (SNAPSHOT, RECORD)
    return [v for v in answer.get("Volumes") or () if (v.get("Labels") or {}).get(KIND) in kinds]


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdecimal() else None
