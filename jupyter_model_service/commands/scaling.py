"""What the verbs about autoscaling do."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ..client import calls, scaling
from ..client.calls import Key, given
from ..client.events import Reconnect
from ..client.light import Connection
from ..errors import GatewayUnavailable, NotFound
from .parser import UsageError
from .results import AutoscalingResult, DecisionsResult, DoneResult, Json, Result, RulesResult, SchedulesResult

if TYPE_CHECKING:
    from .verbs import Session

_KEPT = 100  # decisions that the gateway remembers
_LOOK_EACH = 1.0  # seconds; half of the time between two decisions
_ZONES = "zoneinfo/"


def autoscale(session: Session, arguments: argparse.Namespace) -> Result:
    changes = scaling.settings(
        arguments.min,
        arguments.max,
        arguments.target_concurrency,
        arguments.target,
        arguments.idle_after,
        arguments.down_delay,
    )
    if changes and (arguments.off or arguments.resume):
        other = "--off" if arguments.off else "--resume"
        raise UsageError(f"{other} goes with no other option.", arguments.verb)
    key = session.key(arguments)
    if arguments.off:
        service = session.send(scaling.end(key))
        count = service["replicas"]["want"]
        told = f"{'/'.join(key)} is not autoscaled any more: it stays at {count} until it is scaled."
        return DoneResult(told, service)
    if arguments.resume:
        session.send(scaling.resume(key))
    elif changes:
        _noticed(session, session.send(scaling.change(key, changes)))
    return _policy(session, key)


def _policy(session: Session, key: Key) -> AutoscalingResult:
    return AutoscalingResult(session.send(calls.get(key)))


def add_rule(session: Session, arguments: argparse.Namespace) -> Result:
    names = ("above", "below", "step", "cooldown", "window", "min", "max")
    rule = scaling.rule(arguments.metric, {name: getattr(arguments, name) for name in names})
    key = session.key(arguments)
    return RulesResult("/".join(key), _noticed(session, session.send(scaling.add_rule(key, rule))), added=True)


def list_rules(session: Session, arguments: argparse.Namespace) -> Result:
    key = session.key(arguments)
    return RulesResult("/".join(key), _there(session, key))


def remove_rule(session: Session, arguments: argparse.Namespace) -> Result:
    key = session.key(arguments)
    info = session.send(scaling.remove_rule(key, arguments.rule))
    return DoneResult(f"Removed rule {arguments.rule} of {'/'.join(key)}.", info)


def add_schedule(session: Session, arguments: argparse.Namespace) -> Result:
    key = session.key(arguments)
    schedule = {
        "when": arguments.when,
        "timezone": arguments.timezone or _zone_here(arguments.verb),
        "duration": arguments.duration,
        "min": arguments.min,
        "max": arguments.max,
    }
    info = _noticed(session, session.send(scaling.add_schedule(key, given(schedule))))
    return SchedulesResult("/".join(key), info, added=True)


def list_schedules(session: Session, arguments: argparse.Namespace) -> Result:
    key = session.key(arguments)
    return SchedulesResult("/".join(key), _there(session, key))


def remove_schedule(session: Session, arguments: argparse.Namespace) -> Result:
    key = session.key(arguments)
    info = session.send(scaling.remove_schedule(key, arguments.schedule))
    return DoneResult(f"Removed schedule {arguments.schedule} of {'/'.join(key)}.", info)


def _noticed(session: Session, info: Json) -> Json:
    for sentence in info.get("notices", ()):
        session.observer.notice(sentence)
    return info


def _there(session: Session, key: Key) -> Json:
    info: Json | None = session.send(calls.get(key))["autoscaling"]
    if info is None:
        raise NotFound(f"{'/'.join(key)} is not autoscaled: it has neither rules nor schedules.")
    return info


def _zone_here(verb: str) -> str:
    zone = local_zone()
    if zone is None:
        raise UsageError("The name of this machine's time zone is not known: add --timezone, as in Asia/Seoul.", verb)
    return zone


def local_zone(localtime: str = "/etc/localtime") -> str | None:
    """The IANA name of this machine's time zone; ``None`` where it has one, but no name of it is known: rules such as
    ``KST-9``, or a ``localtime`` that is a copy. UTC where it has none."""
    named = os.environ.get("TZ")
    if named is None:
        if not os.path.exists(localtime):
            return "UTC"
        named = os.path.realpath(localtime)
    named = named.removeprefix(":").rpartition(_ZONES)[2]
    try:
        return "UTC" if named in ("", "Etc/UTC") else ZoneInfo(named).key
    except (ZoneInfoNotFoundError, ValueError):
        return None


def explain(session: Session, arguments: argparse.Namespace) -> Result:
    key = session.key(arguments)
    if arguments.follow:
        for decision in follow(session.connection, key, arguments.last):
            session.observer.decision(decision)
        return DecisionsResult(None, None)
    service = session.send(calls.get(key))
    return DecisionsResult(service, session.send(scaling.decisions(key, arguments.last))["decisions"])


def follow(connection: Connection, key: Key, last: int, pause: Callable[[float], None] = time.sleep) -> Iterator[Json]:
    """The last decisions, then each new one; one that is the same as the one before but for its figures is none. Over a
    gateway that is restarted; raises ``NotFound`` when the service is deleted."""
    seen = float("-inf")
    limit, reconnect = last, Reconnect()
    while True:
        try:
            found = connection.send(scaling.decisions(key, limit))["decisions"]
        except GatewayUnavailable as error:
            pause(reconnect.lost(time.monotonic(), error))
            connection.locator.forget()
            continue
        reconnect.heard()
        for each in found:
            if each["since"] > seen:
                seen = each["since"]
                yield each
        limit = _KEPT
        pause(_LOOK_EACH)
