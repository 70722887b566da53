"""Writes the tables of ``docs/definition.md`` from the table of keys that the parser and the JSON Schema read.
``--check``: only tells whether they are what would be written.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from generated_parts import main

from jupyter_model_service.core.definition.keys import (
    ACTION,
    ACTION_MEANING,
    ACTIONS,
    AFFINITY,
    HEALTH_CHECK,
    MODEL,
    SERVICE,
    SERVING,
    TOP,
)
from jupyter_model_service.core.document import Key
from jupyter_model_service.core.scaling.keys import AUTOSCALING, RULE, SCHEDULE

PAGE = Path(__file__).with_name("definition.md")

FORMS = {
    "text": "text",
    "line": "text, one line",
    "url_path": "path of a URL",
    "folder": "absolute path",
    "whole": "whole number",
    "number": "number",
    "seconds": "number, or a time such as `15m`",
    "decimal": "number, also as text",
    "threshold": "number, also with its unit",
    "id": "name",
    "ignored": "anything",
    "flag": "`true` or `false`",
    "choice": "one of",
    "arguments": "list of texts",
    "lines": "text, or list of texts",
    "mode": "octal digits",
    "section": "mapping",
    "anything": "mapping",
    "list": "list",
    "command": "list of texts, or text",
    "shell": "text or `null`",
    "kind": "name of an action",
    "ref": "name",
}


def form(key: Key) -> str:
    words = FORMS[key.form]
    if key.form == "choice":
        return f"{words} {', '.join(f'`{choice}`' for choice in key.choices)}"
    if key.form not in ("whole", "number", "seconds"):
        return words
    low = f"≥ {key.least:g}" if key.least is not None else f"> {key.above:g}"
    return f"{words}, {low}" + ("" if key.most is None else f", ≤ {int(key.most)}")


def default(key: Key) -> str:
    if key.required:
        return "**required**"
    return "none" if key.default is None else f"`{json.dumps(key.default)}`"


def table(keys: Sequence[Key]) -> str:
    rows = ["| key | value | default | meaning |", "| --- | --- | --- | --- |"]
    for key in keys:
        also = "".join(f" (also `{name}`)" for name in key.legacy)
        rows.append(f"| `{key.name}`{also} | {form(key)} | {default(key)} | {key.meaning} |")
    return "\n".join(rows)


def actions() -> str:
    return "\n\n".join(f"### `{kind}`\n\n{ACTION_MEANING[kind]}\n\n{table(keys)}" for kind, keys in ACTIONS.items())


PARTS = {
    "top": lambda: table(TOP),
    "model": lambda: table(MODEL),
    "service": lambda: table(SERVICE),
    "action": lambda: table(ACTION),
    "actions": actions,
    "health_check": lambda: table(HEALTH_CHECK),
    "serving": lambda: table(SERVING),
    "affinity": lambda: table(AFFINITY),
    "autoscaling": lambda: table(AUTOSCALING),
    "rules": lambda: table(RULE),
    "schedules": lambda: table(SCHEDULE),
}


if __name__ == "__main__":
    sys.exit(main(__file__, PAGE, PARTS))
