"""The whole way once: a gateway that the command line starts, a real model server, both clients."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from jupyter_model_service import AsyncClient, Client
from jupyter_model_service.discovery import find_gateway
from jupyter_model_service.errors import NotFound, Unauthenticated

from .conftest import COMMAND, Ran

Line = Callable[..., Ran]

DEFINITION = """
models:
  - name: Hello
    model_path: /models
    service:
      pre_start_actions:
        - action: log
          args: {message: about to start}
      start_command: ["python3", "server.py", "{port}"]
      port: 8000
      health_check: {path: /health, interval: 1}
"""
SERVER = """
import os, sys, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        told = f"{self.path} {os.environ.get('WORD')} {self.headers.get('Authorization')}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(told)))
        self.end_headers()
        self.wfile.write(told)
    def log_message(self, *arguments):
        pass
if os.environ.get("CRASH"):
    sys.exit("this revision does not start")
print("listening", flush=True)
class Server(ThreadingHTTPServer):
    def server_bind(self):
        self.socket.setsockopt(1, 2, 1)
        self.socket.bind(self.server_address)
        self.server_name, self.server_port = "localhost", self.server_address[1]
Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "hello"
    folder.mkdir()
    (folder / "model-definition.yaml").write_text(DEFINITION)
    (folder / "server.py").write_text(SERVER)
    return folder


@pytest.fixture
def data_dir(tmp_path: Path, process: Line) -> Iterator[Path]:
    """Whatever gateway was started for it has ended afterwards, with its replicas."""
    directory = tmp_path / "jupyter" / "model-service"
    yield directory
    found = find_gateway(directory)
    process("gateway", "--stop")
    if found is not None and psutil.pid_exists(found.pid):
        os.kill(found.pid, signal.SIGKILL)
    assert found is None or find_gateway(directory) is None


@pytest.mark.slow
def test_from_a_folder_to_calls_and_away_again(process: Line, data_dir: Path, folder: Path, tmp_path: Path) -> None:
    made = process("create", str(folder), "--env", "WORD=one", "--timeout", "60s")
    assert made.status == 0, made.err
    assert "Started a gateway (process " in made.err
    assert "gateway --stop` ends it" in made.err
    assert "hello is ready: 1 of 1 replicas" in made.out

    endpoint = process("get-endpoint", "hello").out.strip()
    token_file = tmp_path / "hello.token"
    assert process("generate-token", "hello", "--output", str(token_file), "-q") == Ran(0, "", "")
    bearer = {"Authorization": f"Bearer {token_file.read_text().strip()}"}
    assert httpx.get(endpoint + "a?b=c", headers=bearer).text == "/a?b=c one None", "the token stays with us"
    assert httpx.get(endpoint).status_code == 401

    assert process("scale", "hello", "2", "--timeout", "60s").status == 0
    info = json.loads(process("info", "hello", "--json").out)
    assert info["replicas"] == {"want": 2, "ready": 2, "total": 2}
    assert "listening" in process("logs", "hello").out
    with Client(data_dir=data_dir) as client:
        check_client(client)
    asyncio.run(check_async_client(data_dir))

    crashed = process("update", "hello", "--env", "CRASH=1", "--timeout", "60s")
    assert (crashed.status, crashed.out) == (1, "")
    assert "hello was not updated: " in crashed.err
    assert "this revision does not start" in crashed.err
    assert httpx.get(endpoint, headers=bearer).status_code == 200

    tokens = json.loads(process("tokens", "hello", "--json").out)["tokens"]
    assert process("revoke-token", "hello", tokens[0]["id"]).status == 0
    assert httpx.get(endpoint, headers=bearer).status_code == 401
    assert process("stop", "hello", "--timeout", "60s").status == 0
    assert process("start", "hello", "--timeout", "60s").status == 0
    assert process("delete", "hello", "-y", "--timeout", "60s").out.startswith("Deleted ")
    assert process("list", "-q").out == ""
    assert process("events", "hello").status == 1


def check_client(client: Client) -> None:
    assert client.info().keep
    assert client.call("hello", "x").text == "/x one None"
    with pytest.raises(Unauthenticated):
        client.call("hello", headers={"Authorization": "Bearer jms_wrong"})
    client.update("hello", environment={"WORD": "two"})
    states: list[str] = []
    service = client.wait_ready("hello", timeout=60, on_change=lambda s: states.append(s.state))
    assert (service.revision, service.stable_revision, states[-1]) == (2, 2, "ready")
    assert client.call("hello").text.split()[1] == "two"
    assert client.logs("hello", tail=5).lines[-1] == "listening"


async def check_async_client(data_dir: Path) -> None:
    async with AsyncClient(data_dir=data_dir) as client:
        changes = client.watch(timeout=30)
        assert (await anext(changes)).kind == "resync"
        await client.restart("hello")
        change = await anext(changes)
        while change.service is None:
            change = await anext(changes)
        assert change.key == f"{(await client.info()).owner}/hello"
        await changes.aclose()
        ready = await client.wait_ready("hello", timeout=60)
        assert ready.replicas.ready == 2
        assert (await client.call("hello", "y")).status_code == 200
        with pytest.raises(NotFound):
            await client.get("nobody")


def test_the_gateway_in_the_background(process: Line, data_dir: Path) -> None:
    assert process("gateway", "--status").status == 1
    started = process("gateway", "--background", "--json")
    assert started.status == 0, started.err
    pid = json.loads(started.out)["pid"]
    assert json.loads(process("gateway", "--background", "--json").out)["pid"] == pid, "one is enough"
    assert "runs already" in process("gateway", "--background").out
    status = process("gateway", "--status")
    assert f"{pid}, since" in status.out
    assert "until it is stopped" in status.out
    assert process("gateway", "--stop").status == 0
    assert find_gateway(data_dir) is None
    assert process("list").status == 1


def test_two_first_commands_at_once_end_with_one_gateway(data_dir: Path, folder: Path, process: Line) -> None:
    lines = [
        subprocess.Popen(
            [*COMMAND, "create", str(folder), "-n", name, "--detach"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        for name in ("one", "two")
    ]
    for line in lines:
        _, err = line.communicate(timeout=60)
        assert line.returncode == 0, err
    assert sorted(process("list", "-q").out.split()) == ["one", "two"]


def test_a_gateway_that_cannot_start_says_why(process: Line, data_dir: Path, folder: Path) -> None:
    data_dir.mkdir(parents=True, mode=0o700)
    (data_dir / "state.db").write_bytes(b"this is no database" * 1000)
    ran = process("create", str(folder))
    assert (ran.status, ran.out) == (1, "")
    assert "The gateway did not start (exit status 1): " in ran.err
    assert "state.db" in ran.err
    assert (data_dir / "state.db").read_bytes() == b"this is no database" * 1000


def test_jupyter_finds_the_command() -> None:
    jupyter = Path(sys.executable).with_name("jupyter")
    if not jupyter.exists():
        pytest.skip("Jupyter's own command is not in this environment")
    done = subprocess.run([jupyter, "model-service", "--version"], capture_output=True, text=True, timeout=60)
    assert done.stdout.startswith("jupyter model-service ")


def test_a_version_and_a_list_import_nothing_heavy() -> None:
    """200 ms of httpx and pydantic would be felt on every line."""
    for words in (["--version"], ["list"]):
        ran = subprocess.run([sys.executable, "-X", "importtime", *COMMAND[1:], *words], capture_output=True, text=True)
        imported = {row.rpartition("|")[2].strip() for row in ran.stderr.splitlines() if row.startswith("import time")}
        assert "jupyter_model_service" in imported
        assert not imported & {"httpx", "pydantic", "rich", "asyncio", "tornado", "filelock", "sqlalchemy", "yaml"}
