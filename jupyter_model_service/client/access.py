"""The calls about who may do what with a service, as :mod:`.calls` has the others. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from .calls import Call, Key, given, read_nothing, reading_model, service_path

if TYPE_CHECKING:
    from ..wire import AccessInfo, ShareInfo


def show(key: Key, user: str | None = None) -> Call[AccessInfo]:
    asked = "" if user is None else f"?user={quote(user, safe='', errors='replace')}"
    return Call("GET", service_path(key, "/access") + asked, reading_model("AccessInfo"))


def share(
    key: Key, kind: str, whom: str, role: str = "caller", limits: Mapping[str, Any] | None = None
) -> Call[ShareInfo]:
    """``kind`` is ``user`` or ``group``; ``limits`` are fields of ``wire.LimitsSpec``, those that are ``None`` none."""
    body: dict[str, Any] = {"role": role}
    if limits := given(limits or {}):
        body["limits"] = limits
    return Call("PUT", _one(key, kind, whom), reading_model("ShareInfo"), body=body)


def unshare(key: Key, kind: str, whom: str) -> Call[None]:
    return Call("DELETE", _one(key, kind, whom), read_nothing)


def open_to(key: Key, origins: Iterable[str]) -> Call[AccessInfo]:
    return Call("PUT", service_path(key, "/access/origins"), reading_model("AccessInfo"), body={"origins": [*origins]})


def _one(key: Key, kind: str, whom: str) -> str:
    return service_path(key, f"/access/{kind}/{quote(whom, safe='', errors='replace')}")
