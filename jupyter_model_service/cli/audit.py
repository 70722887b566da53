"""The audit log as text for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..core.audit_words import changed, outcome
from .text import Paint, clean, moment

Json = Mapping[str, Any]

_LONGEST = 300  # characters of what changed; --json has all of it


def entry_line(entry: Json, paint: Paint) -> str:
    """When, who from where, what to which service, how it went, and what changed."""
    who = clean(entry["who"] or "-") + (f" from {clean(entry['address'])}" if entry["address"] else "")
    failed = entry["status"] >= 400
    times = f" ({entry['count']} times)" if entry["count"] > 1 else ""
    what = clean(changed(entry["before"], entry["after"], moment))
    said = [
        paint(moment(entry["at"]), "dim"),
        who,
        f"{clean(entry['action'])} {clean(entry['target'])}".strip(),
        paint(clean(outcome(entry["status"], entry["code"])), "red" if failed else None) + times,
        what if len(what) <= _LONGEST else what[: _LONGEST - 1] + "…",
    ]
    return "  ".join(part for part in said if part)
