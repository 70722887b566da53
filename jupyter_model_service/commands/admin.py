"""What the verbs of administrators do."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ..client import admin, calls
from ..errors import InvalidRequest
from .admin_grammar import LIMITS
from .results import DoneResult, LimitsResult, OverviewResult, Result

if TYPE_CHECKING:
    from .verbs import Session


def show(session: Session, arguments: argparse.Namespace) -> Result:
    return OverviewResult(session.send(admin.overview()))


def gpus(session: Session, arguments: argparse.Namespace) -> Result:
    return OverviewResult(session.send(admin.overview()), gpus_only=True)


def limits(session: Session, arguments: argparse.Namespace) -> Result:
    changes = {name: getattr(arguments, name) for name in LIMITS if hasattr(arguments, name)}
    if arguments.clear and changes:
        raise InvalidRequest("--clear gives everything back: leave the other options out.")
    if arguments.clear:
        return LimitsResult(session.send(admin.unlimit(arguments.user)))
    if changes:
        return LimitsResult(session.send(admin.limit(arguments.user, changes)))
    return LimitsResult(session.send(admin.limits(arguments.user)))


def notice(session: Session, arguments: argparse.Namespace) -> Result:
    text = " ".join(arguments.text)
    if arguments.text and arguments.remove:
        raise InvalidRequest("Say either TEXT, what the notice is to be, or --remove.")
    if not text.strip() and not arguments.remove:
        raise InvalidRequest("Say with TEXT what the notice is to be, or take it back with --remove.")
    key = session.key(arguments)
    if arguments.remove:
        return DoneResult(f"{'/'.join(key)} has no notice any more.", session.send(admin.no_notice(key)))
    made = session.send(admin.notice(key, text))
    return DoneResult(f"The owner and the viewers of {'/'.join(key)} see your notice; callers do not.", made)


def stop(session: Session, arguments: argparse.Namespace) -> Result:
    key = session.key(arguments)
    stopped = session.send(calls.act(key, "stop"))
    return DoneResult(f"{'/'.join(key)} is stopped: its replicas end, and its owner may start it again.", stopped)
