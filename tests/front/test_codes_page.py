"""The page for callers names each code that the front sends, with its status, and no other."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def sent() -> set[tuple[int, str]]:
    """Status and code of each refusal that stands in the source of the front and of what it decides by."""
    found = set()
    for folder in ("front", "core", "engine"):
        for path in (ROOT / "jupyter_model_service" / folder).glob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("Refusal", "BadMessage"):
                    match node.args[:2]:
                        case [ast.Constant(value=int(status)), ast.Constant(value=str(code))]:
                            found.add((status, code))
    return found


def described() -> set[tuple[int, str]]:
    page = (ROOT / "docs" / "calling.md").read_text(encoding="utf-8")
    return {(int(status), code) for status, code in re.findall(r"^\| (\d{3}) \| `(\w+)` \| .+ \|$", page, re.MULTILINE)}


def test_the_page_names_each_code_and_no_other() -> None:
    codes = sent()
    assert {(401, "unauthenticated"), (400, "bad_request"), (503, "queue_full"), (502, "bad_answer")} <= codes
    assert described() == codes
