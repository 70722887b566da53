"""What is known of a message of HTTP/1.1 once its head was judged: :mod:`read_request`, :mod:`read_answer`.

Header names and values are bytes as they came. What goes on is written anew from these fields (:mod:`forwarding`), so
bytes that we did not understand are never passed on.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

__all__ = ["DIGITS", "EVENT_STREAM", "AnswerHead", "BadMessage", "Headers", "Refusal", "RequestHead"]

Headers = list[tuple[bytes, bytes]]

DIGITS = re.compile(rb"[0-9]{1,18}\Z")  # of a length
EVENT_STREAM = b"text/event-stream"


@dataclass(frozen=True)
class Refusal:
    """An answer of our own: ``status``, the stable ``code``, one sentence, and when to try again (seconds)."""

    status: int
    code: str
    message: str
    retry_after: float | None = None


class BadMessage(Exception):
    """The message cannot be accepted; ``refusal`` is what its sender is told."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.refusal = Refusal(status, code, message)


@dataclass(slots=True)
class RequestHead:
    """One request's head. ``version`` is 10 or 11; ``target`` is in origin form (or ``*``).

    ``headers`` are those that may travel on, in order; framing, hop-by-hop, credentials, cookies, ``Via`` and
    ``X-Forwarded-*`` were taken out of them and stand in fields of their own. ``request_id`` is the caller's word. Not
    changed once it is read: the next request on the connection has the same one, if it says the same.
    """

    method: bytes
    version: int
    target: bytes
    host: bytes = b""
    length: int | None = None
    chunked: bool = False
    keep_alive: bool = True
    upgrade: bytes | None = None
    expects: bool = False  # waits for "100 Continue"
    request_id: bytes | None = None
    headers: Headers = field(default_factory=list)
    authorization: list[bytes] = field(default_factory=list)
    cookies: list[bytes] = field(default_factory=list)
    forwarded: Headers = field(default_factory=list)  # lower-case names
    prefers: tuple[bytes, ...] = ()  # values of Prefer, which travels on, too
    heartbeat: tuple[bytes, ...] = ()  # values of X-Model-Service-Heartbeat, which does not
    traces: tuple[bytes, ...] = ()  # values of traceparent, which travels on, too
    takes_trailers: bool = False  # says so in TE
    trailer: tuple[bytes, ...] = ()  # values of Trailer
    named: frozenset[bytes] = frozenset()  # by Connection: what must not travel on, behind the body either
    token: str | None = field(default=None, init=False, compare=False, repr=False)  # said by it, once that was read
    # The same of a visitor's cookie (``visits.visit_said``): for which origin, and what.
    visit: tuple[str, str | None] | None = field(default=None, init=False, compare=False, repr=False)
    # What was written of it last, and for whom: a caller who repeats its head is judged, and rewritten, once.
    written: tuple[tuple[object, ...], bytes] | None = field(default=None, init=False, compare=False, repr=False)

    @property
    def has_body(self) -> bool:
        return self.chunked or bool(self.length)


@dataclass(slots=True)
class AnswerHead:
    """One answer's head. Exactly one of ``length``, ``chunked`` and ``until_close`` tells where the body ends,
    or none of them, when there is no body. ``has_body`` is false where none may follow, whatever ``length`` says: in
    1xx, 204 and 304, and in answers to HEAD. ``events``: the body is an event stream; ``leads``: one of the headers is
    ``Location``. ``keep`` says whether the connection may serve again. Not changed once it is read: the replica's next
    answer has the same one, if it says the same."""

    status: int
    reason: bytes
    headers: Headers
    length: int | None = None
    chunked: bool = False
    until_close: bool = False
    has_body: bool = True
    events: bool = False
    leads: bool = False
    keep: bool = True
    keep_seconds: float | None = None  # what the server said about its keep-alive limit
    upgrade: bytes | None = None
    version: int = 11
    trailer: tuple[bytes, ...] = ()  # as for requests, and so are these:
    named: frozenset[bytes] = frozenset()
    written: tuple[tuple[object, ...], bytes, bool, bool] | None = field(
        default=None, init=False, compare=False, repr=False
    )
