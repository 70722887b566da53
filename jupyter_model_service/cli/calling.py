"""The line of a shell that calls a model, for people to copy."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from ..commands.grammar import PROGRAM
from ..core.grants import SAFE, PathRule, may
from .scaling import may_sleep
from .text import clean

Json = Mapping[str, Any]


def how_to_call(service: Json) -> str:
    name = service["name"]
    if service["public"]:
        return call_line(service)
    make = f"\n  {PROGRAM} generate-token {name} --output {name}.token"
    return call_line(service, make, f'-H "Authorization: Bearer $(cat {name}.token)" ')


def call_line(service: Json, before: str = "", header: str = "", rules: Sequence[Json] | None = None) -> str:
    """The shell's line for an address that the model answers, which is its health check's: at the bare endpoint, most
    models have nothing. With ``rules``, those of a token for a part of it, and without that, one of its own paths."""
    if rules and not _may_look(service, rules):
        return _call_of(service, rules[0], before, header)
    # A look at it is no call, though: a service that sleeps refuses it.
    path = clean(_health_path(service))
    what = "Call it:" if path else "Call it (add a path that the model has):"
    if path and may_sleep(service):
        what, path = f"Call it (add a path that the model has; {path} does not wake it when it sleeps):", ""
    url = shlex.quote(f"{service['endpoint']}{path.removeprefix('/')}")
    return f"\n{what}{before}\n  curl {header}{url}"


def _call_of(service: Json, rule: Json, before: str, header: str) -> str:
    """A call of a token that is not for the health check's path: of what its first rule is for."""
    methods, path = rule.get("methods") or ["GET"], rule["path"]
    what = "Call it (add a path that the model has):" if path.endswith("/*") else "Call it:"
    method = "" if "GET" in methods else f"-X {clean(methods[0])} "
    url = f"{service['endpoint']}{quote(path.removesuffix('*').removeprefix('/'), safe=SAFE)}"
    return f"\n{what}{before}\n  curl {method}{header}{shlex.quote(clean(url))}"


def _may_look(service: Json, rules: Sequence[Json]) -> bool:
    given = tuple(PathRule(each["path"], tuple(each["methods"]) if each.get("methods") else None) for each in rules)
    return may(given, b"GET", f"/{_health_path(service).removeprefix('/')}".encode())


def _health_path(service: Json) -> str:
    active = [each["definition"] for each in service["revisions"] if each["number"] == service["revision"]]
    check = (active[0].get("health_check") if active else None) or {}
    return str(check.get("path", ""))
