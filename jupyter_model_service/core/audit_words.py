"""What an entry of the audit log says changed, in words: the same ones wherever people read it. Pure.

Nothing of it is made harmless here: whoever shows it takes out what would steer a terminal, or escapes it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timezone
from typing import Any

from .policy_limits import NUMBERS
from .sentences import lasting

__all__ = ["SECONDS", "changed", "in_utc", "outcome"]

_NOTHING = "-"
_TRIED = "tried "
_LAST = 1e11  # Unix time of the year 5138, which any clock can write
#: Fields that are durations, be it in the API or of what changed; the panel has them from here, too.
SECONDS = frozenset(
    {"expires_in", "overlap", "idle_after", "down_delay", "cooldown", "window"}
    | {each.name for each in NUMBERS if each.kind == "seconds"}
)
_BARE = re.compile(r"(?!yes$|no$)[\w./@+~#%=*?&-]*[\w/*](:[\w./@+~#%=*?&:-]+)?")


def outcome(status: int, code: str) -> str:
    """``200``, or ``403 forbidden``."""
    return f"{status} {code}".strip() if status >= 400 else str(status)


def in_utc(at: float) -> str:
    """``2026-11-30 08:00:00 UTC``, of a Unix time."""
    return datetime.fromtimestamp(at, timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")


def changed(
    was: Mapping[str, Any] | None, now: Mapping[str, Any] | None, moment: Callable[[float], str] = in_utc
) -> str:
    """``replicas: 1 -> 3``; for what was not there before, or is not any more, ``-``. Where there was nothing at all,
    or nothing is left, what there is, or was, alone. ``moment`` writes a Unix time, for fields such as ``expires_at``;
    those that are in seconds, such as ``expires_in``, are durations."""
    before, after = dict(_leaves(was, moment)), dict(_leaves(now, moment))
    both, said = bool(was and now), []
    for name in (*before, *(name for name in after if name not in before)):
        old, new = before.get(name, _NOTHING), after.get(name, _NOTHING)
        if both and not name.startswith(_TRIED):  # of what was tried in vain nothing has become
            said += [f"{name}: {old} -> {new}"] if old != new else []
        else:
            said.append(f"{name}: {new if old == _NOTHING else old}")
    return ", ".join(said)


def _leaves(state: Any, moment: Callable[[float], str], name: str = "") -> Iterator[tuple[str, str]]:
    """Each value that there is, with what leads to it: ``limits calls_per_day``."""
    for key, value in (state or {}).items():
        whole = f"{name} {_plain(str(key))}".strip()
        if isinstance(value, Mapping):
            yield from _leaves(value, moment, whole)
        elif (word := _timed(str(key), value, moment) or _word(value)) != _NOTHING:
            yield whole, word


def _timed(name: str, value: Any, moment: Callable[[float], str]) -> str:
    """Empty where it is no time; what somebody tried may be any number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return ""
    if name.endswith("_at") and 0 <= value < _LAST:
        return moment(value)
    return lasting(value) if name in SECONDS and 0 <= value < _LAST else ""


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
