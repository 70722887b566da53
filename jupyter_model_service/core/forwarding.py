"""How one call travels: which service it is for, what the replica is told, and what the caller gets
back. Pure; all text of the wire is bytes.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from .escapes import read_leniently
from .header_names import OURS
from .location import settled
from .message import AnswerHead, Headers, Refusal, RequestHead
from .origin import OF_THE_ORIGIN, SANDBOX, is_guarded, on_own_origin
from .peer import Peer, sender
from .trailers import announced_by_answer, announced_by_request

__all__ = [
    "STICKY_COOKIE",
    "Route",
    "answer_head",
    "bearer_token",
    "called_host",
    "clean_cookies",
    "goes_round",
    "held_bytes",
    "informational_head",
    "protocol_token",
    "request_head",
    "route",
    "seen_at",
    "settled_for",
]


# --- which service ----------------------------------------------------------------------------------


class Route(NamedTuple):
    """``path`` is what the replica gets, byte by byte as the caller wrote it; ``prefix`` is what stood before.

    ``redirect`` is set for the endpoint without its closing slash: relative links of a page would go astray.
    """

    owner: str
    name: str
    path: bytes
    prefix: bytes
    redirect: bytes | None = None


def route(target: bytes, base: bytes) -> Route | None:
    """The endpoint that ``target`` is for; ``None`` for everything else. ``base`` is ``b"/endpoints/"`` or such."""
    return _known_route(target, base) if len(target) <= _SHORT else _route(target, base)


_SHORT = 256  # longer targets are not remembered: whoever calls chooses them


def _route(target: bytes, base: bytes) -> Route | None:
    if not target.startswith(base):
        return None
    start = len(base)
    slash = target.find(b"/", start)
    query = target.find(b"?", start)
    if slash <= start or -1 < query < slash:
        return None
    end = target.find(b"/", slash + 1)
    if end < 0 or -1 < query < end:
        end = query if query >= 0 else len(target)
        if end == slash + 1:
            return None
        prefix, rest = target[:end], target[end:]
        redirect: bytes | None = prefix + b"/" + rest
        rest = b"/" + rest
    else:
        if end == slash + 1:
            return None
        prefix, rest, redirect = target[:end], target[end:], None
    return Route(_text(target[start:slash]), _text(prefix[slash + 1 :]), rest, prefix, redirect)


_known_route = lru_cache(2048)(_route)  # 2 MB at most


def _text(segment: bytes) -> str:
    return read_leniently(segment).decode("utf-8", "replace")


# --- who calls ----------------------------------------------------------------------------------------


def bearer_token(authorization: list[bytes]) -> str | None:
    """The token of ``Authorization: Bearer …`` (or ``token …``, the Hub's word); ``None`` for anything else."""
    if len(authorization) != 1:
        return None
    scheme, _, token = authorization[0].partition(b" ")
    token = token.strip()
    if scheme.lower() not in (b"bearer", b"token") or not token or len(token) > 4096:
        return None
    try:
        return token.decode("ascii")
    except UnicodeDecodeError:
        return None


_BEARER_PROTOCOL = b"bearer."


def protocol_token(headers: Headers) -> str | None:
    """The token of a WebSocket that offers ``bearer.TOKEN`` among its subprotocols: what pages send, whose browsers let
    them set no header. ``None`` where there is none, or more than one."""
    found = [
        each.strip()
        for name, value in headers
        if name.lower() == b"sec-websocket-protocol"
        for each in value.split(b",")
        if each.strip().lower().startswith(_BEARER_PROTOCOL)
    ]
    return None if len(found) != 1 else bearer_token([b"Bearer " + found[0][len(_BEARER_PROTOCOL) :]])


STICKY_COOKIE = b"model-service-replica"  # ours, by which a caller comes back to her replica (core/affinity.py)


def clean_cookies(value: bytes) -> bytes:
    """The Cookie header without the cookies by which Jupyter and its Hub know their users, and without ours."""
    kept = []
    for cookie in value.split(b";"):
        name = cookie.split(b"=", 1)[0].strip()
        if name and not is_guarded(name):
            kept.append(cookie.strip())
    return b"; ".join(kept)


# --- what the replica is told ---------------------------------------------------------------------------


_MOST_PASSES = 3


def goes_round(forwarded: Headers, via: bytes) -> Refusal | None:
    """The refusal of a call that comes back for ever to the gateway that is ``via`` to others (RFC 9110 §7.6.3).

    One that has been here before may be right: a model that asks another one, and passes on what it was told. One that
    comes for the fourth time is not. Nobody has to be believed for that: who invents such a chain fails its own call.
    """
    passes = 0
    for name, value in forwarded:
        if name == b"via":
            passes += sum(entry.split()[1:2] == [via] for entry in value.split(b","))
    if passes < _MOST_PASSES:
        return None
    message = f"This call has come through this gateway {passes} times already: something sends it back here."
    return Refusal(508, "loop", message)


_OWN_ID = b"x-client-request-id"


def request_head(
    head: RequestHead,
    *,
    target: bytes,
    prefix: bytes,
    peer: Peer,
    request_id: bytes,
    via: bytes | None,
    shared_origin: bool = False,
) -> bytes:
    """The head that goes upstream. To a replica it carries neither the caller's token nor Jupyter's cookies. ``via`` is
    what the gateway is called on the way to one; ``None``: it is for the control API, which is the gateway.
    ``shared_origin``: as of :func:`answer_head`; no model sets cookies there, so that none of those that come is its.
    """
    whom = (target, prefix, peer, via, shared_origin)
    written = head.written
    if written is None or written[0] != whom:
        fixed = _fixed_head(head, target=target, prefix=prefix, peer=peer, via=via, shared_origin=shared_origin)
        head.written = written = (whom, fixed)
    return b"%bX-Request-Id: %b\r\n\r\n" % (written[1], request_id)


def _fixed_head(
    head: RequestHead, *, target: bytes, prefix: bytes, peer: Peer, via: bytes | None, shared_origin: bool
) -> bytes:
    """What is the same of it for each such call. An HTTP/1.0 caller may leave out Host, but HTTP/1.1 must have it."""
    to_replica = via is not None
    parts = [b"%b %b HTTP/1.1\r\nHost: %b\r\n" % (head.method, target, head.host or b"localhost")]
    for name, value in head.headers:
        if name[:2] in (b"X-", b"x-") and name.lower().startswith(OURS):
            continue
        if to_replica and name[:1] in (b"R", b"r") and name.lower() == b"referer":
            value = value.split(b"?", 1)[0]  # Jupyter's addresses may hold "?token=…"
        if to_replica and name[:1] in (b"S", b"s") and name.lower() == b"sec-websocket-protocol":
            value = _without_token(value)
            if not value:
                continue
        parts.append(b"%b: %b\r\n" % (name, value))
    if not to_replica:
        parts += [b"Authorization: %b\r\n" % value for value in head.authorization]
        parts.append(b"X-Model-Service-Address: %b\r\n" % sender(peer, head.forwarded))  # for the audit log
    for value in () if to_replica and shared_origin else head.cookies:
        cookies = clean_cookies(value) if to_replica else value
        if cookies:
            parts.append(b"Cookie: %b\r\n" % cookies)
    if head.chunked:
        parts.append(b"Transfer-Encoding: chunked\r\n")
        if head.trailer and via is not None:
            parts.append(announced_by_request(head.trailer, head.named))
    elif head.length is not None:
        parts.append(b"Content-Length: %d\r\n" % head.length)
    if head.upgrade is not None:
        parts.append(b"Connection: Upgrade\r\nUpgrade: %b\r\n" % head.upgrade)
    elif head.takes_trailers and to_replica:
        parts.append(b"Connection: TE\r\nTE: trailers\r\n")
    parts.append(_forwarded(head, peer, prefix))
    if via is not None:
        came = [value for name, value in head.forwarded if name == b"via" and value]
        parts.append(b"Via: %b\r\n" % b", ".join([*came, _entry(head.version, via)]))
        if head.request_id is not None and not peer.trusted and not _has(head.headers, _OWN_ID):
            parts.append(b"X-Client-Request-Id: %b\r\n" % head.request_id)
    return b"".join(parts)


def _entry(version: int, via: bytes) -> bytes:
    """Of a ``Via``: the version in which the message was received, and by whom."""
    return b"%d.%d %b" % (*divmod(version, 10), via)


def _has(headers: Headers, wanted: bytes) -> bool:
    return any(name.lower() == wanted for name, _ in headers)


_TOKEN_PROTOCOLS = (_BEARER_PROTOCOL, b"v1.token.websocket.jupyter.org")


def _without_token(protocols: bytes) -> bytes:
    """By which a token is sent with a WebSocket, in our way or in Jupyter's own, is none of the model's business."""
    offered = (each.strip() for each in protocols.split(b","))
    return b", ".join(each for each in offered if not each.lower().startswith(_TOKEN_PROTOCOLS))


def _forwarded(head: RequestHead, peer: Peer, prefix: bytes) -> bytes:
    said = _first_values(head.forwarded) if peer.trusted and head.forwarded else {}
    chain = b", ".join([value for name, value in head.forwarded if name == b"x-forwarded-for"]) if said else b""
    lines = b"X-Forwarded-For: %b\r\nX-Forwarded-Proto: %b\r\nX-Forwarded-Host: %b\r\n" % (
        chain + b", " + peer.address if chain else peer.address,
        said.get(b"x-forwarded-proto", b"http"),
        said.get(b"x-forwarded-host", head.host),
    )
    if b"x-forwarded-port" in said:
        lines += b"X-Forwarded-Port: %b\r\n" % said[b"x-forwarded-port"]
    prefix = _root(said, prefix)
    return lines + (b"X-Forwarded-Prefix: %b\r\n" % prefix if prefix else b"")


def _root(said: dict[bytes, bytes], prefix: bytes) -> bytes:
    """The path of what is at ``prefix`` here, as the caller sees it."""
    return said.get(b"x-forwarded-prefix", b"").rstrip(b"/") + prefix


def settled_for(answer: AnswerHead, head: RequestHead, *, target: bytes, prefix: bytes, peer: Peer) -> AnswerHead:
    """An answer that ``leads`` somewhere, at an address that is not its model's alone (:mod:`location`)."""
    said = _first_values(head.forwarded) if peer.trusted else {}
    return settled(answer, root=_root(said, prefix), host=called_host(head, peer), path=target)


def called_host(head: RequestHead, peer: Peer) -> bytes:
    """The host that the caller called: a proxy that is believed may say it, where it calls us by another name. Of
    several proxies each adds what it was called by, so that the caller's is the first."""
    if peer.trusted:
        for name, value in head.forwarded:
            if name == b"x-forwarded-host" and (host := _first(value)):
                return host
    return head.host


def seen_at(head: RequestHead, peer: Peer, prefix: bytes) -> tuple[bytes, bool]:
    """The path of a service as its caller knows it, without the closing slash, and whether she came by HTTPS."""
    said = _first_values(head.forwarded) if peer.trusted and head.forwarded else {}
    secure = said.get(b"x-forwarded-proto", b"")[:5].lower() == b"https"
    return _root(said, prefix), secure


def _first_values(headers: Headers) -> dict[bytes, bytes]:
    """What the proxy that the caller came to said of each, be it in one line or in several."""
    values: dict[bytes, bytes] = {}
    for name, value in headers:
        if name not in values and (first := _first(value)):
            values[name] = first
    return values


def _first(value: bytes) -> bytes:
    return value.partition(b",")[0].strip()


# --- what the caller gets back ----------------------------------------------------------------------------

_SANDBOXED = b"Content-Security-Policy: %b\r\nX-Content-Type-Options: nosniff\r\n" % SANDBOX


def _may_say(headers: Headers, shared_origin: bool, own_host: bool) -> Headers:
    if own_host:
        return [pair for pair in headers if on_own_origin(*pair)]
    return [pair for pair in headers if pair[0].lower() not in OF_THE_ORIGIN] if shared_origin else headers


def answer_head(
    answer: AnswerHead,
    *,
    version: int,
    keep_alive: bool,
    request_id: bytes,
    replica: bytes | None,
    via: bytes,
    applied: bytes = b"",
    shared_origin: bool = False,
    trailers: bool = False,
    own_host: bool = False,
) -> tuple[bytes, bool, bool]:
    """The head for a caller who speaks ``version``; whether the body goes out chunked; whether the connection
    stays. A body of unknown length is chunked for HTTP/1.1 and ends with the connection for HTTP/1.0. ``via`` is what
    the gateway is called on the way from a replica; ``applied`` is one more line, or empty. ``shared_origin``: more
    than this model is served at its address, such as a Hub whose cookies the browser sends from every page there; the
    page is sandboxed and speaks for itself alone. ``own_host``: its address is this model's alone, and not one of many.
    ``trailers``: the caller takes them."""
    whom = (version, keep_alive, replica, via, applied, shared_origin, trailers, own_host)
    written = answer.written
    if written is None or written[0] != whom:
        fixed = _fixed_answer(answer, *whom)
        answer.written = written = (whom, *fixed)
    _, start, chunked, stays = written
    return b"%bX-Request-Id: %b\r\n\r\n" % (start, request_id), chunked, stays


def _fixed_answer(
    answer: AnswerHead,
    version: int,
    keep_alive: bool,
    replica: bytes | None,
    via: bytes,
    applied: bytes,
    shared_origin: bool,
    trailers: bool,
    own_host: bool,
) -> tuple[bytes, bool, bool]:
    unknown = answer.chunked or answer.until_close
    chunked = unknown and version == 11
    if unknown and version == 10:
        keep_alive = False
    parts = [b"HTTP/1.1 %d %b\r\n" % (answer.status, answer.reason)]
    shared = shared_origin and not own_host and replica is not None
    for name, value in answer.headers if replica is None else _may_say(answer.headers, shared, own_host):
        if replica is not None and name[:2] in (b"X-", b"x-") and name.lower().startswith(OURS):
            continue
        parts.append(b"%b: %b\r\n" % (name, value))
    if chunked:
        parts.append(b"Transfer-Encoding: chunked\r\n")
        if trailers and answer.trailer:
            parts.append(announced_by_answer(answer.trailer, answer.named))
    elif answer.length is not None:
        parts.append(b"Content-Length: %d\r\n" % answer.length)
    if answer.status == 101:
        parts.append(b"Connection: Upgrade\r\nUpgrade: %b\r\n" % (answer.upgrade or b""))
    elif not keep_alive:
        parts.append(b"Connection: close\r\n")
    elif version == 10:
        parts.append(b"Connection: keep-alive\r\n")
    parts.append(applied)
    if replica is not None:
        # After the replica's own: the order of the lines is that of the way.
        parts.append(b"X-Model-Service-Replica: %b\r\nVia: %b\r\n" % (replica, _entry(answer.version, via)))
    if shared:
        parts.append(_SANDBOXED)
    return b"".join(parts), chunked, keep_alive


def informational_head(answer: AnswerHead, *, shared_origin: bool = False, own_host: bool = False) -> bytes:
    """A 1xx answer, such as 103 Early Hints. What it may not say of itself is what a final one may not."""
    headers = _may_say(answer.headers, shared_origin, own_host)
    lines = [b"%b: %b\r\n" % pair for pair in headers if not pair[0].lower().startswith(OURS)]
    return b"HTTP/1.1 %d %b\r\n%b\r\n" % (answer.status, answer.reason, b"".join(lines))


def held_bytes(answer: AnswerHead, *, most: int) -> int:
    """The size of a body that is waited for before the answer's head goes out, so that the caller gets both or neither
    and the call can still be sent again; 0: the head goes out as it comes.

    Servers write head and body apart (uvicorn does), and a replica that is killed in between had lost 1 of 153,281
    calls. Only what ends by itself is held, up to ``most`` bytes: no stream, be it one that knows its length.
    """
    length = answer.length
    if not length or length > most or answer.events or not answer.has_body:
        return 0
    return length
