"""What the verbs about who may do what with a service do."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ..client import access
from ..errors import InvalidRequest
from .results import AccessResult, DoneResult, Result
from .token_grammar import LIMITS

if TYPE_CHECKING:
    from .verbs import Session


def share(session: Session, arguments: argparse.Namespace) -> Result:
    whom = _whom(arguments)
    key = session.key(arguments)
    limits = {name: getattr(arguments, name) for name in LIMITS}
    made = [session.send(access.share(key, kind, name, arguments.role, limits)) for kind, name in whom]
    return DoneResult(f"Shared {'/'.join(key)} with {_said(whom)} as {arguments.role}.", {"shares": made})


def unshare(session: Session, arguments: argparse.Namespace) -> Result:
    whom = _whom(arguments)
    key = session.key(arguments)
    for kind, name in whom:
        session.send(access.unshare(key, kind, name))
    ended = [{"kind": kind, "name": name} for kind, name in whom]
    return DoneResult(f"{'/'.join(key)} is not shared with {_said(whom)} any more.", {"unshared": ended})


def show(session: Session, arguments: argparse.Namespace) -> Result:
    key = session.key(arguments)
    if arguments.origins is not None:
        session.send(access.open_to(key, arguments.origins))
    return AccessResult("/".join(key), session.send(access.show(key, arguments.user)))


def _whom(arguments: argparse.Namespace) -> list[tuple[str, str]]:
    found = [("user", name) for name in arguments.users] + [("group", name) for name in arguments.groups]
    if not found:
        raise InvalidRequest(f"Say with --user or --group whom to {arguments.verb} it with.")
    return found


def _said(whom: list[tuple[str, str]]) -> str:
    names = [name if kind == "user" else f"the group {name}" for kind, name in whom]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
