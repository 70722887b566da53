"""Writes ``labextension/openapi.json``: what the panel's TypeScript types are generated from.

Run it with ``python docs/generate_openapi.py`` after a change to the HTTP API, then ``jlpm types`` in ``labextension/``
(``make docs`` does both). A test compares both files with the code, so that the panel cannot drift from its server.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from jupyter_model_service.server_extension.openapi import openapi_document

TARGET = Path(__file__).resolve().parent.parent / "labextension" / "openapi.json"


def text() -> str:
    document = openapi_document()
    document["info"]["version"] = "0"  # it changes no type, and would make each release a drift
    schemas = document["components"]["schemas"]
    sent = _named([operation.get("requestBody") for path in document["paths"].values() for operation in path.values()])
    while more := _named([schemas[name] for name in sent]) - sent:
        sent |= more
    for name, schema in schemas.items():
        # What has a default may be left out of a request, but an answer always has it.
        if name not in sent and "properties" in schema:
            schema["required"] = list(schema["properties"])
    return json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _named(part: Any) -> set[str]:
    return set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(part)))


if __name__ == "__main__":
    TARGET.write_text(text(), encoding="utf-8")
