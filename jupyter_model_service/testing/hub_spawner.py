"""The containers of a fake Hub: runners as processes of this machine, each at a loopback address of its own.

As with a real engine, an address is used again as soon as it is free, a container that ended is noticed at the next
poll only, and what a job copies is in a volume afterwards.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import random
import shutil
import signal
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jupyter_model_service.core.hub_options import (
    CONTROL_PORT,
    LookOptions,
    Options,
    ReplicaOptions,
    SnapshotOptions,
)
from jupyter_model_service.runner import runner_command

STOP_SECONDS = 10.0  # between SIGTERM and SIGKILL, as with docker


@dataclass
class Volume:
    user: str
    files: Mapping[str, bytes]


@dataclass
class SpawnScript:
    """How starts go. ``seconds`` before anything is there, then the state has the ``error`` (stage, sentence), or the
    container is killed at once when ``crashes``."""

    seconds: float = 0.0
    error: tuple[str, str] | None = None
    crashes: bool = False


@dataclass
class Container:
    id: str
    options: ReplicaOptions
    host: str
    directory: Path
    process: asyncio.subprocess.Process
    oom: bool = False


@dataclass
class Engine:
    """What the Docker engine would hold. ``folders`` is what users have in their workspaces: user → folder → files."""

    script: SpawnScript = field(default_factory=SpawnScript)
    volumes: dict[str, Volume] = field(default_factory=dict)
    folders: dict[str, dict[str, dict[str, bytes]]] = field(default_factory=dict)
    containers: dict[str, Container] = field(default_factory=dict)
    started: list[Options] = field(default_factory=list)
    copy_seconds: float = 0.0
    left_out: dict[str, Any] = field(default_factory=dict)  # what copies tell beside their figures
    collect_seconds: float = 0.0
    gpus: list[dict[str, Any]] = field(default_factory=list)  # what a look tells, as ``core/gpu_looks.py`` has it
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    _hosts: set[str] = field(default_factory=set)
    _network: str = field(default_factory=lambda: f"127.{random.randint(20, 250)}.{random.randint(1, 250)}")

    async def run(self, options: Options, state: dict[str, Any]) -> None:
        """Do what is asked and write into ``state`` how it goes; never raises for what fails."""
        self.started.append(options)
        state.update(do=options.do, error=None, result=None, progress=None)
        await asyncio.sleep(self.script.seconds)
        if self.script.error is not None:
            state["error"] = dict(zip(("stage", "message"), self.script.error, strict=True))
        elif isinstance(options, ReplicaOptions):
            await self._replica(options, state)
        elif isinstance(options, SnapshotOptions):
            await self._snapshot(options, state)
        elif isinstance(options, LookOptions):
            state["result"] = {"gpus": self.gpus}
        else:
            await asyncio.sleep(self.collect_seconds)
            kept = {n: v for n, v in self.volumes.items() if v.user != options.user or n in options.keep}
            gone = sorted(self.volumes.keys() - kept.keys())
            self.volumes = kept
            state["result"] = {"removed": gone}

    async def _replica(self, options: ReplicaOptions, state: dict[str, Any]) -> None:
        making = asyncio.ensure_future(self._container(options))
        try:
            container = await asyncio.shield(making)
        except asyncio.CancelledError:
            await self.remove((await making).id)
            raise
        state.update(
            replica=options.replica,
            revision=options.revision,
            control=[container.host, CONTROL_PORT],
            address=[container.host, options.port],
            container=container.id,
            image=options.image or "notebook",
            gpus=[f"GPU-{options.replica}-{number}" for number in range(options.gpus)],
        )
        if self.script.crashes:
            await self.kill(container.id)

    async def _container(self, options: ReplicaOptions) -> Container:
        host = next(host for n in range(2, 250) if (host := f"{self._network}.{n}") not in self._hosts)
        self._hosts.add(host)
        directory = Path(tempfile.mkdtemp(prefix="fake-hub-"))
        spec = {
            **options.spec,
            "replica": options.replica,
            "secret": options.secret,
            "control": {"host": host, "port": CONTROL_PORT},
            "cwd": str(directory),  # there is no /models on this machine
            "overlay": str(directory / "env"),
            "directory": str(directory),
        }
        (directory / "spec.json").write_text(json.dumps(spec))
        process = await asyncio.create_subprocess_exec(
            *runner_command(sys.executable, directory / "spec.json"),
            stdin=asyncio.subprocess.DEVNULL,
            start_new_session=True,
            cwd=directory,
        )
        container = Container(f"c{next(self._numbers):063x}", options, host, directory, process)
        self.containers[container.id] = container
        while not (directory / "runner.json").exists() and process.returncode is None:
            await asyncio.sleep(0.01)
        return container

    async def _snapshot(self, options: SnapshotOptions, state: dict[str, Any]) -> None:
        folder = self.folders.get(options.user, {}).get(options.folder)
        if folder is None:
            state["error"] = {"stage": "folder", "message": f"There is no folder {options.folder} in the workspace."}
            return
        files = {name: data for name, data in folder.items() if Path(name).parts[0] not in options.exclude}
        size = sum(map(len, files.values()))
        if size > options.limit_bytes:
            state["error"] = {"stage": "limit", "message": f"The folder has more than {options.limit_bytes} bytes."}
            return
        for part in range(4):
            state["progress"] = {
                "files": len(files) * part // 4,
                "bytes": size * part // 4,
                "of_files": len(files),
                "of_bytes": size,
            }
            await asyncio.sleep(self.copy_seconds / 4)
        self.volumes[options.volume] = Volume(options.user, files)
        state["result"] = {"files": len(files), "bytes": size, "fingerprint": "f" * 64, **self.left_out}

    def ended(self, container: str) -> str | None:
        """Why it is not running, in one clause; ``None`` while it runs."""
        there = self.containers.get(container)
        if there is None:
            return "its container is gone"
        code = there.process.returncode
        if code is None:
            return None
        if there.oom:
            return "its container ran out of memory (exit code 137)"
        return f"its container ended with exit code {code if code >= 0 else 128 - code}"

    async def kill(self, container: str, *, oom: bool = False) -> None:
        """``docker kill``: the container's processes are gone, the container itself is there."""
        there = self.containers[container]
        there.oom = oom
        await self._kill(there)

    async def remove(self, container: str | None) -> None:
        """Stop and remove it; one that is not there is fine."""
        there = self.containers.get(container or "")
        if there is None:
            return
        if there.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                there.process.terminate()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(there.process.wait(), STOP_SECONDS)
        await self._kill(there)
        self.containers.pop(there.id, None)
        self._hosts.discard(there.host)
        shutil.rmtree(there.directory, ignore_errors=True)

    async def _kill(self, container: Container) -> None:
        if container.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                container.process.kill()
            await container.process.wait()
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            model = json.loads((container.directory / "runner.json").read_text())["model"]
            os.killpg(model["pgid"], signal.SIGKILL)
