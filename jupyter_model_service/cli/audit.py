"""The audit log as text for people."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from .text import Paint, clean, moment

Json = Mapping[str, Any]

_LONGEST = 300  # characters of what changed; --json has all of it
_NOTHING = "-"
_TRIED = "tried "
_BARE = re.compile(r"(?!yes$|no$)[\w./@+~#%=*?&-]*[\w/*](:[\w./@+~#%=*?&:-]+)?")


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
    """``replicas: 1 -> 3``; for what was not there before, or is not any more, ``-``. Where there was nothing at all,
    or nothing is left, what there is, or was, alone."""
    before, after = dict(_leaves(entry["before"])), dict(_leaves(entry["after"]))
    both, said = bool(entry["before"] and entry["after"]), []
    for name in (*before, *(name for name in after if name not in before)):
        was, now = before.get(name, _NOTHING), after.get(name, _NOTHING)
        if both and not name.startswith(_TRIED):  # of what was tried in vain nothing has become
            said += [f"{name}: {was} -> {now}"] if was != now else []
        else:
            said.append(f"{name}: {now if was == _NOTHING else was}")
    text = clean(", ".join(said))
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _leaves(state: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Each value that there is, with what leads to it: ``limits calls_per_day``."""
    for key, value in (state or {}).items():
        whole = f"{name} {_plain(str(key))}".strip()
        if isinstance(value, Mapping):
            yield from _leaves(value, whole)
        elif (word := _word(value)) != _NOTHING:
            yield whole, word


def _word(value: Any) -> str:
    if value is None or value in ("", [], {}):
        return _NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return f"[{', '.join(map(_word, value))}]"
    if isinstance(value, Mapping):
        return " ".join(
            f"{_plain(str(key))} {word}" for key, each in value.items() if (word := _word(each)) != _NOTHING
        )
    return f"{value:.15g}" if isinstance(value, float) else _plain(str(value))


def _plain(text: str) -> str:
    """What somebody wrote, in quotes where it could be taken for words of this line."""
    return text if _BARE.fullmatch(text) else json.dumps(text, ensure_ascii=False)
