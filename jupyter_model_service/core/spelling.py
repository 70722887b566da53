"""What people have written, as sentences about it quote it, and which of the known words they may have meant."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Path = tuple[str | int, ...]

_NEAR_LENGTH = 80  # characters; no key is that long


def where(path: Path) -> str:
    """``("models", 0, "service")`` as people write it: ``models[0].service``."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            word = step if re.fullmatch(r"[\w.-]{1,60}", step) else shown(step)
            text += f".{word}" if text else word
    return text


def shown(value: Any) -> str:
    """A value as it may be quoted in a sentence: short, and on one line."""
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if value is None:
        return "nothing"
    text = {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)
    text = text if len(text) <= 60 else text[:57] + "..."
    if not isinstance(value, str):
        return text
    return '"' + "".join("\\n" if c == "\n" else c if c.isprintable() else "?" for c in text) + '"'


def plain_key(key: str) -> str:
    """``healthCheck``, ``health-check`` and ``Health_Check`` all become ``health_check``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", key.strip()).replace("-", "_").replace(" ", "_").lower()


def near(word: str, known: Iterable[str], likeness: float = 0.75) -> list[str]:
    """The known words that ``word`` probably stands for, best first, at most three; ``likeness``: difflib's ratio."""
    if len(word) > _NEAR_LENGTH:
        return []
    known = list(known)
    parts = set(plain_key(word).split("_"))
    # `status_code` for `expected_status_code`: all words of the one are in the other.
    inside = [k for k in known if len(k) > 3 and parts < set(k.split("_")) and min(map(len, parts)) > 2]
    close = difflib.get_close_matches(plain_key(word), known, n=3, cutoff=likeness)
    return list(dict.fromkeys(close + inside))[:3]


def alternatives(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"
