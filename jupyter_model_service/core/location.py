"""Where a model may send its callers from an address that is not its own alone: anywhere below its own root, or to
other hosts, but to no other place at that address. A browser would go there with the visitor's cookies (such as to
``/hub/logout``), and a program with the token that it called with. Pure.

What one parser takes for a path and another for a host (WHATWG URL: a backslash is a slash, tabs are nothing,
``https:/x`` is relative) is no place at all.
"""

from __future__ import annotations

import re
from dataclasses import replace

from .message import AnswerHead

__all__ = ["own_location", "settled"]

_CONTROL = re.compile(rb"[\x00-\x1f\x7f\\]")
_ABSOLUTE = re.compile(rb"(?:https?:)?//([^/?#]*)([^?#]*)", re.IGNORECASE)
_SCHEME = re.compile(rb"[a-z][a-z0-9+.-]*:", re.IGNORECASE)
_HOST = re.compile(rb"([a-z0-9_.-]+|\[[0-9a-f:.]+\])(?::([0-9]*))?", re.IGNORECASE)
_NUMBER = re.compile(rb"[0-9]+|0x[0-9a-f]*", re.IGNORECASE)
_ADDRESS = re.compile(rb"(?:(?:0|[1-9][0-9]{0,2})(?:\.(?!\Z)|\Z)){4}")
_PATH = re.compile(rb"[^?#]*")
_DOTS = re.compile(rb"(?:^|/)(?:\.|%2e){1,2}(?=/|\Z)", re.IGNORECASE)


def settled(answer: AnswerHead, *, root: bytes, host: bytes, path: bytes) -> AnswerHead:
    """The same answer with each ``Location`` as :func:`own_location` has it."""
    headers = []
    for name, value in answer.headers:
        if name.lower() == b"location":
            place = own_location(value, root=root, host=host, path=path)
            if place is None:
                continue
            value = place
        headers.append((name, value))
    return replace(answer, headers=headers)


def own_location(value: bytes, *, root: bytes, host: bytes, path: bytes) -> bytes | None:
    """``value`` itself, or moved below ``root`` (``/hub/endpoints/ann/chat``, as the caller sees it): a model that
    knows nothing of ``X-Forwarded-Prefix`` means its own ``/login``. ``None``: it may not be said.

    ``host`` is the authority that the caller called, ``path`` what the model was asked for.
    """
    value = value.strip(b" ")
    if _CONTROL.search(value):
        return None
    start = b""
    absolute = _ABSOLUTE.match(value)
    if absolute is not None:
        called, meant = _plain_host(host), _plain_host(absolute[1])
        if meant is None or called is None:
            return None
        if meant != called:
            return value
        start, value = value[: absolute.start(2)], value[absolute.start(2) :]
        value = value if value[:1] == b"/" else b"/" + value
    elif (scheme := _SCHEME.match(value)) is not None:
        return None if scheme[0].lower() in (b"http:", b"https:") else value
    said = _PATH.match(value)[0]  # type: ignore[index]  # it matches anything
    dotted = _DOTS.search(said) is not None
    if said[:1] != b"/":
        if not dotted:
            return value
        said, value = _beside(path, said), _beside(path, said) + value[len(said) :]
    plain = _without_dots(said) if dotted else said
    if plain != root and not plain.startswith(root + b"/"):
        plain = root + plain
    return start + plain + value[len(said) :]


def _beside(path: bytes, relative: bytes) -> bytes:
    """From where the model was asked, as the model sees it."""
    return path.partition(b"?")[0].rpartition(b"/")[0] + b"/" + relative


def _without_dots(path: bytes) -> bytes:
    """RFC 3986 §5.2.4, with ``%2e`` for a dot, as browsers read it."""
    kept: list[bytes] = []
    segments = path.split(b"/")[1:]
    for at, segment in enumerate(segments):
        dots = segment.lower().replace(b"%2e", b".")
        if dots not in (b".", b".."):
            kept.append(segment)
            continue
        if dots == b".." and kept:
            kept.pop()
        if at == len(segments) - 1:
            kept.append(b"")
    return b"/" + b"/".join(kept)


def _plain_host(authority: bytes) -> tuple[bytes, bytes] | None:
    """Name and port, if no browser takes it for another one: a user, ``%``, letters beyond ASCII and odd numbers (127.1
    is 127.0.0.1) make it ``None``. Ports that are the scheme's own are alike."""
    match = _HOST.fullmatch(authority)
    if match is None:
        return None
    name, port = match[1].lower(), (match[2] or b"").lstrip(b"0")
    if _NUMBER.fullmatch(name.rstrip(b".").rpartition(b".")[2]) and not _ADDRESS.fullmatch(name):
        return None
    return name, b"" if port in (b"80", b"443") else port
