"""The calls about tokens, as :mod:`.calls` has the others: what to send, and how to read the answer. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from .calls import Call, Key, given, read_nothing, reading_model, service_path
from .units import parse_expiry

if TYPE_CHECKING:
    from ..wire import NewToken, TokenInfo

#: For a limit of :func:`limit`: as it is.
KEEP: Any = type("Keep", (), {"__repr__": lambda self: "KEEP"})()


def listing(key: Key) -> Call[list[TokenInfo]]:
    return Call("GET", service_path(key, "/tokens"), reading_model("TokenList", "tokens"))


def generate(
    key: Key,
    name: str = "",
    expires_in: float | str | None = None,
    limits: Mapping[str, Any] | None = None,
    paths: Sequence[str] = (),
    methods: Sequence[str] = (),
) -> Call[NewToken]:
    """``limits`` are the fields of ``wire.LimitsSpec``; those that are ``None`` are none. ``methods`` are for each of
    ``paths``, and for all paths where there are none."""
    body: dict[str, Any] = {"name": name, "expires_in": expires_in}
    if isinstance(expires_in, str):
        body["expires_in"] = parse_expiry(expires_in)
    limits = given(limits or {})
    if limits:  # a gateway of before there were any takes a token without them
        body["limits"] = limits
    if paths or methods:
        body["rules"] = [{"path": path, "methods": list(methods) or None} for path in paths or ["/*"]]
    return Call("POST", service_path(key, "/tokens"), reading_model("NewToken"), body=body)


def limit(key: Key, token_id: str, limits: Mapping[str, Any]) -> Call[TokenInfo]:
    """``limits`` as above; those that are ``KEEP`` stay as they are, ``None`` takes one away."""
    body = {"limits": {name: value for name, value in limits.items() if value is not KEEP}}
    return Call("PATCH", _one(key, token_id), reading_model("TokenInfo"), body=body)


def revoke(key: Key, token_id: str) -> Call[None]:
    return Call("DELETE", _one(key, token_id), read_nothing)


def _one(key: Key, token_id: str) -> str:
    return service_path(key, f"/tokens/{quote(token_id, safe='', errors='replace')}")
