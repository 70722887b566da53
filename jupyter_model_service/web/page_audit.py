"""The page of the audit log, for administrators and auditors: its newest entries, those that somebody looks for, and
all of these as a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from urllib.parse import urlencode

from ..core.audit import AuditQuery, Entry
from ..core.audit_search import ACTIONS, check_action
from ..core.audit_words import changed, in_utc, outcome
from ..core.sentences import lasting
from ..errors import InvalidRequest
from .audit import PAGE, exported
from .download import Download
from .page import Html, PageCall
from .queries import LARGEST
from .rendered import moment, rendered

__all__ = ["audit", "save_audit"]

MOST = 100  # entries of a page; fewer where those are long
_LONGEST = {"who": 300, "action": 100, "about": 300, "since": 10}


@dataclass(frozen=True)
class Line:
    at: str
    who: str
    address: str
    action: str
    target: str
    outcome: str
    failed: bool
    count: int
    changed: str


@dataclass(frozen=True)
class Shown:
    """``older`` and ``save`` are addresses; ``older`` is empty where there is nothing older. ``find`` is of the forms
    of all pages."""

    visitor: str
    admin: bool
    xsrf: str
    now: str
    kept: str
    who: str
    action: str
    about: str
    since: str
    actions: Sequence[str]
    lines: Sequence[Line]
    filtered: bool
    newest: str
    older: str
    save: str
    find: str = ""


async def audit(call: PageCall) -> Html:
    log, given = call.parts.engine.audit, _given(call)
    wanted = replace(await _query(call, given), before=_before(call), limit=MOST, newest=True)
    found = await log.page(wanted, PAGE, call.caller.name)
    entries, more = found.entries, found.more
    person = call.person.caller.person
    shown = Shown(
        visitor=person.name if person is not None else call.caller.name,
        admin=call.person.administrator,
        xsrf=call.person.xsrf,
        now=moment(datetime.now(timezone.utc).timestamp()),
        kept="" if log.kept is None else lasting(log.kept),
        **given,
        actions=sorted(ACTIONS),
        lines=[_line(entry) for entry in reversed(entries)],
        filtered=any(given.values()),
        newest=_address("audit", given) if "before" in call.query else "",
        older=_address("audit", {**given, "before": str(entries[0].id)}) if more else "",
        save=_address("audit.jsonl", given),
    )
    return rendered("audit.html", shown)


async def save_audit(call: PageCall) -> Download:
    """All that the same form finds, also what is older than the page, the oldest first."""
    return exported(call.parts, await _query(call, _given(call)), call.caller.name, of_everything=True)


def _given(call: PageCall) -> dict[str, str]:
    given = {name: call.query.get(name, "").strip() for name in _LONGEST}
    for name, text in given.items():
        if len(text) > _LONGEST[name]:
            raise InvalidRequest(f"What is looked for in “{name}” is longer than {_LONGEST[name]} characters.")
    return given


async def _query(call: PageCall, given: dict[str, str]) -> AuditQuery:
    about = given["about"]
    one = "/" in about or ":" in about  # one service, or user:alice; else all of an owner
    if about and not one and not await call.parts.engine.audit.find(AuditQuery(owner=about, limit=1)):
        raise InvalidRequest(f"Nothing in the log is of an owner '{about}': write a service as OWNER/NAME.")
    return AuditQuery(
        who=given["who"] or None,
        action=_action(given["action"]),
        target=about if about and one else None,
        owner=about if about and not one else None,
        since=_since(given["since"]),
    )


def _action(name: str) -> str | None:
    try:
        return check_action(name) if name else None
    except InvalidRequest as error:
        raise InvalidRequest(f"Action '{name}': {error.message}.") from None


def _since(day: str) -> float | None:
    if not day:
        return None
    try:
        return datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=timezone.utc).timestamp()
    except ValueError:
        raise InvalidRequest(f"'{day}' is no day: write it as 2026-11-30.") from None


def _before(call: PageCall) -> int | None:
    text = call.query.get("before", "")
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 20 and int(text) <= LARGEST):
        raise InvalidRequest("This address names no entry to go on from: open the newest ones and go on from there.")
    return int(text)


def _address(page: str, given: dict[str, str]) -> str:
    said = urlencode({name: text for name, text in given.items() if text})
    return f"{page}?{said}" if said else page


def _line(entry: Entry) -> Line:
    return Line(
        at=in_utc(entry.at),
        who=entry.who or "-",
        address=entry.address,
        action=entry.action,
        target=entry.target,
        outcome=outcome(entry.status, entry.code),
        failed=entry.status >= 400,
        count=entry.count,
        changed=changed(entry.before, entry.after),
    )
