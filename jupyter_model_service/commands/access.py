"""What the verbs about who may do what with a service do."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ..client import access, calls
from ..client.calls import Call
from ..core.limits import Limits, limits_told
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
    told = session.send(access.show(key, arguments.user))
    # An older gateway does not say whether there is somebody to share with.
    people = bool(told["shares"]) or session.send(calls.info()).get("people", True)
    return AccessResult("/".join(key), told, people)


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
    given = Limits(**limits)
    return f", each person with {limits_told(given)}" if given.any else ""
