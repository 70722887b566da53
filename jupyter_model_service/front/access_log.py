"""What the access log will say of each call, noted when it ends; somebody else makes lines of it and writes them."""

from __future__ import annotations

import logging
from collections import deque
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Any

from ..core.access_line import LONGEST_NAME, LONGEST_PATH, LONGEST_TRACE, own_code
from ..core.ending import Broken
from ..core.peer import Peer, sender
from .reader import Unread

if TYPE_CHECKING:
    from .call import Call

__all__ = ["AccessLog"]

log = logging.getLogger(__name__)

_MOST = 16_384  # calls; some 15 MB, or a few seconds at the front's full speed
_SAY_EVERY = 60.0  # seconds
# Where there was no call: no first byte, wait, service, revision and caller; nothing broken, no bytes, replica and
# tries; no trace and upgrade.
_NOBODY, _NO_CALL, _NOTHING = (None, 0.0, "", "", 0, ""), (None, 0, 0, "", 0), (b"", b"")


class AccessLog:
    """``entries`` are those of :class:`core.access_line.Entry`, oldest first, as plain tuples; another thread takes
    them from the left, which needs no lock. They are never more than ``most``: what comes beyond is lost, and counted
    in ``lost``. Nothing in an entry keeps a head or a body alive."""

    __slots__ = ("_most", "_said_at", "entries", "lost")

    def __init__(self, most: int = _MOST) -> None:
        self.entries: deque[tuple[Any, ...]] = deque()
        self.lost = 0
        self._most = most
        self._said_at = -inf

    def add(self, call: Call, status: int, now: float, code: str, broken: Broken | None) -> None:
        """It ends now."""
        if len(self.entries) >= self._most:
            self._lose(now)
            return
        head, attempt, turn, endpoint, peer = call.head, call.attempt, call.turn, call.endpoint, call.peer
        if status >= 400 and endpoint is None and not code and attempt is not None and attempt.answer is not None:
            code = own_code(attempt.answer.headers)
        address = sender(peer, head.forwarded)[:LONGEST_NAME] if peer.trusted and head.forwarded else peer.address
        if endpoint is None:  # only what is not found there may be as long as a caller likes
            owner, name = call.owner[:LONGEST_NAME], call.name[:LONGEST_NAME]
        else:
            owner, name = endpoint.owner, endpoint.name
        target = head.target
        self.entries.append(
            (
                call.began,
                now,
                call.first_byte,
                0.0 if turn is None else turn.waited,
                owner,
                name,
                call.revision,
                call.known_as[:LONGEST_NAME],
                address,
                head.method,
                target if len(target) <= LONGEST_PATH else target[:LONGEST_PATH],
                status,
                code,
                broken,
                call.body.size,
                0 if attempt is None else attempt.size,
                "" if attempt is None or endpoint is None else attempt.backend.replica,
                call.tries.again + (attempt is not None),
                call.request_id,
                b",".join(head.traces)[:LONGEST_TRACE] if head.traces else b"",
                (head.upgrade or b"")[:LONGEST_NAME] if call.bridged else b"",
            )
        )

    def add_unread(self, peer: Peer, unread: Unread) -> None:
        """What came could not be read as a request."""
        now = monotonic()
        if len(self.entries) >= self._most:
            self._lose(now)
            return
        refusal, method, target, request_id = unread
        said = (peer.address, method, target[:LONGEST_PATH], refusal.status, refusal.code)
        self.entries.append((now, now, *_NOBODY, *said, *_NO_CALL, request_id, *_NOTHING))

    def _lose(self, now: float) -> None:
        self.lost += 1
        if now - self._said_at >= _SAY_EVERY:
            self._said_at = now
            log.warning(
                "the access log is not written as fast as calls end, or not at all: %d of its lines are lost", self.lost
            )
