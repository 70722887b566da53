"""The runner as an argument and its specification as a variable: how it comes into a container."""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from jupyter_model_service.runner import packed, runner_argument


def a_spec(**more: Any) -> dict[str, Any]:
    return {
        "protocol": 1,
        "replica": "tiny-abc123",
        "secret": secrets.token_hex(32),
        "control": {"host": "127.0.0.1", "port": 0},
        "directory": None,
        "cwd": "/",
        "environment": {},
        "unset": [],
        "overlay": None,
        "actions": [],
        "command": ["sh", "-c", "echo it runs; env | grep MODEL_SERVICE_SPEC; exit 3"],
        **more,
    }


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@contextmanager
def injected(spec: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", runner_argument()],
        env={"PATH": os.environ["PATH"], "MODEL_SERVICE_SPEC": spec},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=30)


def test_one_argument_of_linux_has_room_for_it():
    """128 KiB is the kernel's limit for one argument; 100 KiB leaves room for the runner to grow."""
    assert len(runner_argument()) < 100 * 1024
    assert runner_argument() is runner_argument()


@pytest.mark.parametrize("form", [str, packed], ids=["plain", "packed"])
def test_a_whole_life(wait_for: Callable[..., Any], form: Callable[[str], str]):
    """Without this package, without site packages, with nothing but the argument and the variable."""
    port = free_port()
    spec = a_spec(control={"host": "127.0.0.1", "port": port})
    with injected(form(json.dumps(spec))) as process:
        stream = wait_for(lambda: lease_of(port, spec), "a lease")
        ended = stream.exit()
        assert (ended["code"], ended["tail"]) == (3, ["it runs"])
        stream.send({"t": "collected"})
        output, _ = process.communicate(timeout=30)
        assert (process.returncode, output) == (0, b"")
        stream.close()


def lease_of(port: int, spec: dict[str, Any]) -> Any:
    from .conftest import Stream

    try:
        stream = Stream(("127.0.0.1", port), spec["replica"], spec["secret"])
    except ConnectionRefusedError:
        return None
    first = stream.prove()
    assert first is not None
    if first["phase"] == "exited":
        stream.exit = lambda: first["exit"]  # type: ignore[method-assign]
    return stream


def test_a_long_specification_fits_when_packed(wait_for: Callable[..., Any]):
    """400 KB of JSON, three times what one variable may hold."""
    port = free_port()
    actions = [{"action": "log", "args": {"message": f"line {n} " + "x" * 380}} for n in range(1000)]
    spec = a_spec(control={"host": "127.0.0.1", "port": port}, actions=actions)
    assert len(json.dumps(spec)) > 400_000 > 128 * 1024 > len(packed(json.dumps(spec)))
    with injected(packed(json.dumps(spec))):
        stream = wait_for(lambda: lease_of(port, spec), "a lease")
        assert stream.exit()["code"] == 3
        stream.close()


@pytest.mark.parametrize(
    "text", ["", "nonsense", "eJzLSM3JyQcABiwCFQ==", packed("[]"), packed("{}"), "eJzLSM3JyQcA", "ü"]
)
def test_a_wrong_specification_is_one_sentence(text: str):
    with injected(text) as process:
        output, _ = process.communicate(timeout=30)
    assert process.returncode == 2
    assert output.decode().count("\n") == 1
    assert "specification" in output.decode()
