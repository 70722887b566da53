"""A real runner process for each test, and a bare client of its control stream (blocking, no asyncio)."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from jupyter_model_service.runner import RUNNER, runner_command

DEADLINE = 30.0  # generous: the machine may be busy


def eventually(look: Callable[[], Any], what: str, seconds: float = DEADLINE) -> Any:
    """Poll facts of the outside world, which nobody announces."""
    deadline = time.monotonic() + seconds
    while True:
        seen = look()
        if seen:
            return seen
        assert time.monotonic() < deadline, f"not seen within {seconds} s: {what}"
        time.sleep(0.01)


def lives(pid: int) -> bool:
    """Whether the process exists and is no zombie."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


class Stream:
    """The gateway's side of one control connection, step by step."""

    def __init__(self, address: tuple[str, int], replica: str, secret: str) -> None:
        self.socket = socket.create_connection(address, timeout=DEADLINE)
        self.replica = replica
        self.secret = secret
        self.buffer = b""
        self.answers_beats = True

    def send(self, message: Any) -> None:
        self.socket.sendall(json.dumps(message).encode() + b"\n")

    def read(self) -> dict[str, Any] | None:
        """The next message; ``None`` when the runner closed the connection."""
        while b"\n" not in self.buffer:
            try:
                data = self.socket.recv(1 << 20)
            except ConnectionError:
                return None
            if not data:
                return None
            self.buffer += data
        line, _, self.buffer = self.buffer.partition(b"\n")
        assert len(line) < 256 * 1024
        message: dict[str, Any] = json.loads(line)
        if message["t"] == "beat" and self.answers_beats:
            self.send({"t": "beat"})
        return message

    def proof(self, *words: str) -> str:
        return hmac.new(self.secret.encode(), "|".join(words).encode(), hashlib.sha256).hexdigest()

    def challenge(self) -> tuple[str, dict[str, Any] | None]:
        nonce = secrets.token_hex(32)
        self.send({"t": "hello", "protocol": 1, "replica": self.replica, "nonce": nonce})
        return nonce, self.read()

    def prove(self) -> dict[str, Any] | None:
        """The whole handshake; returns the first state."""
        nonce, challenge = self.challenge()
        assert challenge is not None
        assert challenge["proof"] == self.proof("runner", self.replica, nonce, challenge["nonce"])
        self.send({"t": "proof", "proof": self.proof("gateway", self.replica, challenge["nonce"], nonce)})
        return self.read()

    def until(self, kind: str, test: Callable[[dict[str, Any]], bool] = lambda m: True) -> dict[str, Any]:
        deadline = time.monotonic() + DEADLINE
        while time.monotonic() < deadline:
            message = self.read()
            assert message is not None, f"closed before a {kind}"
            if message["t"] == kind and test(message):
                return message
        raise AssertionError(f"no such {kind} within {DEADLINE} s")

    def phase(self, phase: str) -> dict[str, Any]:
        return self.until("state", lambda m: m["phase"] == phase)

    def exit(self) -> dict[str, Any]:
        ended: dict[str, Any] = self.phase("exited")["exit"]
        return ended

    def logs(self, after: int = 0, limit: int = 100_000) -> tuple[list[str], int, int]:
        self.send({"t": "logs", "id": 7, "after": after, "limit": limit})
        lines: list[str] = []
        lost = 0
        while True:
            piece = self.until("logs", lambda m: m["id"] == 7)
            lines += piece["lines"]
            lost += piece["lost"]
            if not piece["more"]:
                return lines, piece["next"], lost

    def close(self) -> None:
        self.socket.close()


class RunnerProcess:
    """One runner with its specification, as a launcher would start it."""

    def __init__(
        self,
        folder: Path,
        python: str,
        spec: dict[str, Any],
        environment: dict[str, str],
        script: Path | None,
    ) -> None:
        self.folder = folder
        self.replica = spec["replica"]
        self.secret = spec["secret"]
        self.spec_file = folder / "spec.json"
        self.spec_file.write_text(json.dumps(spec))
        self.spec_file.chmod(0o600)
        self.diagnostics = folder / "output.log"
        with open(self.diagnostics, "ab") as output:
            self.process = subprocess.Popen(
                runner_command(python, self.spec_file)
                if script is None
                else [python, str(script), "--spec", str(self.spec_file)],
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self.streams: list[Stream] = []

    @property
    def state(self) -> dict[str, Any]:
        """``runner.json``, waiting for it to appear."""

        def read() -> dict[str, Any] | None:
            try:
                state: dict[str, Any] = json.loads((self.folder / "runner.json").read_text())
            except FileNotFoundError:
                assert self.process.poll() is None, self.diagnostics.read_text()
                return None
            return state

        found: dict[str, Any] = eventually(read, "runner.json")
        return found

    @property
    def address(self) -> tuple[str, int]:
        control = self.state["control"]
        return control["host"], control["port"]

    def connect(self, secret: str | None = None, replica: str | None = None) -> Stream:
        stream = Stream(self.address, replica or self.replica, secret or self.secret)
        self.streams.append(stream)
        return stream

    def lease(self) -> Stream:
        stream = self.connect()
        self.first_state = stream.prove()
        return stream

    def run_to_the_end(self) -> dict[str, Any]:
        """The ``exit`` of a command that ends by itself."""
        lease = self.lease()
        if self.first_state is not None and self.first_state["phase"] == "exited":
            ended: dict[str, Any] = self.first_state["exit"]
            return ended
        return lease.exit()

    def logged(self) -> list[str]:
        return self.lease().logs()[0]

    def relatives(self) -> list[int]:
        """Every living process that bears the replica's marker."""
        marker = f"MODEL_SERVICE_REPLICA={self.replica}".encode()
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if marker in (folder / "environ").read_bytes().split(b"\0"):
                    found.append(int(folder.name))
            except OSError:
                continue
        return [pid for pid in found if lives(pid)]

    def clean_up(self) -> None:
        for stream in self.streams:
            stream.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
        self.process.wait(DEADLINE)
        for pid in self.relatives():
            os.kill(pid, signal.SIGKILL)


StartRunner = Callable[..., RunnerProcess]


@pytest.fixture
def start_runner(tmp_path: Path) -> Iterator[StartRunner]:
    """``start_runner(command, python=…, environ=…, script=…, **spec)`` → a running :class:`RunnerProcess`."""
    started: list[RunnerProcess] = []

    def start(
        command: list[str],
        python: str = sys.executable,
        environ: dict[str, str] | None = None,
        script: Path | None = None,
        **spec: Any,
    ) -> RunnerProcess:
        folder = tmp_path / f"replica{len(started)}"
        work = tmp_path / "work"
        folder.mkdir(0o700)
        work.mkdir(exist_ok=True)
        plain = {
            "protocol": 1,
            "replica": f"tiny-{secrets.token_hex(3)}",
            "secret": secrets.token_hex(32),
            "control": {"host": "127.0.0.1", "port": 0},
            "directory": str(folder),
            "cwd": str(work),
            "environment": {},
            "unset": [],
            "overlay": None,
            "actions": [],
            "command": command,
            "stop_grace": 5.0,
            **spec,
        }
        runner = RunnerProcess(folder, python, plain, environ or {}, script)
        started.append(runner)
        return runner

    yield start
    for runner in started:
        runner.clean_up()


@pytest.fixture
def run_file() -> Path:
    return RUNNER


@pytest.fixture
def wait_for() -> Callable[..., Any]:
    return eventually


@pytest.fixture
def is_alive() -> Callable[[int], bool]:
    return lives


@pytest.fixture(scope="session")
def run_module() -> Any:
    """The runner as a module, for what is decided without any process."""
    from jupyter_model_service.runner import runner

    return runner
