"""The audit log as text for people."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from .text import Paint, clean, moment

Json = Mapping[str, Any]

_LONGEST = 300  # characters of what changed; --json has all of it


def entry_line(entry: Json, paint: Paint) -> str:
    """When, who from where, what to which service, how it went, and what changed."""
    who = clean(entry["who"] or "-") + (f" from {clean(entry['address'])}" if entry["address"] else "")
    failed = entry["status"] >= 400
    outcome = f"{entry['status']} {clean(entry['code'])}".strip() if failed else str(entry["status"])
    times = f" ({entry['count']} times)" if entry["count"] > 1 else ""
    said = [
        paint(moment(entry["at"]), "dim"),
        who,
        f"{clean(entry['action'])} {clean(entry['target'])}".strip(),
        paint(outcome, "red" if failed else None) + times,
        _changed(entry),
    ]
    return "  ".join(part for part in said if part)


def _changed(entry: Json) -> str:
    before, after = entry["before"], entry["after"]
    if not before and not after:
        return ""
    if not before or not after:
        return _text(before or after)
    return f"{_text(before)} -> {_text(after)}"


def _text(state: Any) -> str:
    text = clean(json.dumps(state))
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
