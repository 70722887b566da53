"""What goes out in one turn of the loop goes out at its end, together."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator

__all__ = ["Outgoing", "Writing"]

log = logging.getLogger(__name__)

_JOIN_BELOW = 32 << 10  # one system call for a head and a small body; larger pieces are not copied, and do not wait
_SMALL = 8 << 10  # of more than that in all, pieces up to this size are joined: 256 KiB may be 75,000 of them …
_BLOCK = 64 << 10  # … which go out in so many bytes at once
_MANY = 64  # pieces, of which one alone may take 50 bytes more than it counts: they do not wait for the turn's end
_AT_MOST = 32  # connections: the first of them waits for the others, 20 µs each


class Outgoing:
    """The connections that have something to write, until the loop has heard all that came in this turn.

    A write to a socket wakes whoever reads it. One after each read wakes a processor that has just gone to sleep, and
    pushes our own code out of the caches of this one.
    """

    __slots__ = ("_loop", "_waiting")

    def __init__(self) -> None:
        self._waiting: list[Writing] = []
        self._loop: asyncio.AbstractEventLoop | None = None

    def add(self, writing: Writing) -> None:
        """It is flushed before the loop waits for anything again."""
        waiting = self._waiting
        if not waiting:
            if self._loop is None:
                self._loop = asyncio.get_running_loop()
            self._loop.call_soon(self._flush)
        waiting.append(writing)
        if len(waiting) >= _AT_MOST:
            self._flush()

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        for writing in waiting:
            try:
                writing.flush()
            except Exception:
                log.exception("A connection could not be written to")
                if writing.transport is not None:
                    writing.transport.abort()


class Writing(asyncio.Protocol):
    """A connection on which writing is gathered. Whoever closes its transport calls :meth:`flush` first. ``unsent`` is
    how many bytes came too late for that."""

    __slots__ = ("_gathered", "_outgoing", "transport", "unsent")

    def __init__(self, outgoing: Outgoing) -> None:
        self.transport: asyncio.Transport | None = None
        self._outgoing = outgoing
        self._gathered: list[bytes] | None = None
        self.unsent = 0

    def write(self, pieces: list[bytes]) -> None:
        """``pieces`` is not the caller's any more."""
        if not pieces:
            return
        if self._gathered is None:
            self._gathered = pieces
            self._outgoing.add(self)
        else:
            self._gathered += pieces
        if len(pieces[-1]) >= _JOIN_BELOW or len(pieces) > _MANY:
            self.flush()

    def flush(self) -> None:
        """Give what was gathered to the transport now."""
        pieces, self._gathered = self._gathered, None
        transport = self.transport
        if pieces is None:
            return
        if transport is None or transport.is_closing():
            self.unsent += sum(map(len, pieces))
            return
        if len(pieces) == 1:
            transport.write(pieces[0])
        elif sum(map(len, pieces)) < _JOIN_BELOW:
            transport.write(b"".join(pieces))
        else:
            for block in _blocks(pieces):
                transport.write(block)


def _blocks(pieces: list[bytes]) -> Iterator[bytes]:
    """Runs of small pieces joined, large ones as they are."""
    run: list[bytes] = []
    size = 0
    for piece in pieces:
        more = len(piece)
        if run and (more > _SMALL or size + more > _BLOCK):
            yield b"".join(run)
            run, size = [], 0
        if more > _SMALL:
            yield piece
        else:
            run.append(piece)
            size += more
    if run:
        yield b"".join(run)
