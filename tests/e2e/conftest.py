"""A real gateway in a folder of its own, real model servers, and the proof that nothing is left of either."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import psutil
import pytest

from jupyter_model_service.client import Client
from jupyter_model_service.discovery import GatewayFile, find_gateway

HERE = Path(__file__).parent
T = TypeVar("T")


def eventually(look: Callable[[], T], what: str, seconds: float = 30.0) -> T:
    """Poll until ``look`` gives something true: for facts of the outside world, which cannot be awaited."""
    deadline = time.monotonic() + seconds
    while True:
        seen = look()
        if seen:
            return seen
        if time.monotonic() > deadline:
            raise AssertionError(f"not seen within {seconds} s: {what}; last look gave {seen!r}")
        time.sleep(0.02)


class Gateway:
    """One gateway process, restartable on the same folder."""

    def __init__(self, folder: Path) -> None:
        self.jupyter_data = folder / "jupyter"
        self.data_dir = self.jupyter_data / "model-service"
        self.environment = {**os.environ, "JUPYTER_DATA_DIR": str(self.jupyter_data)}
        self.process: subprocess.Popen[bytes] | None = None
        self.log = folder / "gateway.log"

    def start(self, *options: str, wait: bool = True) -> None:
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "jupyter_model_service.app", "--keep", *options],
                env=self.environment,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        if wait:
            self.wait_up()

    def wait_up(self) -> GatewayFile:
        def up() -> GatewayFile | None:
            assert self.process is not None
            assert self.process.poll() is None, f"the gateway ended: {self.log.read_text()[-3000:]}"
            found = find_gateway(self.data_dir)
            return found if found is not None and found.pid == self.process.pid else None

        return eventually(up, "a gateway that runs")

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self, seconds: float = 40.0) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=seconds)

    def client(self) -> Client:
        found = self.wait_up()
        return Client(found.url, found.token)

    def cli(self, *arguments: str, timeout: float = 90.0) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "jupyter_model_service.cli", *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout,
        )

    def processes(self) -> list[psutil.Process]:
        """Every living process that belongs to a replica of this gateway, found by what no process can shed."""
        found = []
        for process in psutil.process_iter():
            try:
                told = " ".join([*process.cmdline(), *process.environ().values()])
                zombie = process.status() == psutil.STATUS_ZOMBIE
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
            own = self.process is not None and process.pid == self.process.pid
            if str(self.data_dir) in told and not zombie and not own:
                found.append(process)
        return found


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    """A running gateway; afterwards it must end in order and leave no process behind."""
    gateway = Gateway(tmp_path)
    gateway.start()
    try:
        yield gateway
        if gateway.process is not None and gateway.process.poll() is None:
            gateway.stop()
        eventually(lambda: not gateway.processes(), "no process left of any replica", 10)
    finally:
        for process in gateway.processes():
            process.kill()
        if gateway.process is not None and gateway.process.poll() is None:
            gateway.kill()


@pytest.fixture
def client(gateway: Gateway) -> Iterator[Client]:
    with gateway.client() as client:
        yield client


DEFINITION = """\
models:
- name: "{name}"
  model_path: /models
  service:
    start_command: [python, /models/server.py, --port, "8000"]
    port: 8000
    health_check:
      path: /health
      interval: {interval}
      max_retries: {max_retries}
      max_wait_time: {max_wait_time}
      initial_delay: {initial_delay}
"""


@pytest.fixture
def model(tmp_path: Path) -> Callable[..., Path]:
    """``model(name="m", interval=1, …)`` writes a model folder around ``model_server.py``."""

    def write(
        name: str = "m",
        *,
        interval: float = 1.0,
        max_retries: int = 3,
        max_wait_time: float = 2.0,
        initial_delay: float = 30.0,
        definition: str | None = None,
    ) -> Path:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        shutil.copy(HERE / "model_server.py", folder / "server.py")
        text = definition or DEFINITION.format(
            name=name,
            interval=interval,
            max_retries=max_retries,
            max_wait_time=max_wait_time,
            initial_delay=initial_delay,
        )
        (folder / "model-definition.yaml").write_text(text)
        return folder

    return write
