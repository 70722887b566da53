"""The handshake and the lease, seen from a bare socket: who gets in, who does not, and what they learn."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import time

import pytest


def test_a_gateway_that_proves_itself_gets_the_state_and_beats(start_runner):
    runner = start_runner(["sleep", "60"])
    lease = runner.lease()
    state = runner.first_state
    assert state["t"] == "state"
    if state["phase"] != "loading":
        state = lease.phase("loading")
    assert state["model_pid"] == runner.state["model"]["pid"]
    assert state["exit"] is None
    assert state["prepared_after"] >= 0
    beat = lease.until("beat")
    assert beat["gpus"] is None or isinstance(beat["gpus"], list)
    assert beat["rss"] > 0


def test_a_gateway_with_a_wrong_secret_learns_nothing_but_a_nonce(start_runner):
    runner = start_runner(["sleep", "60"])
    stranger = runner.connect(secret=secrets.token_hex(32))
    nonce, challenge = stranger.challenge()
    assert set(challenge) == {"t", "nonce", "proof"}
    assert challenge["proof"] != stranger.proof("runner", runner.replica, nonce, challenge["nonce"])
    stranger.send({"t": "proof", "proof": stranger.proof("gateway", runner.replica, challenge["nonce"], nonce)})
    assert stranger.read() is None


def test_the_runners_own_proof_cannot_be_sent_back_to_it(start_runner):
    runner = start_runner(["sleep", "60"])
    stranger = runner.connect()
    _, challenge = stranger.challenge()
    stranger.send({"t": "proof", "proof": challenge["proof"]})
    assert stranger.read() is None


@pytest.mark.parametrize(
    "greeting",
    [
        b"GET / HTTP/2\r\n\r\n",
        b"get / HTTP/1.1\r\n\r\n",
        b"GET  HTTP/1.1\r\n\r\n",
        b"\xff\xfe\x00\n",
        b"[]\n",
        b"{}\n",
        b'{"t": "hello"}\n',
        b'{"t": "hello", "protocol": 2, "replica": "R", "nonce": "%s"}\n' % (b"0" * 64),
        b'{"t": "hello", "protocol": 1, "replica": "other", "nonce": "%s"}\n' % (b"0" * 64),
        b'{"t": "hello", "protocol": 1, "replica": "R", "nonce": "short"}\n',
        b'{"t": "hello", "protocol": 1, "replica": "R", "nonce": 5}\n',
        b'{"t": "stop", "grace": 0}\n',
        b'{"t": "proof", "proof": ""}\n',
        b"[" * 3000 + b"\n",
        b"x" * 5000,
    ],
)
def test_garbage_is_answered_by_closing(start_runner, greeting):
    """Whatever a stranger says first: the connection ends, nothing comes back, the model goes on."""
    runner = start_runner(["sleep", "60"], replica="R")
    stranger = runner.connect()
    stranger.socket.sendall(greeting)
    began = time.monotonic()
    assert stranger.read() is None
    assert time.monotonic() - began < 4.0  # not only when the time for handshakes was over
    assert runner.lease() is not None
    assert runner.first_state["phase"] in ("preparing", "loading")


def test_a_proof_that_is_no_text_closes(start_runner):
    runner = start_runner(["sleep", "60"])
    for proof in (None, 5, "é" * 64, "0" * 63, ["0" * 64]):
        stranger = runner.connect()
        stranger.challenge()
        stranger.send({"t": "proof", "proof": proof})
        assert stranger.read() is None


def test_a_silent_stranger_is_dropped_after_five_seconds(start_runner):
    runner = start_runner(["sleep", "60"])
    stranger = runner.connect()
    began = time.monotonic()
    assert stranger.read() is None
    assert time.monotonic() - began > 4.0


def test_a_gateway_that_says_nothing_for_ten_heartbeats_has_gone(start_runner):
    runner = start_runner(["sleep", "60"])
    lease = runner.lease()
    lease.answers_beats = False
    beats = 0
    while (message := lease.read()) is not None:
        beats += message["t"] == "beat"
    assert 10 <= beats <= 11
    assert runner.lease().until("beat")


def test_a_runner_that_stood_still_keeps_its_lease(start_runner):
    """On a machine that slept nobody could answer: that the gateway was silent for so long says nothing about it."""
    runner = start_runner(["sleep", "60"])
    lease = runner.lease()
    lease.until("beat")
    time.sleep(0.5)  # it has read the answer to that
    os.kill(runner.process.pid, signal.SIGSTOP)
    time.sleep(10.5)
    os.kill(runner.process.pid, signal.SIGCONT)
    for _ in range(3):
        assert lease.until("beat")


def test_strangers_cannot_keep_the_gateway_out(start_runner):
    """Eight may be in their handshake; a ninth drops the oldest, and the gateway still gets in."""
    runner = start_runner(["sleep", "60"])
    strangers = [runner.connect() for _ in range(9)]
    assert strangers[0].read() is None
    for stranger in strangers[2:]:
        stranger.socket.settimeout(0.05)
        with pytest.raises(socket.timeout):
            stranger.socket.recv(1)
    runner.lease()
    assert runner.first_state["t"] == "state"


def test_a_newly_proven_connection_replaces_the_former(start_runner):
    runner = start_runner(["sleep", "60"])
    former = runner.lease()
    unproven = runner.connect()
    unproven.challenge()
    assert former.until("beat")  # somebody who has proven nothing replaces nobody
    newer = runner.lease()
    while (message := former.read()) is not None:
        assert message["t"] in ("beat", "state")
    assert newer.until("beat")


def test_an_endless_line_after_the_proof_closes(start_runner):
    runner = start_runner(["sleep", "60"])
    lease = runner.lease()
    lease.answers_beats = False  # they would end the line
    began = time.monotonic()
    try:
        for _ in range(5):
            lease.socket.sendall(b"x" * 65536)
    except ConnectionError:
        pass
    while (message := lease.read()) is not None:
        assert message["t"] in ("beat", "state")
    assert time.monotonic() - began < 8.0  # not only when it was silent for too long
    assert runner.lease().until("beat")


def test_odd_requests_of_a_proven_gateway_do_no_harm(start_runner):
    runner = start_runner(["sleep", "60"])
    lease = runner.lease()
    for message in (
        {"t": "unheard of"},
        {"no": "t"},
        {"t": "logs", "id": 1, "after": "x"},
        {"t": "logs", "id": 1, "after": 10**30, "limit": 1},
        {"t": "logs", "id": 1, "after": 0, "limit": -5},
        {"t": "collected"},
        {"t": ["stop"]},
    ):
        lease.send(message)
    lease.until("beat")
    assert runner.state["phase"] == "loading"


def test_a_gateway_that_never_reads_costs_no_memory(start_runner, wait_for):
    """Beats and states are owed, not queued: an unread lease holds one of each, and log pieces wait unmade."""
    code = "import sys; [print('x' * 200) for _ in range(20000)]; sys.stdout.flush(); import time; time.sleep(60)"
    runner = start_runner(["python3", "-c", code])
    lease = runner.lease()
    wait_for(lambda: lease.logs(-1)[1] > 9000, "a full ring")
    import psutil

    before = psutil.Process(runner.process.pid).memory_info().rss
    for _ in range(2000):
        lease.send({"t": "logs", "id": 1, "after": 0, "limit": 20000})
    time.sleep(1.5)
    assert psutil.Process(runner.process.pid).memory_info().rss - before < 3_000_000
    assert runner.lease().until("beat")


def test_nothing_listens_when_the_address_cannot_be_had(start_runner):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        runner = start_runner(["sleep", "60"], control={"host": "127.0.0.1", "port": port})
        assert runner.process.wait(30) == 1
    assert f"cannot listen on 127.0.0.1 port {port}" in runner.diagnostics.read_text()
