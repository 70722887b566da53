"""The cell that calls a service, for people to copy: with a sample request of its folder, where there is one."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ..errors import InvalidRequest
from .words import MAGIC

__all__ = ["cell_for", "suggested_cell"]

_LONGEST = 500  # characters of a cell that anybody reads
#: IPython puts variables and calls in the place of braces and dollars in the first line of a cell.
_EXPANDED = frozenset("{}$")
#: What a path has as it is; the rest is written as a browser writes it, with dollars, which IPython reads.
_OF_PATHS = "-._~/!&'()*+,;=:@%?"
_PLAIN_WORD = re.compile(r"[\w./?=&%~:,-]+", re.ASCII)
#: IPython takes prompts away that were copied with a cell.
_PROMPT = re.compile(r"\s*(>>>|\.\.\.|(\[\w+\])?\s*In ?\[)")
#: Those of the caller, which the gateway keeps for itself: what was typed has no place in a notebook.
_KEPT = ("authorization", "cookie")

Json = Mapping[str, Any]


def suggested_cell(service: Json) -> str:
    """A call that the model answers: the first sample request that can be a cell, else a look at its health, else the
    bare endpoint."""
    active = next((each for each in service["revisions"] if each["number"] == service["revision"]), None)
    name = str(service["name"])
    for sample in _samples(active["folder"] if active else ""):
        cell = cell_for(name, sample)
        if cell and len(cell) <= _LONGEST:
            return cell
    check = (active["definition"].get("health_check") if active else None) or {}
    path = str(check.get("path", ""))
    return cell_for(name, {"method": "GET", "path": path}) or f"%{MAGIC} {name}"


def _samples(folder: str) -> list[dict[str, Any]]:
    if not os.path.isdir(folder):  # that of a hub is a volume, or in somebody else's home
        return []
    from ..workbench.samples import read_samples  # pydantic, which no verb of the line needs

    try:
        return [sample.model_dump() for sample in read_samples(Path(folder))]
    except InvalidRequest:
        return []  # a suggestion is nothing to fail for: a dry run tells what is wrong


def cell_for(service: str, sample: Json) -> str:
    """The cell that sends ``sample`` to ``service``; empty where none can."""
    body = sample.get("body")
    text = "" if body is None else body if isinstance(body, str) else json.dumps(body, ensure_ascii=False)
    if body is not None and not text.strip():
        return ""
    if _PROMPT.match(text):
        return ""
    words = [service, *_path_words(str(sample["path"]))]
    if sample["method"] != ("POST" if text else "GET"):
        words += ["--method", str(sample["method"])]
    for name, value in (sample.get("headers") or {}).items():
        if name.startswith("-"):
            return ""
        if name.lower() not in _KEPT:
            words += ["--header", f"{name}:{value}"]
    line = " ".join(word if _PLAIN_WORD.fullmatch(word) else shlex.quote(word) for word in words)
    if _EXPANDED & set(line) or not line.isprintable():
        return ""
    return f"%{MAGIC} {line}" + (f"\n{text}" if text else "")


def _path_words(path: str) -> list[str]:
    """Nothing of it is Python's, which IPython would run; nor is it an option, such as one of another gateway."""
    told = quote(path.removeprefix("/"), safe=_OF_PATHS, errors="replace")
    return [f"/{told}" if told.startswith("-") else told] if told else []
