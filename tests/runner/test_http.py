"""An HTTP request on the control port: what the Hub and everybody behind its public route see of a replica."""

from __future__ import annotations

import http.client
import socket

import pytest

NOTHING = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


def everything(sock: socket.socket) -> bytes:
    found = b""
    while piece := sock.recv(65536):
        found += piece
    return found


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /user/alice/ms-chat-abc123/api HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
        b"GET / HTTP/1.0\r\n\r\n",
        b"HEAD / HTTP/1.1\nHost: h\n\n",
        b"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n",
        b"GET /a HTTP/1.1\r\nHost: h\r\nCookie: " + b"c" * 20_000 + b"\r\n\r\n",
        b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 300000\r\n\r\n" + b'{"t": "hello"}\n' * 20_000,
        b"GET /a HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        b"GET /a HTTP/1.1\r\nHost: h\r\n\r\nGET /b HTTP/1.1\r\nHost: h\r\n\r\n",
    ],
)
def test_every_request_gets_one_empty_404(start_runner, request_):
    """Whatever is asked and however much is sent: the same bytes, once, and the end."""
    runner = start_runner(["sleep", "60"])
    with socket.create_connection(runner.address, timeout=30) as sock:
        sock.sendall(request_)
        assert everything(sock) == NOTHING
    assert runner.lease() is not None
    assert runner.first_state is not None


def test_a_real_client_understands_it(start_runner):
    runner = start_runner(["sleep", "60"])
    client = http.client.HTTPConnection(*runner.address, timeout=30)
    client.request("GET", "/user/alice/ms-chat-abc123/api", headers={"Authorization": "token x"})
    answer = client.getresponse()
    assert (answer.status, answer.read()) == (404, b"")
    client.close()


def test_a_request_in_pieces_is_answered_when_its_first_line_is_there(start_runner):
    runner = start_runner(["sleep", "60"])
    with socket.create_connection(runner.address, timeout=30) as sock:
        sock.sendall(b"GET /x HT")
        sock.settimeout(0.3)
        with pytest.raises(TimeoutError):
            sock.recv(1)
        sock.settimeout(30)
        sock.sendall(b"TP/1.1\r\n")
        assert everything(sock) == NOTHING


def test_no_proof_is_taken_after_a_request(start_runner):
    """One connection, one kind of talk: what follows the request is not read."""
    runner = start_runner(["sleep", "60"])
    stream = runner.connect()
    stream.socket.sendall(b"GET / HTTP/1.1\r\n\r\n")
    assert everything(stream.socket) == NOTHING
    stream.send({"t": "hello", "protocol": 1, "replica": runner.replica, "nonce": "0" * 64})
    stream.socket.settimeout(0.5)
    assert stream.socket.recv(1) == b""


def test_no_request_is_answered_within_the_handshake(start_runner):
    runner = start_runner(["sleep", "60"])
    stream = runner.connect()
    stream.challenge()
    stream.socket.sendall(b"GET / HTTP/1.1\r\n\r\n")
    assert everything(stream.socket) == b""


def test_who_stays_after_the_answer_is_dropped(start_runner, wait_for):
    """A refused client that keeps its side open is closed for good after the time of a handshake."""
    runner = start_runner(["sleep", "60"])
    sock = socket.create_connection(runner.address, timeout=30)
    sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
    assert everything(sock) == NOTHING

    def is_reset() -> bool:
        try:
            sock.sendall(b"more\r\n")
        except OSError:
            return True
        return False

    wait_for(is_reset, "the end of the connection")
    sock.close()


def test_a_crowd_of_requests_pushes_no_handshake_out(start_runner):
    """Eight unproven connections are held at most; those that have their answer go first."""
    runner = start_runner(["sleep", "60"])
    gateway = runner.connect()
    nonce, challenge = gateway.challenge()
    crowd = []
    for _ in range(20):
        sock = socket.create_connection(runner.address, timeout=30)
        sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert everything(sock) == NOTHING
        crowd.append(sock)
    gateway.send({"t": "proof", "proof": gateway.proof("gateway", runner.replica, challenge["nonce"], nonce)})
    assert gateway.read()["t"] == "state"
    for sock in crowd:
        sock.close()
