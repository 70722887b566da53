"""The page of HTTP's rules names a test for each of them, and each of these exists."""

from __future__ import annotations

import ast
import re
from functools import lru_cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "http.md").read_text("utf-8")
ROWS = [row for row in re.findall(r"^\| (.+) \|$", PAGE, re.MULTILINE) if not re.match(r"rule \||-", row)]
TEST = re.compile(r"`([\w/]+\.py)::(test_\w+)`")


@lru_cache
def names_in(file: str) -> frozenset[str]:
    tree = ast.parse((ROOT / "tests" / file).read_text("utf-8"))
    return frozenset(node.name for node in tree.body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)))


@pytest.mark.parametrize("row", ROWS)
def test_each_rule_has_a_test_that_exists(row: str) -> None:
    *_, told = row.split("|")
    found = TEST.findall(told)
    assert found, "a rule without a test"
    assert TEST.sub("", told).strip(" ,") == "", "something else stands where the tests are named"
    for file, name in found:
        assert (ROOT / "tests" / file).is_file(), file
        assert name in names_in(file), f"{file} has no {name}"


def test_the_page_has_rules_and_is_found() -> None:
    assert len(ROWS) > 60
    assert "(docs/http.md)" in (ROOT / "README.md").read_text("utf-8")
