"""Gateways and runners that are killed at any instant, and the end of everything that they left."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time

import psutil
import pytest

from jupyter_model_service.adapters.processes import numbering
from jupyter_model_service.core.definition import Definition
from jupyter_model_service.core.revision import Revision
from jupyter_model_service.ports import Seen, StartRequest

from .bench import LINUX, Bench, accepts, eventually, lives

GATEWAY = """
import asyncio, pathlib, sys
from jupyter_model_service.adapters.launch_local import LocalLauncher
from jupyter_model_service.core.definition import Definition
from jupyter_model_service.core.revision import Revision
from jupyter_model_service.ports import StartRequest
directory, folder = sys.argv[1:]
command = (sys.executable, "/models/server.py", "8000", "0.0.0.0")
revision = Revision(1, folder, Definition("m", "/models", 8000, command), 0.0)
launcher = LocalLauncher(pathlib.Path(directory))
print("ready", flush=True)
asyncio.run(launcher.start(StartRequest("chat-a", "ann", "chat", revision, "5e" * 32)))
print("started", flush=True)
sys.stdin.read()
"""


def gateway(bench: Bench) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", GATEWAY, str(bench.directory), str(bench.folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    return process


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def test_a_replica_outlives_the_killed_gateway_and_is_found_again(bench: Bench) -> None:
    process = gateway(bench)
    assert process.stdout
    assert process.stdout.readline() == "started\n"
    pids = (bench.runner()["pid"], bench.model_pid())
    end(process)
    seen = bench.find()["chat-a"]
    assert seen.alive
    assert seen.placement
    assert (seen.placement.handle["pid"], bench.model_pid()) == pids
    address = seen.placement.address
    eventually(lambda: accepts(address))
    bench.stop()
    assert not accepts(address)
    assert bench.processes() == []


@pytest.mark.parametrize("milliseconds", [0, 2, 5, 10, 15, 20, 30, 45, 60, 90])
def test_a_gateway_killed_in_the_middle_of_a_start_leaves_nothing_that_cannot_be_found(
    bench: Bench, milliseconds: int
) -> None:
    process = gateway(bench)
    time.sleep(milliseconds / 1000)
    end(process)
    found = bench.find()
    assert found.keys() <= {"chat-a"}
    if not found:
        assert bench.processes() == []
        assert not (bench.directory / "chat-a").exists()
    elif not found["chat-a"].alive:
        assert bench.processes() == []
    bench.stop()
    assert bench.processes() == []
    assert bench.find() == {}
    assert not (bench.directory / "chat-a").exists()


@pytest.mark.parametrize("milliseconds", [0, 3, 10, 20, 30, 40, 50, 70])
def test_a_start_cancelled_at_any_moment_leaves_nothing(bench: Bench, milliseconds: int) -> None:
    async def body() -> None:
        task = asyncio.create_task(bench.launcher().start(bench.request()))
        await asyncio.sleep(milliseconds / 1000)
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            await bench.launcher().stop("chat-a", task.result())

    asyncio.run(body())
    assert bench.processes() == []
    assert bench.find() == {}


def test_a_cancellation_that_meets_the_finished_start_leaves_nothing(bench: Bench) -> None:
    async def body() -> None:
        task = asyncio.create_task(bench.launcher().start(bench.request()))
        await asyncio.sleep(0)
        # The loop stands still meanwhile: the start is over, and its task has not been told.
        eventually((bench.directory / "chat-a" / "runner.json").exists)
        time.sleep(0.2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(body())
    assert bench.processes() == []
    assert bench.find() == {}


def test_a_killed_runner_is_seen_as_dead_and_reaped_while_we_live(bench: Bench) -> None:
    async def body() -> None:
        launcher = bench.launcher()
        placement = await launcher.start(bench.request())
        pid = placement.handle["pid"]
        os.kill(pid, signal.SIGKILL)
        for _ in range(1000):
            if not psutil.pid_exists(pid):
                break
            await asyncio.sleep(0.01)
        assert not psutil.pid_exists(pid)
        assert await launcher.find() == [Seen("chat-a", None, False)]
        assert await launcher.start(bench.request()) != placement

    asyncio.run(body())
    bench.stop()


@pytest.mark.skipif(not LINUX, reason="who ends the model of a killed runner is the kernel of Linux")
def test_what_a_killed_runner_leaves_is_ended_and_the_port_is_free_within_two_seconds(bench: Bench) -> None:
    placement = bench.start("deaf", "leaks")
    eventually(lambda: accepts(placement.address))
    eventually((bench.folder / "leaked.txt").exists)
    assert len(bench.processes()) == 3
    began = time.monotonic()
    os.kill(placement.handle["pid"], signal.SIGKILL)
    bench.stop()
    assert time.monotonic() - began < 2.0
    assert not accepts(placement.address)
    assert bench.processes() == []
    with socket.create_server(placement.address):
        pass


@pytest.mark.parametrize("how", [("deaf",), ("deaf", "leaks"), ()])
def test_a_forced_stop_takes_two_seconds_at_most(bench: Bench, how: tuple[str, ...]) -> None:
    placement = bench.start(*how)
    eventually(lambda: accepts(placement.address))
    began = time.monotonic()
    bench.stop()
    assert time.monotonic() - began < 2.0
    assert not accepts(placement.address)
    assert bench.processes() == []


def test_a_stopped_runner_and_its_model_are_ended_too(bench: Bench) -> None:
    """SIGSTOP: a paused process hears SIGTERM only when it goes on, SIGKILL at once."""
    placement = bench.start()
    for pid in (bench.model_pid(), placement.handle["pid"]):
        os.kill(pid, signal.SIGSTOP)
    bench.stop()
    assert bench.processes() == []


@pytest.mark.skipif(not LINUX, reason="start times of the kernel")
@pytest.mark.parametrize("first", ["", "runner", "both"])
def test_the_recorded_group_is_ended_even_when_its_marks_are_gone(bench: Bench, first: str) -> None:
    """A server that sets its title overwrites its environment; here ``env -i`` does. ``first``: killed before."""
    (bench.folder / "bare.sh").write_text("env -i sleep 300 & exec env -i sleep 301\n")
    command = ("sh", "/models/bare.sh", "{port}")
    revision = Revision(1, str(bench.folder), Definition("m", "/models", 8000, command), 0.0)
    placement = asyncio.run(bench.launcher().start(StartRequest("chat-a", "ann", "chat", revision, "5e" * 32)))
    leader = bench.model_pid()
    members = eventually(lambda: two([p for p in psutil.pids() if pgid(p) == leader and named(p, "sleep")]))
    if first:
        os.kill(placement.handle["pid"], signal.SIGKILL)
        eventually(lambda: not lives(leader))
    if first == "both":  # and the next process has the leader's number: then nothing is proven
        spec = bench.directory / "chat-a" / "spec.json"
        spec.write_text(spec.read_text().replace(numbering(), "another boot"))
    bench.stop()
    try:
        assert [lives(p) for p in members] == [first == "both" and p != leader for p in members]
        assert not lives(placement.handle["pid"])
    finally:
        for pid in members:
            if lives(pid) and pgid(pid) == leader:
                os.kill(pid, signal.SIGKILL)


def two(found: list[int]) -> list[int]:
    return found if len(found) == 2 else []


def pgid(pid: int) -> int:
    with contextlib.suppress(OSError):
        return os.getpgid(pid)
    return 0


def named(pid: int, name: str) -> bool:
    with contextlib.suppress(psutil.Error):
        return psutil.Process(pid).name() == name
    return False
