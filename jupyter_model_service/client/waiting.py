"""When a service has become what was asked of it, or never will: pure decisions on ``ServiceInfo`` as plain JSON."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import LaunchError, NotFound, WaitTimeout
from .calls import Key

#: The longest that anybody waits unless told otherwise; large models load for minutes, downloads take longer.
WAIT_SECONDS = 3600.0
_ENDED = ("gone", "failed")
TAIL_LINES = 10
_REPLICA = re.compile(r"\breplica ([a-z0-9-]+)")  # as the engine's sentences name it


@dataclass(frozen=True)
class Goal:
    """``state`` is ``ready``, ``stopped`` or ``removed``.

    ``revision`` must be the one that runs (an update that was taken back has failed), ``replicas`` that many must
    be left, and none of the replicas in ``without`` may be (a restart replaces every one of them).

    ``stopped``: it was stopped already when this was asked for. What was asked is then done, and nothing starts;
    unless it is to run (``to_run``), as it never will by itself.
    """

    state: str = "ready"
    revision: int | None = None
    replicas: int | None = None
    without: frozenset[str] = frozenset()
    stopped: bool = False
    to_run: bool = True


@dataclass(frozen=True)
class Outcome:
    """When it failed, ``reason`` is one sentence, ``replica`` the one that it is about (if it is about one of the
    revision that was tried), and ``tail`` that one's last log lines, oldest first."""

    ok: bool
    reason: str = ""
    tail: tuple[str, ...] = ()
    replica: str | None = None


def outcome(service: Mapping[str, Any], goal: Goal) -> Outcome | None:
    """``None`` while it is still on its way. One that is idle was ready and has as many replicas as it is to have."""
    state = service["state"]
    alive = [each for each in service.get("replica_list", ()) if each.get("phase") not in _ENDED]
    if goal.state == "removed":
        return None
    if goal.state == "stopped":
        return Outcome(True) if state == "stopped" and not alive else None
    if state == "failed":
        return _failed(service, goal, service.get("reason") or "it failed without a reason given")
    if state == "deleting":
        return Outcome(False, "it is being deleted")
    if goal.revision is not None and service["revision"] != goal.revision:
        reason = service.get("note") or f"revision {service['revision']} was made active meanwhile"
        return _failed(service, goal, reason)
    if state in ("starting", "updating", "degraded"):
        return None
    counts = service["replicas"]
    wanted = counts["want"] if goal.replicas is None else goal.replicas
    if counts["want"] != wanted:
        return Outcome(False, f"it was scaled to {counts['want']} meanwhile")
    if state == "stopped":
        if wanted == 0:
            return Outcome(True) if not alive else None
        if goal.stopped and not goal.to_run:
            return Outcome(True)
        return Outcome(False, "it is stopped, until it is started" if goal.stopped else "it was stopped meanwhile")
    if goal.without & {each["id"] for each in alive}:
        return None
    surplus = goal.replicas is not None and len(alive) > wanted
    return Outcome(True) if counts["ready"] >= wanted and not surplus else None


def _failed(service: Mapping[str, Any], goal: Goal, reason: str) -> Outcome:
    """The log of another replica, or of one of another revision, would explain something else."""
    tried = service["revision"] if goal.revision is None else goal.revision
    said = {each["id"]: each for each in service.get("replica_list", ()) if each["revision"] == tried}
    for named in _REPLICA.findall(reason):
        if named in said:
            lines = (said[named].get("exit") or {}).get("tail") or ()
            return Outcome(False, reason, tuple(lines[-TAIL_LINES:]), named)
    return Outcome(False, reason)


class Following:
    """Follows one service towards a goal: fed with what is seen, it knows when there is nothing more to wait for."""

    def __init__(self, key: Key, goal: Goal, seconds: float = WAIT_SECONDS) -> None:
        self.key = key
        self.goal = goal
        self.seconds = seconds
        self.last: Mapping[str, Any] | None = None
        self.outcome: Outcome | None = None

    @property
    def name(self) -> str:
        return "/".join(self.key)

    def finished(self) -> bool:
        return self.outcome is not None

    def take(self, service: Mapping[str, Any]) -> bool:
        """True if it differs from the last one."""
        self.outcome = outcome(service, self.goal)
        new = service != self.last
        self.last = service
        return new

    def gone(self) -> None:
        """The service exists no more."""
        if self.goal.state != "removed":
            raise NotFound(f"{self.name} was deleted meanwhile.")
        self.outcome = Outcome(True)

    def late(self) -> WaitTimeout:
        state = "unknown" if self.last is None else self.last["state"]
        return WaitTimeout(
            f"{self.name} is {state}, not {self.goal.state}, after {self.seconds:g} s; it goes on all the same."
        )


def failure(service: Mapping[str, Any], result: Outcome) -> LaunchError:
    """The error for callers from Python: the reason, then the last log lines."""
    lines = "".join(f"\n    {line}" for line in result.tail)
    return LaunchError(f"{service['owner']}/{service['name']}: {result.reason}{lines}", stage="start")
