"""What the Hub's REST API answers, as far as it is used here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any


@dataclass(frozen=True)
class HubServer:
    """``pending``: ``spawn``, ``stop``, ``check`` or ``None``. A server that failed to start is ``stopped`` and
    not pending. ``state`` is empty where our token may not read it."""

    user: str
    name: str
    ready: bool = False
    pending: str | None = None
    stopped: bool = False
    state: Mapping[str, Any] = field(default_factory=dict)
    user_options: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class HubUser:
    """A user, or (``kind`` is ``service``) a service. ``scopes`` and ``token_id`` are there for the owner of a token
    only; scopes are expanded by the Hub. ``created`` tells a user from a later one of the same name."""

    name: str
    kind: str = "user"
    admin: bool = False
    groups: tuple[str, ...] = ()
    scopes: frozenset[str] = frozenset()
    created: str | None = None
    token_id: str | None = None
    servers: Mapping[str, HubServer] = field(default_factory=dict)


@dataclass(frozen=True)
class HubToken:
    """``id`` may have belonged to another token before: compare ``note`` and ``created`` (Unix time) too."""

    id: str
    note: str = ""
    scopes: frozenset[str] = frozenset()
    created: float | None = None
    expires_at: float | None = None


def as_user(model: Mapping[str, Any]) -> HubUser:
    name = str(model["name"])
    servers = model.get("servers") or {}
    return HubUser(
        name=name,
        kind=str(model.get("kind", "user")),
        admin=bool(model.get("admin")),
        groups=tuple(str(group) for group in model.get("groups") or ()),
        scopes=frozenset(str(scope) for scope in model.get("scopes") or ()),
        created=model.get("created"),
        token_id=model.get("token_id"),
        servers={key: as_server(name, server) for key, server in servers.items()},
    )


def as_server(user: str, model: Mapping[str, Any]) -> HubServer:
    return HubServer(
        user=user,
        name=str(model["name"]),
        ready=bool(model.get("ready")),
        pending=model.get("pending"),
        stopped=bool(model.get("stopped")),
        state=model.get("state") or {},
        user_options=model.get("user_options") or {},
    )


def as_token(model: Mapping[str, Any]) -> HubToken:
    return HubToken(
        id=str(model["id"]),
        note=str(model.get("note") or ""),
        scopes=frozenset(str(scope) for scope in model.get("scopes") or ()),
        created=unix_time(model.get("created")),
        expires_at=unix_time(model.get("expires_at")),
    )


def hub_time(at: float) -> str:
    """Unix time as the Hub reads it."""
    return datetime.fromtimestamp(at, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def unix_time(text: object) -> float | None:
    """Of a time as the Hub tells it, ``2026-11-22T10:00:00.000000Z``: in UTC, also where it does not say so."""
    if not isinstance(text, str):
        return None
    try:
        at = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return None
    return (at if at.tzinfo else at.replace(tzinfo=timezone.utc)).timestamp()
