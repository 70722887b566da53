"""Where the replica listens, as its runner finds out when it is asked."""

from __future__ import annotations

import sys
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")

# The listener is a grandchild; beside it is a connection that listens nowhere.
SERVER = """
import os, socket, subprocess, sys, time
if len(sys.argv) == 1:
    subprocess.Popen([sys.executable, __file__, "child"]).wait()
four = socket.create_server(("127.0.0.1", 0))
six = socket.create_server(("::1", 0), family=socket.AF_INET6)
client = socket.create_connection(four.getsockname())
print("ports", four.getsockname()[1], six.getsockname()[1], client.getsockname()[1], flush=True)
time.sleep(60)
"""


def test_the_listening_ports_of_all_processes_are_told_when_asked(
    start_runner: Any, wait_for: Any, tmp_path: Any
) -> None:
    """Neither the runner's own port, nor connections, nor what others listen on here."""
    (tmp_path / "server.py").write_text(SERVER)
    runner = start_runner([sys.executable, str(tmp_path / "server.py")])
    lease = runner.lease()

    def said() -> list[str]:
        return [line for line in lease.logs()[0] if line.startswith("ports ")]

    four, six, _ = map(int, wait_for(said, "a server that listens")[0].split()[1:])
    lease.send({"t": "ports"})
    assert lease.until("ports")["ports"] == [["127.0.0.1", four], ["::1", six]]


def test_a_replica_that_listens_nowhere_says_so(start_runner: Any) -> None:
    runner = start_runner(["sleep", "60"])
    lease = runner.lease()
    lease.send({"t": "ports"})
    assert lease.until("ports")["ports"] == []


def test_many_questions_at_once_are_answered_and_no_heartbeat_is_lost(start_runner: Any) -> None:
    runner = start_runner(["sleep", "60"])
    lease = runner.lease()
    lease.socket.sendall(b'{"t": "ports"}\n' * 200)
    answers = 0
    while (message := lease.read()) is not None and message["t"] != "beat":
        answers += message == {"t": "ports", "ports": []}
    assert message is not None
    assert 1 <= answers <= 5, "one look is for all that are asked for before it"


def test_what_cannot_be_seen_is_unknown(run_module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without /proc/net there is no list, which is something else than an empty one."""

    def nothing(*args: Any) -> Any:
        raise FileNotFoundError

    monkeypatch.setattr(run_module, "open", nothing, raising=False)
    assert run_module.listening([1]) is None
