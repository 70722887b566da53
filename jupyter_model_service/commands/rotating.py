"""Which token a line means, and what becomes of one in whose place there is another. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..client.units import show_duration
from ..core.token_checks import end_beside
from ..errors import Conflict, NotFound

Json = Mapping[str, Any]


def ending(former: Json, new: Json, overlap: float) -> Json:
    """``former`` with when it ends now, by the gateway's clock and rule."""
    return {**former, "expires_at": end_beside(new["created_at"], overlap, former["expires_at"])}


def former_told(former: Json, new: Json) -> str:
    """What :func:`ending` gave, for the end of a sentence."""
    left = former["expires_at"] - new["created_at"]
    if left < 0:
        return f"{former['id']}, had expired already"
    return f"{former['id']}, " + (f"still is good for {show_duration(left)}" if left else "is good no more")


def chosen(service: str, known: Sequence[Json], wanted: str, now: float, *, as_family: bool = False) -> Json:
    """By id, else by label: of several those that have not expired, if any. ``as_family``: what is done is done to all
    that came from one token by rotation, or to the newest of them. ``NotFound``; ``Conflict``: several are left."""
    found = [token for token in known if token["id"] == wanted] or [each for each in known if each["name"] == wanted]
    if not found:
        raise NotFound(f"{service} has no token with that id or label; `tokens` lists them.")
    found = [token for token in found if not _expired(token, now)] or found
    if as_family:
        oldest_first = sorted(found, key=lambda token: token["created_at"])
        found = list({token.get("family") or token["id"]: token for token in oldest_first}.values())
    if len(found) > 1:
        each = ", ".join(f"{token['id']} ({_told(token, now)})" for token in found)
        raise Conflict(f"{len(found)} tokens are called {wanted!r}: name it by its id, one of {each}.")
    return found[0]


def _expired(token: Json, now: float) -> bool:
    return token["expires_at"] is not None and token["expires_at"] <= now


def _told(token: Json, now: float) -> str:
    """By which those of one label are told apart."""
    if token["expires_at"] is None:
        ends = "never expires"
    else:
        ends = "expired" if _expired(token, now) else f"expires in {show_duration(token['expires_at'] - now)}"
    return f"made {show_duration(now - token['created_at'])} ago, {ends}"
