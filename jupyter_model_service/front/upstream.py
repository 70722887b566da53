"""One connection to a replica (or to the web part): writes what it is given, reads answers, and tells the call."""

from __future__ import annotations

import asyncio
import socket
import sys
from time import monotonic
from typing import TYPE_CHECKING, Protocol, cast

import httptools

from ..core.ending import not_taken
from ..core.message import AnswerHead, BadMessage, Headers
from ..core.read_answer import read_answer
from .outgoing import Writing

if TYPE_CHECKING:
    from .pool import Pool

__all__ = ["Sink", "Upstream"]

_MOST_INFORMATIONAL = 32
_TCP_INFO: int | None = getattr(socket, "TCP_INFO", None) if sys.platform == "linux" else None


class Sink(Protocol):
    """What a call hears from its connection; each is called in the turn of the loop in which the bytes came."""

    to_head: bool
    wants_upgrade: bool

    def on_informational(self, answer: AnswerHead) -> None: ...
    def on_answer(self, answer: AnswerHead) -> None: ...
    def on_body(self, piece: bytes) -> None: ...
    def on_trailers(self, fields: Headers) -> None: ...
    def on_flush(self) -> None:
        """The bytes read at once have all been told, and the answer goes on."""

    def on_end(self, reusable: bool) -> None:
        """The same, and there are no more."""

    def on_bad(self, message: str) -> None:
        """What came is not a valid answer."""

    def on_gone(self, *, spoke: bool) -> None:
        """The connection ended before the answer did; ``spoke``: some of the answer had come."""

    def on_switched(self, answer: AnswerHead, rest: bytes) -> None: ...
    def on_raw(self, data: bytes) -> None: ...
    def on_stuck(self, stuck: bool) -> None:
        """The replica does not take more bytes for now, or again does."""


class Upstream(Writing):
    """``idle_since`` and ``idle_limit`` (monotonic, seconds) belong to the pool. ``not_taken`` is how many of the last
    bytes written the replica's side had not taken when the connection ended, ``None`` where nobody knows."""

    __slots__ = (
        "_answer", "_complete", "_extra", "_head_size", "_headers", "_held", "_informed", "_parsed", "_parser",
        "_quiet", "_raw", "_reason", "_refusal", "_spoke", "_until_close", "idle_limit", "idle_since", "not_taken",
        "pool", "reused", "sink", "stuck",
    )  # fmt: skip

    def __init__(self, pool: Pool) -> None:
        super().__init__(pool.outgoing)
        self.pool = pool
        self.sink: Sink | None = None
        self.reused = False
        self.stuck = False
        self.idle_since = 0.0
        self.idle_limit = pool.settings.pool_idle
        self._parser = httptools.HttpResponseParser(self)
        self._held = False
        self._raw = False
        self._spoke = False
        self._reset()

    def _reset(self) -> None:
        self._parsed = False  # of the parser is what follows
        self._answer: AnswerHead | None = None
        self._headers: Headers = []
        self._reason = b""
        self._head_size = 0
        self._quiet = 0  # bytes since the last of the body; -1: some came in this read
        self._informed = 0  # informational answers before the final one
        self._refusal = ""
        self._complete = False
        self._extra = False
        self._until_close = False

    # --- what the call asks for ------------------------------------------------------------------

    @property
    def spoke(self) -> bool:
        """Whether any byte came since :meth:`begin`."""
        return self._spoke

    def begin(self, sink: Sink) -> None:
        if self._parsed:
            self._reset()
        self._spoke = False
        self.sink = sink

    def hold(self, held: bool) -> None:
        """Stop or go on reading: the caller does not take the answer as fast as it comes."""
        if held is self._held or self.transport is None or self.transport.is_closing():
            return
        self._held = held
        if held:
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()

    def close(self) -> None:
        """What was written still goes out."""
        self.sink = None
        if self.transport is not None:
            self.flush()
            self.transport.close()

    def abort(self) -> None:
        self.sink = None
        if self.transport is not None:
            self.transport.abort()

    # --- asyncio.Protocol --------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.pool.places.outgoing += 1

    def data_received(self, data: bytes) -> None:
        sink = self.sink
        if sink is None:  # an idle connection has nothing to say
            self.pool.drop(self)
            self.abort()
            return
        self.pool.backend.answered_at = monotonic()
        if self._raw:
            sink.on_raw(data)
            return
        first = not self._spoke
        self._spoke = True
        if first:
            if self._gathered is not None:
                # It was said before the request went out, by a server that says more than its answers: whether this is
                # the answer, nobody knows, and what is may come for the next one.
                self._extra = True
            elif self._same_again(sink, data):
                return
        self._parsed = True
        if not self._feed(sink, data) or self.sink is not sink:
            return
        if self._answer is not None and self._answer.status == 101:  # the parser saw no Upgrade header
            sink.on_bad("The replica switched protocols in a wrong way.")
            return
        if self._answer is not None and (self._complete or sink.to_head):
            if first and not sink.to_head:
                self._remember(data, self._answer)
            sink.on_end(self._answer.keep and not self._extra and not self._until_close and not sink.to_head)
        elif self._rambles(len(data)):
            sink.on_bad(
                "The head of the replica's answer is too long."
                if self._answer is None
                else "Too much stands between two chunks of the replica's answer, or behind the last one."
            )
        else:
            sink.on_flush()

    def _rambles(self, size: int) -> bool:
        """Whether a head, extensions of a chunk or a single field behind the last one come without end: the parser
        keeps such a field, and tells nobody of it before it is whole. ``size`` is that of the bytes that came."""
        self._quiet = 0 if self._quiet < 0 else self._quiet + size
        return self._quiet > self.pool.settings.max_answer_head

    def _same_again(self, sink: Sink, data: bytes) -> bool:
        """An answer whose head is that of another one of this replica, byte for byte, and whose body is here, too: what
        the parser would say is known."""
        whole = self.pool.whole_answer
        if whole is None or sink.to_head:
            return False
        raw, answer = whole
        if len(data) - len(raw) != answer.length or not data.startswith(raw):
            return False
        sink.on_answer(answer)
        if self.sink is sink and answer.length:
            sink.on_body(data[len(raw) :])
        if self.sink is sink:
            sink.on_end(answer.keep)
        return True

    def _remember(self, data: bytes, answer: AnswerHead) -> None:
        """``data`` was read at once, and is one whole answer. What the parser goes on after, and what is delimited by
        its length alone, may come without being parsed."""
        size = data.find(b"\r\n\r\n") + 4
        informational = data[9:12] != b"%d" % answer.status  # one of those came before it
        # A 304 may say a length and has no body; empty lines behind it are nothing to the parser, but of that length.
        plain = answer.keep and answer.has_body and not (self._extra or answer.chunked or informational)
        if plain and len(data) - size == answer.length:
            self.pool.whole_answer = (data[:size], answer)

    def _feed(self, sink: Sink, data: bytes) -> bool:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as stop:
            if self._answer is not None and self._answer.status == 101:
                self._raw = True
                sink.on_switched(self._answer, data[stop.args[0] :])
            else:
                sink.on_bad("The replica switched protocols in a wrong way.")
            return False
        except httptools.HttpParserError as error:
            if self._complete and self._answer is not None and self._answer.status != 101:
                self._extra = True
                return True
            sink.on_bad(self._refusal or f"The replica's answer is not valid HTTP: {error}.")
            return False
        return True

    def eof_received(self) -> bool:
        """An answer without a length ends with its connection, and so does one whose replica was killed.

        Only the runner can tell them apart, and its report takes some milliseconds: the end is passed on when the
        replica is still not lost after ``end_proof`` seconds (a lost one breaks its calls off, see ``Pool.lost``). A
        runner that is not in contact can tell nothing: while the replica is doubtful the end waits.
        """
        sink = self.sink
        if sink is None or not self._until_close or self._complete:
            self.flush()  # the loop closes next; of a bridge, something may be on its way
            return False
        self._complete = True
        sink.on_flush()
        self._prove_end(sink)
        return True  # stays open meanwhile, so that nothing else ends the call

    def _prove_end(self, sink: Sink) -> None:
        asyncio.get_running_loop().call_later(
            self.pool.settings.end_proof, self._end_of, sink, self.pool.backend.doubtful
        )

    def _end_of(self, sink: Sink, doubtful: bool) -> None:
        if self.sink is not sink:
            return
        if doubtful or self.pool.backend.doubtful:  # also once more after that: its report comes behind the lease
            self._prove_end(sink)
        else:
            sink.on_end(False)

    def connection_lost(self, exc: Exception | None) -> None:
        self.pool.places.outgoing -= 1
        sink, self.sink = self.sink, None
        self.not_taken = None if sink is None or self._spoke else self._left(exc)
        self.transport = None
        if sink is None:
            self.pool.drop(self)
        else:
            sink.on_gone(spoke=self._spoke)

    def _left(self, exc: Exception | None) -> int | None:
        sock = self.transport.get_extra_info("socket") if self.transport is not None else None
        if _TCP_INFO is None or sock is None or sock.family not in (socket.AF_INET, socket.AF_INET6):
            return None
        if exc is not None and not isinstance(exc, BrokenPipeError):
            return 0  # a reset says nothing of what had been read; what is written after a FIN ends with the other one
        try:
            left = not_taken(sock.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, 256))
        except OSError:
            return None
        return None if left is None else left + self.unsent + sum(map(len, self._gathered or ()))

    def pause_writing(self) -> None:
        self.stuck = True
        if self.sink is not None:
            self.sink.on_stuck(True)

    def resume_writing(self) -> None:
        self.stuck = False
        if self.sink is not None:
            self.sink.on_stuck(False)

    # --- httptools ---------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self._complete:
            self._extra = True

    def on_status(self, reason: bytes) -> None:
        self._reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._complete:
            return
        self._head_size += len(name) + len(value) + 4
        if self._head_size > self.pool.settings.max_answer_head:
            part = "head" if self._answer is None else "trailer section"
            self._refuse(f"The {part} of the replica's answer is too long.")
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        sink = self.sink
        if sink is None or self._complete:
            return
        status = self._parser.get_status_code()
        headers, reason = self._headers, self._reason
        self._headers, self._reason, self._head_size = [], b"", 0
        version = self._parser.get_http_version()
        said = (status, version, reason, headers, sink.to_head)
        last = self.pool.last_answer
        if last is not None and last[0] == said:
            answer = last[1]
        else:
            try:
                answer = read_answer(status, version, reason, headers, to_head=sink.to_head)
            except BadMessage as bad:
                self._refuse(bad.refusal.message)
                return
            self.pool.last_answer = (said, answer)
        if status == 101:
            if not sink.wants_upgrade:
                self._refuse("The replica switched protocols without being asked.")
            self._answer = answer
        elif status < 200:
            self._informed += 1
            if self._informed > _MOST_INFORMATIONAL:
                self._refuse("Too many informational answers came before the replica's answer.")
            sink.on_informational(answer)
        else:
            self._answer = answer
            self._until_close = answer.until_close
            sink.on_answer(answer)

    def on_body(self, piece: bytes) -> None:
        if self.sink is None or self._complete:
            return
        if self._answer is None or self._answer.status < 200:
            self._refuse("A body came before the head of the replica's answer.")
        if self.sink.to_head:
            self._extra = True
        else:
            self._quiet = -1
            self.sink.on_body(piece)

    def on_message_complete(self) -> None:
        if self._answer is not None:
            self._complete = True
            if self._headers and self.sink is not None:
                # The parser takes a "Connection: close" behind the body for one of the head.
                self._extra = self._extra or any(name.lower() == b"connection" for name, _ in self._headers)
                self.sink.on_trailers(self._headers)

    def _refuse(self, message: str) -> None:
        """Ends the parsing; the parser turns this into its own error."""
        self._refusal = message
        raise ValueError(message)
