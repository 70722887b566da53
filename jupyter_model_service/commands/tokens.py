"""What the verbs about tokens do."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..client import calls, tokens
from ..client.calls import Key
from ..client.units import show_duration
from ..errors import Conflict, InvalidRequest, NotFound
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
    _noticed(session, token)
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
    former = _found(session, key, arguments.token)["id"]
    token = session.send(tokens.rotate(key, former, arguments.overlap, arguments.expires))
    _noticed(session, token)
    if path is not None:
        try:
            write_token(path, token["token"])
        except OSError as error:
            session.send(tokens.revoke(key, token["id"]))
            raise InvalidRequest(
                f"{path} cannot be written ({error.strerror}); the new token was revoked again. The former, {former}, "
                f"ends in {show_duration(arguments.overlap)} all the same: rotate it once more before."
            ) from error
    return TokenResult(token, None, arguments.output, former, arguments.overlap)


def _noticed(session: Session, token: Mapping[str, Any]) -> None:
    for sentence in token.get("notices", ()):  # an older gateway has none
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
    limited = session.send(tokens.limit(key, _found(session, key, arguments.token)["id"], changes, paths, methods))
    return TokensResult([limited], changed=True)


def revoke(session: Session, arguments: argparse.Namespace) -> Result:
    key = session.key(arguments)
    found = _found(session, key, arguments.token)
    session.send(tokens.revoke(key, found["id"]))
    called = f" ({found['name']})" if found["name"] else ""
    return DoneResult(f"Revoked token {found['id']}{called} of {'/'.join(key)}.", dict(found))


def _found(session: Session, key: Key, wanted: str) -> Mapping[str, Any]:
    """By id, else by label."""
    known: Sequence[Mapping[str, Any]] = session.send(tokens.listing(key))["tokens"]
    found = [token for token in known if token["id"] == wanted] or [t for t in known if t["name"] == wanted]
    if not found:
        raise NotFound(f"{'/'.join(key)} has no token with that id or label; `tokens` lists them.")
    if len(found) > 1:
        ids = ", ".join(str(token["id"]) for token in found)
        raise Conflict(f"{len(found)} tokens are called {wanted!r}: name it by its id, one of {ids}.")
    return found[0]
