"""A user's storage on a real engine, and what is made of it: for the tests of snapshots."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import Iterator
from typing import Any

from jupyter_model_service.core.hub_options import SnapshotOptions, volume_name
from jupyter_model_service.hub import volumes
from jupyter_model_service.hub.context import LABEL, NotebookMount
from jupyter_model_service.hub.docker_calls import DockerCalls
from jupyter_model_service.hub.snapshots import Snapshots

from .deployment import PREFIX, TEST_LABEL

HOME = "/home/jovyan"
FOLDER = HOME + "/koala"
MEMBER = "1000:1000"


class Desk:
    """``home`` is alice's volume, made by ``open``. Everything is labelled or named after ``hub`` and removed by ``close``."""

    def __init__(self, engine: Any, image: str) -> None:
        self.engine, self.image = engine, image
        self.hub = PREFIX + secrets.token_hex(4)
        self.docker = DockerCalls(engine.api)
        self.service_id = secrets.token_hex(16)
        self.containers: list[Any] = []
        self.images: list[str] = []
        self.home = ""
        self.told: list[tuple[int, int]] = []

    def storage(self, user: str) -> str:
        """A volume that belongs to a user (uid 1000)."""
        name = f"{self.hub}-{user}"
        self.engine.volumes.create(name, labels={TEST_LABEL: self.hub})
        self.run(f"import os; os.chown({HOME!r}, 1000, 1000)", user="0", storage=name)
        return name

    def start(
        self, code: str, *, user: str = MEMBER, storage: str | None = None, models: str | None = None, **more: Any
    ) -> Any:
        mounts = {storage or self.home: {"bind": HOME, "mode": "rw"}}
        if models is not None:
            mounts = {models: {"bind": "/models", "mode": "ro"}}
        container = self.engine.containers.run(
            self.image,
            ["python3", "-c", code],
            user=user,
            volumes=mounts,
            network_mode="none",
            working_dir="/",
            detach=True,
            labels={TEST_LABEL: self.hub},
            **more,
        )
        self.containers.append(container)
        return container

    def run(self, code: str, **how: Any) -> str:
        """Run Python in a container with the user's storage, or, with ``models``, with that snapshot at /models."""
        container = self.start(code, **how)
        status = container.wait(timeout=100)["StatusCode"]
        said = container.logs().decode(errors="replace")
        container.remove(force=True)
        self.containers.remove(container)
        assert status == 0, said
        return said.strip()

    def options(self, revision: int = 1, **changes: Any) -> SnapshotOptions:
        values = {
            "user": "alice",
            "server": "ms-job-0123456789ab",
            "service_id": self.service_id,
            "revision": revision,
            "folder": FOLDER,
            "image": None,
            "exclude": (".git", "__pycache__", ".ipynb_checkpoints"),
            "limit_bytes": 10 << 30,
            "limit_files": 100_000,
            **changes,
        }
        return SnapshotOptions(**values)

    def snapshots(self, **settings: Any) -> Snapshots:
        return Snapshots(self.docker, hub=self.hub, **settings)

    async def kept(self, snapshots: Snapshots | None = None, revision: int = 1, **changes: Any) -> dict[str, Any]:
        image, run_as = changes.pop("image", self.image), changes.pop("run_as", MEMBER)
        mounts = changes.pop("mounts", [NotebookMount(self.home, HOME)])
        report = changes.pop("report", lambda files, size: self.told.append((files, size)))
        options = self.options(revision, **changes)
        return await (snapshots or self.snapshots()).keep(mounts, options, report, image=image, run_as=run_as)

    def keep(self, snapshots: Snapshots | None = None, revision: int = 1, **changes: Any) -> dict[str, Any]:
        return asyncio.run(self.kept(snapshots, revision, **changes))

    def volume(self, revision: int = 1) -> str:
        return volume_name(self.service_id, revision)

    def read(self, code: str, revision: int = 1, **how: Any) -> str:
        return self.run(code, models=self.volume(revision), **how)

    def left(self) -> list[str]:
        """Whatever there is of ours: volumes and containers, by name."""
        wanted = {"label": f"{LABEL}hub={self.hub}"}
        found = [volume.name for volume in self.engine.volumes.list(filters=wanted)]
        return sorted(
            found + [each.name for each in self.engine.containers.list(all=True, filters=wanted, ignore_removed=True)]
        )

    def kept_volumes(self, user: str | None = "alice") -> list[volumes.KeptVolume]:
        return asyncio.run(volumes.volumes_of(self.docker, self.hub, user))

    @contextlib.contextmanager
    def hostile(self, code: str, **how: Any) -> Iterator[Any]:
        """Somebody who goes on changing the storage; says "ready" when everything is as it is to be."""
        container = self.start(code, **how)
        deadline = time.monotonic() + 30
        while b"ready" not in container.logs():
            assert time.monotonic() < deadline, container.logs()
            time.sleep(0.05)
        try:
            yield container
        finally:
            container.remove(force=True)
            self.containers.remove(container)

    def open(self) -> Desk:
        self.home = self.storage("alice")
        return self

    def close(self) -> None:
        own = [f"{LABEL}hub={self.hub}", f"{TEST_LABEL}={self.hub}"]
        for label in own:
            for container in self.engine.containers.list(all=True, filters={"label": label}, ignore_removed=True):
                container.remove(force=True, v=True)
        for label in own:
            for volume in self.engine.volumes.list(filters={"label": label}):
                volume.remove(force=True)
        for image in self.images:
            self.engine.images.remove(image, force=True)
