"""Secrets are compared in a time that does not tell where they differ, or not at all but found by their digests."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "jupyter_model_service"
SECRET = re.compile(
    r"(^|_)(tokens?|secrets?|passwords?|credentials?|proof|xsrf|nonce|mac|hmac|signature|sealed|digest|state_of|digest_of)$",
    re.IGNORECASE,
)
#: What was given, and what it should be. Tokens are in none of these: they are looked up by their digests.
COMPARED = {
    "core/lease_proof.py": 1,  # a runner's proof that it knows its replica's secret
    "core/visits.py": 1,  # the state of the browser that a one-time code is for
    "runner/runner.py": 1,  # the gateway's proof
    "server_extension/isolation.py": 1,  # the token of Jupyter, in an address
    "web/page_session.py": 3,  # the browser of a session, the proof in a form, the state of a sign-in
}
NOT_SECRET = {"workbench/export/folder.py": {"_digest", "digest"}}  # of a file that anybody may read


def modules() -> Iterator[tuple[str, ast.Module]]:
    """All but the stand-ins for tests."""
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        if not name.startswith("testing/"):
            yield name, ast.parse(path.read_text("utf-8"))


PLAIN = ("encode", "decode", "strip", "lower", "hexdigest")  # what is done to one side alone, so that both are alike


def itself(node: ast.expr) -> ast.expr:
    """What is encoded or stripped there."""
    while isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in PLAIN:
        node = node.func.value
    return node


def called(node: ast.expr) -> str:
    """The last word of a name or an attribute, of what is encoded or stripped, or of the function whose result it is."""
    node = itself(node)
    if isinstance(node, ast.Call):
        return called(node.func)
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def in_equal_time(tree: ast.Module) -> list[ast.Call]:
    return [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and called(node.func).lstrip("_") == "compare_digest"
    ]


def test_no_secret_is_compared_by_a_comparison_that_stops_where_they_differ() -> None:
    """By ``==`` with something else than a constant, which is none."""
    found = []
    for name, tree in modules():
        for node in ast.walk(tree):
            if not isinstance(node, ast.Compare) or not any(isinstance(op, (ast.Eq, ast.NotEq)) for op in node.ops):
                continue
            sides = [node.left, *node.comparators]
            words = {called(side) for side in sides} - NOT_SECRET.get(name, set())
            if not any(isinstance(side, ast.Constant) for side in sides) and any(map(SECRET.search, words)):
                found.append(f"{name}:{node.lineno}: {ast.unparse(node)}")
    assert found == []


def test_where_secrets_are_compared_it_takes_as_long_wherever_they_differ() -> None:
    """What was given with what it should be, and not with itself. Whoever compares one more adds it above."""
    calls = {name: in_equal_time(tree) for name, tree in modules()}
    assert {name: len(found) for name, found in calls.items() if found} == COMPARED
    for name, found in calls.items():
        for call in found:
            given, expected = (ast.unparse(itself(side)) for side in call.args)
            assert given != expected, f"{name}:{call.lineno}: {ast.unparse(call)}"
