"""What is new in each state of a service that is followed: every change once, nothing that goes back, no failure twice.
Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .render import describe_replica
from .text import clean

Json = Mapping[str, Any]
ENDED = ("gone", "failed")
_UNDER_WAY = ("starting", "updating", "degraded")
#: How the engine begins its reason while a service has no room.
NO_ROOM = ("waits for a GPU", "waits for room")
_ORDER = {"requested": 0, "starting": 1, "preparing": 2, "loading": 3}
_READY = len(_ORDER)  # and everything later
#: The countdown is another one in every state, and so are the seconds that a phase has lasted.
_PASSING = re.compile(r"(next attempt) in [^;]*|, for [\d.]+ \w+( \d+ \w+)?(?=;|$)")


_PORT = re.compile(r":\d+\b")


class News:
    """Remembers what was told of one service."""

    def __init__(self) -> None:
        self._last: dict[str, str] = {}
        self._ended: set[str] = set()
        self._told: set[str] = set()  # reasons of failures
        self._furthest: dict[str, Json] = {}

    def of(self, service: Json) -> list[str]:
        """One line for the service, and for each replica, that is not as it was told last."""
        first = not self._last
        replicas = self.forward(service)["replica_list"]
        # Those that had ended before, and those whose failure was told: that they are gone, too, is no news.
        old = {r["id"] for r in replicas if r["phase"] in ENDED and (first or r["id"] in self._ended)}
        news = []
        for each in replicas:
            if _is_attempt(service, each):
                old.add(each["id"])
            text = f"{each['id']} {describe_replica(each)}"
            if self._last.get(each["id"]) != text and each["id"] not in old:
                news.append(self._short(each, text))
                if each["phase"] in ENDED and each["reason"]:
                    self._told.add(clean(each["reason"]))
            self._last[each["id"]] = text
        self._ended |= {r["id"] for r in replicas if r["phase"] in ENDED}
        return self._of_service(service) + news

    def _short(self, replica: Json, text: str) -> str:
        """What to do about a failure is said once: the next attempt differs in its port, if at all."""
        what, colon, _ = clean(replica["reason"] or "").partition(": ")
        if replica["phase"] not in ENDED or not colon:
            return text
        told = {_PORT.sub(":", reason) for reason in self._told}
        return (
            f"{replica['id']} {replica['phase']}: {what} (as before)"
            if _PORT.sub(":", clean(replica["reason"])) in told
            else text
        )

    def _of_service(self, service: Json) -> list[str]:
        head = f"{service['name']} is {service['state']}"
        reason = self._untold(waiting(service))
        key = head + _PASSING.sub(r"\1", reason).removesuffix("; next attempt")
        last = self._last.get("", "")
        if key == last or (not reason and last.startswith(head)):  # that a pause is over shows in its replicas
            return []
        self._last[""] = key
        return [head + reason]

    def _untold(self, reason: str) -> str:
        """A pause follows a failure: where the replica's line has told it, only the pause is left."""
        if not any(each in reason for each in self._told):
            return reason
        pause = re.search(r"next attempt in [^;]*", reason)
        return f": {pause[0]}" if pause else ""

    def forward(self, service: Json) -> Json:
        """``service`` with no replica in an earlier phase than it was seen in: states may come out of order."""
        for each in service["replica_list"]:
            before = self._furthest.get(each["id"])
            if before is None or _rank(each) >= _rank(before):
                self._furthest[each["id"]] = each
        return {**service, "replica_list": [self._furthest[each["id"]] for each in service["replica_list"]]}


def _rank(replica: Json) -> int:
    return _ORDER.get(replica["phase"], _READY)


def _is_attempt(service: Json, replica: Json) -> bool:
    """One more attempt to start something for which there has been no room: another one each minute."""
    return (service["reason"] or "").startswith(NO_ROOM) and replica["address"] is None


def _busy(service: Json) -> list[Json]:
    under_way = (each for each in service["replica_list"] if each["phase"] not in (*ENDED, "ready"))
    return [each for each in under_way if not _is_attempt(service, each)]


def waiting(service: Json) -> str:
    """Why nothing happens while no replica is on its way: the pause between two attempts, mostly."""
    quiet = service["state"] not in _UNDER_WAY or _busy(service) or not service["reason"]
    return "" if quiet else f": {clean(service['reason'])}"


def under_way(service: Json) -> str:
    """What goes on, in one line: the replica that is on its way, or what is waited for."""
    counts = service["replicas"]
    head = f"{service['name']} is {service['state']}, {counts['ready']} of {counts['want']} ready"
    busy = _busy(service)
    if not busy:
        return head + _PASSING.sub(r"\1", waiting(service))
    more = f" and {len(busy) - 1} more" if len(busy) > 1 else ""
    return f"{head}; {busy[0]['id']} {describe_replica(busy[0])}{more}"
