"""A data directory, a model folder and a model server to start there."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from jupyter_model_service.adapters.launch_local import LocalLauncher
from jupyter_model_service.core.definition import Definition
from jupyter_model_service.core.revision import Revision
from jupyter_model_service.ports import Placement, Seen, StartRequest

LINUX = sys.platform.startswith("linux")

MODEL = """
import os, signal, socket, subprocess, sys, time
port, host, *how = sys.argv[1:]
if "deaf" in how:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if "leaks" in how:  # a child in a session of its own, deaf as well
    subprocess.Popen([sys.executable, __file__, "0", "127.0.0.1", "deaf"], start_new_session=True)
server = socket.create_server((host, int(port)))
with open(f"seen-{os.getpid()}.txt", "w") as file:
    file.write("\\n".join(f"{k}={v}" for k, v in os.environ.items()))
os.rename(file.name, "seen.txt" if port != "0" else "leaked.txt")
while True:
    time.sleep(60)
"""


def eventually(look: Callable[[], Any], seconds: float = 30.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (seen := look()):
        assert time.monotonic() < deadline, "it was not seen in time"
        time.sleep(0.01)
    return seen


def accepts(address: tuple[str, int]) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(address, timeout=1):
        return True
    return False


def lives(pid: int) -> bool:
    with contextlib.suppress(psutil.Error):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


class Bench:
    """One data directory and one model folder; ``launcher()`` is the launcher of the next gateway."""

    def __init__(self, path: Path) -> None:
        self.directory = path / "replicas"
        self.folder = path / "model folder"
        self.folder.mkdir()
        (self.folder / "server.py").write_text(MODEL)

    def launcher(self, **options: Any) -> LocalLauncher:
        return LocalLauncher(self.directory, **options)

    def revision(self, *how: str, host: str = "0.0.0.0", **fields: Any) -> Revision:
        command = (sys.executable, "/models/server.py", "8000", host, *how)
        definition = Definition(name="m", model_path="/models", port=8000, start_command=command)
        return Revision(1, str(self.folder), definition, 0.0, **fields)

    def start(self, *how: str, replica: str = "chat-a", **fields: Any) -> Placement:
        """Each call and each look runs in an event loop of its own: none of them may matter to a replica."""
        return asyncio.run(self.launcher().start(self.request(*how, replica=replica, **fields)))

    def request(self, *how: str, replica: str = "chat-a", **fields: Any) -> StartRequest:
        return StartRequest(replica, "ann", "chat", self.revision(*how, **fields), "5e" * 32)

    def find(self) -> dict[str, Seen]:
        return {seen.replica: seen for seen in asyncio.run(self.launcher().find())}

    def stop(self, replica: str = "chat-a") -> None:
        asyncio.run(self.launcher().stop(replica, None))

    def runner(self, replica: str = "chat-a") -> dict[str, Any]:
        value: dict[str, Any] = json.loads((self.directory / replica / "runner.json").read_text())
        return value

    def model_pid(self, replica: str = "chat-a") -> int:
        def pid() -> int | None:
            model = self.runner(replica)["model"]
            return model["pid"] if model else None

        return int(eventually(pid))

    def processes(self) -> list[int]:
        """Everything that carries this directory's mark, by another way of looking than the launcher's."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get("MODEL_SERVICE_DIRECTORY") == str(self.directory) and lives(process.pid):
                    found.append(process.pid)
        return found
