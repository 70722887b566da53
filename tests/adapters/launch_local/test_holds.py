"""Whether the one that answers at a replica's port is the replica."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from jupyter_model_service.adapters.processes import Process, hold
from jupyter_model_service.core.definition import Definition
from jupyter_model_service.core.revision import Revision
from jupyter_model_service.ports import Placement, StartRequest

from .bench import LINUX, Bench, accepts, eventually

SQUATTER = """
import socket, sys
host, port, *only6 = sys.argv[1:]
server = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
if only6:
    server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
server.bind((host, int(port)))
server.listen()
print("listens", flush=True)
sys.stdin.read()
"""

WAITS = """
import os, socket, sys, time
while not os.path.exists(os.path.join(os.path.dirname(__file__), "go")):
    time.sleep(0.01)
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
if "forks" in sys.argv and os.fork() == 0:
    time.sleep(600)
if "forks" in sys.argv:
    server.close()
time.sleep(600)
"""


@contextlib.contextmanager
def squatter(host: str, port: int, *how: str) -> Iterator[None]:
    """A process that is no relative of the replica's; it ends with its standard input."""
    process = subprocess.Popen(
        [sys.executable, "-c", SQUATTER, host, str(port), *how], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == b"listens\n"
            yield
        finally:
            process.kill()


def waiting(bench: Bench, *how: str) -> Placement:
    """A replica whose server listens when there is a file ``go``."""
    (bench.folder / "waits.py").write_text(WAITS)
    command = (sys.executable, "/models/waits.py", "{port}", *how)
    revision = Revision(1, str(bench.folder), Definition("m", "/models", 8000, command), 0.0)
    return asyncio.run(bench.launcher().start(StartRequest("chat-a", "ann", "chat", revision, "5e" * 32)))


def holds(bench: Bench, placement: Placement) -> bool:
    return asyncio.run(bench.launcher().holds("chat-a", placement))


def test_a_server_of_the_replica_holds_its_port(bench: Bench) -> None:
    placement = bench.start()
    eventually(lambda: accepts(placement.address))
    assert holds(bench, placement)
    bench.stop()
    assert not holds(bench, placement)


def test_a_port_where_nobody_listens_is_not_held(bench: Bench) -> None:
    placement = waiting(bench)
    bench.model_pid()
    assert not holds(bench, placement)
    bench.stop()


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_a_squatter_that_was_first_is_told_from_the_replica(bench: Bench, host: str) -> None:
    placement = waiting(bench)
    bench.model_pid()
    with squatter(host, placement.address[1]):
        assert accepts(placement.address)
        assert not holds(bench, placement)
    (bench.folder / "go").write_text("")
    eventually(lambda: accepts(placement.address))
    assert holds(bench, placement)
    bench.stop()


def test_a_worker_that_was_given_the_socket_holds_it_for_the_replica(bench: Bench) -> None:
    placement = waiting(bench, "forks")
    (bench.folder / "go").write_text("")
    eventually(lambda: accepts(placement.address))
    assert holds(bench, placement)
    bench.stop()


@pytest.mark.skipif(not LINUX or not socket.has_dualstack_ipv6(), reason="needs IPv6 beside IPv4")
def test_nobody_brings_a_replica_down_by_listening_beside_it(bench: Bench) -> None:
    placement = bench.start()
    eventually(lambda: accepts(placement.address))
    with squatter("::", placement.address[1], "only6"):
        assert holds(bench, placement)
    bench.stop()


def test_a_process_that_has_ended_holds_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert not hold([Process(2**22 + 1, 1)], server.getsockname())
