"""Strict reading of plain JSON data whose sender may be hostile: each field is asked for once, and nothing is over."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

T = TypeVar("T")


class Fields:
    """The fields of one JSON object. Every method is a ``ValueError`` with one sentence when the field is missing or
    is not as it must be; the sentences name fields, never values, which may be secrets. ``what`` begins them."""

    def __init__(self, what: str, plain: object) -> None:
        if not isinstance(plain, Mapping) or not all(isinstance(key, str) for key in plain):
            raise ValueError(f"{what} must be an object.")
        self._what = what
        self._plain: Mapping[str, Any] = plain
        self._seen: set[str] = set()

    def finish(self) -> None:
        """Nothing must be left that nobody asked for."""
        if left := sorted(set(self._plain) - self._seen):
            raise ValueError(f'{self._what} have a field "{_short(left[0])}" that is not known here.')

    def text(self, name: str, *, pattern: str | None = None, most: int = 4096) -> str:
        """Not empty, one line; ``pattern`` is matched whole."""
        return self._text(name, self._take(name), pattern, most)

    def texts(self, name: str, *, most: int, pattern: str | None = None) -> tuple[str, ...]:
        return tuple(self._text(name, each, pattern, 4096) for each in self.items(name, most=most))

    def path(self, name: str) -> str:
        """Absolute, and as short as it can be written: no ``.`` or ``..``, no doubled or last slash."""
        path = self.text(name)
        steps = path.split("/")[1:]
        if path != "/" and (not path.startswith("/") or any(step in ("", ".", "..") for step in steps)):
            raise ValueError(f'{self._what}: "{name}" must be an absolute path without "." and "..".')
        return path

    def integer(self, name: str, *, least: int = 0, most: int = 1 << 62) -> int:
        value = self._take(name)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise ValueError(f'{self._what}: "{name}" must be a whole number from {least} to {most}.')
        return value

    def number(self, name: str, *, least: float, most: float) -> float:
        value = self._take(name)
        # A NaN is in no range.
        if not isinstance(value, int | float) or isinstance(value, bool) or not least <= value <= most:
            raise ValueError(f'{self._what}: "{name}" must be a number from {least:g} to {most:g}.')
        return float(value)

    def flag(self, name: str) -> bool:
        value = self._take(name)
        if not isinstance(value, bool):
            raise ValueError(f'{self._what}: "{name}" must be true or false.')
        return value

    def mapping(self, name: str) -> Mapping[str, Any]:
        value = self._take(name)
        if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
            raise ValueError(f'{self._what}: "{name}" must be an object.')
        return value

    def items(self, name: str, *, most: int) -> Sequence[Any]:
        value = self._take(name)
        if not isinstance(value, list) or len(value) > most:
            raise ValueError(f'{self._what}: "{name}" must be a list of at most {most}.')
        return value

    def optional(self, name: str, read: Callable[[], T]) -> T | None:
        """``None`` where it says null; it must be there all the same."""
        return None if self._take(name) is None else read()

    def _take(self, name: str) -> Any:
        if name not in self._plain:
            raise ValueError(f'{self._what} lack "{name}".')
        self._seen.add(name)
        return self._plain[name]

    def _text(self, name: str, value: object, pattern: str | None, most: int) -> str:
        if not isinstance(value, str) or not 0 < len(value) <= most or not value.isprintable():
            raise ValueError(f'{self._what}: "{name}" must be a text of 1 to {most} characters in one line.')
        if pattern is not None and not re.fullmatch(pattern, value):
            raise ValueError(f'{self._what}: "{name}" has not the form that it must have.')
        return value


def _short(name: str) -> str:
    readable = "".join(c if c.isprintable() else "?" for c in name)
    return readable if len(readable) <= 40 else readable[:37] + "..."
