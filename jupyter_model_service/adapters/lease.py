"""The gateway's end of the control stream to each runner, over TCP. ``runner/PROTOCOL.md`` is the rule.

Three parts, one job each: ``_Stream`` is one connection (handshake, heartbeats, silence); ``TcpLease`` keeps
making connections until it is closed and turns what they say into events; ``TcpLeases`` makes leases.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from ..core.lack import OUR_LACK
from ..core.lease_proof import gateway_proof, proofs_match, runner_proof
from ..core.reports import LeaseClosed, LeaseEvent, LeaseOpened, LeasePorts, LeaseState
from ..errors import UpstreamError
from .lease_messages import log_piece_from, message_from, ports_from, sample_from, state_from

__all__ = ["TcpLease", "TcpLeases"]

logger = logging.getLogger(__name__)

PROTOCOL = 1
MESSAGE_BYTES = 256 * 1024
NONCE = re.compile(r"[0-9a-f]{64}")
LOG_REQUESTS = 8  # at once per lease; the runner holds at most 32


@dataclass(frozen=True)
class LeaseTimes:
    """All in seconds. ``first_failure``: how long a lease that never opened may fail before that is reported."""

    connect: float = 2.0
    handshake: float = 5.0
    beat: float = 1.0
    silence: float = 3.0
    retry: float = 0.02
    retry_most: float = 1.0
    retry_impostor: float = 5.0
    settled: float = 5.0  # a lease that was open for less does not reset the back-off
    first_failure: float = 1.0
    logs: float = 10.0


class TcpLeases:
    """Implements ``ports.Leases``. ``open`` must be called on the event loop that the lease is to live on."""

    def __init__(self, times: LeaseTimes | None = None) -> None:
        self._times = times or LeaseTimes()

    def open(
        self, replica: str, control: tuple[str, int], secret: str, on_event: Callable[[LeaseEvent], None]
    ) -> TcpLease:
        return TcpLease(replica, control, secret, on_event, self._times)


@dataclass
class _LogAnswer:
    """Pieces of one answer as they arrive."""

    done: asyncio.Future[None]
    limit: int
    lines: list[str] = field(default_factory=list)
    following: int = 0
    lost: int = 0


class TcpLease:
    """Implements ``ports.Lease``. Its one task connects again and again; ``close`` ends it."""

    def __init__(
        self,
        replica: str,
        control: tuple[str, int],
        secret: str,
        on_event: Callable[[LeaseEvent], None],
        times: LeaseTimes,
    ) -> None:
        self._replica = replica
        self._control = control
        self._secret = secret
        self._on_event = on_event
        self._times = times
        self._loop = asyncio.get_running_loop()
        self._stream: _Stream | None = None  # only while it is open
        self._opened_at: float | None = None
        self._failing_since = self._loop.time()
        self._reported = ""  # the kind of the last LeaseClosed since the lease was open
        self._wishes: dict[str, dict[str, Any]] = {}  # stop and collected, kept for the next connection
        self._answers: dict[int, _LogAnswer] = {}
        self._requests = 0
        self._log_slots = asyncio.Semaphore(LOG_REQUESTS)
        self._closed = False
        self._task = self._loop.create_task(self._keep_open(), name=f"lease {replica}")

    def __repr__(self) -> str:
        state = "closed" if self._closed else "open" if self._stream is not None else "opening"
        return f"<TcpLease {self._replica} {self._control[0]}:{self._control[1]} {state}>"

    # - ports.Lease -

    async def logs(self, after: int = 0, limit: int = 1000) -> tuple[Sequence[str], int, int]:
        """``(lines, next cursor, lines lost)``; a negative ``after`` counts from the end.

        Raises ``UpstreamError`` (``runner_unreachable``) when the lease is not open or the answer takes too long.
        """
        try:
            return await asyncio.wait_for(self._ask_logs(after, limit), self._times.logs)
        except asyncio.TimeoutError:
            raise self._unreachable(f"did not send its log within {self._times.logs:g} s") from None

    def stop(self, grace: float) -> None:
        self._wish({"t": "stop", "grace": grace})

    def collected(self) -> None:
        self._wish({"t": "collected"})

    def ask_ports(self) -> None:
        if self._stream is not None:
            self._stream.send({"t": "ports"})

    async def close(self) -> None:
        self._closed = True
        while not self._task.done():
            # Again and again: before Python 3.12, wait_for can swallow a cancellation that meets its result.
            self._task.cancel()
            await asyncio.wait([self._task], timeout=0.2)

    # - connections -

    async def _keep_open(self) -> None:
        pause = self._times.retry
        while True:
            stream = _Stream(self)
            try:
                reason, kind = await self._one_connection(stream)
            finally:
                self._lost_stream(stream)
            now = self._loop.time()
            if self._opened_at is not None:
                if now - self._opened_at >= self._times.settled:
                    pause = self._times.retry
                self._opened_at = None
                self._failing_since = now
                self._reported = ""
                self._report_closed(reason, kind)
            elif kind == "impostor" or now - self._failing_since >= self._times.first_failure:
                self._report_closed(reason, kind)
            await asyncio.sleep(self._times.retry_impostor if kind == "impostor" else pause)
            pause = min(pause * 2, self._times.retry_most)

    async def _one_connection(self, stream: _Stream) -> tuple[str, str]:
        """Why it ended: a clause for people, and its kind (``lost``, ``impostor``, or ``ours`` when this process has
        nothing left to connect with)."""
        host, port = self._control
        try:
            await asyncio.wait_for(self._loop.create_connection(lambda: stream, host, port), self._times.connect)
        except asyncio.TimeoutError:
            return f"{host}:{port} does not answer", "lost"
        except OSError as error:
            if isinstance(error, ConnectionRefusedError):
                return f"connection to the runner at {host}:{port} refused", "lost"
            kind = "ours" if error.errno in OUR_LACK else "lost"
            return f"no connection to the runner at {host}:{port}: {error.strerror or error}", kind
        return await stream.ended

    def _report_closed(self, reason: str, kind: str) -> None:
        """Once per loss, and once more when it turns out that somebody else answers there, or that it is our lack."""
        if self._reported not in (kind, "impostor"):
            self._reported = kind
            self._emit(LeaseClosed(reason, ours=kind == "ours"))

    def _lost_stream(self, stream: _Stream) -> None:
        stream.end()
        if self._stream is stream:
            self._stream = None
        for answer in self._answers.values():
            if not answer.done.done():
                answer.done.set_exception(self._unreachable("cannot be reached right now"))

    def _emit(self, event: LeaseEvent) -> None:
        if self._closed:
            return
        try:
            self._on_event(event)
        except Exception:
            logger.exception("the receiver of the events of replica %s failed", self._replica)

    def _unreachable(self, what: str) -> UpstreamError:
        return UpstreamError(f"the runner of replica {self._replica} {what}", code="runner_unreachable")

    # - requests -

    def _wish(self, message: dict[str, Any]) -> None:
        self._wishes[message["t"]] = message
        if self._stream is not None:
            self._stream.send(message)

    async def _ask_logs(self, after: int, limit: int) -> tuple[Sequence[str], int, int]:
        async with self._log_slots:
            if self._stream is None:
                raise self._unreachable("cannot be reached right now")
            self._requests += 1
            number = self._requests
            answer = self._answers[number] = _LogAnswer(self._loop.create_future(), limit)
            try:
                self._stream.send({"t": "logs", "id": number, "after": after, "limit": limit})
                await answer.done
            finally:
                self._answers.pop(number, None)
            return answer.lines, answer.following, answer.lost

    # - what a stream says -

    def hello(self, nonce: str) -> dict[str, Any]:
        return {"t": "hello", "protocol": PROTOCOL, "replica": self._replica, "nonce": nonce}

    def proof_for(self, message: Mapping[str, Any], nonce: str) -> str | None:
        """Our proof, if the challenge proves that the other side is this replica's runner."""
        theirs, proof = message.get("nonce"), message.get("proof")
        if message["t"] != "challenge" or not isinstance(theirs, str) or not isinstance(proof, str):
            return None
        if not NONCE.fullmatch(theirs):
            return None
        if not proofs_match(proof, runner_proof(self._secret, self._replica, nonce, theirs)):
            return None
        return gateway_proof(self._secret, self._replica, nonce, theirs)

    def received(self, stream: _Stream, message: Mapping[str, Any]) -> None:
        kind = message["t"]
        if kind == "state":
            state = state_from(message)
            if self._stream is stream:
                self._emit(LeaseState(state))
                return
            self._stream = stream
            self._opened_at = self._loop.time()
            for wish in self._wishes.values():
                stream.send(wish)
            self._emit(LeaseOpened(state))
        elif self._stream is not stream:
            raise ValueError("something before its state")
        elif kind == "beat":
            sample = sample_from(message)
            if sample is not None:
                self._emit(sample)
        elif kind == "ports":
            if (ports := ports_from(message)) is not None:
                self._emit(LeasePorts(ports))
        elif kind == "logs":
            self._received_logs(message)

    def _received_logs(self, message: Mapping[str, Any]) -> None:
        number = message.get("id")
        answer = self._answers.get(number) if isinstance(number, int) else None
        if answer is None or answer.done.done():
            return
        lines, following, lost, more = log_piece_from(message)
        if len(answer.lines) + len(lines) > answer.limit:
            raise ValueError("more log lines than it was asked for")
        answer.lines += lines
        answer.following = following
        answer.lost += lost
        if not more:
            answer.done.set_result(None)

    @property
    def times(self) -> LeaseTimes:
        return self._times


class _Stream(asyncio.Protocol):
    """One connection. ``ended`` gets ``(reason, kind)`` when it is over, whoever ended it."""

    def __init__(self, lease: TcpLease) -> None:
        self._lease = lease
        self._times = lease.times
        self._loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[tuple[str, str]] = self._loop.create_future()
        self._transport: asyncio.Transport | None = None
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._buffer = bytearray()
        self._nonce = os.urandom(32).hex()
        self._proven = False
        self._open = False
        self._heard_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one by behaviour only
        if self.ended.done():
            self._transport.abort()
            return
        self.send(self._lease.hello(self._nonce))
        self._after("handshake", self._times.handshake, self._handshake_late)

    def data_received(self, data: bytes) -> None:
        self._heard_at = self._loop.time()
        self._buffer += data
        while not self.ended.done():
            cut = self._buffer.find(b"\n")
            if cut < 0:
                if len(self._buffer) > MESSAGE_BYTES:
                    self._nonsense("a line without end")
                return
            line = bytes(self._buffer[:cut])
            del self._buffer[: cut + 1]
            try:
                self._received(message_from(line))
            except ValueError as error:
                self._nonsense(str(error))

    def connection_lost(self, error: Exception | None) -> None:
        if self._open:
            self._finish("the runner closed the connection" if error is None else "the connection broke")
        else:
            self._finish("the runner closed the connection during the handshake")

    def send(self, message: Mapping[str, Any]) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(json.dumps(message).encode("ascii") + b"\n")

    def end(self) -> None:
        """No more timers and no more events; what was written still goes out, for a second at most."""
        self._finish("closed")
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.close()
            if transport.get_write_buffer_size():
                self._loop.call_later(1.0, transport.abort)

    def _received(self, message: Mapping[str, Any]) -> None:
        if self._proven:
            self._lease.received(self, message)
            if not self._open:
                self._open = True
                self._cancel("handshake")
                self._after("beat", self._times.beat, self._beat)
                self._after("silence", self._times.silence, self._listen_for_silence)
            return
        proof = self._lease.proof_for(message, self._nonce)
        if proof is None:
            self._finish("what answers there does not know the replica's secret", "impostor")
            return
        self._proven = True
        self.send({"t": "proof", "proof": proof})

    def _nonsense(self, what: str) -> None:
        if self._proven:
            self._finish(f"the runner sent {what}")
        else:
            self._finish("what answers there is not a runner", "impostor")

    def _handshake_late(self) -> None:
        self._finish(f"the runner did not finish the handshake within {self._times.handshake:g} s")

    def _beat(self) -> None:
        self._after("beat", self._times.beat, self._beat)
        self.send({"t": "beat"})

    def _listen_for_silence(self) -> None:
        left = self._heard_at + self._times.silence - self._loop.time()
        if left > 0:
            self._after("silence", left, self._listen_for_silence)
        else:
            # Both loops read their sockets before they run timers, so a loop of ours that stood still has heard
            # by now what lay there.
            self._finish(f"nothing heard from the runner for {self._times.silence:g} s")

    def _finish(self, reason: str, kind: str = "lost") -> None:
        for name in list(self._timers):
            self._cancel(name)
        if not self.ended.done():
            self.ended.set_result((reason, kind))

    def _after(self, name: str, seconds: float, action: Callable[[], None]) -> None:
        self._cancel(name)
        self._timers[name] = self._loop.call_later(seconds, action)

    def _cancel(self, name: str) -> None:
        timer = self._timers.pop(name, None)
        if timer is not None:
            timer.cancel()
