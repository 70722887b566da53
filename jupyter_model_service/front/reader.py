"""Reading requests from a caller: httptools, and the limits and refusals that it leaves to us."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import httptools

from ..core.message import BadMessage, Headers, Refusal, RequestHead
from ..core.read_request import not_http, read_request
from ..core.trailers import request_end
from .body import Body
from .settings import FrontSettings

__all__ = ["Reader", "Unread"]

_END = b"\r\n\r\n"  # of a head, and of a body in chunks
_TOGETHER = 512  # so few bytes are read at once: twenty requests are in them at most
_SHORTEST = 18  # a request
_BETWEEN_CHUNKS = 16 << 10  # bytes of chunk sizes and extensions in which nothing of a body comes
_CHUNK = Refusal(400, "bad_request", "The header of a chunk is too long.")


class Unread(NamedTuple):
    """What could not be read to its end, and what was read of it."""

    refusal: Refusal
    method: bytes
    target: bytes
    request_id: bytes


class Reader:
    """``opened`` is told each head and gives the body to fill; ``closed`` is told each end of a request. It reads one
    request after another: what came behind one is ``left``, as bytes, until it is told to :meth:`go_on`. ``switched``
    is what follows a request whose offer to upgrade stands.

    The parser has no limits of its own: ``_silent`` counts bytes since its last callback, so that a single field,
    a chunk's extension or empty lines cannot come without end.
    """

    __slots__ = (
        "_at", "_body", "_closed", "_count", "_headers", "_last", "_left", "_opened", "_owed", "_parser", "_refusal",
        "_requests", "_settings", "_silent", "_size", "_skipped", "_target", "_whole", "in_head", "switched",
    )  # fmt: skip

    def __init__(
        self, settings: FrontSettings, opened: Callable[[RequestHead], Body], closed: Callable[[], None]
    ) -> None:
        self._settings = settings
        self._opened = opened
        self._closed = closed
        self._parser = httptools.HttpRequestParser(self)
        self._body: Body | None = None
        self._refusal: Refusal | None = None
        self._skipped: RequestHead | None = None  # had a body and an offer to upgrade that is not taken
        self._last: tuple[tuple[bytes, str, bytes, Headers], RequestHead] | None = None
        self._whole: tuple[bytes, RequestHead] | None = None  # a head as it came, of a request that came in one read
        self._requests = 0  # that the parser has read
        self._silent = 0
        self._owed = 0  # bytes of a body whose length is known
        self._left = b""
        self._at = 0  # from there on nothing of ``_left`` was read
        self.switched: bytes | None = None
        self.in_head = False
        self._clear()

    @property
    def remembers(self) -> bool:
        return self._last is not None

    def forget(self) -> None:
        """The last head: callers who repeat theirs are judged once, but those who are idle cost no memory."""
        if self._body is None:
            self._last = self._whole = None

    def _clear(self) -> None:
        self._target = b""
        self._headers: Headers = []
        self._size = self._count = 0

    def feed(self, data: bytes) -> bool:
        """Raises ``BadMessage``; the reader is of no use afterwards. Not while something is :attr:`left`. ``True``:
        something is now, or ``switched`` is set."""
        if self._body is None and not self.in_head and not self._silent and self._same_again(data):
            return False
        return self._read(data, 0)

    @property
    def left(self) -> bytes:
        return self._left[self._at :]

    def go_on(self) -> bool:
        """With what is left, up to the end of the next request; as :meth:`feed`."""
        data, self._left = self._left, b""
        return self._read(data, self._at)

    def unread(self, refusal: Refusal, request_id: bytes) -> Unread:
        """Of the request that came last."""
        if self._body is not None and self._last is not None:
            head = self._last[1]
            return Unread(refusal, head.method, head.target, request_id)
        return Unread(refusal, self._parser.get_method() if self._target else b"", self._target, request_id)

    def drop(self) -> None:
        """What is left."""
        self._left = b""

    def _read(self, data: bytes, at: int) -> bool:
        requests, size = self._requests, len(data)
        start = at if self._body is None and not self.in_head and not self._silent else -1
        while at < size:
            end = size if size - at <= _TOGETHER else self._cut(data, at)
            at += self._parse(data if end - at == size else memoryview(data)[at:end])
            if self.switched is not None:
                self.switched = data[at:]
                return True
            if self._requests != requests:
                if start >= 0 and self._requests == requests + 1 and self._body is None:
                    self._remember(data[start:at])
                if at < size:
                    self._left, self._at = data, at
                    return True
        return False

    def _cut(self, data: bytes, at: int) -> int:
        """How far to read: to the end of a request, or of a head. The parser cannot be stopped at one, so that 256 KB
        were up to 10,000 calls at once. That this is too far by no more than some few requests is all it is for."""
        if self._owed > 0:
            return min(len(data), at + self._owed)
        end = data.find(_END, at if self._body is None else at + _TOGETHER)
        if at <= end < at + _SHORTEST - len(_END):  # empty lines: not four bytes at a time
            end = data.find(_END, at + _TOGETHER)
        return len(data) if end < 0 else end + len(_END)

    def _parse(self, data: bytes | memoryview) -> int:
        """The bytes that were read: fewer than there are only at an offer to upgrade."""
        self._silent += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as stop:
            self._after_offer()
            return int(stop.args[0])
        except httptools.HttpParserError as error:
            first = b"" if self._requests or self._target else bytes(data[:1])
            refusal = self._refusal or Refusal(400, "bad_request", not_http(str(error), first))
            raise _bad(refusal) from None
        if self._body is not None:
            if self._silent > _BETWEEN_CHUNKS + len(data):
                raise _bad(_CHUNK)
        elif self._silent + self._size > self._settings.max_head:
            raise _bad(_too_large(self._settings) if self._headers else _too_long(self._settings))
        elif len(self._target) > self._settings.max_target:
            raise _bad(_too_long(self._settings))
        return len(data)

    def _same_again(self, data: bytes) -> bool:
        """A request whose head is that of the one before, byte for byte, and whose body is here, too: what the parser
        would say is known."""
        if self._whole is None:
            return False
        raw, head = self._whole
        rest = len(data) - len(raw)
        if rest != (head.length or 0) or not data.startswith(raw):
            return False
        body = self._opened(head)
        if rest:
            body.add(data[len(raw) :])
        body.done = True
        self._closed()
        return True

    def _remember(self, data: bytes) -> None:
        """``data`` was read at once, and was one request, that of the last head. What the parser goes on after, and
        what is delimited by its length alone, may come without being parsed."""
        if self._last is None:
            return
        head = self._last[1]
        size = data.find(_END) + len(_END)
        plain = head.keep_alive and not head.chunked and head.upgrade is None
        if plain and len(data) - size == (head.length or 0):
            self._whole = (data[:size], head)

    def _after_offer(self) -> None:
        head, self._skipped = self._skipped, None
        if head is None:
            self.switched = b""
        elif head.has_body:
            # The parser is through with HTTP; another one, told the same framing, reads on in its place.
            self._parser = httptools.HttpRequestParser(self)
            framing = b"Transfer-Encoding: chunked" if head.chunked else b"Content-Length: %d" % (head.length or 0)
            self._parser.feed_data(b"POST / HTTP/1.1\r\nHost: a\r\n%b\r\n\r\n" % framing)
            self._clear()

    # --- httptools ---------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self._body is None:
            self._silent = 0
            self.in_head = True

    def on_url(self, part: bytes) -> None:
        if self._body is None:
            self._target += part
            self._silent = 0
            if len(self._target) > self._settings.max_target:
                self._refuse(_too_long(self._settings))

    def on_header(self, name: bytes, value: bytes) -> None:
        self._silent = 0
        self._size += len(name) + len(value) + 4
        self._count += 1
        if self._size > self._settings.max_head or self._count > self._settings.max_headers:
            self._refuse(_too_large(self._settings))
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        if self._body is not None:
            return
        parser = self._parser
        said = (parser.get_method(), parser.get_http_version(), self._target, self._headers)
        if self._last is not None and self._last[0] == said:
            head = self._last[1]
        else:
            try:
                head = read_request(*said)
            except BadMessage as bad:
                self._refuse(bad.refusal)
                return
            self._last = (said, head)
        self._clear()
        self._silent = 0
        self.in_head = False
        if not head.keep_alive or head.upgrade is not None:
            self._whole = None  # the parser hears no request after this one
        if parser.should_upgrade() and head.upgrade is None:
            self._skipped = head
        self._owed = head.length or 0
        self._body = self._opened(head)

    def on_chunk_header(self) -> None:
        self._silent = 0

    def on_body(self, piece: bytes) -> None:
        self._silent = 0
        self._owed -= len(piece)
        if self._body is not None and (refusal := self._body.add(piece)) is not None:
            self._refuse(refusal)

    def on_message_complete(self) -> None:
        body = self._body
        if body is None or (self._skipped is not None and self._skipped.has_body):
            return  # the latter: the parser means the offer; the body is yet to come
        self._body = None
        self._owed = 0
        if self._headers and body.end is None and self._last is not None:
            body.end = request_end(self._headers, self._last[1].named)
        self._clear()
        self._silent = 0
        self._requests += 1
        body.done = True
        self._closed()

    def _refuse(self, refusal: Refusal) -> None:
        """Ends the parsing; the parser turns this into an error of its own."""
        self._refusal = refusal
        raise _bad(refusal)


def _too_long(settings: FrontSettings) -> Refusal:
    message = f"The target of the request, path and query, is longer than {settings.max_target} bytes."
    return Refusal(414, "target_too_long", message)


def _too_large(settings: FrontSettings) -> Refusal:
    message = f"The header of the request is longer than {settings.max_head} bytes, or has more than"
    return Refusal(431, "header_too_large", f"{message} {settings.max_headers} fields.")


def _bad(refusal: Refusal) -> BadMessage:
    return BadMessage(refusal.status, refusal.code, refusal.message)
