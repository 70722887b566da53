"""What the front's two parsers make of raw bytes, judged by another parser (h11). For the fuzzer (``benchmarks/fuzz.py``)
and for the test that replays its corpus.

``judge_requests`` and ``judge_answers`` raise ``AssertionError`` where something else came out than a message that both
parsers understand in the same way, or a clean refusal; what they return says what it was.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Set
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import h11

from jupyter_model_service.core.forwarding import answer_head, request_head
from jupyter_model_service.core.message import AnswerHead, BadMessage, Headers, RequestHead
from jupyter_model_service.core.peer import Peer
from jupyter_model_service.core.routing import Backend
from jupyter_model_service.core.trailers import answer_end
from jupyter_model_service.front.body import END_OF_CHUNKS, Body, chunk
from jupyter_model_service.front.outgoing import Outgoing
from jupyter_model_service.front.pool import Pool
from jupyter_model_service.front.reader import Reader
from jupyter_model_service.front.settings import FrontSettings
from jupyter_model_service.front.upstream import Upstream

#: Small limits, so that a fuzzer finds its way to them.
SETTINGS = FrontSettings(max_target=100, max_head=400, max_headers=12, max_answer_head=800)
REFUSALS = {400, 413, 414, 417, 431}
_MOST = 64 << 10
_ID = b"made-by-us"
_VIA = b"gateway"


def pieces(data: bytes, cut: int) -> list[bytes]:
    """``data`` whole (0), or in pieces of ``cut`` bytes."""
    return [data[at : at + cut] for at in range(0, len(data), cut)] if cut else [data]


def cuts(data: bytes) -> tuple[int, ...]:
    """Every byte alone, or where these are many, few at a time: a fuzzer has to be quick."""
    return (1,) if len(data) < 150 else (19,)


# --- requests ----------------------------------------------------------------------------------------------------


@dataclass
class Read:
    """One request. ``whole``: its end came, too."""

    head: RequestHead
    body: Body
    whole: bool = False


@dataclass
class Requests:
    """Everything that came of some bytes: requests, in the end perhaps a refusal, or what follows an upgrade."""

    read: list[Read] = field(default_factory=list)
    refused: int | None = None
    rest: bytes | None = None


def read_requests(data: bytes, cut: int = 0) -> Requests:
    found = Requests()

    def opened(head: RequestHead) -> Body:
        assert not found.read or found.read[-1].whole, "a request began within another one"
        found.read.append(Read(head, Body()))
        return found.read[-1].body

    def closed() -> None:
        assert found.read[-1].body.done
        assert not found.read[-1].whole, "a request ended twice"
        found.read[-1].whole = True

    reader = Reader(SETTINGS, opened, closed)
    for piece in pieces(data, cut):
        if found.rest is not None:
            found.rest += piece
            continue
        try:
            more = reader.feed(piece)
            while more and reader.switched is None:
                more = reader.go_on()
            found.rest = reader.switched
        except BadMessage as bad:
            found.refused = bad.refusal.status
            break
    assert found.refused is None or found.refused in REFUSALS
    return found


def forwarded(read: Read) -> bytes:
    """As a replica gets it."""
    head = request_head(
        read.head,
        target=read.head.target,
        prefix=b"",
        peer=Peer(b"192.0.2.1"),
        request_id=_ID,
        via=_VIA,
    )
    return head + b"".join(read.body.take(chunked=read.head.chunked))


def judge_requests(data: bytes) -> str:
    """Whatever the pieces in which ``data`` comes, the same is made of it; and a replica that knows HTTP understands
    what it gets as we do."""
    found = read_requests(data)
    said = [forwarded(read) for read in found.read]
    for cut in cuts(data):
        again = read_requests(data, cut)
        # A limit may be seen earlier or later, as it is looked at once for each piece; nothing else may differ.
        if {found.refused, again.refused} & {413, 414, 431} or len(data) > SETTINGS.max_target:
            continue
        assert (found.refused, found.rest) == (again.refused, again.rest), (cut, found, again)
        assert [_same(read) for read in found.read] == [_same(read) for read in again.read], cut
    for read, raw in zip(found.read, said, strict=True):
        if read.whole:
            same_to_h11(read, raw)
    return _summary(found)


def _same(read: Read) -> Any:
    return read.head, read.whole, read.body.end, forwarded_body(read)


def forwarded_body(read: Read) -> bytes:
    read.body.rewind()
    taken = read.body.take(chunked=False)
    return b"".join(taken)


def _summary(found: Requests) -> str:
    whole = sum(read.whole for read in found.read)
    kinds = {"upgrade" if found.rest is not None else "", str(found.refused or "")} - {""}
    return f"{whole} of {len(found.read)} {' '.join(sorted(kinds))}".strip()


_FIELD = re.compile(rb"([^:\r\n]+): ([^\r\n]*)\r\n")


def same_to_h11(read: Read, raw: bytes) -> None:
    """One request, with nothing behind it."""
    server = h11.Connection(h11.SERVER, max_incomplete_event_size=_MOST)
    server.receive_data(raw)
    try:
        request = server.next_event()
        assert isinstance(request, h11.Request), (request, raw)
        body = b""
        while isinstance(event := server.next_event(), h11.Data):
            body += bytes(event.data)
    except h11.RemoteProtocolError as error:
        raise AssertionError(f"{error} in {raw!r}") from None
    assert isinstance(event, h11.EndOfMessage), (event, raw)
    _may_come_last(event, _NOT_LAST_OF_REQUEST)
    assert server.trailing_data[0] == b"", (server.trailing_data, raw)
    head = read.head
    assert (request.method, request.target) == (head.method, head.target), raw
    assert body == forwarded_body(read), raw
    got = [(name.lower(), value) for name, value in request.headers.raw_items()]
    ends = raw.index(b"\r\n\r\n") + 2
    start = raw.index(b"\r\n") + 2
    ours = [(name.lower(), value.strip(b" \t")) for name, value in _FIELD.findall(raw[start:ends])]
    assert got == ours, (got, ours)
    for name in (b"content-length", b"transfer-encoding", b"host"):
        assert sum(each == name for each, _ in got) <= 1, (name, raw)
    assert not {name for name, _ in got} & {b"authorization", b"keep-alive", b"proxy-authorization"}, raw


_NOT_LAST = frozenset(
    b"connection content-length content-type set-cookie te trailer transfer-encoding upgrade x-request-id".split()
)
_NOT_LAST_OF_REQUEST = _NOT_LAST | set(b"authorization cookie forwarded host via x-forwarded-for".split())


def _may_come_last(event: h11.EndOfMessage, not_last: Set[bytes]) -> None:
    """Nothing decides after the body what should have been decided before it."""
    last = {name.lower() for name, _ in event.headers}
    assert not last & not_last, last


# --- answers -------------------------------------------------------------------------------------------------------


class Ears:
    """Hears one answer, as a call does, and writes what its caller would get."""

    def __init__(self, connection: Upstream, *, to_head: bool, wants_upgrade: bool, version: int) -> None:
        self.connection = connection
        self.to_head = to_head
        self.wants_upgrade = wants_upgrade
        self.version = version
        self.out = b""
        self.answer: AnswerHead | None = None
        self.body = b""
        self.chunked = False
        self.end = END_OF_CHUNKS
        self.over = ""
        self.reusable = False

    def _ends(self, how: str) -> None:
        assert not self.over, f"{how} after {self.over}"
        self.over = how
        self.connection.sink = None

    def on_informational(self, answer: AnswerHead) -> None:
        assert not self.over
        assert 100 <= answer.status < 200
        assert self.answer is None

    def on_answer(self, answer: AnswerHead) -> None:
        assert not self.over
        assert self.answer is None, "a second answer"
        assert 200 <= answer.status <= 599
        head, chunked, _ = answer_head(
            answer,
            version=self.version,
            keep_alive=True,
            request_id=_ID,
            replica=b"r",
            via=_VIA,
            applied=b"",
            trailers=self.version == 11,
        )
        self.chunked = chunked
        self.answer = answer
        self.out += head

    def on_body(self, piece: bytes) -> None:
        assert not self.over
        assert self.answer is not None
        assert piece
        self.body += piece
        self.out += chunk(piece) if self.chunked else piece

    def on_trailers(self, fields: Headers) -> None:
        assert not self.over
        assert self.answer is not None
        if self.version == 11:
            self.end = answer_end(fields, self.answer.named)

    def on_flush(self) -> None:
        assert not self.over

    def on_end(self, reusable: bool) -> None:
        assert self.answer is not None, "the end of no answer"
        if self.chunked:
            self.out += self.end
        self.reusable = reusable
        self._ends("end")

    def on_bad(self, message: str) -> None:
        assert message.strip().endswith(".")
        self._ends("bad")

    def on_gone(self, *, spoke: bool) -> None:
        self._ends("gone")

    def on_switched(self, answer: AnswerHead, rest: bytes) -> None:
        assert answer.status == 101
        assert self.wants_upgrade
        self._ends("switched")

    def on_raw(self, data: bytes) -> None:
        raise AssertionError("raw bytes after the end")

    def on_stuck(self, stuck: bool) -> None: ...


class _Transport(asyncio.Transport):
    def abort(self) -> None: ...
    def close(self) -> None: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...
    def is_closing(self) -> bool:
        return False


def read_answer(
    data: bytes,
    cut: int = 0,
    *,
    to_head: bool = False,
    upgrade: bool = False,
    version: int = 11,
    settings: FrontSettings = SETTINGS,
) -> Ears:
    """What a caller gets of a replica that says ``data`` and closes."""
    pool = Pool(Backend("r", 1, "127.0.0.1", 1), settings, Outgoing())
    connection = Upstream(pool)
    connection.connection_made(_Transport())
    ears = Ears(connection, to_head=to_head, wants_upgrade=upgrade, version=version)
    connection.begin(ears)
    loop = SimpleNamespace(call_later=lambda _seconds, end, *of: end(*of))
    for piece in pieces(data, cut):
        connection.data_received(piece)
        if ears.over:
            return ears
    with _running(loop):
        stays = connection.eof_received()
    if not stays and not ears.over:
        connection.connection_lost(None)
    assert ears.over, "neither an answer nor the end of one"
    return ears


class _running:
    """``asyncio.get_running_loop`` for a moment, for the one timer that a connection sets by itself."""

    def __init__(self, loop: Any) -> None:
        self.loop = loop

    def __enter__(self) -> None:
        self.before = asyncio._get_running_loop()
        asyncio._set_running_loop(self.loop)

    def __exit__(self, *_: object) -> None:
        asyncio._set_running_loop(self.before)


def judge_answers(data: bytes) -> str:
    """The same for answers: of a HEAD, of a GET, for an old caller. A whole answer is the one that h11 sees, too."""
    said = []
    for to_head, upgrade, version in ((False, False, 11), (False, False, 10), (True, False, 11), (False, True, 11)):
        asked = {"to_head": to_head, "upgrade": upgrade, "version": version}
        ears = read_answer(data, **asked)
        for cut in cuts(data):
            again = read_answer(data, cut, **asked)
            if (
                len(data) * 2 < SETTINGS.max_answer_head
            ):  # of a head in pieces, each byte counts twice: as read, as a field
                _agree(ears, again, (cut, asked))
        if ears.over == "end" or ears.answer is not None:
            same_to_caller(ears)
        if ears.over == "end":
            same_as_h11(ears, data)
        said.append(ears.over)
    return " ".join(said)


def _agree(ears: Ears, again: Ears, where: Any) -> None:
    """A cut may show an end before the trouble behind it, never another answer."""
    if "bad" in (ears.over, again.over) and "end" in (ears.over, again.over):
        assert not (ears.reusable and again.reusable), where
    else:
        assert ears.over == again.over, (where, ears.over, again.over)
    if ears.over == again.over == "end":
        assert (ears.answer, ears.body) == (again.answer, again.body), where
        assert ears.end == again.end or not ears.chunked, where  # without chunks, or to HEAD, nobody gets it


def same_to_caller(ears: Ears) -> None:
    """What went out: a whole answer exactly where the replica's was one, the same, and nothing behind it."""
    client = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MOST)
    method = "HEAD" if ears.to_head else "GET"
    client.send(h11.Request(method=method, target="/", headers=[("host", "x")]))
    client.send(h11.EndOfMessage())
    client.receive_data(ears.out)
    answer = ears.answer
    assert answer is not None
    try:
        response = client.next_event()
        assert isinstance(response, h11.Response), (response, ears.out)
        body = b""
        while isinstance(event := client.next_event(), h11.Data):
            body += bytes(event.data)
        by_close = ears.version == 10 and (answer.chunked or answer.until_close)
        if event is h11.NEED_DATA and ears.over == "end" and by_close:
            client.receive_data(b"")
            event = client.next_event()
    except h11.RemoteProtocolError as error:
        raise AssertionError(f"{error} in {ears.out!r}") from None
    assert response.status_code == answer.status
    assert body == ears.body
    if ears.over == "end":
        if answer.length is not None and not ears.to_head and answer.status not in (204, 304):
            assert len(body) == answer.length, "an end before the end"
        assert isinstance(event, h11.EndOfMessage), (event, ears.out)
        assert client.trailing_data[0] == b"", (client.trailing_data, ears.out)
        _may_come_last(event, _NOT_LAST)


def same_as_h11(ears: Ears, data: bytes) -> None:
    """Where h11 takes the replica's bytes for a whole answer, it is this one."""
    client = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MOST)
    method = "HEAD" if ears.to_head else "GET"
    client.send(h11.Request(method=method, target="/", headers=[("host", "x")]))
    client.send(h11.EndOfMessage())
    body = b""
    response: h11.Response | None = None
    try:
        client.receive_data(data)
        client.receive_data(b"")
        while not isinstance(event := client.next_event(), h11.EndOfMessage):
            if isinstance(event, h11.Response):
                response = event
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif not isinstance(event, h11.InformationalResponse):
                return
    except h11.RemoteProtocolError:
        return
    assert response is not None
    assert ears.answer is not None
    assert (response.status_code, body) == (ears.answer.status, ears.body), data
