"""Text for terminals and files: colours only where they show, columns, and nothing that could steer a terminal."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Mapping, Sequence
from typing import IO, Any

_STYLES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}
#: What models print is shown; what would move the cursor, set titles or ask the terminal to answer is not, nor what
#: would show the rest of a line in another order than it is written in (U+202A to E, U+2066 to 9).
_CONTROL = re.compile(
    r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b.?"
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]"
)
#: What ``json.dumps`` leaves as it is though a terminal would obey it, and halves of characters, which no output takes.
_RAW_IN_JSON = re.compile("[\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")

_STATE_STYLES = {
    "ready": "green",
    "idle": "cyan",
    "starting": "yellow",
    "updating": "yellow",
    "degraded": "yellow",
    "deleting": "yellow",
    "unhealthy": "yellow",
    "failed": "red",
    "stopped": "dim",
    "gone": "dim",
}


def named(service: Mapping[str, Any]) -> str:
    """For lines that somebody is to type: the name alone is that of a service of her own."""
    name = str(service["name"])
    return name if service.get("role", "owner") == "owner" else f"{service['owner']}/{name}"


def colours(stream: IO[str]) -> bool:
    """On terminals only, and not where https://no-color.org asks for none."""
    return bool(stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb")


class Paint:
    """``paint("ready", "green")``; the text itself where there are no colours."""

    def __init__(self, on: bool) -> None:
        self.on = on

    def __call__(self, text: str, style: str | None) -> str:
        return f"\x1b[{_STYLES[style]}m{text}\x1b[0m" if self.on and style and text else text

    def state(self, state: str) -> str:
        return self(state, _STATE_STYLES.get(state))


def clean(text: object) -> str:
    """One line without control characters, for whatever a definition, a model or a log may hold."""
    return _CONTROL.sub("", str(text).replace("\n", " ").replace("\t", " "))


def json_text(content: object) -> str:
    """JSON for people and programs: letters of all scripts as they are, whatever could steer a terminal escaped."""
    text = json.dumps(content, indent=2, ensure_ascii=False)
    return _RAW_IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def clean_log(line: str, *, terminal: bool) -> str:
    """A log line: as it is into files and pipes; on a terminal colours stay, all other control characters go."""
    if not terminal:
        return line
    kept, end = [], 0
    for colour in _COLOUR.finditer(line):
        kept += [_CONTROL.sub("", line[end : colour.start()]), colour[0]]
        end = colour.end()
    reset = "\x1b[0m" if kept else ""
    return "".join(kept) + _CONTROL.sub("", line[end:]) + reset


def columns(header: Sequence[str], rows: Sequence[Sequence[str]], paint: Paint) -> str:
    """Left-aligned columns, two blanks apart. Cells may hold colours: these take no room."""
    table = [[paint(each, "bold") for each in header], *rows]
    widths = [max(_width(row[i]) for row in table) for i in range(len(header))]
    lines = [
        "  ".join(cell + " " * (width - _width(cell)) for cell, width in zip(row, widths, strict=True)) for row in table
    ]
    return "\n".join(line.rstrip() for line in lines)


def _width(text: str) -> int:
    return len(_COLOUR.sub("", text))


def moment(at: float) -> str:
    """Local time, to the second."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))
