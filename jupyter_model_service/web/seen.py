"""What the reader of one event stream has been told of: who may see a service no more is told once that it is gone."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from ..core.access import Caller
from ..core.sharing import Role
from .api import copy_info, event_info, service_info, shared_info
from .call import Call

__all__ = ["Seen", "event_text"]


class Seen:
    """Roles are asked for anew with each change; what is kept is what was told, so that nobody hears of a service of
    which she was never to know. It begins with what a list would show, since that is what a reader asks for first."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._told = self._roles()
        self._shared: dict[str, Any] = {}

    def texts(self, change: Any) -> list[str]:
        """One change as events, none of a service that the reader may not know of."""
        if change.kind == "resync":
            self._told, self._shared = self._roles(), {}
            return [event_text("resync", {})]
        role, before = self._call.role(*change.key.split("/", 1)), self._told.get(change.key)
        if change.kind == "removed":
            self._forget(change.key)
            return [] if role is None and before is None else [event_text("removed", {"service": change.key})]
        if role is None:
            return [] if before is None else [self._taken(change.key)]
        gone = [self._taken(change.key)] if role is Role.CALLER and before not in (None, Role.CALLER) else []
        if role is Role.CALLER:
            return gone + self._caller_sees(change)
        self._told[change.key] = role
        self._shared.pop(change.key, None)
        return _viewer_sees(change, role)

    def became(self, caller: Caller) -> list[str]:
        """The reader's token is looked at again: her groups may be others by now, and so what is shared with her."""
        if caller == self._call.caller:
            return []
        self._call = replace(self._call, caller=caller)
        before, self._told = self._told, self._roles()
        lost = [self._taken(key) for key in before if key not in self._told]
        if all(before.get(key) is role for key, role in self._told.items()):
            return lost
        self._shared = {}
        return [*lost, event_text("resync", {})]

    def _roles(self) -> dict[str, Role]:
        found: dict[str, Role] = {}
        for view in self._call.parts.engine.services():
            if (role := self._call.role(view.owner, view.name)) is not None:
                found[f"{view.owner}/{view.name}"] = role
        return found

    def _caller_sees(self, change: Any) -> list[str]:
        """Of what a caller may not look into there is little to tell, and that only when it is another."""
        self._told[change.key] = Role.CALLER
        if change.kind != "service":
            return []
        shared = shared_info(change.view)
        if self._shared.get(change.key) == shared:
            return []
        self._shared[change.key] = shared
        return [event_text("shared", shared.model_dump(mode="json"))]

    def _taken(self, key: str) -> str:
        self._forget(key)
        return event_text("removed", {"service": key})

    def _forget(self, key: str) -> None:
        self._told.pop(key, None)
        self._shared.pop(key, None)


def _viewer_sees(change: Any, role: Role) -> list[str]:
    if change.kind == "service":
        return [event_text("service", service_info(change.view, role).model_dump(mode="json"))]
    if change.kind == "event":
        return [event_text("event", event_info(change.key, change.event, role).model_dump(mode="json"))]
    if change.kind == "copying" and role is Role.OWNER:  # it names her folder
        return [event_text("copying", copy_info(change.copy).model_dump(mode="json"))]
    return []


def event_text(kind: str, data: dict[str, Any]) -> str:
    return f"event: {kind}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n"
