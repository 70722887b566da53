"""``logs -f`` and ``events -f``: until Ctrl-C, over replicas that come and go and a gateway that is restarted."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from ..client import calls
from ..client.calls import Key
from ..client.events import Reconnect
from ..client.light import Connection
from ..errors import GatewayUnavailable, NotFound, Overloaded

_LOG_INTERVAL = 0.5  # seconds between two looks at a log
_ENDED = ("gone", "failed")


def follow_logs(
    connection: Connection, key: Key, replica: str | None, tail: int, lines: Callable[[Mapping[str, Any]], None]
) -> None:
    """Without ``replica``, goes on with the newest replica when the one that was followed has ended; with one, returns
    at its end. Raises ``NotFound`` when there is no such service, or it is deleted."""
    fixed = replica is not None
    after = 0
    try:
        answer = connection.last_logs(key, replica, tail)
    except NotFound:
        connection.send(calls.get(key))  # raises when it is the service that is not there
        if fixed:
            raise
    else:
        lines(answer)
        replica, after = answer["replica"], answer["next"]
    reconnect = Reconnect()
    reconnect.heard()
    while True:
        time.sleep(_LOG_INTERVAL)
        try:
            alive = [r for r in connection.send(calls.get(key))["replica_list"] if r["phase"] not in _ENDED]
            if replica is not None:
                after = _new_lines(connection, key, replica, after, lines)
        except GatewayUnavailable as error:  # it is restarted: its replicas, and their logs, are still there
            time.sleep(reconnect.lost(time.monotonic(), error))
            connection.locator.forget()
            continue
        reconnect.heard()
        if any(r["id"] == replica for r in alive):
            continue
        if fixed:
            return
        if alive:
            replica, after = max(alive, key=lambda r: r["created_at"])["id"], 0


def _new_lines(
    connection: Connection, key: Key, replica: str, after: int, lines: Callable[[Mapping[str, Any]], None]
) -> int:
    try:
        answer = connection.send(calls.logs(key, replica, after))
    except (NotFound, Overloaded):  # it has just ended, or is cut off for a moment
        return after
    if answer["lines"]:
        lines(answer)
    return max(after, int(answer["next"]))


def follow_events(connection: Connection, key: Key, tail: int, event: Callable[[Mapping[str, Any]], None]) -> None:
    """The last ``tail`` events, then each new one, none twice. Returns when the service is deleted."""
    name = "/".join(key)
    last, limit = 0, tail
    for change in connection.watch():
        if change.kind == "resync":
            missed = connection.send(calls.events(key, after=last, limit=limit))["events"]
            limit = 1000
        elif change.key != name:
            continue
        elif change.kind == "event":
            missed = [change.data] if change.data["id"] > last else []
        elif change.kind == "removed":
            return
        else:
            continue
        for each in missed:
            event(each)
            last = max(last, int(each["id"]))
