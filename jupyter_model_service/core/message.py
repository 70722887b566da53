"""Reading the heads of HTTP/1.1 messages strictly (RFC 9110, 9112): what a parser let through is judged here.

Header names and values are bytes as they came. A request that could be understood in two ways is refused, never
guessed; what goes on is written anew from the fields of :class:`RequestHead` and :class:`AnswerHead`, so bytes
that we did not understand are never passed on.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

__all__ = [
    "AnswerHead",
    "BadMessage",
    "Refusal",
    "RequestHead",
    "answer_header_passes",
    "read_answer",
    "read_request",
    "request_header_passes",
]

Headers = list[tuple[bytes, bytes]]


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
    # What was written of it last, and for whom: a caller who repeats its head is judged, and rewritten, once.
    written: tuple[tuple[object, ...], bytes] | None = field(default=None, init=False, compare=False, repr=False)

    @property
    def has_body(self) -> bool:
        return self.chunked or bool(self.length)


@dataclass(slots=True)
class AnswerHead:
    """One answer's head. Exactly one of ``length``, ``chunked`` and ``until_close`` tells where the body ends,
    or none of them, when there is no body. ``keep`` says whether the connection may serve again. Not changed once it is
    read: the replica's next answer has the same one, if it says the same."""

    status: int
    reason: bytes
    headers: Headers
    length: int | None = None
    chunked: bool = False
    until_close: bool = False
    keep: bool = True
    keep_seconds: float | None = None  # what the server said about its keep-alive limit
    upgrade: bytes | None = None
    version: int = 11
    trailer: tuple[bytes, ...] = ()  # as for requests, and so are these:
    named: frozenset[bytes] = frozenset()
    written: tuple[tuple[object, ...], bytes, bool, bool] | None = field(
        default=None, init=False, compare=False, repr=False
    )


# How each header that is not simply passed on is treated.
_HOP, _HOST, _LENGTH, _CODING, _CONNECTION, _UPGRADE, _EXPECT, _AUTH, _COOKIE, _FORWARDED, _ID, _KEEP = range(12)
_PREFER, _HEARTBEAT, _TRACE, _TE, _TRAILER = range(12, 17)

_HOP_BY_HOP = (
    b"keep-alive",
    b"proxy-connection",
    b"proxy-authorization",
    b"proxy-authenticate",
    b"proxy-authentication-info",
    b"http2-settings",
)
# What a proxy may say of the caller or of the way here, but without a chain that could be checked: a model that
# believes its proxy would believe the caller.
CLAIMS = (
    b"forwarded",
    b"x-real-ip",
    b"x-client-ip",
    b"true-client-ip",
    b"x-original-url",
    b"x-rewrite-url",
    b"remote-user",
    b"x-remote-user",
)
# Others than those in the rules are of no proxy that we know; some (-Access-Token, -Email, -User of oauth2-proxy) are
# its callers' secrets.
_OF_PROXIES = b"x-forwarded-"
_SET_BY_US = (_OF_PROXIES, b"x-model-service-")  # by how their names begin; the others are in the rules
_REQUEST_RULES = {
    **dict.fromkeys(_HOP_BY_HOP, _HOP),
    b"host": _HOST,
    b"content-length": _LENGTH,
    b"transfer-encoding": _CODING,
    b"connection": _CONNECTION,
    b"upgrade": _UPGRADE,
    b"expect": _EXPECT,
    b"authorization": _AUTH,
    b"cookie": _COOKIE,
    b"x-request-id": _ID,
    b"te": _TE,
    b"trailer": _TRAILER,
    b"prefer": _PREFER,
    b"x-model-service-heartbeat": _HEARTBEAT,
    b"traceparent": _TRACE,
    **dict.fromkeys(CLAIMS, _HOP),
    **dict.fromkeys(
        (
            b"x-forwarded-for",
            b"x-forwarded-proto",
            b"x-forwarded-host",
            b"x-forwarded-port",
            b"x-forwarded-prefix",
            b"via",
        ),
        _FORWARDED,
    ),
    b"x-scheme": _HOP,
    b"x-xsrftoken": _HOP,  # Jupyter's; the control API knows bearer tokens only
}
_ANSWER_RULES = {
    **dict.fromkeys(_HOP_BY_HOP, _HOP),
    b"content-length": _LENGTH,
    b"transfer-encoding": _CODING,
    b"connection": _CONNECTION,
    b"upgrade": _UPGRADE,
    b"keep-alive": _KEEP,
    b"x-request-id": _ID,
    b"te": _HOP,
    b"trailer": _TRAILER,
}
# Tunnels and echoes have no place here, and the parser knows the methods of RTSP and ICE too.
_FOREIGN_METHODS = frozenset(
    b"CONNECT TRACE SOURCE ANNOUNCE DESCRIBE SETUP PLAY PAUSE TEARDOWN GET_PARAMETER SET_PARAMETER REDIRECT RECORD"
    b" FLUSH PRI".split()
)
_KNOWN_CONNECTION = frozenset({b"", b"close", b"keep-alive", b"upgrade", b"te", b"http2-settings"})
_HOST_VALUE = re.compile(rb"[A-Za-z0-9._~!$&'()*+,;=%:\[\]-]*\Z")
_ABSOLUTE = re.compile(rb"(?i:https?)://([^/?#]*)(.*)\Z", re.DOTALL)
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._~:/+=@-]{1,128}\Z")
_DIGITS = re.compile(rb"[0-9]{1,18}\Z")
_TIMEOUT = re.compile(rb"(?:^|,)\s*timeout=(\d{1,6})")
_PRINTABLE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*\Z")


def _bad(message: str) -> BadMessage:
    return BadMessage(400, "bad_request", message)


def read_request(method: bytes, version: str, target: bytes, headers: Headers) -> RequestHead:
    """Judge a parsed head. Raises :class:`BadMessage` with status 400 or 417."""
    if version not in ("1.1", "1.0"):
        raise _bad(f"HTTP/{version} is not spoken here; use HTTP/1.1.")
    if method in _FOREIGN_METHODS:
        raise _bad(f"The method {method.decode()} is not served here.")
    head = RequestHead(method, 11 if version == "1.1" else 10, target)
    hosts: list[bytes] = []
    lengths: list[bytes] = []
    codings: list[bytes] = []
    upgrades: list[bytes] = []
    tokens: list[bytes] = []
    plain = head.headers
    rules = _REQUEST_RULES
    for name, raw in headers:
        lower = name.lower()
        rule = rules.get(lower)
        value = raw.rstrip(b" \t")
        if rule is None:
            if not lower.startswith(_OF_PROXIES) and (b"_" not in lower or not _merges(lower)):
                plain.append((name, value))
        elif rule == _HOST:
            hosts.append(value)
        elif rule == _LENGTH:
            lengths.append(value)
        elif rule == _CODING:
            codings.append(value)
        elif rule == _CONNECTION:
            tokens += _tokens(value)
        elif rule == _UPGRADE:
            upgrades.append(value)
        elif rule == _EXPECT:
            if value.lower() != b"100-continue":
                raise BadMessage(417, "expectation_failed", "Only the expectation 100-continue is understood.")
            head.expects = head.version == 11
        elif rule == _AUTH:
            head.authorization.append(value)
        elif rule == _COOKIE:
            head.cookies.append(value)
        elif rule == _FORWARDED:
            head.forwarded.append((lower, value))
        elif rule == _ID and head.request_id is None and _REQUEST_ID.match(value):
            head.request_id = value
        elif rule == _PREFER:
            head.prefers += (value,)
            plain.append((name, value))
        elif rule == _HEARTBEAT:
            head.heartbeat += (value,)
        elif rule == _TRACE:
            head.traces += (value,)
            plain.append((name, value))
        elif rule == _TE:
            head.takes_trailers |= head.version == 11 and b"trailers" in _tokens(value)
        elif rule == _TRAILER:
            head.trailer += (value,)
    head.length, head.chunked = _request_framing(lengths, codings, head.version)
    if tokens:
        named = set(tokens) - _KNOWN_CONNECTION
        if named:
            head.headers = [pair for pair in plain if pair[0].lower() not in named]
            head.forwarded = [pair for pair in head.forwarded if pair[0] not in named]
            head.named = frozenset(named)
    head.keep_alive = b"close" not in tokens if head.version == 11 else b"keep-alive" in tokens
    if upgrades and b"upgrade" in tokens:
        head.upgrade = _upgrade(head, upgrades)
    _set_target(head, hosts)
    return head


def request_header_passes(lower: bytes) -> bool:
    """Whether a header of that name, in lower case, goes on as it is."""
    return (
        lower not in _REQUEST_RULES and not lower.startswith(_OF_PROXIES) and (b"_" not in lower or not _merges(lower))
    )


def answer_header_passes(lower: bytes) -> bool:
    """The same for an answer's."""
    return lower not in _ANSWER_RULES


def _tokens(value: bytes) -> list[bytes]:
    return [token.strip(b" \t") for token in value.lower().split(b",")]


def _merges(lower: bytes) -> bool:
    """Whether a server that makes variables of headers (WSGI, CGI) takes it for one that we set or keep back: to these,
    ``X_Real_IP`` is ``X-Real-IP``."""
    dashed = lower.replace(b"_", b"-")
    return dashed in _REQUEST_RULES or dashed.startswith(_SET_BY_US)


def _request_framing(lengths: list[bytes], codings: list[bytes], version: int) -> tuple[int | None, bool]:
    if codings:
        if lengths:
            raise _bad("A request cannot have both Content-Length and Transfer-Encoding.")
        if version == 10:
            raise _bad("Transfer-Encoding is not part of HTTP/1.0.")
        if len(codings) > 1 or codings[0].lower() != b"chunked":
            raise _bad("The only transfer coding that is understood is chunked, once.")
        return None, True
    if not lengths:
        return None, False
    if len(lengths) > 1 or not _DIGITS.match(lengths[0]):
        raise _bad("Content-Length must be given once, in decimal digits.")
    return int(lengths[0]), False


def _upgrade(head: RequestHead, upgrades: list[bytes]) -> bytes | None:
    """The protocol asked for, or ``None`` where the wish is ignored, as RFC 9110 §7.8 allows.

    A request with a body is answered as it is (clients offer ``h2c`` on every POST), and another version of
    HTTP is never switched to: calls inside it would be out of our sight.
    """
    value = b", ".join(upgrades)
    if head.version == 10 or head.has_body or not value:
        return None
    names = [name.strip(b" \t").split(b"/")[0].lower() for name in value.split(b",")]
    return None if any(name in (b"h2c", b"h2", b"http", b"tls") for name in names) else value


def _set_target(head: RequestHead, hosts: list[bytes]) -> None:
    if len(hosts) > 1:
        raise _bad("The Host header must be given once.")
    if hosts:
        head.host = hosts[0]
        if not _HOST_VALUE.match(head.host):
            raise _bad("The Host header is not a host name with an optional port.")
    elif head.version == 11:
        raise _bad("The Host header is missing.")
    target = head.target
    if b"#" in target:
        raise _bad("A fragment (#) is not part of a request.")
    if target[:1] == b"/" or (target == b"*" and head.method == b"OPTIONS"):
        return
    absolute = _ABSOLUTE.match(target)
    if absolute is None:
        raise _bad("The request target must be a path that starts with a slash, or a whole http URL.")
    authority, rest = absolute.groups()
    if not authority or not _HOST_VALUE.match(authority):  # refuses user:password@ too
        raise _bad("The host in the request target is not a host name with an optional port.")
    head.host = authority  # RFC 9112 §3.2.2: it replaces the Host header
    if not rest and head.method == b"OPTIONS":
        head.target = b"*"  # RFC 9112 §3.2.4
    else:
        head.target = rest if rest[:1] == b"/" else b"/" + rest


def read_answer(status: int, version: str, reason: bytes, headers: Headers, *, to_head: bool) -> AnswerHead:
    """Judge an answer's head; ``to_head`` says that the request was HEAD. Raises :class:`BadMessage` (502)."""
    if not 100 <= status <= 599:  # RFC 9110 §15: "values outside the range 100..599 are invalid"
        raise BadMessage(502, "bad_answer", f"The replica's answer has the status {status:03d}, which HTTP has not.")
    answer = AnswerHead(status, reason if _PRINTABLE.match(reason) else b"", [])
    answer.version = 11 if version == "1.1" else 10
    lengths: list[bytes] = []
    codings: list[bytes] = []
    tokens: list[bytes] = []
    plain = answer.headers
    rules = _ANSWER_RULES
    for name, raw in headers:
        lower = name.lower()
        rule = rules.get(lower)
        value = raw.rstrip(b" \t")
        if rule is None:
            plain.append((name, value))
        elif rule == _LENGTH:
            lengths.append(value)
        elif rule == _CODING:
            codings.append(value)
        elif rule == _CONNECTION:
            tokens += _tokens(value)
        elif rule == _UPGRADE:
            answer.upgrade = value
        elif rule == _KEEP:
            limit = _TIMEOUT.search(value)
            answer.keep_seconds = float(limit[1]) if limit else None
        elif rule == _TRAILER:
            answer.trailer += (value,)
    if tokens:
        named = set(tokens) - _KNOWN_CONNECTION
        if named:
            answer.headers = [pair for pair in plain if pair[0].lower() not in named]
            answer.named = frozenset(named)
    answer.keep = b"close" not in tokens if version == "1.1" else b"keep-alive" in tokens
    if (lengths or codings) and status < 200 and status != 101:
        # RFC 9110 §8.6, §15.2: it has no body. A parser that reads one, and a caller who does not, see other answers.
        raise BadMessage(502, "bad_answer", f"The replica's answer {status} is an informational one with a body.")
    _answer_framing(answer, lengths, codings)
    if to_head or status in (204, 304) or status < 200:
        answer.until_close = answer.chunked = False
        if status == 204 or status < 200:
            answer.length = None
    return answer


def _answer_framing(answer: AnswerHead, lengths: list[bytes], codings: list[bytes]) -> None:
    if codings:
        if lengths or len(codings) > 1 or codings[0].lower() != b"chunked":
            raise BadMessage(502, "bad_answer", "The replica's answer has an ambiguous or unknown framing.")
        answer.chunked = True
    elif lengths:
        if len(lengths) > 1 or not _DIGITS.match(lengths[0]):
            raise BadMessage(502, "bad_answer", "The replica's answer has a malformed Content-Length.")
        answer.length = int(lengths[0])
    else:
        answer.until_close = True
