"""What the verbs about who may do what with a service do."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ..client import access
from ..client.calls import Call
from ..errors import InvalidRequest, ModelServiceError
from .results import AccessResult, DoneResult, Result
from .token_grammar import LIMITS

if TYPE_CHECKING:
    from .verbs import Session


def share(session: Session, arguments: argparse.Namespace) -> Result:
    whom = _whom(arguments)
    key = session.key(arguments)
    limits = {name: getattr(arguments, name) for name in LIMITS}
    made = _one_by_one(session, whom, lambda kind, name: access.share(key, kind, name, arguments.role, limits))
    each = _limits_said(limits)
    done = f"Shared {'/'.join(key)} with {access.said(whom)} as {arguments.role}{each}."
    told = [sentence for share in made for sentence in share.get("notices", ())]  # an older gateway has none
    return DoneResult(" ".join([done, *told]), {"shares": made})


def unshare(session: Session, arguments: argparse.Namespace) -> Result:
    """All of them, or, where it is not shared with one of them, none."""
    whom = _whom(arguments)
    key = session.key(arguments)
    shared = [(share["kind"], share["name"], share["role"]) for share in session.send(access.show(key))["shares"]]
    access.check_shared(key, whom, [(kind, name) for kind, name, _ in shared])
    _one_by_one(session, whom, lambda kind, name: access.unshare(key, kind, name))
    ended = [{"kind": kind, "name": name} for kind, name in whom]
    left = [(kind, name) for kind, name, _ in shared if kind == "group" and (kind, name) not in whom]
    still = f" Whoever is in {access.said(left, 'or')} may still use it." if left else ""
    return DoneResult(f"{'/'.join(key)} is not shared with {access.said(whom)} any more.{still}", {"unshared": ended})


def show(session: Session, arguments: argparse.Namespace) -> Result:
    key = session.key(arguments)
    if arguments.no_origins and arguments.origins is not None:
        raise InvalidRequest("Say either --no-origins, or with --origin whose pages may call it.")
    if arguments.no_origins or arguments.origins is not None:
        session.send(access.open_to(key, arguments.origins or []))
    return AccessResult("/".join(key), session.send(access.show(key, arguments.user)))


def _whom(arguments: argparse.Namespace) -> list[access.Whom]:
    found = access.each(arguments.users, arguments.groups)
    if not found:
        raise InvalidRequest(f"Say with --user or --group whom to {arguments.verb} it with.")
    return found


def _one_by_one(session: Session, whom: list[access.Whom], call: Callable[[str, str], Call[Any]]) -> list[Any]:
    made: list[Any] = []
    for each in whom:
        try:
            made.append(session.send(call(*each)))
        except ModelServiceError as error:
            access.tell_how_far(error, whom, len(made))
            raise
    return made


def _limits_said(limits: Mapping[str, Any]) -> str:
    words = {"calls_per_second": "per second", "in_flight": "at once", "calls_per_day": "a day"}
    given = [(limits[name], word) for name, word in words.items() if limits[name] is not None]
    said = [f"{count:,.10g} call{'' if count == 1 else 's'} {word}" for count, word in given]
    return f", each person with at most {' and '.join(said)}" if said else ""
