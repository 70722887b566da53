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
from urllib.parse import quote, unquote_to_bytes

from ..errors import InvalidRequest
from .message import Headers, Refusal

__all__ = ["NOT_WITHIN", "SAFE", "PathRule", "changed_half", "check_rules", "may", "rules_told", "unusual"]

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

# Besides what is no character of a path at all: an encoded slash, backslash, dot, semicolon, percent sign, or control
# character (or the beginning of such a one, written too long), and an empty segment or one of dots.
_AMBIGUOUS = re.compile(
    rb"[^\x21-\x7e]|[#;\\]|%(?:2[ef5]|3b|5c|[01][0-9a-f]|7f|c[01]|e0%[89]|f0%8|f[89a-f])|%(?![0-9a-f]{2})"
    rb"|//|/\.{1,2}(?:/|$)",
    re.IGNORECASE,
)
# What NFKC, the form to which some frameworks bring names, makes of one character: a dot or two, a slash, also between
# letters, a semicolon, backslash, percent or number sign. Not "…", nor "1." as one character: no step is made of them.
_READ_AS = (
    "\u2024\u2025\ufe30\ufe52\uff0e\uff0f\u2100\u2101\u2105\u2106"
    "\u037e\ufe14\ufe54\uff1b\ufe68\uff3c\ufe6a\uff05\ufe5f\uff03"
)
# Blanks, and what nobody sees: some leave them out, and then a segment is of dots, or empty.
_UNSEEN = (
    " \u0085\u00a0\u00ad\u1680\u180e\u2028\u2029\u202f\u205f\u2060\u3000\ufeff"
    "\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u200b\u200c\u200d\u200e\u200f"
)


def _any_of(characters: str) -> str:
    return f"(?:{'|'.join(map(quote, characters))})"


_READ_OTHERWISE = re.compile(
    f"{_any_of(_READ_AS)}|/(?=[.%]){_any_of(_UNSEEN)}*(?:\\.{_any_of(_UNSEEN)}*){{0,2}}(?:/|$)".encode(), re.IGNORECASE
)
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


#: By which some servers take a call for one with another method than its own.
_OTHER_METHOD = frozenset(
    {b"x-http-method-override", b"x-http-method", b"x-method-override", b"x-original-method", b"x-forwarded-method"}
)
#: The same in a query, once decoded: as Rails, Symfony, Laravel and Express read ``_method``.
_METHOD_IN_QUERY = re.compile(
    rb"(?:^|[&;])(?:_method|x[-_]http[-_]method(?:[-_]override)?|x[-_]method[-_]override)(?:[=&;\[]|$)", re.IGNORECASE
)


def may(rules: tuple[PathRule, ...], method: bytes, target: bytes, headers: Headers | None = None) -> bool:
    """Whether a call is within one of the rules. ``target`` is path and query as they were sent."""
    path, _, query = target.partition(b"?")
    if _ambiguous(path) or _METHOD_IN_QUERY.search(unquote_to_bytes(query) if b"%" in query else query):
        return False
    names = {name.lower().replace(b"_", b"-") for name, _ in headers or ()}
    if not names.isdisjoint(_OTHER_METHOD):
        return False
    # COPY and MOVE of WebDAV (RFC 4918) write to the path that this header names; only who may use all of them may.
    aimed = b"destination" in names
    return any(
        _of_method(rule, method) and _of_path(rule, path) and (not aimed or rule.path == EVERYWHERE) for rule in rules
    )


def _ambiguous(path: bytes) -> bool:
    """Whether a path, as it was sent, may be read as another one."""
    return _AMBIGUOUS.search(path) is not None or (b"%" in path and _READ_OTHERWISE.search(path) is not None)


def _of_method(rule: PathRule, method: bytes) -> bool:
    if rule.methods is None or method.decode("latin-1") in rule.methods:
        return True
    return method == b"HEAD" and "GET" in rule.methods


def _of_path(rule: PathRule, path: bytes) -> bool:
    return path.startswith(rule.sent) if rule.all_below else path == rule.sent


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
