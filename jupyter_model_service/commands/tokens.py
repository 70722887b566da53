"""What the verbs about tokens do."""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..client import calls, tokens
from ..client.calls import Key
from ..core.grants import unusual
from ..errors import InvalidRequest
from . import rotating
from .results import DoneResult, Result, TokenResult, TokensResult, UsesResult
from .token_file import check_target, write_token
from .token_grammar import LIMITS

if TYPE_CHECKING:
    from .verbs import Session


def generate(session: Session, arguments: argparse.Namespace) -> Result:
    path = check_target(arguments.output) if arguments.output is not None else None
    key = session.key(arguments)
    limits = {name: getattr(arguments, name) for name in LIMITS}
    token = session.send(
        tokens.generate(key, arguments.label, arguments.expires, limits, arguments.paths, arguments.methods)
    )
    _noticed(session, token, arguments.methods)
    if path is not None:
        try:
            write_token(path, token["token"])
        except OSError as error:
            session.send(tokens.revoke(key, token["id"]))
            raise InvalidRequest(
                f"{path} cannot be written ({error.strerror}); the token was revoked again."
            ) from error
    service = None if arguments.quiet or arguments.json else session.send(calls.get(key))
    return TokenResult(token, service, arguments.output)


def rotate(session: Session, arguments: argparse.Namespace) -> Result:
    path = check_target(arguments.output) if arguments.output is not None else None
    key = session.key(arguments)
    former = _found(session, key, arguments.token, as_family=True)
    token = session.send(tokens.rotate(key, former["id"], arguments.overlap, arguments.expires))
    former = rotating.ending(former, token, arguments.overlap)
    _noticed(session, token)
    if path is not None:
        try:
            write_token(path, token["token"])
        except OSError as error:
            session.send(tokens.revoke(key, token["id"]))
            raise InvalidRequest(
                f"{path} cannot be written ({error.strerror}); the new token was revoked again. The former, "
                f"{rotating.former_told(former, token)} and no longer: rotate it once more before."
            ) from error
    return TokenResult(token, None, arguments.output, former)


def _noticed(session: Session, token: Mapping[str, Any], methods: Sequence[str] | None = None) -> None:
    """An older gateway tells nothing of odd methods, or nothing at all."""
    for sentence in dict.fromkeys([*token.get("notices", ()), *unusual(methods or ())]):
        session.observer.notice(sentence)


def uses(session: Session, arguments: argparse.Namespace) -> Result:
    key = session.key(arguments)
    answer = session.send(tokens.uses(key, arguments.since))
    return UsesResult("/".join(key), answer, arguments.since, arguments.by_day)


def listing(session: Session, arguments: argparse.Namespace) -> Result:
    return TokensResult(session.send(tokens.listing(session.key(arguments)))["tokens"])


def limit(session: Session, arguments: argparse.Namespace) -> Result:
    changes = {name: getattr(arguments, name) for name in LIMITS}
    paths, methods = (tokens.KEEP if given is None else given for given in (arguments.paths, arguments.methods))
    if arguments.all_paths:
        if arguments.paths:
            raise InvalidRequest("Say either --all-paths, or with --path for which paths the token is.")
        paths = None
    if arguments.all_methods:
        if arguments.methods:
            raise InvalidRequest("Say either --all-methods, or with --method for which methods the token is.")
        methods = None
    if arguments.no_limits:
        changes = {name: None if value is tokens.KEEP else value for name, value in changes.items()}
    elif all(value is tokens.KEEP for value in (*changes.values(), paths, methods)):
        options = ", ".join(f"--{name.replace('_', '-')}" for name in LIMITS)
        raise InvalidRequest(
            f"Say which limit the token is to have: {options} or --no-limits; or what it is for: --path, --method, "
            "--all-paths or --all-methods."
        )
    key = session.key(arguments)
    of_all = paths is tokens.KEEP and methods is tokens.KEEP  # limits alone are of the family together
    found = _found(session, key, arguments.token, as_family=of_all)
    limited = session.send(tokens.limit(key, found["id"], changes, paths, methods))
    _noticed(session, limited, arguments.methods)
    return TokensResult([limited], changed=True)


def revoke(session: Session, arguments: argparse.Namespace) -> Result:
    key = session.key(arguments)
    found = _found(session, key, arguments.token)
    session.send(tokens.revoke(key, found["id"]))
    called = f" ({found['name']})" if found["name"] else ""
    return DoneResult(f"Revoked token {found['id']}{called} of {'/'.join(key)}.", dict(found))


def _found(session: Session, key: Key, wanted: str, *, as_family: bool = False) -> Mapping[str, Any]:
    known = session.send(tokens.listing(key))["tokens"]
    return rotating.chosen("/".join(key), known, wanted, time.time(), as_family=as_family)
