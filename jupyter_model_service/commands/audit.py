"""What the verbs about the audit log do."""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING, Any

from ..client import audit
from ..client.calls import Key
from ..client.events import Reconnect
from ..core.sentences import lasting
from ..errors import GatewayUnavailable
from .results import AuditResult, Json, Result

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .verbs import Session

_INTERVAL = 1.0  # seconds between two looks


def of_service(session: Session, arguments: argparse.Namespace) -> Result:
    return _show(session, arguments, session.key(arguments), who=arguments.who)


def of_all(session: Session, arguments: argparse.Namespace) -> Result:
    return _show(session, arguments, None, who=arguments.who, service=arguments.service)


def _show(session: Session, arguments: argparse.Namespace, key: Key | None, **query: Any) -> Result:
    found = _pages(session, key, query, arguments.tail)
    if not (arguments.follow or arguments.json):
        answers = list(found)
        if answers and answers[-1].get("kept") is not None:
            session.observer.notice(f"Entries are kept for {lasting(answers[-1]['kept'])}.")
        of = query.get("service") or (None if key is None else "/".join(key))
        about = [f" {word} {value}" for word, value in (("of", of), ("by", query["who"])) if value is not None]
        nothing = "" if arguments.tail == 0 else f"No entries{''.join(about)}."
        return AuditResult([entry for answer in answers for entry in answer["entries"]], nothing)
    after = 0
    for answer in found:
        after = _tell(session, answer)
    if arguments.follow:
        if arguments.tail == 0:
            after = int(session.send(audit.read(key, limit=1, newest=True, **query))["next"])
        _follow(session, key, query, after)
    return AuditResult(None)


def _pages(session: Session, key: Key | None, query: dict[str, Any], tail: int | None) -> Iterator[Json]:
    """The last ``tail`` entries, or all of them, page by page."""
    if tail is not None and tail <= audit.PAGE:
        if tail:
            yield session.send(audit.read(key, limit=tail, newest=True, **query))
        return
    after = 0
    while True:
        answer = session.send(audit.read(key, after=after, limit=audit.PAGE, **query))
        yield answer
        if len(answer["entries"]) < audit.PAGE:
            return
        after = answer["next"]


def _tell(session: Session, answer: Json) -> int:
    for entry in answer["entries"]:
        session.observer.entry(entry)
    return int(answer["next"])


def _follow(session: Session, key: Key | None, query: dict[str, Any], after: int) -> None:
    """Over a gateway that is restarted: its log is the same."""
    reconnect = Reconnect()
    reconnect.heard()
    while True:
        time.sleep(_INTERVAL)
        try:
            after = max(after, _tell(session, session.send(audit.read(key, after=after, limit=audit.PAGE, **query))))
        except GatewayUnavailable as error:
            time.sleep(reconnect.lost(time.monotonic(), error))
            session.connection.locator.forget()
            continue
        reconnect.heard()
