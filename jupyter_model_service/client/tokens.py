"""The calls about tokens, and about who called how often, as :mod:`.calls` has the others: what to send, and how to
read the answer. Pure."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ..core.bounds import LONGEST_OVERLAP
from ..core.grants import unusual
from ..errors import InvalidRequest
from .calls import Call, Key, given, read_nothing, reading_model, service_path
from .units import DEFAULT_TOKEN_SECONDS, parse_duration, parse_expiry

if TYPE_CHECKING:
    from ..wire import NewToken, TokenInfo, UseList

#: For a limit, the paths or the methods of :func:`limit`: as they are; for the life of :func:`rotate`: that of the
#: former token.
KEEP: Any = type("Keep", (), {"__repr__": lambda self: "KEEP"})()

#: For the life of :func:`generate`: nobody said how long.
DEFAULT: Any = type("Default", (), {"__repr__": lambda self: "30 days, or less where less is allowed"})()

DEFAULT_OVERLAP = 86400.0  # seconds


def parse_overlap(text: str) -> float:
    """Seconds of a duration, which may be none at all (``0``) and 30 days at most. A plain number is refused: whoever
    means 30 days by 30 would have the former token end after half a minute."""
    overlap = 0.0 if text in ("0", "0s") else parse_duration(text)
    if overlap > LONGEST_OVERLAP:
        raise InvalidRequest(f"{text!r} is too long: a former token goes on for at most {LONGEST_OVERLAP / 86400:g}d.")
    return overlap


def listing(key: Key) -> Call[list[TokenInfo]]:
    return Call("GET", service_path(key, "/tokens"), reading_model("TokenList", "tokens"))


def generate(
    key: Key,
    name: str = "",
    expires_in: float | str | None = DEFAULT,
    limits: Mapping[str, Any] | None = None,
    paths: Sequence[str] = (),
    methods: Sequence[str] = (),
) -> Call[NewToken]:
    """``expires_in``: where it is ``DEFAULT``, 30 days, or less where less is allowed. ``limits`` are the fields of
    ``wire.LimitsSpec``; those that are ``None`` are none. ``methods`` are for each of ``paths``, and for all paths
    where there are none."""
    body: dict[str, Any] = {"name": name, "expires_in": expires_in}
    if expires_in is DEFAULT:
        body |= {"expires_in": DEFAULT_TOKEN_SECONDS, "shorten": True}
    elif isinstance(expires_in, str):
        body["expires_in"] = parse_expiry(expires_in)
    limits = given(limits or {})
    if limits:  # a gateway of before there were any takes a token without them
        body["limits"] = limits
    if paths or methods:
        body["rules"] = rules(paths, methods)
    return Call("POST", service_path(key, "/tokens"), reading_model("NewToken"), body=body)


def warn_of(methods: Sequence[str] | None, said: Sequence[str] = ()) -> None:
    """Of ``methods`` that may be slips, and of what the gateway ``said``, whoever called the method that calls this."""
    odd = unusual(() if methods is KEEP else methods or ())
    for sentence in dict.fromkeys([*said, *odd]):  # an older gateway says nothing of methods
        warnings.warn(sentence, stacklevel=3)


def rules(paths: Sequence[str], methods: Sequence[str]) -> list[dict[str, Any]]:
    """None at all where neither is given: the token is for everything."""
    given_paths = paths or (["/*"] if methods else [])
    return [{"path": path, "methods": list(methods) or None} for path in given_paths]


def limit(
    key: Key,
    token_id: str,
    limits: Mapping[str, Any],
    paths: Sequence[str] | None = KEEP,
    methods: Sequence[str] | None = KEEP,
) -> Call[TokenInfo]:
    """``limits``, ``paths`` and ``methods`` as above; those that are ``KEEP`` stay as they are, ``None`` takes a limit
    away, or lets it call all paths or with all methods, as do empty ones."""
    changed = {name: value for name, value in limits.items() if value is not KEEP}
    body: dict[str, Any] = {"limits": changed} if changed else {}
    for half, given_half in (("paths", paths), ("methods", methods)):
        if given_half is not KEEP:
            body[half] = list(given_half or ()) or None
    return Call("PATCH", _one(key, token_id), reading_model("TokenInfo"), body=body)


def rotate(
    key: Key, token_id: str, overlap: float | str = DEFAULT_OVERLAP, expires_in: float | str | None = KEEP
) -> Call[NewToken]:
    body: dict[str, Any] = {"overlap": float(parse_overlap(overlap) if isinstance(overlap, str) else overlap)}
    if expires_in is not KEEP:
        body["expires_in"] = parse_expiry(expires_in) if isinstance(expires_in, str) else expires_in
    return Call("POST", f"{_one(key, token_id)}/rotate", reading_model("NewToken"), body=body)


def uses(key: Key, since: str | None = None) -> Call[UseList]:
    """``since``: a day of UTC, such as ``2026-11-30``."""
    return Call("GET", service_path(key, "/uses"), reading_model("UseList"), query={"since": since})


def revoke(key: Key, token_id: str) -> Call[None]:
    return Call("DELETE", _one(key, token_id), read_nothing)


def _one(key: Key, token_id: str) -> str:
    return service_path(key, f"/tokens/{quote(token_id, safe='', errors='replace')}")
