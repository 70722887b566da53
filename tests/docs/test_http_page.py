"""The page of HTTP's rules names a test for each of them, and each of these exists."""

from __future__ import annotations

import ast
import dataclasses
import re
from functools import lru_cache
from pathlib import Path

import pytest

from jupyter_model_service.front.settings import FrontSettings

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "http.md").read_text("utf-8")
RULES, _, LIMITS = PAGE.partition("\n## Limits of the gateway itself\n")
ROWS = [row for row in re.findall(r"^\| (.+) \|$", RULES, re.MULTILINE) if not re.match(r"rule \||-", row)]
UNITS = {"": 1, "KiB": 1 << 10, "MiB": 1 << 20, "s": 1, "h": 3600}
NO_LIMITS = {"page_help", "of_this_machine", "trusted_proxies", "shared_origin", "own_cookie"}
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


def test_the_limits_are_those_of_the_front() -> None:
    told = re.findall(r"^\| `(\w+)` \| (–|([\d.]+)(?: (\w+))?) \| .+ \|$", LIMITS, re.MULTILINE)
    page = {name: None if said == "–" else float(number) * UNITS[unit] for name, said, number, unit in told}
    kept = {field.name: field.default for field in dataclasses.fields(FrontSettings) if field.name not in NO_LIMITS}
    assert page == kept
    assert list(page) == list(kept), "in the same order, so that a new one is seen"


def test_the_page_has_rules_and_is_found() -> None:
    assert len(ROWS) > 60
    assert "(docs/http.md)" in (ROOT / "README.md").read_text("utf-8")
