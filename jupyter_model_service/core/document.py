"""Documents that people write: their keys in tables, and the strict reading of single values by these tables.

``Reader`` collects everything that is wrong, instead of stopping at the first problem. Each ``read`` returns the value
in its frozen form, or ``WRONG`` after it has reported why not."""

from __future__ import annotations

import dataclasses
import json
import math
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ..errors import Problem
from .quantities import UNIT_VALUE, duration
from .spelling import Path, alternatives, near, plain_key, shown, where


@dataclass(frozen=True)
class Key:
    """One key. ``form`` says how its value is read:

    ``text``, ``line`` (text without line breaks), ``url_path``, ``folder`` (an absolute path), ``whole`` and
    ``number`` (within ``least``..``most``; ``above`` excludes the bound itself), ``seconds`` (such a number, or a
    duration such as ``15m``), ``decimal`` (any number, also as text), ``threshold`` (that, or text with a unit, which
    whoever knows the metric reads), ``flag``, ``id`` (a short name), ``ignored`` (anything; nobody looks at it),
    ``choice`` (one of ``choices``), ``arguments`` (a list of texts, not empty), ``lines`` (a list of texts, or one
    text), ``mode`` (octal permission bits), or a structure of its own: ``section``, ``list``, ``anything``,
    ``command``, ``shell``, ``kind``, ``ref``.
    """

    name: str
    form: str
    meaning: str
    default: Any = None
    required: bool = False
    least: float | None = None
    most: float | None = None
    above: float | None = None
    legacy: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    unit: str = ""  # of a plain number, for whoever writes 5s or 1m
    slips: tuple[str, ...] = ()  # what people write for it that does not look like it


@dataclass(frozen=True)
class Section:
    """One mapping of the file. ``place`` is its path as people read it; ``related`` are the sections in which
    a key that does not belong here may have been meant to stand. ``ours``: nobody else has keys there, so that one
    which is not known is a mistake, however little it looks like another."""

    place: str
    keys: Sequence[Key]
    related: tuple[str, ...] = ()
    ours: bool = False


def default_of(owner: type, name: str) -> Any:
    """The default that the dataclass gives: stated there and nowhere else."""
    value = next(f.default for f in dataclasses.fields(owner) if f.name == name)
    return None if value is dataclasses.MISSING else value


class Wrong:
    """The type of ``WRONG``: in place of a value that was reported and must not be used."""


WRONG: Final = Wrong()

ID_PATTERN = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,39}"  # to be matched whole; a UUID fits

UNKNOWN_TOLD = 20  # unknown keys of one document that are looked into: 60,000 of them took 17 s, on the event loop
_ANY_LIKENESS = 0.6  # where a key is wrong in any case, a guess costs nothing: `retries` and `retry` have 0.67

_NUMBERS = (int, float)


class Reader:
    """``lines`` are the 1-based lines of document paths, ``spelling`` the text of unquoted values that YAML reads
    as numbers or booleans: where text is wanted, ``1.10`` is the text "1.10" and not the number 1.1. ``sections`` are
    the mappings of the document by their places, for keys that stand in the wrong one. ``strict``: no key may be there
    that is not known, as in requests."""

    def __init__(
        self,
        lines: Mapping[Path, int] | None = None,
        spelling: Mapping[Path, str] | None = None,
        sections: Mapping[str, Section] | None = None,
        *,
        strict: bool = False,
    ) -> None:
        self.problems: list[Problem] = []
        self._unknown_keys = 0
        self._sections = sections or {}
        self.strict = strict
        self._lines = lines or {}
        self._spelling = spelling or {}
        self._forms: Mapping[str, Callable[[Any, Path, Key], Any]] = {
            "text": self._text,
            "line": self._one_line,
            "url_path": self._url_path,
            "folder": self._folder,
            "whole": self._number,
            "number": self._number,
            "seconds": self._seconds,
            "decimal": self._decimal,
            "threshold": self._threshold,
            "id": self._id,
            "ignored": lambda value, path, key: value,
            "flag": self._flag,
            "choice": self._choice,
            "arguments": self._arguments,
            "lines": self._text_lines,
            "mode": self._mode,
            "kind": self._text,
            "ref": self._text,
        }

    @property
    def failed(self) -> bool:
        return any(p.severity == "error" for p in self.problems)

    def error(self, path: Path, message: str) -> Wrong:
        self._report(path, message, "error")
        return WRONG

    def warning(self, path: Path, message: str) -> None:
        self._report(path, message, "warning")

    def _report(self, path: Path, message: str, severity: str) -> None:
        line = next((self._lines[path[:n]] for n in range(len(path), -1, -1) if path[:n] in self._lines), None)
        self.problems.append(Problem(where(path), message, line=line, severity=severity))

    # --- mappings ------------------------------------------------------------------------------------

    def mapping(
        self, value: Any, path: Path, keys: Sequence[Key], place: str, belongs: Mapping[str, str] | None = None
    ) -> dict[str, tuple[Any, Path]] | None:
        """The known keys that are set (``null`` is "not set", except for ``shell``), each with its value and path.

        Reports what is missing, given twice in two spellings, or unknown. ``belongs`` names the places where
        other keys belong, for those that stand in the wrong one.
        """
        if not isinstance(value, Mapping):
            self.error(path, f"must be a mapping with the keys {alternatives([k.name for k in keys])}")
            return None
        names = {name: key.name for key in keys for name in (key.name, *key.legacy)}
        found: dict[str, tuple[Any, Path]] = {}
        seen: dict[str, str] = {}
        for spelled, item in value.items():
            name = names.get(str(spelled).replace("-", "_"))
            here = (*path, str(spelled))
            if name is None:
                self._unknown(str(spelled), here, keys, place, belongs or {})
            elif name in seen:
                self.error(here, f"says the same as {seen[name]}, which is there too; keep one of them")
            else:
                seen[name] = str(spelled)
                if item is not None or name == "shell":
                    found[name] = (item, here)
        for key in keys:
            if key.required and key.name not in found:
                self.error((*path, seen.get(key.name, key.name)), f"is missing. {key.meaning}")
        return found

    def _unknown(self, spelled: str, here: Path, keys: Sequence[Key], place: str, belongs: Mapping[str, str]) -> None:
        self._unknown_keys += 1
        if self._unknown_keys > UNKNOWN_TOLD:
            if self._unknown_keys == UNKNOWN_TOLD + 1:
                self.error(here, f"is not known, after {UNKNOWN_TOLD} others that are not; is this what was meant?")
            return
        # A likely slip is an error: the key that was meant would silently have no effect. Any other unknown
        # key (a note, a field of a newer Backend.AI) only gets a warning, where there can be such keys.
        section = self._sections.get(place)
        strict = self.strict or (section is not None and section.ours)
        names = [name for key in keys for name in (key.name, *key.legacy)]
        close = [key.name for key in keys if plain_key(spelled) in key.slips] or near(spelled, names)
        if strict and not close:
            close = near(spelled, names, _ANY_LIKENESS)[:1]
        home = belongs.get(plain_key(spelled)) or self._home(plain_key(spelled), place)
        if home is not None:
            self.error(here, f"belongs in {home}; move it there (the indentation tells what it belongs to)")
        elif close:
            self.error(here, f"is not a known key; did you mean {alternatives(close)}?")
        else:
            known = alternatives(sorted({key.name for key in keys}))
            if strict:
                self.error(here, f"is not known; known here: {known}")
            else:
                self.warning(here, f"is not a known key and has no effect; known here: {known}")

    def _home(self, name: str, place: str) -> str | None:
        section = self._sections.get(place)
        for other in section.related if section else ():
            if any(name in (key.name, *key.legacy) for key in self._sections[other].keys):
                return self._sections[other].place or "the top level of the file"
        return None

    # --- values --------------------------------------------------------------------------------------

    def read(self, key: Key, value: Any, path: Path) -> Any:
        return self._forms[key.form](value, path, key)

    def text(self, value: Any, path: Path, wanted: str = "must be text") -> str | Wrong:
        if isinstance(value, (bool, *_NUMBERS)):
            value = self._spelling.get(path, value)
        if not isinstance(value, str):
            hint = f'; write it in quotes: "{shown(value)}"' if isinstance(value, (bool, *_NUMBERS)) else ""
            return self.error(path, f"{wanted}, not {shown(value)}{hint}")
        if "\0" in value:
            return self.error(path, "holds a NUL character, which no program can be given; take it out")
        return value

    def _text(self, value: Any, path: Path, key: Key) -> str | Wrong:
        text = self.text(value, path)
        if text == "" and key.name != "message":
            return self.error(path, "is empty; fill it in or take the key away")
        return text

    def _one_line(self, value: Any, path: Path, key: Key) -> str | Wrong:
        text = self._text(value, path, key)
        if isinstance(text, Wrong):
            return text
        if text.strip() != text or not text.isprintable():
            return self.error(path, "must be one line of printable text with no space around it")
        if key.most is not None and len(text) > key.most:
            return self.error(path, f"must be at most {key.most:.0f} characters long, not {len(text)}")
        return text

    def _url_path(self, value: Any, path: Path, key: Key) -> str | Wrong:
        text = self._one_line(value, path, key)
        if isinstance(text, Wrong):
            return text
        if not re.fullmatch(r"/[!-\"$-~]*", text):
            advice = f'write "/{text}"' if re.fullmatch(r"[\w.-]+", text, re.ASCII) else 'write it like "/health"'
            return self.error(
                path, f"must be a path that begins with / and has only URL characters, not {shown(text)}; {advice}"
            )
        return text

    def _folder(self, value: Any, path: Path, key: Key) -> str | Wrong:
        text = self._one_line(value, path, key)
        if isinstance(text, Wrong):
            return text
        if not text.startswith("/"):
            advice = "/models/" + text.removeprefix("./").removeprefix("models/")
            return self.error(path, f'must be an absolute path, and the model folder is at /models: "{advice}"')
        if ".." in text.split("/"):
            return self.error(path, "must not have .. in it; write the path without")
        return text.rstrip("/") or "/"

    def _number(self, value: Any, path: Path, key: Key) -> int | float | Wrong:
        whole = key.form == "whole"
        unit = f" ({key.unit})" if key.unit and isinstance(value, str) else ""
        wanted = f"must be a {'whole ' if whole else ''}number {_range(key)}{unit}"
        if isinstance(value, bool) or not isinstance(value, _NUMBERS):
            hint = f"; write {value} without quotes" if isinstance(value, str) and _is_number(value) else ""
            return self.error(path, f"{wanted}, not {shown(value)}{hint}")
        if not _is_finite(value) or (whole and value != int(value)):
            return self.error(path, f"{wanted}, not {shown(value)}")
        if not _is_within(value, key):
            return self.error(path, f"{wanted}, not {shown(value)}")
        return int(value) if whole else float(value)

    def _seconds(self, value: Any, path: Path, key: Key) -> int | float | Wrong:
        if not isinstance(value, str) or _is_number(value):
            return self._number(value, path, key)
        seconds = duration(value)
        if seconds is not None and _is_within(seconds, key):
            return seconds
        wanted = f"must be seconds, a number {_range(key)}, or a time such as 90s or 15m"
        return self.error(path, f"{wanted}, not {shown(value)}")

    def _threshold(self, value: Any, path: Path, key: Key) -> float | str | Wrong:
        unit = isinstance(value, str) and len(value) <= 30 and re.fullmatch(UNIT_VALUE, value.strip(), re.ASCII)
        return str(value).strip() if unit else self._decimal(value, path, key)

    def _decimal(self, value: Any, path: Path, key: Key) -> float | Wrong:
        number = value
        if isinstance(value, str) and re.fullmatch(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?", value.strip(), re.ASCII):
            number = float(value)
        if isinstance(number, bool) or not isinstance(number, _NUMBERS) or not _is_finite(number):
            return self.error(path, f"must be a number, not {shown(value)}")
        return float(number)

    def _id(self, value: Any, path: Path, key: Key) -> str | Wrong:
        text = self.text(value, path)
        if isinstance(text, str) and not re.fullmatch(ID_PATTERN, text):
            return self.error(path, f"must be a name of at most 40 letters, digits, dots, - and _, not {shown(text)}")
        return text

    def _flag(self, value: Any, path: Path, key: Key) -> bool | Wrong:
        if isinstance(value, bool):
            return value
        return self.error(path, f"must be true or false, not {shown(value)}")

    def _choice(self, value: Any, path: Path, key: Key) -> str | Wrong:
        if value in key.choices:
            return str(value)
        close = near(value, key.choices) if isinstance(value, str) else []
        hint = f"; did you mean {alternatives(close)}?" if close else ""
        return self.error(path, f"must be {alternatives(list(key.choices))}, not {shown(value)}{hint}")

    def texts(self, value: Sequence[Any], path: Path) -> list[str] | Wrong:
        items = [self.text(item, (*path, n)) for n, item in enumerate(value)]
        good = [item for item in items if isinstance(item, str)]
        return good if len(good) == len(items) else WRONG

    def _arguments(self, value: Any, path: Path, key: Key) -> list[str] | Wrong:
        if not isinstance(value, list):
            return self.error(path, f"must be a list of arguments, not {shown(value)}; {_as_list(value)}")
        if not value or value[0] in ("", None):
            return self.error(path, "is empty; its first entry is the program to run")
        return self.texts(value, path)

    def _text_lines(self, value: Any, path: Path, key: Key) -> list[str] | str | Wrong:
        if isinstance(value, list):
            return self.texts(value, path)
        return self.text(value, path, "must be a list of lines, or text")

    def _mode(self, value: Any, path: Path, key: Key) -> str | Wrong:
        text = self.text(value, path)
        if isinstance(text, Wrong):
            return text
        match = re.fullmatch(r"(?:0o|0)?([0-7]{3})", text)
        if match is None:
            return self.error(path, f'must be three octal digits such as "644", not {shown(text)}')
        return match.group(1)


def _is_finite(number: float) -> bool:
    try:
        return math.isfinite(number)
    except OverflowError:  # a whole number of 400 digits is no float
        return False


def _is_within(number: float, key: Key) -> bool:
    low = (key.least is not None and number < key.least) or (key.above is not None and number <= key.above)
    return not low and (key.most is None or number <= key.most)


def _as_list(value: Any) -> str:
    """How a command that was written as text looks as a list."""
    try:
        words = shlex.split(value) if isinstance(value, str) else []
    except ValueError:
        words = []
    return f"write {json.dumps(words or ['pip3', 'install', 'emoji'], ensure_ascii=False)}"


def _is_number(text: str) -> bool:
    return re.fullmatch(r"\d{1,15}(\.\d{1,15})?", text) is not None


def _range(key: Key) -> str:
    low = f"of at least {key.least:g}" if key.least is not None else f"above {key.above:g}"
    return low if key.most is None else f"{low} and at most {_digits(key.most)}"


def _digits(number: float) -> str:
    return str(int(number)) if number == int(number) else str(number)
