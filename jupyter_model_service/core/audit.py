"""What is written down of a control action, or of a denied one. Pure."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .fairness import line_of

__all__ = [
    "DENIED", "GATEWAY", "AuditPage", "AuditQuery", "Entry", "Folding", "bounded", "differences", "json_line", "plain",
    "who_of",
]  # fmt: skip

#: Statuses of what somebody may not do, or may not even know of.
DENIED = frozenset({401, 403, 404})

GATEWAY = "gateway"  # who did what nobody has asked for


def who_of(caller: str) -> str:
    """A caller as the log names her: one called ``gateway`` otherwise than the gateway itself. Nobody else's name has a
    colon in it but those of programs (``names.owner_from``)."""
    return f"user:{caller}" if caller == GATEWAY else caller


@dataclass(frozen=True)
class Entry:
    """``at``: Unix time. ``who``: the caller's name (:func:`who_of`), ``gateway`` for what it does by itself, empty
    where nobody is known; ``address``: from where. ``action``: the operation's name in the API's document; ``target``:
    ``owner/name`` of a service, or whatever else it is about. ``status`` and ``code`` are the answer's. ``before`` and
    ``after`` hold what changed and nothing that is secret; ``after`` also what was ``tried`` in vain. ``count``: of
    denied ones, how many there were of these one after the other. ``id`` is the log's, 0 before it is in there; ids
    grow and are never used again."""

    at: float
    who: str
    address: str
    action: str
    target: str = ""
    status: int = 200
    code: str = ""
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None
    request_id: str = ""
    count: int = 1
    id: int = 0


@dataclass(frozen=True)
class AuditQuery:
    """Entries with an id above ``after`` and below ``before``: the first ``limit`` of them, or with ``newest`` the
    last. ``owner``: of this user's services. ``since`` and ``until`` are Unix times (from the one, before the other);
    ``None`` for whatever does not matter."""

    after: int = 0
    before: int | None = None
    limit: int = 100
    newest: bool = False
    who: str | None = None
    action: str | None = None
    target: str | None = None
    owner: str | None = None
    since: float | None = None
    until: float | None = None


@dataclass(frozen=True)
class AuditPage:
    """Some of what a query finds, oldest first. ``more``: there are others that it is about, behind these, or before
    them where the query wants the newest."""

    entries: Sequence[Entry]
    more: bool


def plain(entry: Entry) -> dict[str, Any]:
    """As JSON has it, field by field."""
    found = {field.name: getattr(entry, field.name) for field in dataclasses.fields(entry)}
    return {"id": found.pop("id"), **found}


def json_line(entry: Entry) -> bytes:
    """One line of an export, with its end. ASCII only: whatever somebody calls a service cannot end a line, begin
    another one, or steer a terminal. Nor is there a NaN in it, which JSON has not (RFC 8259), whatever an older version
    has written down."""
    try:
        return _line(entry)
    except ValueError:
        return _line(bounded(entry))


def _line(entry: Entry) -> bytes:
    return json.dumps(plain(entry), separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode() + b"\n"


LONGEST = 300  # characters of a name; who asks for what is not there may write anything
LARGEST = 32 << 10  # characters of what changed
_SHORTENED = 100  # characters of a value that cannot be made shorter by saying how long it is


def bounded(entry: Entry) -> Entry:
    """As it can be written, whatever is in it: one entry that no database takes would hold up all others."""
    return dataclasses.replace(
        entry,
        who=_text(entry.who),
        address=_text(entry.address),
        action=_text(entry.action),
        target=_text(entry.target),
        code=_text(entry.code),
        request_id=_text(entry.request_id),
        before=_state(entry.before),
        after=_state(entry.after),
    )


def _text(text: str) -> str:
    text = text.encode("utf-8", "replace").decode()
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _state(state: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if not state:
        return None
    text = json.dumps(state, default=str, ensure_ascii=False).encode("utf-8", "replace").decode()
    found: dict[str, Any] = json.loads(text, parse_constant=str)  # "NaN", "Infinity"
    # Nobody hides what she changed behind something long: what is too long goes alone, the longest first.
    while len(text) > LARGEST:
        sizes = {key: len(json.dumps(value, ensure_ascii=False)) for key, value in found.items()}
        longest = max(sizes, key=sizes.__getitem__)
        if sizes[longest] <= _SHORTENED:
            return {"too_long": len(text), "keys": [_text(key) for key in list(found)[:50]]}
        found[longest] = {"too_long": sizes[longest]}
        text = json.dumps(found, ensure_ascii=False)
    return found


def differences(
    before: Mapping[str, Any] | None, after: Mapping[str, Any] | None
) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """What of both is not the same. Of what was made or ended, all of it; mappings within are compared key by key."""
    if before is None or after is None:
        return (None if before is None else dict(before)), (None if after is None else dict(after))
    was: dict[str, Any] = {}
    became: dict[str, Any] = {}
    for key in (*before, *(key for key in after if key not in before)):
        old, new = before.get(key), after.get(key)
        if old == new:
            continue
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            old, new = differences(old, new)
        if key in before:
            was[key] = old
        if key in after:
            became[key] = new
    return was, became


MOST_TARGETS = 20  # of one caller's denials that are told apart in a minute; a search has thousands
MOST_FOLDED = 5_000  # entries that wait at once; whoever has a network of addresses does not fill a disk
OTHERS = "others"


class Folding:
    """Denied actions, of which those of one kind are one entry with a count. ``seconds``: how long one is waited for
    more of it. Whatever comes, what is kept is bounded, and nothing is left out of the counts."""

    def __init__(self, seconds: float = 60.0) -> None:
        self._seconds = seconds
        self._folded: dict[tuple[str, ...], Entry] = {}
        self._targets: dict[tuple[str, ...], int] = {}  # by address and name

    def __len__(self) -> int:
        return len(self._folded)

    def add(self, entry: Entry) -> None:
        key = self._key(entry)
        if key not in self._folded:
            if self._targets.get(key[:2], 0) >= MOST_TARGETS:
                entry = dataclasses.replace(entry, target="")
            if len(self._folded) >= MOST_FOLDED:
                entry = dataclasses.replace(entry, target="", address=OTHERS, who="")
            key = self._key(entry)
        there = self._folded.get(key)
        if there is not None:
            self._folded[key] = dataclasses.replace(there, count=there.count + entry.count)
            return
        self._folded[key] = entry
        if entry.target:
            self._targets[key[:2]] = self._targets.get(key[:2], 0) + 1

    def _key(self, entry: Entry) -> tuple[str, ...]:
        """By whom first. Of IPv6 a network is one caller, of whom the first address is told (``fairness.line_of``)."""
        line = line_of(entry.address.encode("utf-8", "replace")).decode("utf-8", "replace") if entry.address else ""
        return line, entry.who, entry.action, str(entry.status), entry.code, entry.target

    def due(self, now: float | None = None) -> list[Entry]:
        """Those that began long enough ago (``now``: Unix time), or all of them; they are not kept any more."""
        found = {key: entry for key, entry in self._folded.items() if now is None or now >= entry.at + self._seconds}
        for key, entry in found.items():
            del self._folded[key]
            if entry.target:
                self._targets[key[:2]] -= 1
                if not self._targets[key[:2]]:
                    del self._targets[key[:2]]
        return list(found.values())

    def next_at(self) -> float | None:
        """When one of them is due; they are in the order in which they began."""
        return next((entry.at + self._seconds for entry in self._folded.values()), None)
