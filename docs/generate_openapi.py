"""Writes what the panel knows of the HTTP API: ``labextension/openapi.json``, which its TypeScript types are generated
from, and ``labextension/src/bounds.ts``, the least and the most of what requests may have, and which fields are
durations.

Run it with ``python docs/generate_openapi.py`` after a change to the HTTP API, then ``jlpm types`` in ``labextension/``
(``make docs`` does both). A test compares the files with the code, so that the panel cannot drift from its server.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from jupyter_model_service.core.audit_words import SECONDS
from jupyter_model_service.server_extension.openapi import openapi_document

PANEL = Path(__file__).resolve().parent.parent / "labextension"
TARGET = PANEL / "openapi.json"
BOUNDS = PANEL / "src" / "bounds.ts"
# Of JSON Schema; what is 'above' is without.
_WORDS = {
    "minimum": "least",
    "exclusiveMinimum": "above",
    "maximum": "most",
    "maxLength": "longest",
    "maxItems": "items",
}


def text() -> str:
    document = openapi_document()
    document["info"]["version"] = "0"  # it changes no type, and would make each release a drift
    schemas, sent = document["components"]["schemas"], _sent(document)
    for name, schema in schemas.items():
        # What has a default may be left out of a request, but an answer always has it.
        if name not in sent and "properties" in schema:
            schema["required"] = list(schema["properties"])
    return json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def bounds() -> str:
    document = openapi_document()
    lines = [
        "/** What the server says, written by docs/generate_openapi.py and not by hand. */",
        "",
        "/** The least and the most of what requests may have. */",
        "export const BOUNDS = {",
    ]
    for name in sorted(_sent(document)):
        of_fields = {
            field: found
            for field, schema in sorted(document["components"]["schemas"][name].get("properties", {}).items())
            if (found := _bounds(schema))
        }
        if of_fields:
            lines.append(f"  {name}: {{")
            lines += [f"    {field}: {{ {', '.join(found)} }}," for field, found in of_fields.items()]
            lines[-1] = lines[-1].removesuffix(",")
            lines.append("  },")
    lines[-1] = lines[-1].removesuffix(",")
    lines += ["} as const;", "", "/** Fields that are in seconds. */", "export const SECONDS: readonly string[] = ["]
    lines += [f"  '{name}'," for name in sorted(SECONDS)]
    lines[-1] = lines[-1].removesuffix(",")
    return "\n".join([*lines, "];"]) + "\n"


def _bounds(schema: dict[str, Any]) -> list[str]:
    """Of a field that may be null, too."""
    (schema,) = [each for each in schema.get("anyOf", [schema]) if each.get("type") != "null"] or [{}]
    return [f"{word}: {_number(schema[key])}" for key, word in _WORDS.items() if key in schema]


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)


def _sent(document: dict[str, Any]) -> set[str]:
    """The schemas of what is sent, and of what is in it."""
    schemas = document["components"]["schemas"]
    sent = _named([operation.get("requestBody") for path in document["paths"].values() for operation in path.values()])
    while more := _named([schemas[name] for name in sent]) - sent:
        sent |= more
    return sent


def _named(part: Any) -> set[str]:
    return set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(part)))


if __name__ == "__main__":
    TARGET.write_text(text(), encoding="utf-8")
    BOUNDS.write_text(bounds(), encoding="utf-8")
