"""The line of a shell that calls a model, for people to copy."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from ..commands.grammar import PROGRAM
from .scaling import may_sleep
from .text import clean

Json = Mapping[str, Any]


def how_to_call(service: Json) -> str:
    name = service["name"]
    if service["public"]:
        return call_line(service)
    make = f"\n  {PROGRAM} generate-token {name} --output {name}.token"
    return call_line(service, make, f'-H "Authorization: Bearer $(cat {name}.token)" ')


def call_line(service: Json, before: str = "", header: str = "") -> str:
    """The shell's line for an address that the model answers, which is its health check's: at the bare endpoint, most
    models have nothing."""
    active = [each["definition"] for each in service["revisions"] if each["number"] == service["revision"]]
    # A look at it is no call, though: a service that sleeps refuses it.
    check = (active[0].get("health_check") if active else None) or {}
    path = clean(check.get("path", ""))
    what = "Call it:" if path else "Call it (add a path that the model has):"
    if path and may_sleep(service):
        what, path = f"Call it (add a path that the model has; {path} does not wake it when it sleeps):", ""
    url = shlex.quote(f"{service['endpoint']}{path.removeprefix('/')}")
    return f"\n{what}{before}\n  curl {header}{url}"
