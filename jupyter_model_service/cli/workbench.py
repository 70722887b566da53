"""What ``init`` wrote and how a dry run went, as text."""

from __future__ import annotations

import os
import shlex

from ..commands.grammar import PROGRAM
from ..commands.workbench import DraftResult, DryRunResult
from .text import Paint, clean

_BODY = 2_000  # characters of an answer


def drafted(result: DraftResult) -> str:
    written = ", ".join(map(clean, result.draft["written"]))
    lines = [clean(result.reason)] if result.reason else []
    lines.append(f"Wrote {written} to {clean(result.folder)}, for a model of the kind {result.kind}.")
    if result.kept:
        lines.append(f"Left as they were: {', '.join(map(clean, result.kept))}.")
    folder = clean(shlex.quote(_shortest(result.folder)))
    lines.append(f"Try it here: {PROGRAM} dry-run {folder}\nDeploy it:   {PROGRAM} create {folder}")
    return "\n".join(lines)


def _shortest(folder: str) -> str:
    relative = os.path.relpath(folder)
    return folder if relative.startswith("..") else relative


def tried(result: DryRunResult, paint: Paint) -> str:
    lines = [paint(clean(result.state["sentence"]), "green" if result.ok else "red")]
    answer = result.state["answer"]
    if result.ok and answer is not None and answer["body"]:  # else the sentence has its beginning
        body = answer["body"]
        lines += [clean(line) for line in (body if len(body) <= _BODY else body[:_BODY] + " …").splitlines()]
    if result.tail:
        lines += ["Last lines of its log:", *(f"  | {clean(line)}" for line in result.tail)]
    return "\n".join(lines)
