"""Writes the table of kinds in ``docs/first-model.md`` from the one that drafts are made by.

python docs/generate_first_model.py           writes it
python docs/generate_first_model.py --check   exits with 1 where it is not what would be written
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from generated_parts import main

from jupyter_model_service.workbench.kinds import KINDS, Field, Kind


def kinds() -> str:
    return "\n\n".join(section(kind) for kind in KINDS)


def section(kind: Kind) -> str:
    files = ", ".join(f"`{name}`" for name in kind.writes)
    rows = [f"| `{field.name}` | {meaning(field)} | {default(field)} |" for field in kind.fields]
    table = "\n".join(["| field | meaning | default |", "| --- | --- | --- |", *rows])
    return f"### `{kind.name}`: {kind.title}\n\n{kind.help} It may write {files}.\n\n{table}"


def meaning(field: Field) -> str:
    return f"{field.help} One of {', '.join(f'`{each}`' for each in field.choices)}." if field.choices else field.help


def default(field: Field) -> str:
    if field.default == "":
        return "must be given" if field.required else ""
    return f"`{field.default if isinstance(field.default, str) else json.dumps(field.default)}`"


if __name__ == "__main__":
    sys.exit(main(__file__, Path(__file__).with_name("first-model.md"), {"kinds": kinds}))
