"""The page on security names for each threat the tests that hold its defence, or says that there is none yet."""

from __future__ import annotations

import ast
import re
import xml.etree.ElementTree as ElementTree
from functools import lru_cache
from pathlib import Path

import pytest

from tests.security.without_defence import (
    NEEDS,
    Change,
    Defence,
    chosen,
    defences,
    ends_of,
    held_tests,
    read_seen,
    rows,
    shown_by,
    write_seen,
)

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text("utf-8")
ROWS = [row for row in re.findall(r"^\| (.+) \|$", PAGE, re.MULTILINE) if not re.match(r"threat \||-", row)]
TEST = re.compile(r"`([\w/]+\.py)::(test_\w+)`")


@lru_cache
def names_in(file: str) -> frozenset[str]:
    tree = ast.parse((ROOT / "tests" / file).read_text("utf-8"))
    return frozenset(node.name for node in tree.body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)))


@pytest.mark.parametrize("row", ROWS)
def test_each_threat_has_tests_that_exist_or_says_not_yet(row: str) -> None:
    threat, told, tests = (cell.strip() for cell in row.split("|"))
    assert threat
    assert told
    found = TEST.findall(tests)
    assert TEST.sub("", tests).strip(" ,") in ("", "–"), "something else stands where the tests are named"
    assert found or "**Not yet**" in told, "neither a test nor the word that the defence is not there yet"
    for file, name in found:
        assert (ROOT / "tests" / file).is_file(), file
        assert name in names_in(file), f"{file} has no {name}"


def test_the_page_has_rows_and_is_found() -> None:
    assert len(ROWS) > 35
    assert "(docs/security.md)" in (ROOT / "README.md").read_text("utf-8")
    assert "(docs/security.md)" in (ROOT / "SECURITY.md").read_text("utf-8")
    assert "(../SECURITY.md)" in PAGE


def test_every_way_into_the_matrix_is_told() -> None:
    """Each test of ``tests/security`` stands on the page."""
    files = [f"security/{path.name}" for path in (ROOT / "tests" / "security").glob("test_*.py")]
    there = {f"{file}::{name}" for file in files for name in names_in(file) if name.startswith("test_")}
    assert there - {f"{file}::{name}" for file, name in TEST.findall(PAGE)} == set()


def test_it_is_written_down_of_each_test_without_which_defence_it_fails() -> None:
    """Whoever names one more adds what it holds to ``tests/security/defences.yaml``, and runs ``without_defence.py``."""
    named = {test for row in rows() for test in row.tests}
    written = {test for defence in defences() for test in defence.tests}
    assert len(rows()) == len(ROWS)
    assert sorted(named - written) == [], "no entry in tests/security/defences.yaml says what these hold"
    assert sorted(written - named) == [], "entries whose tests are on no row of docs/security.md any more"


@pytest.mark.parametrize("defence", defences(), ids=str)
def test_what_is_written_down_can_still_be_taken_out(defence: Defence) -> None:
    """Each text is in its file, once, and the module without it can still be loaded."""
    left: dict[str, str] = {}
    for each in defence.changes:
        left[each.file] = each.made(left.get(each.file) or (ROOT / each.file).read_text("utf-8"))
    assert all(left[file] != (ROOT / file).read_text("utf-8") for file in left)
    assert defence.needs in NEEDS
    for test in (*defence.tests, *defence.after):
        file, name = test.split("::")
        assert name in names_in(file), test


def test_of_an_entry_those_tests_are_run_that_one_asks_for() -> None:
    one, other = rows()[0].tests[:2]
    entry = Defence((), (one, other), "hub")
    assert [each.tests for each in chosen([entry], "hub")] == [(one, other)]
    assert [each.tests for each in chosen([entry], "hub", test=other)] == [(other,)]
    assert chosen([entry], "hub", test="test_of_nothing") == []
    assert chosen([entry], "browser") == []


def test_what_fails_for_another_reason_has_shown_nothing() -> None:
    """Nor has what does not get so far."""
    assert shown_by({"passed", "assert {'led': 'home'} == {}"}, shows="led") == "assert {'led': 'home'} == {}"
    assert shown_by({"passed", "assert {'left': 'a'} == {}\n  Full diff:"}, shows="led") is None
    assert shown_by({"assert 1 == 2"}) == "assert 1 == 2"
    for ends in ({"passed"}, {"error"}, {"skipped"}, {"no end in 5 s"}, {"ImportError: led"}, set[str]()):
        assert shown_by(ends, shows="led") is None


def test_all_that_a_test_says_counts_and_nothing_of_its_own_lines() -> None:
    """However long it is: its report cuts the message of one."""
    case = ElementTree.fromstring(
        "<testcase><failure message='assert {1: 2, ...'>"
        "    shown = 'socket'\n>   assert visit() == {}\nE   assert {1: 2,\nE     'led': 3} == {}\n</failure></testcase>"
    )
    ends = set(ends_of(case))
    assert ends == {"assert {1: 2, ...\nassert {1: 2,\n'led': 3} == {}"}
    assert shown_by(ends, shows="'led'")
    assert shown_by(ends, shows="socket") is None
    assert list(ends_of(ElementTree.fromstring("<testcase><error message='x'/></testcase>"))) == ["error"]
    assert list(ends_of(ElementTree.fromstring("<testcase/>"))) == ["passed"]


def test_what_is_run_in_pieces_adds_up(tmp_path: Path) -> None:
    """A test that two entries name is held when it was seen to fail without each of the two."""
    changes = [(Change("a.py", text, ""),) for text in ("x", "y")]
    of = [Defence(changes[0], ("a.py::test_a", "a.py::test_b")), Defence(changes[1], ("a.py::test_b",), "hub")]
    book = tmp_path / "seen.txt"
    assert held_tests(read_seen(book), of) == set()
    write_seen(book, {("a.py: x", "a.py::test_a"), ("a.py: x", "a.py::test_b"), ("gone.py: z", "a.py::test_c")})
    assert held_tests(read_seen(book), of) == {"a.py::test_a"}
    write_seen(book, read_seen(book) | {("a.py: y", "a.py::test_b")})
    assert held_tests(read_seen(book), of) == {"a.py::test_a", "a.py::test_b"}
