"""Each kind of event says who may read it, where it is made."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from jupyter_model_service.core.happenings import AUDIENCES, audience_of
from jupyter_model_service.core.replica import Phase
from jupyter_model_service.engine import journal

ENGINE = Path(journal.__file__).parent
KIND = re.compile(r"(?:service|replica)\.[a-z_]+")


def calls() -> Iterator[tuple[str, ast.Call]]:
    """Of what writes a line of history, with the kind that it says."""
    for file in ENGINE.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in ("add", "told")
            ):
                for given in node.args:
                    if isinstance(given, ast.Constant) and KIND.fullmatch(str(given.value)):
                        yield str(given.value), node


def kinds() -> set[str]:
    """That stand in the source of the engine, and those that replicas have by their phase."""
    found = {f"replica.{phase}" for phase in Phase}
    for file in ENGINE.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and KIND.fullmatch(node.value):
                found.add(node.value)
    return found


def test_every_kind_of_event_has_its_audience_and_no_other_has_one() -> None:
    assert {"service.shared", "service.copying", "replica.waiting", "replica.ready"} <= kinds()
    assert kinds() == AUDIENCES.keys()


def test_what_its_owner_alone_is_told_says_what_the_others_are() -> None:
    """Wherever one is made."""
    found = [(kind, len(call.args) + len(call.keywords)) for kind, call in calls() if audience_of(kind) == "owner"]
    assert {kind for kind, _ in found} == {kind for kind in AUDIENCES if audience_of(kind) == "owner"}
    assert [kind for kind, given in found if given < 4] == []


def test_a_kind_that_nobody_thought_of_is_its_owners_alone() -> None:
    assert audience_of("service.something_new") == "owner"
