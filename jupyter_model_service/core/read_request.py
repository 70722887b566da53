"""Reading the head of a request strictly (RFC 9110, 9112): what a parser let through is judged here.

One that could be understood in two ways is refused, never guessed.
"""

from __future__ import annotations

import re

from .header_names import (
    AUTH,
    CODING,
    CONNECTION,
    CONNECTION_OPTIONS,
    COOKIE,
    EXPECT,
    FORWARDED,
    HEARTBEAT,
    HOST,
    ID,
    LENGTH,
    OF_PROXIES,
    PREFER,
    REQUEST_RULES,
    TE,
    TRACE,
    TRAILER,
    UPGRADE,
    merges,
    tokens_of,
)
from .message import DIGITS, BadMessage, Headers, RequestHead

__all__ = ["REQUEST_ID", "not_http", "read_request"]

REQUEST_ID = r"[A-Za-z0-9._~:/+=@-]{1,128}"  # to be matched whole

# Tunnels and echoes have no place here, and the parser knows the methods of RTSP and ICE too.
_FOREIGN_METHODS = frozenset(
    b"CONNECT TRACE SOURCE ANNOUNCE DESCRIBE SETUP PLAY PAUSE TEARDOWN GET_PARAMETER SET_PARAMETER REDIRECT RECORD"
    b" FLUSH PRI".split()
)
_HOST_VALUE = re.compile(rb"[A-Za-z0-9._~!$&'()*+,;=%:\[\]-]*\Z")
_ABSOLUTE = re.compile(rb"(?i:https?)://([^/?#]*)(.*)\Z", re.DOTALL)
_REQUEST_ID = re.compile(REQUEST_ID.encode() + rb"\Z")


def _bad(message: str) -> BadMessage:
    return BadMessage(400, "bad_request", message)


def not_http(said: str, first: bytes) -> str:
    """What is wrong with that of which the parser ``said`` so, where its words help nobody. ``first``: the first byte
    that came on the connection, empty if that is long ago."""
    if first == b"\x16":  # the handshake of TLS, which would be read as a method
        return "TLS is not spoken here: use http, not https."
    if "PRI/Upgrade" in said:  # the preface of HTTP/2
        return "HTTP/2 is not spoken here; use HTTP/1.1."
    if said.startswith("Expected HTTP/"):
        return "Behind the target of the request HTTP/1.1 has to follow: a space within the target is written as %20."
    return f"This is not valid HTTP/1.1: {said}."


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
    rules = REQUEST_RULES
    for name, raw in headers:
        lower = name.lower()
        rule = rules.get(lower)
        value = raw.rstrip(b" \t")
        if rule is None:
            if not lower.startswith(OF_PROXIES) and (b"_" not in lower or not merges(lower)):
                plain.append((name, value))
        elif rule == HOST:
            hosts.append(value)
        elif rule == LENGTH:
            lengths.append(value)
        elif rule == CODING:
            codings.append(value)
        elif rule == CONNECTION:
            tokens += tokens_of(value)
        elif rule == UPGRADE:
            upgrades.append(value)
        elif rule == EXPECT:
            if value.lower() != b"100-continue":
                raise BadMessage(417, "expectation_failed", "Only the expectation 100-continue is understood.")
            head.expects = head.version == 11
        elif rule == AUTH:
            head.authorization.append(value)
        elif rule == COOKIE:
            head.cookies.append(value)
        elif rule == FORWARDED:
            head.forwarded.append((lower, value))
        elif rule == ID and head.request_id is None and _REQUEST_ID.match(value):
            head.request_id = value
        elif rule == PREFER:
            head.prefers += (value,)
            plain.append((name, value))
        elif rule == HEARTBEAT:
            head.heartbeat += (value,)
        elif rule == TRACE:
            head.traces += (value,)
            plain.append((name, value))
        elif rule == TE:
            head.takes_trailers |= head.version == 11 and b"trailers" in tokens_of(value)
        elif rule == TRAILER:
            head.trailer += (value,)
    head.length, head.chunked = _request_framing(lengths, codings, head.version)
    if tokens:
        named = set(tokens) - CONNECTION_OPTIONS
        if named:
            head.headers = [pair for pair in plain if pair[0].lower() not in named]
            # Not of what proxies say (``forwarded``): behind one that passes Connection on as it came, as the Hub's
            # does, a caller would hide her address behind the proxy's, or that she goes round in a circle.
            head.named = frozenset(named)
    # RFC 9112 §9.3: "close" wins.
    head.keep_alive = b"close" not in tokens and (head.version == 11 or b"keep-alive" in tokens)
    if upgrades and b"upgrade" in tokens:
        head.upgrade = _upgrade(head, upgrades)
    _set_target(head, hosts)
    return head


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
    if len(lengths) > 1 or not DIGITS.match(lengths[0]):
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
