"""A caller's body on its way: pieces that no replica took yet, and those kept so that they can be sent again."""

from __future__ import annotations

from ..core.admission import too_large
from ..core.message import Refusal

__all__ = ["END_OF_CHUNKS", "Body", "Kept", "chunk", "gather"]

END_OF_CHUNKS = b"0\r\n\r\n"
# Bytes are counted, pieces are kept: 1 MiB in pieces of two bytes took 28 MB. Each object beside its bytes is some 50.
_BLOCK = 1024
_FREE = 64 << 10  # bytes of a body that are not counted: as many as the front takes of each caller anyway


def chunk(piece: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(piece), piece)


def gather(pieces: list[bytes], piece: bytes) -> None:
    """Add to what is kept; small ones become blocks, of which any two that follow each other have more than 1 KiB."""
    if pieces and len(pieces[-1]) + len(piece) <= _BLOCK:
        pieces[-1] += piece
    else:
        pieces.append(piece)


class Kept:
    """Bytes that the open calls of one service keep so that they can be sent again: ``most`` of them together."""

    __slots__ = ("most", "taken")

    def __init__(self, most: int) -> None:
        self.most = most
        self.taken = 0


class Body:
    """Pieces are passed on as they came, but small ones that wait are joined. ``pending_size`` is what the caller's
    reading depends on, ``size`` how many bytes came, ``counted`` how many of those are in the room of its service."""

    __slots__ = (
        "_consumed", "_dropped", "_ended", "_kept", "_limit", "_most", "_pending", "_room", "counted", "done", "end",
        "pending_size", "size",
    )  # fmt: skip

    def __init__(self) -> None:
        self.done = False  # the caller has sent all of it
        self.size = self.pending_size = 0
        self._pending: list[bytes] = []
        self._kept: list[bytes] | None = []
        self._room: Kept | None = None
        self.counted = 0  # bytes of it in there
        self._limit: int | None = None
        self._most: int | None = None
        self.end: bytes | None = None  # with the trailers of a chunked one; b"": they are not wanted
        self._consumed = False  # pieces went to a replica
        self._ended = False  # its end did
        self._dropped = False

    @property
    def received(self) -> bool:
        return self._consumed or self.pending_size > 0

    @property
    def replayable(self) -> bool:
        return self._kept is not None or not self._consumed

    def limit(self, size: int, room: Kept | None = None) -> None:
        """Keep at most ``size`` bytes for a replay, and none where the ``room`` for them all is taken."""
        self._limit, self._room = size, room
        if self._kept is not None and not self._may_keep(size):
            self._let_go()

    def _may_keep(self, limit: int) -> bool:
        room = self._room
        if self.size > limit or self.size <= _FREE or room is None:
            return self.size <= limit
        more = self.size - self.counted
        if room.taken + more > room.most:
            return False
        room.taken += more
        self.counted = self.size
        return True

    def _let_go(self) -> None:
        """It is kept no more."""
        self._kept = None
        if self.counted and self._room is not None:
            self._room.taken -= self.counted
            self.counted = 0

    def bound(self, most: int) -> Refusal | None:
        """Take at most ``most`` bytes: the refusal, if more came already."""
        self._most = most
        return too_large(most, self.size)

    def forget(self) -> None:
        """The answer has begun: no replay any more."""
        self._let_go()

    def drop(self) -> None:
        """Nobody wants it any more: what came goes, and what still comes is not kept.

        60 KB of each of 2,500 refused uploads stayed in memory while their connections lingered.
        """
        self._dropped = True
        self._let_go()
        self._pending = []
        self.pending_size = 0

    def add(self, piece: bytes) -> Refusal | None:
        """The refusal, if it has become too long; the piece is not kept then."""
        if self._dropped:
            return None
        size = len(piece)
        self.size += size
        if self._most is not None and self.size > self._most:
            return too_large(self._most, self.size)
        self.pending_size += size
        pending, kept = self._pending, self._kept
        limit, came = self._limit, self.size
        if kept is not None and limit is not None and (came > _FREE or came > limit) and not self._may_keep(limit):
            self._let_go()
            kept = None
        if pending and len(pending[-1]) + size <= _BLOCK:
            last, joined = pending[-1], pending[-1] + piece
            pending[-1] = joined
            if kept and kept[-1] is last:  # one object for both
                kept[-1] = joined
                return None
        else:
            pending.append(piece)
        if kept:
            gather(kept, piece)
        elif kept is not None:
            kept.append(piece)
        return None

    def come(self, after: int) -> list[bytes]:
        """What came after the first so many bytes, to be looked at; nothing was taken of the body yet."""
        news: list[bytes] = []
        left = self.pending_size - after
        for piece in reversed(self._pending):
            if left <= 0:
                break
            news.append(piece if len(piece) <= left else piece[-left:])
            left -= len(piece)
        news.reverse()
        return news

    def beginning(self, most: int) -> bytes:
        """The first bytes, which no replica took yet."""
        pieces = self._pending
        return pieces[0][:most] if len(pieces) == 1 else b"".join(pieces)[:most]

    def rewind(self) -> None:
        """The next :meth:`take` starts from the beginning. Only while :attr:`replayable`."""
        if self._consumed and self._kept is not None:
            self._pending = list(self._kept)
            self.pending_size = self.size
        self._ended = False

    def take(self, *, chunked: bool) -> list[bytes]:
        """What is to be written to the replica now."""
        pieces = self._pending
        if pieces:
            self._consumed = True
            self._pending = []
            self.pending_size = 0
            if chunked:
                pieces = [chunk(piece) for piece in pieces]
        if self.done and chunked and not self._ended:
            self._ended = True
            pieces = [*pieces, self.end or END_OF_CHUNKS]  # a new list: an empty one is still that of what is to come
        return pieces
