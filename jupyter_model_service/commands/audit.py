"""What the verbs about the audit log do."""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING, Any

from ..client import audit
from ..client.calls import Call, Key
from ..client.events import Reconnect
from ..core.audit_words import in_utc
from ..core.sentences import lasting
from ..errors import GatewayUnavailable, NotFound, TooMuchAtOnce
from .results import AuditResult, Json, Result

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .verbs import Session

_INTERVAL = 1.0  # seconds between two looks
_PATIENCE = 60.0


def of_service(session: Session, arguments: argparse.Namespace) -> Result:
    key = session.key(arguments)
    try:
        return _show(session, arguments, key, **_filters(arguments))
    except NotFound as error:
        said = (
            f"{error.message} What was done to one that is deleted, or is not shared with you, is for administrators "
        )
        raise NotFound(f"{said}and auditors: admin audit --service {'/'.join(key)}") from error


def of_all(session: Session, arguments: argparse.Namespace) -> Result:
    return _show(session, arguments, None, service=arguments.service, **_filters(arguments))


def _filters(arguments: argparse.Namespace) -> dict[str, Any]:
    asked = {name: getattr(arguments, name) for name in ("who", "since", "until")}
    return {**asked, "action": arguments.operation}


def _show(session: Session, arguments: argparse.Namespace, key: Key | None, **query: Any) -> Result:
    found = _pages(session, key, query, arguments.tail)
    if not (arguments.follow or arguments.json):
        answers = list(found)
        if answers and answers[-1].get("kept") is not None:
            session.observer.notice(f"Entries are kept for {lasting(answers[-1]['kept'])}.")
        of = query.get("service") or (None if key is None else "/".join(key))
        named = [("of", of), ("by", query["who"]), ("of the action", query["action"])]
        times = [(word, in_utc(at)) for word in ("since", "until") if (at := query[word]) is not None]
        about = [f" {word} {value}" for word, value in [*named, *times] if value is not None]
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
            yield _some(session, key, query, tail)
        return
    yield from _on(session, key, query, 0)


def _some(session: Session, key: Key | None, query: dict[str, Any], tail: int) -> Json:
    calls = audit.some(key, tail, **query)
    try:
        call = next(calls)
        while True:
            call = calls.send(_patiently(session, call))
    except StopIteration as end:
        return dict(end.value)


def _on(session: Session, key: Key | None, query: dict[str, Any], after: int) -> Iterator[Json]:
    """All behind ``after``, page by page."""
    more = True
    while more:
        answer = _patiently(session, audit.read(key, after=after, limit=audit.PAGE, **query))
        yield answer
        more, after = bool(answer["more"]), int(answer["next"])


def _patiently(session: Session, call: Call[Any]) -> Json:
    """Where too much is under way for her at once, again when the gateway says; a minute long, as an export by hand
    beside it may take that."""
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            answer: Json = session.send(call)
            return answer
        except TooMuchAtOnce as error:
            pause = error.retry_after or _INTERVAL
            if time.monotonic() + pause > end:
                raise
            session.observer.notice(f"{error.message} Waiting for {pause:g} s.")
            time.sleep(pause)


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
            for answer in _on(session, key, query, after):
                after = max(after, _tell(session, answer))
        except GatewayUnavailable as error:
            time.sleep(reconnect.lost(time.monotonic(), error))
            session.connection.locator.forget()
            continue
        reconnect.heard()
