"""The gateway's end of the lease, against real runner processes, dead ports and impostors."""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import resource
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from jupyter_model_service.adapters.lease import LeaseTimes, TcpLeases
from jupyter_model_service.adapters.lease_messages import message_from, ports_from, sample_from, state_from
from jupyter_model_service.core.lease_proof import runner_proof
from jupyter_model_service.core.reports import (
    GpuSample,
    LeaseClosed,
    LeaseEvent,
    LeaseOpened,
    LeasePorts,
    LeaseSample,
    LeaseState,
)
from jupyter_model_service.errors import ModelServiceError
from jupyter_model_service.ports import Lease, Leases
from jupyter_model_service.runner import runner_command

DEADLINE = 30.0
REPLICA = "tiny-abc123"


LISTENS = "import socket, time; listener = socket.create_server(('127.0.0.1', 0)); time.sleep(60)"


class Events:
    """What the lease reported, with a way to wait for more."""

    def __init__(self) -> None:
        self.all: list[LeaseEvent] = []
        self._more = asyncio.Event()

    def __call__(self, event: LeaseEvent) -> None:
        self.all.append(event)
        self._more.set()

    async def until(self, test: Callable[[LeaseEvent], Any], start: int = 0) -> LeaseEvent:
        deadline = time.monotonic() + DEADLINE
        while True:
            for event in self.all[start:]:
                if test(event):
                    return event
            self._more.clear()
            await asyncio.wait_for(self._more.wait(), deadline - time.monotonic())

    async def kind(self, kind: type, start: int = 0) -> Any:
        return await self.until(lambda event: isinstance(event, kind), start)

    def count(self, kind: type) -> int:
        return sum(isinstance(event, kind) for event in self.all)


class Runner:
    def __init__(self, folder: Path, command: list[str], port: int = 0, secret: str | None = None, **more: Any) -> None:
        self.secret = secret or secrets.token_hex(32)
        folder.mkdir(exist_ok=True)
        spec = {
            "protocol": 1,
            "replica": REPLICA,
            "secret": self.secret,
            "control": {"host": "127.0.0.1", "port": port},
            "directory": str(folder),
            "cwd": str(folder),
            "command": command,
            **more,
        }
        (folder / "spec.json").write_text(json.dumps(spec))
        (folder / "runner.json").unlink(missing_ok=True)
        self.process = subprocess.Popen(runner_command(sys.executable, folder / "spec.json"), start_new_session=True)
        deadline = time.monotonic() + DEADLINE
        while not (folder / "runner.json").exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        self.control = ("127.0.0.1", json.loads((folder / "runner.json").read_text())["control"]["port"])

    def clean_up(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.process.wait(15)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Runner]]:
    started: list[Runner] = []

    def make(command: list[str], **more: Any) -> Runner:
        started.append(Runner(tmp_path / "replica", command, **more))
        return started[-1]

    yield make
    for runner in started:
        runner.clean_up()


def with_lease(
    control: tuple[str, int],
    secret: str,
    body: Callable[[Lease, Events], Awaitable[None]],
    times: LeaseTimes | None = None,
    loop: str = "asyncio",
) -> Events:
    """Open a lease, run the body, close it; nothing may be left running, and nothing said afterwards."""

    async def run() -> Events:
        events = Events()
        leases: Leases = TcpLeases(times)
        lease = leases.open(REPLICA, control, secret, events)
        assert secret not in repr(lease)
        try:
            await body(lease, events)
        finally:
            await asyncio.wait_for(lease.close(), DEADLINE)
            said = len(events.all)
            await lease.close()
            await asyncio.sleep(0.05)
            assert len(events.all) == said
            assert asyncio.all_tasks() == {asyncio.current_task()}
        return events

    running = importlib.import_module(loop).new_event_loop()
    try:
        result: Events = running.run_until_complete(run())
    finally:
        running.close()
    return result


both_loops = pytest.mark.parametrize("loop", ["asyncio", "uvloop"])


@both_loops
def test_it_opens_with_the_state_and_reports_figures(start, loop):
    runner = start(["sleep", "60"])

    async def body(lease: Lease, events: Events) -> None:
        opened = await events.kind(LeaseOpened)
        assert opened.state.phase in ("preparing", "loading")
        assert events.all[0] is opened
        sample = await events.kind(LeaseSample)
        assert sample.rss > 0

    with_lease(runner.control, runner.secret, body, loop=loop)


@both_loops
def test_where_the_replica_listens_is_an_event_when_it_is_asked(start, loop):
    runner = start([sys.executable, "-c", LISTENS])

    async def body(lease: Lease, events: Events) -> None:
        lease.ask_ports()  # too early: nothing comes of it
        await events.kind(LeaseOpened)
        while True:
            before = len(events.all)
            lease.ask_ports()
            if (answer := await events.kind(LeasePorts, before)).ports:
                break
        ((host, port),) = answer.ports
        assert host == "127.0.0.1"
        _, writer = await asyncio.open_connection(host, port)
        writer.close()

    with_lease(runner.control, runner.secret, body, loop=loop)


def test_changes_and_the_end_are_reported_and_collected(start):
    runner = start(["sh", "-c", "echo last words; sleep 1; exit 3"])

    async def body(lease: Lease, events: Events) -> None:
        event = await events.until(lambda e: isinstance(e, LeaseOpened | LeaseState) and e.state.phase == "exited")
        ended = event.state.exit
        assert (ended.stage, ended.code, ended.signal, ended.tail) == ("serve", 3, None, ("last words",))
        lease.collected()
        await events.kind(LeaseClosed)
        assert await asyncio.to_thread(runner.process.wait, 15) == 0

    with_lease(runner.control, runner.secret, body)


def test_stop_ends_the_model(start):
    runner = start(["sleep", "60"])

    async def body(lease: Lease, events: Events) -> None:
        lease.stop(5.0)  # before it is open: sent as soon as it is
        event = await events.until(lambda e: isinstance(e, LeaseOpened | LeaseState) and e.state.phase == "exited")
        assert event.state.exit.signal == "SIGTERM"

    with_lease(runner.control, runner.secret, body)


@both_loops
def test_collected_right_before_close_still_arrives(start, loop):
    runner = start(["true"])

    async def body(lease: Lease, events: Events) -> None:
        await events.until(lambda e: isinstance(e, LeaseOpened | LeaseState) and e.state.phase == "exited")
        lease.collected()

    with_lease(runner.control, runner.secret, body, loop=loop)
    assert runner.process.wait(15) == 0


@both_loops
def test_log_lines_come_whole_through_many_pieces(start, loop):
    runner = start(["sh", "-c", "seq 0 19999; sleep 60"])

    async def body(lease: Lease, events: Events) -> None:
        await events.kind(LeaseOpened)
        deadline = time.monotonic() + DEADLINE
        while (await lease.logs(-1))[1] < 20000:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)
        answers = await asyncio.gather(*(lease.logs(0, 100_000) for _ in range(20)))
        assert all(answer == ([str(n) for n in range(20000)], 20000, 0) for answer in answers)
        assert await lease.logs(19998, 5) == (["19998", "19999"], 20000, 0)
        assert await lease.logs(5, 2) == (["5", "6"], 7, 0)

    with_lease(runner.control, runner.secret, body, loop=loop)


def test_logs_are_refused_in_words_while_it_is_not_open(start, free_port):
    async def body(lease: Lease, events: Events) -> None:
        with pytest.raises(ModelServiceError, match="cannot be reached"):
            await lease.logs()

    with_lease(("127.0.0.1", free_port), "ab" * 32, body)


def test_logs_of_a_runner_that_stops_answering_end_in_time(start):
    runner = start(["sleep", "60"])

    async def body(lease: Lease, events: Events) -> None:
        await events.kind(LeaseOpened)
        os.kill(runner.process.pid, signal.SIGSTOP)
        with pytest.raises(ModelServiceError, match="did not send its log within"):
            await lease.logs()

    with_lease(runner.control, runner.secret, body, LeaseTimes(logs=0.3))


def test_logs_that_are_waited_for_end_with_the_connection(start):
    runner = start(["sleep", "60"])

    async def body(lease: Lease, events: Events) -> None:
        await events.kind(LeaseOpened)
        os.kill(runner.process.pid, signal.SIGSTOP)
        waiting = asyncio.ensure_future(lease.logs())
        await asyncio.sleep(0.1)
        runner.process.kill()
        with pytest.raises(ModelServiceError, match="cannot be reached"):
            await waiting

    with_lease(runner.control, runner.secret, body)


@both_loops
def test_a_killed_runner_is_noticed_at_once_and_told_once(start, loop):
    runner = start(["sleep", "60"])

    async def body(lease: Lease, events: Events) -> None:
        await events.kind(LeaseOpened)
        runner.process.kill()
        began = time.monotonic()
        closed = await events.kind(LeaseClosed)
        assert time.monotonic() - began < 2.0
        assert closed.reason
        await asyncio.sleep(1.5)  # many refused attempts later
        assert events.count(LeaseClosed) == 1

    with_lease(runner.control, runner.secret, body, loop=loop)


def test_silence_closes_the_lease_and_life_opens_it_again(start):
    """A stopped runner closes nothing: only the missing heartbeats tell. Afterwards the lease is back by itself."""
    runner = start(["sleep", "60"])

    async def body(lease: Lease, events: Events) -> None:
        await events.kind(LeaseSample)
        os.kill(runner.process.pid, signal.SIGSTOP)
        began = time.monotonic()
        closed = await events.kind(LeaseClosed)
        assert 1.9 < time.monotonic() - began < 8.0
        assert closed.reason == "nothing heard from the runner for 3 s"
        seen = len(events.all)
        await asyncio.sleep(0.5)
        os.kill(runner.process.pid, signal.SIGCONT)
        await events.kind(LeaseOpened, seen)
        assert events.count(LeaseClosed) == 1

    with_lease(runner.control, runner.secret, body)


@both_loops
def test_a_loop_that_stood_still_does_not_blame_the_runner(start, loop):
    """The heartbeats that lie in the socket count as heard before the silence is judged."""
    runner = start(["sleep", "60"])

    async def body(lease: Lease, events: Events) -> None:
        await events.kind(LeaseSample)
        time.sleep(2.2)  # the whole loop is blocked, on purpose
        await asyncio.sleep(0.3)
        assert events.count(LeaseClosed) == 0

    with_lease(runner.control, runner.secret, body, LeaseTimes(silence=1.6), loop)


def test_a_runner_that_comes_late_is_found(start, free_port):
    async def body(lease: Lease, events: Events) -> None:
        closed = await events.kind(LeaseClosed)
        assert "refused" in closed.reason
        await asyncio.to_thread(start, ["sleep", "60"], port=free_port, secret="ab" * 32)
        await events.kind(LeaseOpened)
        assert events.count(LeaseClosed) == 1

    with_lease(("127.0.0.1", free_port), "ab" * 32, body)


def test_a_refused_connection_is_reported_after_the_first_second_only(free_port):
    began = time.monotonic()

    async def body(lease: Lease, events: Events) -> None:
        await events.kind(LeaseClosed)
        assert time.monotonic() - began >= 1.0

    with_lease(("127.0.0.1", free_port), "ab" * 32, body)


def test_that_we_have_no_descriptor_left_is_told_as_our_lack_and_not_as_the_runners(free_port):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    async def body(lease: Lease, events: Events) -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        try:
            closed = await events.kind(LeaseClosed)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert closed.ours
        assert "Too many open files" in closed.reason
        again = await events.kind(LeaseClosed, len(events.all))
        assert not again.ours, "now it was asked, and refused"
        assert "refused" in again.reason

    with_lease(("127.0.0.1", free_port), "ab" * 32, body)


@pytest.fixture
def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def against(serve: Serve, body: Callable[[Lease, Events], Awaitable[None]], times: LeaseTimes | None = None) -> Events:
    """A lease against a server of the test's own on a port that was the runner's."""

    async def run() -> Events:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await serve(reader, writer)
            except (ConnectionError, asyncio.IncompleteReadError):
                pass
            finally:
                writer.close()

        server = await asyncio.start_server(handle, "127.0.0.1", 0)
        events = Events()
        lease = TcpLeases(times).open(REPLICA, server.sockets[0].getsockname(), "ab" * 32, events)
        try:
            await body(lease, events)
        finally:
            await asyncio.wait_for(lease.close(), DEADLINE)
            server.close()
        return events

    return asyncio.run(run())


@pytest.mark.parametrize(
    "answer",
    [
        b'{"t": "challenge", "nonce": "%s", "proof": "%s"}\n' % (b"0" * 64, b"0" * 64),
        b'{"t": "challenge", "nonce": "x", "proof": "y"}\n',
        b'{"t": "challenge"}\n',
        b'{"t": "state", "phase": "loading"}\n',
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\xff\xff\n",
        b"[" * 100_000 + b"\n",
        b"x" * 300_000,
    ],
)
def test_an_impostor_never_opens_a_lease_and_learns_no_proof(answer):
    greetings: list[bytes] = []
    proofs: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        greetings.append(await reader.readline())
        writer.write(answer)
        proofs.append(await reader.read())

    async def body(lease: Lease, events: Events) -> None:
        closed = await events.kind(LeaseClosed)
        assert "what answers there" in closed.reason
        deadline = time.monotonic() + DEADLINE
        while len(greetings) < 3:  # it goes on trying, and says it no second time
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)
        assert events.all == [closed]

    against(serve, body, LeaseTimes(retry_impostor=0.1))
    assert json.loads(greetings[0]).keys() == {"t", "protocol", "replica", "nonce"}
    assert set(proofs) <= {b""}


def test_an_impostor_is_asked_slowly():
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        writer.write(b"{}\n")
        await reader.read()

    async def body(lease: Lease, events: Events) -> None:
        await events.kind(LeaseClosed)
        await asyncio.sleep(1.0)

    against(serve, body)
    assert connections == 1


def proven(after: bytes) -> Serve:
    """A server that knows the secret and then says something of its own: a model that took its runner's place."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hello = json.loads(await reader.readline())
        nonce = secrets.token_hex(32)
        proof = runner_proof("ab" * 32, REPLICA, hello["nonce"], nonce)
        writer.write(json.dumps({"t": "challenge", "nonce": nonce, "proof": proof}).encode() + b"\n")
        assert json.loads(await reader.readline())["t"] == "proof"
        writer.write(after)
        await reader.read()

    return serve


STATE = b'{"t": "state", "phase": "loading"}\n'


@pytest.mark.parametrize(
    "words",
    [
        b"{}\n",
        b'{"t": "state", "phase": "glorious"}\n',
        b'{"t": "state", "phase": "loading", "action": -1}\n',
        b'{"t": "state", "phase": "loading", "prepared_after": NaN}\n',
        b'{"t": "state", "phase": "exited", "exit": {"stage": "x"}}\n',
        b'{"t": "state", "phase": "exited", "exit": {"stage": "serve", "tail": [5]}}\n',
        b'{"t": "beat", "rss": "big"}\n',
        b'{"t": "beat", "cpu": -1.0}\n',
        b'{"t": "beat", "gpus": [{"uuid": "x"}]}\n',
        b'{"t": "beat", "gpus": %s}\n' % json.dumps([{}] * 100).encode(),
        b"not json\n",
        b"x" * 300_000,
    ],
)
def test_nonsense_of_a_proven_runner_closes_the_lease(words):
    async def body(lease: Lease, events: Events) -> None:
        await events.kind(LeaseOpened)
        closed = await events.kind(LeaseClosed)
        assert closed.reason.startswith("the runner sent ")

    against(proven(STATE + words), body)


def test_anything_before_the_state_opens_nothing():
    async def body(lease: Lease, events: Events) -> None:
        await events.kind(LeaseClosed)
        assert events.count(LeaseOpened) == 0

    against(proven(b'{"t": "beat", "rss": 5}\n'), body, LeaseTimes(first_failure=0.1))


def test_unknown_messages_and_strange_answers_are_passed_over():
    words = b'{"t": "news"}\n{"t": "logs", "id": 99, "lines": []}\n{"t": "logs", "id": []}\n{"t": "beat"}\n{"t": "beat", "rss": 5}\n'

    async def body(lease: Lease, events: Events) -> None:
        assert (await events.kind(LeaseSample)) == LeaseSample(None, 5)
        assert events.count(LeaseClosed) == 0

    against(proven(STATE + words), body)


def test_a_runner_that_never_finishes_the_handshake_is_given_up():
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async def body(lease: Lease, events: Events) -> None:
        closed = await events.kind(LeaseClosed)
        assert "did not finish the handshake" in closed.reason

    against(serve, body, LeaseTimes(handshake=0.2, first_failure=0.1))


def test_a_failing_receiver_does_not_end_the_lease(start, caplog):
    runner = start(["sleep", "60"])
    seen: list[LeaseEvent] = []

    async def run() -> None:
        def receive(event: LeaseEvent) -> None:
            seen.append(event)
            raise RuntimeError("the receiver's own fault")

        lease = TcpLeases().open(REPLICA, runner.control, runner.secret, receive)
        deadline = time.monotonic() + DEADLINE
        while sum(isinstance(event, LeaseSample) for event in seen) < 2:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)
        await lease.close()

    asyncio.run(run())
    assert not any(isinstance(event, LeaseClosed) for event in seen)
    assert runner.secret not in caplog.text


@pytest.mark.parametrize(
    "ports",
    [
        5,
        [["127.0.0.1", 1]] * 65,
        ["127.0.0.1"],
        [["127.0.0.1"]],
        [["here", 1]],
        [["::1", 0]],
        [["::1", True]],
        [[1, 1]],
    ],
)
def test_ports_that_are_none_are_nonsense(ports):
    with pytest.raises(ValueError):
        ports_from({"t": "ports", "ports": ports})


@pytest.mark.parametrize("figure", ["cpu", "cpu_at"])
@pytest.mark.parametrize("number", [10**400, -1, float("inf"), float("nan"), True, "7"])
def test_figures_that_are_none_are_nonsense(figure, number):
    """Of 400 digits, too, which are no float."""
    with pytest.raises(ValueError):
        sample_from({"t": "beat", figure: number})


def test_a_gpu_has_no_more_memory_in_use_than_it_has():
    gpu = {"uuid": "GPU-1", "utilization": 5.0, "memory_used": 12, "memory_total": 9}
    assert sample_from({"t": "beat", "gpus": [gpu]}).gpus == (GpuSample("GPU-1", 5.0, 9, 9),)


def test_messages_become_plain_data():
    message = message_from(
        b'{"t": "beat", "gpus": [{"uuid": "GPU-1", "utilization": 140, "memory_used": 5, "memory_total": 9}], "rss": 7}'
    )
    assert sample_from(message) == LeaseSample((GpuSample("GPU-1", 100.0, 5, 9),), 7)
    assert sample_from({"t": "beat", "gpus": None, "rss": None}) is None
    of_today = {"t": "beat", "gpus": None, "rss": 7, "cpu": 12.5, "cpu_at": 60.0}
    assert sample_from(of_today) == LeaseSample(None, 7, 12.5, 60.0)
    assert sample_from({**of_today, "rss": None}) == LeaseSample(None, None, 12.5, 60.0)
    assert ports_from({"t": "ports", "ports": [["::1", 80], ["0.0.0.0", 1]]}) == (("::1", 80), ("0.0.0.0", 1))
    assert ports_from({"t": "ports", "ports": None}) is None
    state = state_from({"t": "state", "phase": "preparing", "action": 1, "actions": 2, "label": "x" * 9999})
    assert (state.action, state.actions, len(state.label)) == (1, 2, 2000)
