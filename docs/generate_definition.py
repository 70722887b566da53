"""Writes the tables of ``docs/definition.md`` from the table of keys that the parser and the JSON Schema read.

python docs/generate_definition.py           writes them
python docs/generate_definition.py --check   exits with 1 where they are not what would be written
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from jupyter_model_service.core.definition.keys import (
    ACTION,
    ACTION_MEANING,
    ACTIONS,
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
    "decimal": "number, also as text",
    "id": "name",
    "ignored": "anything",
    "flag": "`true` or `false`",
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
    if key.form not in ("whole", "number"):
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
    "autoscaling": lambda: table(AUTOSCALING),
    "rules": lambda: table(RULE),
    "schedules": lambda: table(SCHEDULE),
}


def generated(page: str) -> str:
    """The page with every marked part as it should be."""

    def part(match: re.Match[str]) -> str:
        return f"<!-- begin {match[1]} -->\n\n{PARTS[match[1]]()}\n\n<!-- end {match[1]} -->"

    return re.sub(r"<!-- begin (\w+) -->.*?<!-- end \1 -->", part, page, flags=re.DOTALL)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="only tell whether the page is up to date")
    arguments = parser.parse_args(argv)
    page = PAGE.read_text("utf-8")
    fresh = generated(page)
    missing = [name for name in PARTS if f"<!-- begin {name} -->" not in page]
    if missing:
        print(f"{PAGE}: has no place for {', '.join(missing)}", file=sys.stderr)
        return 1
    if arguments.check:
        if page != fresh:
            print(f"{PAGE}: is out of date; run python docs/generate_definition.py", file=sys.stderr)
        return int(page != fresh)
    PAGE.write_text(fresh, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
