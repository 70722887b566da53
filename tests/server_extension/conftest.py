"""A real Jupyter server with the extension, in front of a gateway that shows every request that reaches it."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import psutil
import pytest

Seen = TypeVar("Seen")


def eventually(look: Callable[[], Seen], what: str, seconds: float = 30.0) -> Seen:
    deadline = time.monotonic() + seconds
    while not (seen := look()):
        assert time.monotonic() < deadline, f"not seen within {seconds} s: {what}"
        time.sleep(0.02)
    return seen


def port_of(process: subprocess.Popen[bytes], runtime: Path, log: Path) -> int:
    """That a Jupyter server has chosen by itself (``--ServerApp.port=0``): one that is chosen for it may be somebody
    else's before it listens."""
    told = runtime / f"jpserver-{process.pid}.json"

    def look() -> int:
        assert process.poll() is None, log.read_text()[-3000:]
        try:
            return int(json.loads(told.read_text())["port"])
        except (OSError, ValueError):  # it is not there yet, or being written
            return 0

    return eventually(look, "the port of a Jupyter server", 60)


class FakeGateway:
    """Answers by path, on a socket of its own; ``targets`` has the request line's target of every call."""

    def __init__(self) -> None:
        self.targets: list[str] = []
        self.left = threading.Event()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            head = b""
            while b"\r\n\r\n" not in head:
                if not (data := connection.recv(65536)):
                    return
                head += data
            target = head.split(b" ", 2)[1].decode()
            if not target.endswith("/attach"):
                self.targets.append(target)
            if "/utf8" in target:
                odd = "Content-Disposition: attachment; filename=日本.txt\r\nX-Bad: a\x01b\r\n".encode()
                connection.sendall(b"HTTP/1.1 200 OK\r\n" + odd + b"Content-Length: 2\r\n\r\nok")
            elif "/moved" in target:
                connection.sendall(b"HTTP/1.1 307 X\r\nLocation: /v1/files/1\r\nContent-Length: 0\r\n\r\n")
            elif "/broken" in target:
                connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n")
            elif "/flood" in target:
                connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                with contextlib.suppress(OSError):
                    while True:
                        connection.sendall(b"10000\r\n" + b"x" * 65536 + b"\r\n")
                self.left.set()
            elif "/slow" in target:
                while connection.recv(65536):
                    pass
                self.left.set()
            elif head.startswith(b"HEAD"):
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n")
            else:
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")

    def close(self) -> None:
        self._socket.close()


class Lab:
    """The Jupyter server's process and a way to send it a request exactly as written."""

    def __init__(self, folder: Path, gateway: FakeGateway) -> None:
        self.gateway = gateway
        self.token = secrets.token_hex(16)
        data = folder / "jupyter" / "model-service"
        data.mkdir(parents=True, mode=0o700)
        content = {"url": gateway.url, "token": "jmc_x", "pid": os.getpid(), "version": "0"}
        (data / "gateway.json").write_text(json.dumps({**content, "create_time": psutil.Process().create_time()}))
        (data / "gateway.json").chmod(0o600)
        (folder / "denying.py").write_text(
            "from jupyter_server.auth import Authorizer\n"
            "class Denying(Authorizer):\n"
            "    def is_authorized(self, handler, user, action, resource):\n"
            "        return not (resource == 'model-service' and action == 'write')\n"
        )
        environment = {**os.environ, "JUPYTER_TOKEN": self.token, "PYTHONPATH": str(folder)}
        for kind in ("data", "runtime", "config"):
            environment[f"JUPYTER_{kind.upper()}_DIR"] = str(folder / ("jupyter" if kind == "data" else kind))
        command = [sys.executable, "-m", "jupyter_server", "--no-browser", "--ServerApp.ip=127.0.0.1", "--allow-root"]
        command += ["--ServerApp.port=0", "--ServerApp.base_url=/user/ann/"]
        command += [f"--ServerApp.root_dir={folder}", "--ServerApp.authorizer_class=denying.Denying"]
        command += ["--ServerApp.jpserver_extensions=jupyter_model_service=True"]
        self.log = folder / "jupyter.log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        self.port = port_of(self.process, folder / "runtime", self.log)
        eventually(self._up, "a Jupyter server that answers", 60)

    def _up(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()[-3000:]
        try:
            return self.send("GET", "/user/ann/api/status").startswith(b"HTTP/1.1 200")
        except OSError:
            return False

    def connect(self, method: str, target: str, *lines: str, token: bool = True) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        head = [f"{method} {target} HTTP/1.1", f"Host: 127.0.0.1:{self.port}", *lines]
        head += [f"Authorization: token {self.token}"] if token else []
        head += [] if any(line.startswith("Upgrade:") for line in lines) else ["Connection: close"]
        connection.sendall("\r\n".join([*head, "", ""]).encode())
        return connection

    def send(self, method: str, target: str, *lines: str, token: bool = True) -> bytes:
        with self.connect(method, target, *lines, token=token) as connection:
            answer = b""
            while data := connection.recv(65536):
                answer += data
                if "Upgrade" in str(lines) and b"\r\n\r\n" in answer:
                    break
            return answer

    def ask(self, method: str, path: str, *lines: str, token: bool = True) -> tuple[int, bytes, list[str]]:
        """Status, the whole answer, and the targets that reached the gateway meanwhile."""
        before = len(self.gateway.targets)
        answer = self.send(method, f"/user/ann/model-service/{path}", *lines, token=token)
        return int(answer.split(b" ", 2)[1]), answer, self.gateway.targets[before:]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    gateway = FakeGateway()
    lab = Lab(tmp_path_factory.mktemp("lab"), gateway)
    yield lab
    lab.process.terminate()
    try:
        lab.process.wait(20)
    except subprocess.TimeoutExpired:
        lab.process.kill()
        lab.process.wait()
        raise
    finally:
        gateway.close()
