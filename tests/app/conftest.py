"""Real gateways as processes of their own, and a model folder that needs nothing."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

MODEL = """
import http.server, json, os, sys

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = json.dumps({"pid": os.getpid(), "path": self.path, "greeting": os.environ.get("GREETING")}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass

http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""

DEFINITION = """\
models:
  - name: echo
    model_path: /models
    service:
      start_command: ["python", "server.py", "{port}"]
      port: 8000
      health_check:
        path: /health
        interval: 1
"""


def until(check: Callable[[], Any], seconds: float = 40.0) -> Any:
    """What ``check`` returns as soon as it is true; fails when that never comes."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = check()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"it did not come true within {seconds:g} s: {check}")


class RunningGateway:
    """A gateway process, and a client that holds its control token."""

    def __init__(self, data: Path, process: subprocess.Popen[str]) -> None:
        self.data = data
        self.process = process
        content: dict[str, Any] = until(self._announced)
        self.url: str = content["url"]
        self.token: str = content["token"]
        self.control = httpx.Client(
            base_url=self.url, headers={"Authorization": f"Bearer {self.token}"}, timeout=30, trust_env=False
        )

    def _announced(self) -> Any:
        if self.process.poll() is not None:
            raise AssertionError(f"the gateway ended with {self.process.returncode}: {self.process.communicate()}")
        with contextlib.suppress(OSError, ValueError):
            content = json.loads((self.data / "gateway.json").read_text())
            return content if content["pid"] == self.process.pid else None
        return None

    def call(self, method: str, path: str, body: Any = None, status: int | tuple[int, ...] = (200, 201, 202)) -> Any:
        answer = self.control.request(method, path, json=body)
        wanted = (status,) if isinstance(status, int) else status
        assert answer.status_code in wanted, (answer.status_code, answer.text)
        return answer.json() if answer.content else None

    def deploy(self, folder: Path, **options: Any) -> dict[str, Any]:
        """A service that is ready."""
        made = self.call("POST", "api/v1/services", {"folder": str(folder), **options})
        return self.ready(made["name"], made["owner"])

    def ready(self, name: str, owner: str) -> dict[str, Any]:
        def look() -> Any:
            view = self.call("GET", f"api/v1/services/{owner}/{name}")
            assert view["state"] != "failed", view
            return view if view["state"] == "ready" else None

        found: dict[str, Any] = until(look)
        return found

    def end(self, seconds: float = 30.0) -> int:
        """Wait for its end and return the exit status."""
        return self.process.wait(seconds)


class Gateways:
    """Starts gateways on one data directory, and ends whatever is left of them."""

    until = staticmethod(until)

    def __init__(self, data: Path) -> None:
        self.data = data
        self.started: list[subprocess.Popen[str]] = []
        self.clients: list[httpx.Client] = []

    def run(self, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "jupyter_model_service.app", f"--data-dir={self.data}", *arguments]
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options}
        process = subprocess.Popen(command, start_new_session=True, **options)
        self.started.append(process)
        return process

    def start(self, *arguments: str, **options: Any) -> RunningGateway:
        gateway = RunningGateway(self.data, self.run(*arguments, **options))
        self.clients.append(gateway.control)
        return gateway

    def fails(self, *arguments: str, **options: Any) -> tuple[int, str]:
        """Exit status and stderr of a gateway that is not expected to run."""
        process = self.run(*arguments, **options)
        _, said = process.communicate(timeout=60)
        return process.returncode, said

    def leftovers(self) -> list[psutil.Process]:
        """Every process that has to do with the data directory, gateways, runners and models."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
                    continue
                places = [*process.cmdline(), *process.environ().values()]
                if any(str(self.data) in place for place in places):
                    found.append(process)
        return found

    def close(self) -> None:
        for client in self.clients:
            client.close()
        for process in self.started:
            if process.poll() is None:
                process.kill()
            process.communicate()
        for left in self.leftovers():
            with contextlib.suppress(psutil.Error):
                left.kill()


@pytest.fixture
def gateways(tmp_path: Path) -> Iterator[Gateways]:
    made = Gateways(tmp_path / "data")
    yield made
    made.close()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "server.py").write_text(MODEL)
    (folder / "model-definition.yaml").write_text(DEFINITION)
    return folder
