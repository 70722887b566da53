"""What of an endpoint a token is for: paths and methods. Pure.

A model may read an address in its own way: decode it once more, take ``\\`` for ``/``, go up at ``..``, cut it at
``;``, take a full-width dot for a dot (NFKC of Unicode), or the method that the query names for that of the call. What
could be read in two ways is therefore within no rule, and what is within one is compared as it was sent.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import quote

from ..errors import InvalidRequest
from . import escapes
from .header_names import DESTINATION, OTHER_METHOD
from .message import Headers, Refusal

__all__ = ["NOT_WITHIN", "SAFE", "Grant", "PathRule", "changed_half", "check_rules", "may", "rules_told", "unusual"]

MOST_RULES = 20
LONGEST_PATH = 200  # characters
EVERYWHERE = "/*"
MOST_METHODS = 10
#: Of HTTP (RFC 9110, 5789) and of WebDAV (RFC 4918, 3253, 5323).
USUAL_METHODS = (
    *("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"),
    *("PROPFIND", "PROPPATCH", "MKCOL", "COPY", "MOVE", "LOCK", "UNLOCK", "REPORT", "SEARCH"),
)

NOT_WITHIN = Refusal(
    403, "path_not_allowed", "This token is not for this path and method: ask the service's owner what it is for."
)

#: Bytes of a path, encoded, as it is sent; nothing longer is within a rule. Calls that are refused cost their caller
#: nothing, and a rule of 200 characters is 2,400 bytes at most.
LONGEST_CALL = 4 << 10

# Of a path as it is sent: what no address has, or a model may take for a slash or the path's end.
_PLAIN = bytes(code for code in range(0x21, 0x7F) if code not in b"#;\\")
# Of one that is decoded: control characters, and what a model that decodes it once more would decode, or cut it at; and
# slashes and dots, of which it has those that were sent as such.
_NEVER = bytes([*range(0x20), *b"%;\\/.", 0x7F])
# What NFKC, the form to which some frameworks bring names, makes of one character: a dot or two, a slash, also between
# letters, a semicolon, backslash, percent sign, or number or question mark. Not "…", nor "1." as one character: no step
# is made of them.
_READ_AS = (
    "\u2024\u2025\ufe30\ufe52\uff0e\uff0f\u2100\u2101\u2105\u2106"
    "\u037e\ufe14\ufe54\uff1b\ufe68\uff3c\ufe6a\uff05\ufe5f\uff03\ufe16\ufe56\uff1f\u2047-\u2049"
)
# Blanks, and what nobody sees (Unicode: White_Space, Default_Ignorable_Code_Point, and the categories Cc and Cf; RFC
# 3454, table B.1, is in it): some leave them out, and then a segment is of dots, or empty.
_UNSEEN = (
    "\u0020\u0080-\u00a0\u00ad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u115f\u1160\u1680\u17b4\u17b5"
    "\u1806\u180b-\u180f\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"
    "\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_READ_OTHERWISE = re.compile(f"[{_READ_AS}]")
#: A segment of dots and of what nobody sees, or dots before an encoded ``?`` or ``#``.
_STEP = re.compile(rf"/\.{{0,2}}(?:[{_UNSEEN}][.{_UNSEEN}]*(?:[/?#]|$)|[?#])")
_METHOD = re.compile(r"[A-Z][A-Z-]{0,31}")
SAFE = "/-._~!$&'()*+,=:@"  # of a path, and not written as %XX


@dataclass(frozen=True)
class PathRule:
    """``path`` is that behind the endpoint's own address: exactly it, or with ``/*`` at its end all below. ``methods``
    are in capitals, ``None`` for all; who may GET may HEAD."""

    path: str
    methods: tuple[str, ...] | None = None

    @cached_property
    def sent(self) -> bytes:
        """As it stands in an address, without the ``*`` at its end. Once for each rule: 20 long ones with umlauts took
        1.1 ms at each call, and a refused call costs its caller nothing."""
        return quote(self.path, safe=SAFE).removesuffix("*").encode()

    @cached_property
    def all_below(self) -> bool:
        return self.path.endswith("/*")


# Names in a query by which Rails, Symfony, Laravel and Express take a call for one with another method; after each its
# value, or nothing. PHP takes dots and blanks in a name for "_", leaves blanks before it out, and ends it at "[", NUL.
_OTHER_METHOD_ASKED = tuple(
    b"&%b%b" % (name, end)
    for name in (b"_method", b"x_http_method", b"x_http_method_override", b"x_method_override")
    for end in (b"=", b"&")
)
_ALIKE = bytes.maketrans(b";.-+ [\0", b"&____==")


class Grant:
    """The rules of one token, put together once: for 20 of them a call is not compared 20 times."""

    __slots__ = ("_groups",)

    def __init__(self, rules: Iterable[PathRule]) -> None:
        together: dict[tuple[str, ...] | None, list[PathRule]] = {}
        for rule in rules:
            together.setdefault(rule.methods, []).append(rule)
        self._groups = [
            (
                None if methods is None else frozenset(each.encode() for each in (*methods, *_also(methods))),
                frozenset(rule.sent for rule in found if not rule.all_below),
                tuple(rule.sent for rule in found if rule.all_below),
                any(rule.path == EVERYWHERE for rule in found),
            )
            for methods, found in together.items()
        ]

    def allows(self, method: bytes, target: bytes, headers: Headers | None = None) -> bool:
        """Whether a call is within one of the rules. ``target`` is path and query as they were sent."""
        path, _, query = target.partition(b"?")
        within = everywhere = False
        for methods, exact, below, everything in self._groups:
            if (methods is None or method in methods) and (path in exact or path.startswith(below)):
                within = True
                everywhere = everywhere or everything
        if not within or _ambiguous(path) or (query and _asks_other_method(query)):
            return False
        for name, _ in headers or ():
            if len(name) in _LENGTHS:
                meant = name.lower().replace(b"_", b"-")
                # No rule has looked at the path that COPY and MOVE write to: only who may use all of them may.
                if meant in OTHER_METHOD or (meant == DESTINATION and not everywhere):
                    return False
        return True


def _also(methods: tuple[str, ...]) -> tuple[str, ...]:
    return ("HEAD",) if "GET" in methods else ()


def may(rules: Iterable[PathRule], method: bytes, target: bytes, headers: Headers | None = None) -> bool:
    """As :meth:`Grant.allows`, for one call."""
    return Grant(rules).allows(method, target, headers)


_LENGTHS = frozenset(map(len, (*OTHER_METHOD, DESTINATION)))  # of 12 headers none is looked at further


def _ambiguous(path: bytes) -> bool:
    """Whether a path, as it was sent, may be read as another one. Of 4 KiB that is 0.3 ms at most."""
    if len(path) > LONGEST_CALL or path.translate(None, _PLAIN):
        return True
    if b"//" in path or (b"/." in path and (b"/./" in path or b"/../" in path or path.endswith((b"/.", b"/..")))):
        return True
    if b"%" not in path:
        return False
    try:
        read = escapes.read(path)
        text = read.decode()
    except UnicodeDecodeError:  # no escape, or no UTF-8: each server makes something else of it
        return True
    if len(read.translate(None, _NEVER)) + path.count(b"/") + path.count(b".") < len(read):
        return True
    return _STEP.search(text) is not None or _READ_OTHERWISE.search(text) is not None


def _asks_other_method(query: bytes) -> bool:
    try:
        read = (escapes.read(query) if b"%" in query else query).lower()
    except UnicodeDecodeError:
        return True
    if b"method" not in read:
        return False
    read = b"&%b&" % read.translate(_ALIKE)  # and not by a pattern, which takes 0.5 ms for 16 KiB of "&"
    while b"__" in read:
        read = read.replace(b"__", b"_")
    return any(name in read for name in _OTHER_METHOD_ASKED)


def check_rules(rules: Iterable[PathRule]) -> tuple[PathRule, ...]:
    """As they are kept to, each once. ``InvalidRequest`` for what could never hold, or could be meant in two ways."""
    found = tuple(rules)
    if len(found) > MOST_RULES:
        raise InvalidRequest(f"A token has at most {MOST_RULES} rules for paths, not {len(found)}.")
    return tuple(dict.fromkeys(PathRule(_path(rule.path), _methods(rule.methods)) for rule in found))


def changed_half(rules: tuple[PathRule, ...], halves: Mapping[str, Sequence[str] | None]) -> tuple[PathRule, ...]:
    """``rules`` with those of ``halves`` changed that are named, ``paths`` and ``methods``, and the other as it was:
    whoever narrows the one must not widen the other unseen. ``None`` or nothing: all of them; none of both is no rule.
    ``InvalidRequest`` where paths change and those that there were have different methods."""
    if not halves:
        return rules
    kept = {rule.methods for rule in rules} or {None}
    if "methods" in halves:
        methods = tuple(halves["methods"] or ()) or None
    elif len(kept) == 1:
        (methods,) = kept
    else:
        raise InvalidRequest(
            "The paths of this token have different methods: say with which ones it may call the new paths, or give "
            "all its rules anew."
        )
    paths: Iterable[str] = halves["paths"] or () if "paths" in halves else [rule.path for rule in rules]
    found = list(dict.fromkeys(paths))
    if methods is None and ("paths" not in halves and EVERYWHERE in found):
        return ()  # it was for these methods alone, and is for everything now
    return tuple(PathRule(path, methods) for path in found or ([] if methods is None else [EVERYWHERE]))


def _path(path: str) -> str:
    begin = path[:-1] if path.endswith("/*") else path
    plain = begin.isprintable() and not set(begin) & set("*?%")
    ambiguous = _ambiguous(quote(begin, safe=SAFE + "#;\\").encode())
    if len(path) > LONGEST_PATH or not path.startswith("/") or not plain or ambiguous:
        raise InvalidRequest(
            f"{path!r} is no path for a token: it begins with '/', may end with '/*' for all below, and has neither "
            f"'*', '?', '#', '%', ';', '\\', '//', '/./' nor '/../' in it, nor more than {LONGEST_PATH} characters."
        )
    return path


def _methods(methods: tuple[str, ...] | None) -> tuple[str, ...] | None:
    if methods is None:
        return None
    found = tuple(dict.fromkeys(method.upper() for method in methods))
    if not 1 <= len(found) <= MOST_METHODS or not all(map(_METHOD.fullmatch, found)):
        raise InvalidRequest(
            f"The methods of a token's path are 1 to {MOST_METHODS} words such as GET and POST, each by itself."
        )
    return found


def unusual(methods: Iterable[str]) -> list[str]:
    """A sentence for each that few models know, and that may be a slip: a token for PSOT opens nothing."""
    said: list[str] = []
    for method in dict.fromkeys(each.upper() for each in methods):
        if method not in USUAL_METHODS:
            near = difflib.get_close_matches(method, USUAL_METHODS, 1)
            meant = f"was {near[0]} meant?" if near else "the token opens nothing but what takes it."
            if method in ("ANY", "ALL"):
                meant = "a token for all of them names none."
            said.append(f"{method} is no usual method: {meant}")
    return said


def rules_told(rules: Iterable[PathRule]) -> str:
    """``POST /v1/chat/*, GET/HEAD /v1/models``; ``everything``. Of all methods the path alone."""
    found = [f"{'/'.join(rule.methods or ())} {rule.path}".strip() for rule in rules]
    return ", ".join(found) or "everything"
