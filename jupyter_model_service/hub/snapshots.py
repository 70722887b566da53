"""Snapshots: a folder of a user's workspace, copied into a volume of the revision that is made of it.

The copy is made by ``copier.py`` in one container of the user's own image and as the user, that has no network and no
capability, a root file system that cannot be written, the one volume of her notebook that holds the folder
(read-only), and the new volume. So nothing that lies in the folder, and nothing that is done to it meanwhile, can reach
more than her own storage: there is nothing else. The Hub never opens a user's file, and computes no path of the host.

A snapshot counts when its record is there (``volumes.py``). Whatever goes wrong before that, and a cancellation,
removes the container and the volume.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import json
import tarfile
import weakref
import zlib
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from jupyter_model_service.core.hub_options import SnapshotOptions
from jupyter_model_service.core.storage_paths import Mounted, mount_of, mounts_below
from jupyter_model_service.errors import LaunchError

from . import volumes
from .copier import amount
from .copy_output import CopyOutput, follow
from .docker_calls import ENGINE_ERRORS, DockerCalls, explained, status_of

__all__ = ["Snapshots"]

OUTER, TARGET = "/.model-service", "/.model-service/target"
AT_ONCE = 4  # copies; each holds one of the engine's threads
TIME_LIMIT = 6 * 3600.0  # seconds for one copy
SILENCE = 60.0  # seconds: a copier tells four times a second how far it is, so its disk does not answer
CLEANING = 30.0  # seconds
KEEP_FREE = 1 << 30  # bytes on the engine's disk that no snapshot may take
MEMORY = 512 << 20

_BEYOND = " holds more than "  # in what the copier says of a folder that is too large

Report = Callable[[int, int], None]
"""Called with files and bytes so far (or as they will be), on the loop."""


def _untold(files: int, size: int) -> None:
    pass


class Snapshots:
    """All snapshots that one Hub makes. ``hub`` tells the volumes of one Hub from those of another on the same engine;
    ``bytes_per_user``: what all complete snapshots of a user may take up together (``None``: no limit of ours)."""

    def __init__(
        self, docker: DockerCalls, *, hub: str, bytes_per_user: int | None = None, keep_free: int = KEEP_FREE
    ) -> None:
        self._docker = docker
        self._hub = hub
        self._bytes_per_user = bytes_per_user
        self._keep_free = keep_free
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._users: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()
        self._busy: set[str] = set()

    async def keep(
        self,
        mounts: Sequence[Mounted],
        options: SnapshotOptions,
        report: Report,
        *,
        image: str,
        run_as: str | None = None,
        expected: Report = _untold,
    ) -> dict[str, Any]:
        """Copy the folder; the volume is in the place of what an earlier attempt left there.

        ``mounts``: of the user's notebook. ``image``: what her notebook runs. ``run_as``: the container's user, as
        ``docker run --user`` takes it, when that is not the image's own. One copy of a user at a time, so that two
        cannot pass her limit together. Raises ``LaunchError`` with the stage ``folder`` (the user's side), ``limit``,
        ``space``, ``image`` or ``engine``, and then, as when cancelled, leaves nothing behind.
        """
        try:
            mount = mount_of(options.folder, mounts)
        except ValueError as error:
            raise LaunchError(str(error), stage="folder") from error
        lock = self._users.setdefault(options.user, asyncio.Lock())
        async with lock, self._slots:
            copy = _Copy(self._docker, self._hub, mount, options, image, run_as, self._keep_free)
            self._busy.add(options.volume)
            try:
                done = await self._kept(copy, options, report, expected)
            finally:
                self._busy.discard(options.volume)
        done["not_copied"] = list(mounts_below(options.folder, mounts))
        return done

    async def _kept(self, copy: _Copy, options: SnapshotOptions, report: Report, expected: Report) -> dict[str, Any]:
        used = 0
        try:
            await copy.clear()
            limit = options.limit_bytes
            if self._bytes_per_user is not None:
                own = await volumes.volumes_of(self._docker, self._hub, options.user)
                used = volumes.usage(own, without=options.volume)
                limit = min(limit, max(0, self._bytes_per_user - used))
            return await copy.made(limit, report, expected)
        except LaunchError as error:
            if error.stage == "limit" and _BEYOND in str(error):
                raise LaunchError(f"{error} {self._limits_told(options, used)}", stage="limit") from error
            raise
        except ENGINE_ERRORS as error:
            raise LaunchError(
                f"The Docker engine could not make the snapshot: {explained(error)}", stage="engine"
            ) from error

    def _limits_told(self, options: SnapshotOptions, used: int) -> str:
        """Whose limits they are, and what takes them up: what is left alone reads as if it were the limit."""
        mine = self._bytes_per_user
        each = options.limit_bytes if mine is None else min(options.limit_bytes, mine)
        others = f"; her others have {amount(used)}" if used else ""
        return (
            f"All snapshots of {options.user} may have {amount(each)} together, and each of them "
            f"{options.limit_files:,} files (set for all users){others}."
        )

    async def collect(self, user: str, keep: Collection[str]) -> dict[str, Any]:
        """Remove the user's snapshots but those of these names, and copiers that a killed Hub left."""
        await self._remove_copiers(user)
        return dict(await volumes.collect(self._docker, self._hub, user, keep, self._busy))

    async def collect_users(self, users: Collection[str]) -> dict[str, Any]:
        """Remove the snapshots of users who are not among these any more."""
        return dict(await volumes.collect_users(self._docker, self._hub, users))

    async def belongs(self, user: str, volume: str) -> bool:
        """Whether the volume is a complete snapshot of this user: what a replica of hers may mount."""
        return await volumes.belongs(self._docker, self._hub, user, volume)

    async def _remove_copiers(self, user: str) -> None:
        wanted = [f"{volumes.HUB}={self._hub}", f"{volumes.USER}={user}", f"{volumes.KIND}={volumes.COPIER}"]
        for container in await self._docker("containers", all=True, filters={"label": wanted}):
            if not any(mount.get("Name") in self._busy for mount in container.get("Mounts") or ()):
                await self._docker.try_("remove_container", container["Id"], force=True, v=True)


class _Copy:
    """One snapshot being made."""

    def __init__(
        self,
        docker: DockerCalls,
        hub: str,
        mount: Mounted,
        options: SnapshotOptions,
        image: str,
        run_as: str | None,
        keep_free: int,
    ) -> None:
        self._docker = docker
        self._mount = mount
        self._options = options
        self._image = image
        self._run_as = run_as
        self._keep_free = keep_free
        what = (hub, options.user, options.service_id, options.revision)
        self._labels = volumes.labels(volumes.SNAPSHOT, *what)
        self._copier_labels = volumes.labels(volumes.COPIER, *what)

    # --- before and after ---

    async def clear(self) -> None:
        """Remove what an attempt that was killed left under this name, and nothing that is not such."""
        name = self._options.volume
        try:
            there = await self._docker("inspect_volume", name)
        except ENGINE_ERRORS as error:
            if status_of(error) != 404:
                raise
            return
        if {key: (there.get("Labels") or {}).get(key) for key in self._labels} != self._labels:
            raise LaunchError(
                f"There is a volume {name} already, which is no snapshot of this revision.", stage="engine"
            )
        for container in await self._docker("containers", all=True, filters={"volume": name}):
            if (container.get("Labels") or {}).get(volumes.KIND) == volumes.COPIER:
                await self._docker.try_("remove_container", container["Id"], force=True, v=True)
        if await volumes.remove(self._docker, name) is not None:
            raise LaunchError(f"The volume {name} is in use by a container and cannot be made again.", stage="engine")

    async def made(self, limit_bytes: int, report: Report, expected: Report) -> dict[str, Any]:
        preparing = asyncio.ensure_future(self._prepared(limit_bytes))
        finishing: asyncio.Future[None] | None = None
        try:
            container = await asyncio.shield(preparing)
            output = await self._run(container, report, expected)
            done = self._judged(output, await self._ended(container, output), limit_bytes)
            finishing = asyncio.ensure_future(self._finished(container, done))
            await asyncio.shield(finishing)
            return done
        except BaseException:
            with contextlib.suppress(Exception):
                await _unhurried(self._cleaned(preparing, finishing))
            raise

    async def _finished(self, container: str, done: Mapping[str, Any]) -> None:
        await volumes.record_kept(self._docker, self._options.volume, self._labels, done["files"], done["bytes"])
        await self._docker.try_("remove_container", container, force=True, v=True)

    async def _cleaned(self, preparing: asyncio.Future[str], finishing: asyncio.Future[None] | None) -> None:
        """Whatever was being made when we were cancelled is finished first: only then can it be removed."""
        if finishing is not None:
            await asyncio.wait({finishing})
        with contextlib.suppress(Exception):
            await self._docker.try_("remove_container", await preparing, force=True, v=True)
        await volumes.remove(self._docker, self._options.volume)

    # --- the container ---

    async def _prepared(self, limit_bytes: int) -> str:
        """The id of a container that is ready to start, on a new volume that belongs to its user."""
        image = await self._inspected()
        if self._mount.kind == "volume":
            await self._check_source()
        await self._docker("create_volume", self._options.volume, labels=self._labels)
        made = await self._docker("create_container_from_config", self._config(limit_bytes))
        container = str(made["Id"])
        try:
            owner = await self._owner(container, image)
            await self._docker("put_archive", container, OUTER, _owned_folder("target", *owner))
        except BaseException:
            await self._docker.try_("remove_container", container, force=True, v=True)
            raise
        return container

    async def _inspected(self) -> Mapping[str, Any]:
        try:
            image = await self._docker("inspect_image", self._image)
        except ENGINE_ERRORS as error:
            if status_of(error) == 404:
                raise LaunchError(f"The image {self._image} is not on the Docker host.", stage="image") from error
            raise
        return dict(image)

    async def _check_source(self) -> None:
        """The engine would make a volume that is not there."""
        try:
            await self._docker("inspect_volume", self._mount.source)
        except ENGINE_ERRORS as error:
            if status_of(error) != 404:
                raise
            where = f"Your storage at {self._mount.target}"
            raise LaunchError(f"{where} is not there yet: start your notebook server once.", stage="folder") from error

    def _config(self, limit_bytes: int) -> dict[str, Any]:
        """As the engine's API takes it. ``outer`` is an empty volume that holds the mount point: an archive may be put
        into a volume although the root file system is read-only, and so give the target to the container's user."""
        plain = {"NoCopy": True}
        source = {
            "Type": self._mount.kind,
            "Source": self._mount.source,
            "Target": self._mount.target,
            "ReadOnly": True,
            **({"VolumeOptions": plain} if self._mount.kind == "volume" else {}),
        }
        outer = {"Type": "volume", "Target": OUTER, "VolumeOptions": {**plain, "Labels": self._copier_labels}}
        target = {"Type": "volume", "Target": TARGET, "VolumeOptions": plain, "Source": self._options.volume}
        return {
            "Image": self._image,
            "Entrypoint": ["python3", "-I", "-S", "-B", "-X", "utf8", "-c", _script(), self._spec(limit_bytes)],
            "Cmd": [],
            "WorkingDir": "/",
            "Env": ["NVIDIA_VISIBLE_DEVICES=void"],  # where the engine's default runtime gives every container a GPU
            "Labels": self._copier_labels,
            "NetworkDisabled": True,  # a namespace with nothing in it; preparing the network "none" costs 0.1 s more
            "Healthcheck": {"Test": ["NONE"]},
            **({"User": self._run_as} if self._run_as else {}),
            "HostConfig": {
                "NetworkMode": "none",
                "ReadonlyRootfs": True,
                "CapDrop": ["ALL"],
                "SecurityOpt": ["no-new-privileges"],
                "Mounts": [source, outer, target],
                "Memory": MEMORY,
                "PidsLimit": 16,
                "LogConfig": {"Type": "none"},
                "RestartPolicy": {"Name": "no"},
            },
        }

    def _spec(self, limit_bytes: int) -> str:
        return json.dumps(
            {
                "root": self._mount.target,
                "folder": self._options.folder,
                "target": TARGET,
                "exclude": list(self._options.exclude),
                "limit_bytes": limit_bytes,
                "limit_files": self._options.limit_files,
                "keep_free": self._keep_free,
            }
        )

    async def _owner(self, container: str, image: Mapping[str, Any]) -> tuple[int, int]:
        user, _, group = str(self._run_as or (image.get("Config") or {}).get("User") or "0").partition(":")
        if user.isdecimal():
            return int(user), int(group) if group.isdecimal() else 0
        try:
            chunks, _ = await self._docker("get_archive", container, "/etc/passwd")
            lines = await self._docker.run(_only_file, chunks)
        except ENGINE_ERRORS as error:
            if status_of(error) != 404:
                raise
            lines = []
        for line in lines:
            fields = line.split(":")
            if fields[0] == user and len(fields) > 3 and fields[2].isdecimal() and fields[3].isdecimal():
                return int(fields[2]), int(fields[3])
        raise LaunchError(f"The image {self._image} has no user {user}, as whom it is to run.", stage="image")

    async def _run(self, container: str, report: Report, expected: Report) -> CopyOutput:
        loop = asyncio.get_running_loop()
        # Attached before the start: nothing of the output is missed, and the engine writes no log.
        socket = await self._docker("attach_socket", container, {"stdout": 1, "stderr": 1, "stream": 1})
        try:
            await self._docker("start", container)
        except ENGINE_ERRORS as error:
            await self._docker.run(socket.close)
            if "python3" in explained(error) and "not found" in explained(error):
                message = f"The image {self._image} has no python3, with which the folder is copied."
                raise LaunchError(message, stage="image") from error
            raise

        def on_loop(told: Report) -> Report:
            def tell(files: int, size: int) -> None:
                with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
                    loop.call_soon_threadsafe(told, files, size)

            return tell

        return await self._docker.run(
            follow, socket, on_loop(report), expected=on_loop(expected), limit=TIME_LIMIT, silence=SILENCE
        )

    async def _ended(self, container: str, output: CopyOutput) -> str:
        """How it ended, when it did not say so itself."""
        if output.result is not None or output.overdue:
            return ""
        with contextlib.suppress(*ENGINE_ERRORS):
            await self._docker("wait", container, timeout=10)
        state = (await self._docker("inspect_container", container)).get("State") or {}
        how = "ran out of memory" if state.get("OOMKilled") else f"ended with exit code {state.get('ExitCode')}"
        return how + (f": {output.last_words}" if output.last_words else "")

    def _judged(self, output: CopyOutput, ended: str, limit_bytes: int) -> dict[str, Any]:
        """The image is the user's choice, so what its python3 says is checked before it is believed."""
        if output.overdue:
            raise LaunchError(f"The copy of {self._options.folder} was given up: {output.overdue}.", stage="folder")
        result = output.result
        if result is None:
            raise LaunchError(f"The copy of {self._options.folder} {ended}.", stage="engine")
        if "error" in result:
            raise LaunchError(str(result["error"]), stage=str(result["stage"]))
        if result["bytes"] > limit_bytes or result["files"] > self._options.limit_files:
            raise LaunchError("The copier broke its limits; nothing was kept.", stage="limit")
        return {"volume": self._options.volume, **result}


def _script() -> str:
    source = Path(__file__).with_name("copier.py").read_bytes()
    packed = base64.b64encode(zlib.compress(source, 9)).decode("ascii")
    return f"import base64,zlib;exec(zlib.decompress(base64.b64decode('{packed}')))"


def _owned_folder(name: str, user: int, group: int) -> bytes:
    """An archive of one folder's attributes."""
    folder = tarfile.TarInfo(name)
    folder.type, folder.mode, folder.uid, folder.gid = tarfile.DIRTYPE, 0o755, user, group
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as writing:
        writing.addfile(folder)
    return archive.getvalue()


def _only_file(chunks: Any) -> list[str]:
    """The lines of the one file in an archive from the engine."""
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
        for member in archive:
            if (file := archive.extractfile(member)) is not None:
                return file.read(1 << 20).decode("utf-8", "replace").splitlines()
    return []


async def _unhurried(work: Any) -> None:
    """Finish cleaning although we are being cancelled, within a time limit."""
    task = asyncio.ensure_future(work)
    await asyncio.wait({task}, timeout=CLEANING)
