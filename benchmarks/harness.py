"""What the benchmarks share: a gateway in a folder of its own, a model server by hand, a plain HTTP caller, PSS.

Everything runs on loopback and ends by itself. Run nothing else meanwhile: two cores measure one thing at a time.
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from jupyter_model_service.client import Client
from jupyter_model_service.discovery import find_gateway

HERE = Path(__file__).parent
NOOP = HERE / "models" / "noop"
RESULTS = HERE / "results"


def machine() -> dict[str, Any]:
    return {
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "system": platform.system(),
        "at": time.strftime("%Y-%m-%d"),
    }


def save(name: str, figures: dict[str, Any]) -> None:
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps({"machine": machine(), **figures}, indent=2)
    (RESULTS / f"{name}.json").write_text(text + "\n")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait(look: Callable[[], Any], seconds: float = 60.0, every: float = 0.005) -> Any:
    deadline = time.monotonic() + seconds
    while not (seen := look()):
        if time.monotonic() > deadline:
            raise TimeoutError("gave up waiting")
        time.sleep(every)
    return seen


class Gateway:
    def __init__(self, folder: Path) -> None:
        self.data_dir = folder / "jupyter" / "model-service"
        self.environment = {**os.environ, "JUPYTER_DATA_DIR": str(folder / "jupyter")}
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "jupyter_model_service.app", "--keep"],
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def client(self) -> Client:
        pid = self.process.pid if self.process else None
        found = wait(lambda: (f := find_gateway(self.data_dir)) and f.pid == pid and f)
        return Client(found.url, found.token)

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(60)
            self.process = None


@contextmanager
def gateway() -> Iterator[Gateway]:
    with tempfile.TemporaryDirectory() as folder:
        gateway = Gateway(Path(folder))
        gateway.start()
        try:
            yield gateway
        finally:
            gateway.stop()


@contextmanager
def by_hand(port: int) -> Iterator[subprocess.Popen[bytes]]:
    """The benchmark model started as a person would, without us."""
    command = [str(Path(sys.executable).parent / "uvicorn"), "--app-dir", str(NOOP), "app:app"]
    command += ["--port", str(port), "--host", "127.0.0.1", "--no-access-log"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(20)


def answers(port: int, path: str = "/health") -> bool:
    """One GET on a fresh connection; true for a 200."""
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as connection:
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            return connection.recv(64).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


def pss(process: psutil.Process) -> float:
    """Proportional set size in MB: shared pages are counted once over all that share them."""
    return float(process.memory_full_info().pss) / 1e6


class Caller:
    """One keep-alive connection over plain asyncio streams; counts nothing, forgives nothing."""

    def __init__(self, port: int, prefix: str = "", token: str = "") -> None:
        self.port, self.prefix = port, prefix
        self.authorization = f"Authorization: Bearer {token}\r\n" if token else ""
        self.reader: asyncio.StreamReader | None = None
        self.writer: asyncio.StreamWriter | None = None

    async def send(self, method: str, path: str) -> int:
        if self.writer is None:
            self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        line = f"{method} {self.prefix}{path} HTTP/1.1\r\nHost: x\r\n"
        self.writer.write(f"{line}{self.authorization}Content-Length: 0\r\n\r\n".encode())
        assert self.reader is not None
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        self.chunked = "transfer-encoding: chunked" in head
        self.length = int(head.split("content-length:")[1].split("\r\n")[0]) if "content-length:" in head else 0
        return int(head.split(" ")[1])

    async def body(self) -> bytes:
        assert self.reader is not None
        if not self.chunked:
            return await self.reader.readexactly(self.length)
        return b"".join([chunk async for chunk in self.chunks()])

    async def chunks(self) -> Any:
        assert self.reader is not None
        while size := int(await self.reader.readuntil(b"\r\n"), 16):
            yield await self.reader.readexactly(size)
            await self.reader.readexactly(2)
        await self.reader.readuntil(b"\r\n")

    async def call(self, method: str, path: str) -> tuple[int, bytes]:
        try:
            return await self.send(method, path), await self.body()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()
            self.writer = None
