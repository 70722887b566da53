"""The calls of administrators, as :mod:`.calls` has the others. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from .calls import Call, Key, reading_model

if TYPE_CHECKING:
    from ..wire import ServiceInfo
    from ..wire.admin import Overview, OwnerUse


def overview() -> Call[Overview]:
    return Call("GET", "api/v1/admin/overview", reading_model("Overview"))


def limits(user: str) -> Call[OwnerUse]:
    return Call("GET", _limits(user), reading_model("OwnerUse"))


def limit(user: str, changes: Mapping[str, Any]) -> Call[OwnerUse]:
    """``changes`` are fields of ``wire.LimitsChange``; ``None`` gives one back."""
    return Call("PUT", _limits(user), reading_model("OwnerUse"), body=dict(changes))


def unlimit(user: str) -> Call[OwnerUse]:
    return Call("DELETE", _limits(user), reading_model("OwnerUse"))


def notice(key: Key, text: str) -> Call[ServiceInfo]:
    return Call("PUT", _notice(key), reading_model("ServiceInfo"), body={"text": text})


def no_notice(key: Key) -> Call[ServiceInfo]:
    return Call("DELETE", _notice(key), reading_model("ServiceInfo"))


def _limits(user: str) -> str:
    return f"api/v1/admin/users/{quote(user, safe='', errors='replace')}/limits"


def _notice(key: Key) -> str:
    owner, name = (quote(part, safe="", errors="replace") for part in key)
    return f"api/v1/admin/services/{owner}/{name}/notice"
