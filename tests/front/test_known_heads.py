"""A head that is known byte for byte is not parsed again: what is heard is the same as if it were."""

from __future__ import annotations

from typing import Any, cast

from hypothesis import given, settings
from hypothesis import strategies as st

from jupyter_model_service.core.message import AnswerHead, BadMessage, RequestHead
from jupyter_model_service.core.routing import Backend
from jupyter_model_service.front.body import Body
from jupyter_model_service.front.outgoing import Outgoing
from jupyter_model_service.front.pool import Pool
from jupyter_model_service.front.reader import Reader
from jupyter_model_service.front.settings import FrontSettings
from jupyter_model_service.front.upstream import Upstream

REQUESTS = [
    b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n",
    b"\r\nGET /a HTTP/1.1\r\nHost: h\r\n\r\n",
    b"GET /a HTTP/1.1\r\nHost: h\r\n\r\nGET /b HTTP/1.1\r\nHost: h\r\n\r\n",
    b"GET /a HTTP/1.1\nHost: h\n\nGET /b HTTP/1.1\r\nHost: h\r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nabcd",
    b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nefgh",
    b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\n\r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\nabcd",
    b"POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n0\r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 4\r\n\r\nabcd",
    b"GET /a HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: shout\r\n\r\n",
    b"GET /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
    b"GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    b"GET /a HTTP/1.0\r\n\r\n",
]
ANSWERS = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno",
    b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 204 No\r\n\r\n",
    b"HTTP/1.1 304 No\r\nContent-Length: 2\r\n\r\n",
    b"HTTP/1.1 304 No\r\nContent-Length: 4\r\n\r\n\r\n\r\n",
    b"HTTP/1.1 304 No\r\nContent-Length: 4\r\n\r\nevil",
    b"HTTP/1.1 103 Hints\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 103 Hints\nLink: a\n\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
    b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
]


def _cut(wholes: list[bytes], cuts: list[int]) -> list[bytes]:
    """Each at once, but where ``cuts`` (one each, 0 for none) says that it comes in two reads."""
    pieces = []
    for whole, cut in zip(wholes, cuts, strict=False):
        at = cut % len(whole)
        pieces += [whole[:at], whole[at:]] if at else [whole]
    return pieces


def _cuts(size: int = 12) -> st.SearchStrategy[list[int]]:
    return st.lists(st.just(0) | st.integers(0, 100), min_size=size, max_size=size)


class _Heard:
    """What a reader tells, request by request. With ``forgets`` nothing is remembered between two reads."""

    def __init__(self, *, forgets: bool) -> None:
        self.heads: list[RequestHead] = []
        self.bodies: list[Body] = []
        self.ended = 0
        self.end = ""
        self.parsed = 0
        self._forgets = forgets
        self._reader = Reader(FrontSettings(), self._opened, self._closed)

    def _opened(self, head: RequestHead) -> Body:
        self.heads.append(head)
        self.bodies.append(Body())
        return self.bodies[-1]

    def _closed(self) -> None:
        self.ended += 1

    def feed(self, data: bytes) -> None:
        if self.end:
            return
        if self._forgets:
            self._reader.forget()
        try:
            more = self._reader.feed(data)
            while more and self._reader.switched is None:
                more = self._reader.go_on()
        except BadMessage as bad:
            self.end = f"{bad.refusal.status} {bad.refusal.message}"
        else:
            self.end = "" if self._reader.switched is None else f"upgrade {self._reader.switched!r}"

    @property
    def all(self) -> tuple[object, ...]:
        bodies = [(b"".join(body._pending), body.done) for body in self.bodies]
        return (self.heads, bodies, self.ended, self.end)


@settings(max_examples=300)
@given(st.lists(st.sampled_from(REQUESTS), min_size=2, max_size=12), _cuts())
def test_requests_are_heard_alike(wholes: list[bytes], cuts: list[int]) -> None:
    remembers, forgets = _Heard(forgets=False), _Heard(forgets=True)
    for piece in _cut(wholes, cuts):
        remembers.feed(piece)
        forgets.feed(piece)
        assert remembers.all == forgets.all


def test_a_request_like_the_one_before_is_not_parsed() -> None:
    """Else the test above shows nothing."""
    reader = Reader(FrontSettings(), lambda _head: Body(), lambda: None)
    reader.feed(REQUESTS[4])
    parsed: list[bytes] = []
    cast(Any, reader)._parser = type("Parser", (), {"feed_data": lambda _self, data: parsed.append(data)})()
    reader.feed(REQUESTS[5])
    assert parsed == []
    reader.feed(REQUESTS[0])
    assert parsed == [REQUESTS[0]]


class _Sink:
    to_head = wants_upgrade = False

    def __init__(self) -> None:
        self.heard: list[object] = []

    def on_informational(self, answer: AnswerHead) -> None:
        self.heard.append(("informational", answer.status, answer.headers))

    def on_answer(self, answer: AnswerHead) -> None:
        self.heard.append(("answer", answer.status, answer.headers, answer.length, answer.chunked, answer.until_close))

    def on_body(self, piece: bytes) -> None:
        self.heard.append(("body", piece))

    def on_flush(self) -> None:
        self.heard.append("flush")

    def on_end(self, reusable: bool) -> None:
        self.heard.append(("end", reusable))

    def on_bad(self, message: str) -> None:
        self.heard.append(("bad", message))


def _pool() -> Pool:
    return Pool(Backend("r", 1, "127.0.0.1", 1), FrontSettings(), Outgoing())


@settings(max_examples=300)
@given(st.lists(st.sampled_from(ANSWERS), min_size=2, max_size=12), _cuts())
def test_answers_are_heard_alike(wholes: list[bytes], cuts: list[int]) -> None:
    """One connection after the other, each for as long as it may be used again."""
    pools = [_pool(), _pool()]
    connections = [Upstream(pool) for pool in pools]
    for whole, cut in zip(wholes, cuts, strict=False):
        heard = []
        for number, pool in enumerate(pools):
            if number:
                pool.last_answer = pool.whole_answer = None
            sink = _Sink()
            connections[number].begin(cast(Any, sink))
            for piece in _cut([whole], [cut]):
                connections[number].data_received(piece)
            heard.append(sink.heard)
            if sink.heard[-1] != ("end", True):
                connections[number] = Upstream(pool)
        assert heard[0] == heard[1]


def test_an_answer_like_the_one_before_is_not_parsed() -> None:
    pool = _pool()
    connection = Upstream(pool)
    for number, whole in enumerate(ANSWERS[:2]):
        sink = _Sink()
        connection.begin(cast(Any, sink))
        connection.data_received(whole)
        assert sink.heard[1:] == [("body", whole[-2:]), ("end", True)]
        if not number:
            cast(Any, connection)._parser = None


def test_no_head_without_a_body_is_known() -> None:
    """A 304 that says a length, with empty lines of that length behind it; then the same head, and another answer."""
    pool = _pool()
    for behind in (b"\r\n\r\n", b"evil"):
        connection = Upstream(pool)
        sink = _Sink()
        connection.begin(cast(Any, sink))
        connection.data_received(b"HTTP/1.1 304 No\r\nContent-Length: 4\r\n\r\n" + behind)
        assert [what[0] for what in cast(Any, sink.heard)] == ["answer", "end"]
