"""Limits of the policy: what any of those who read one takes, all take, and what one refuses, all refuse."""

from __future__ import annotations

import dataclasses
import inspect
import math
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_model_service.commands import build_parser
from jupyter_model_service.commands.parser import UsageError
from jupyter_model_service.core.audit_words import changed
from jupyter_model_service.core.limit_words import limit_written
from jupyter_model_service.core.policy import Held, Policy, changes_from_plain, policy_from_plain, policy_to_plain
from jupyter_model_service.core.policy_limits import LIMITS, NUMBERS, RANGES, Limit
from jupyter_model_service.core.tried import TOLD
from jupyter_model_service.errors import InvalidRequest
from jupyter_model_service.hub import given as of_install
from jupyter_model_service.hub.given_rules import rules_of
from jupyter_model_service.hub.install import install
from jupyter_model_service.hub.site_config import WrongSetting
from jupyter_model_service.web import page_deeds
from jupyter_model_service.web.page import PageCall
from jupyter_model_service.wire.admin import LimitsChange

ADMIN_PAGE = Path(__file__).parents[2] / "docs" / "admin.md"
TYPES = {
    "patterns": "tuple[str, ...] | None",
    "count": "int | None",
    "cpus": "float | None",
    "bytes": "int | None",
    "seconds": "float | None",
    "flag": "bool",
}


def of_the_file(name: str, value: Any) -> Any:
    return getattr(policy_from_plain({**policy_to_plain(Policy()), name: value}), name)


def of_a_rule_in_the_file(name: str, value: Any) -> Any:
    return changes_from_plain("The limits", {name: value})[name]


def of_install_itself(name: str, value: Any) -> Any:
    return of_install.limit_of(name, value)


def of_a_rule_of_install(name: str, value: Any) -> Any:
    return rules_of([{"users": ["alice"], name: value}])[0].changes[name]


def of_the_api(name: str, value: Any) -> Any:
    return LimitsChange.model_validate({name: value}).model_dump(exclude_unset=True)[name]


def of_the_command_line(name: str, value: Any) -> Any:
    option = {limit.name: f"--{limit.name.removesuffix('_per_user').replace('_', '-')}" for limit in NUMBERS}[name]
    line = ["admin", "limits", "alice", f"{option}={_text(name, value)}"]
    return getattr(build_parser().parse_args(line), name)


def of_the_form(name: str, value: Any) -> Any:
    call = SimpleNamespace(form={"user": "alice", name: _text(name, value)})
    request = page_deeds.LIMITS.read(cast(PageCall, call)).body
    assert isinstance(request, LimitsChange)
    return request.model_dump()[name]


def _text(name: str, value: Any) -> str:
    return limit_written(name, value) if math.isfinite(value) else str(value)


READERS: tuple[Callable[[str, Any], Any], ...] = (
    of_the_file,
    of_a_rule_in_the_file,
    of_install_itself,
    of_a_rule_of_install,
    of_the_api,
    of_the_command_line,
    of_the_form,
)


def read(reader: Callable[[str, Any], Any], name: str, value: Any) -> Any:
    """``None`` where it is refused, in the way in which each of them refuses."""
    try:
        return reader(name, value)
    except (ValueError, WrongSetting, InvalidRequest, UsageError):
        return None


def numbers_around(limit: Limit) -> st.SearchStrategy[Any]:
    """Within, without, and at both ends, in steps that can be written as a text without loss."""
    least, most = limit.range.least, limit.range.most
    if limit.kind == "bytes":
        ends = [0, 1, int(least) - 1, int(least), int(least) + 1, int(most), 2 * int(most)]
        return st.sampled_from(ends) | st.integers(0, 1 << 40).map(lambda count: count << 21) | st.integers(0, 1 << 50)
    if limit.range.whole:
        return st.sampled_from([int(least), int(most), int(most) + 1, 10**12]) | st.integers(0, 2 * int(most))
    ends = [0.0, least / 2, least, most, most + 1, 2 * most, math.nan, math.inf]
    some = st.integers(0, int(3000 * most)).map(lambda thousandths: thousandths / 1000)
    return st.sampled_from(ends) | some


LIMIT_AND_NUMBER = st.sampled_from(NUMBERS).flatmap(
    lambda limit: st.tuples(st.just(limit), numbers_around(limit) | st.integers(0, 100))
)


@given(LIMIT_AND_NUMBER)
def test_whoever_reads_a_limit_takes_and_refuses_the_same(drawn: tuple[Limit, Any]) -> None:
    """Whether it is written in a file of Python, in JSON, on a command line or in a form."""
    limit, value = drawn
    found = {reader.__name__: read(reader, limit.name, value) for reader in READERS}
    expected = value if limit.range.least <= value <= limit.range.most else None
    assert found == dict.fromkeys(found, expected)


@pytest.mark.parametrize("limit", NUMBERS, ids=lambda limit: limit.name)
@pytest.mark.parametrize("value", [-1, True, "x", [1]], ids=str)
def test_what_is_no_number_is_none_for_any_of_them(limit: Limit, value: Any) -> None:
    readers = [each for each in READERS if each not in (of_the_command_line, of_the_form)]
    assert [read(reader, limit.name, value) for reader in readers] == [None] * len(readers)


@pytest.mark.parametrize("value", [0, 1, "no", "yes", None, []], ids=str)
def test_whether_services_may_be_public_is_yes_or_no_and_nothing_like_it(value: Any) -> None:
    """``allow_public="no"`` would let everybody."""
    readers = READERS[:4]
    assert [read(reader, "allow_public", value) for reader in readers] == [None] * 4
    for flag in (True, False):
        assert [reader("allow_public", flag) for reader in readers] == [flag] * 4


@pytest.mark.parametrize(
    ("names", "taken"),
    [
        (["a", "b:*"], True),
        ([], True),
        (["x" * 4096], True),
        (["x" * 4097], False),
        ([""], False),
        (["a\nb"], False),
        (["a"] * 100_000, True),
        (["a"] * 100_001, False),
        ("ab", False),
        ([1], False),
    ],
    ids=lambda value: str(value)[:20],
)
def test_what_install_takes_for_patterns_the_gateway_takes(names: Any, taken: bool) -> None:
    """A Hub that starts with a policy with which its gateway does not would be no help."""
    found = [read(reader, "allowed_images", names) for reader in READERS[:4]]
    assert found == [tuple(names) if taken else None] * 4


# --- who has to know of each -------------------------------------------------------------------------


def test_each_limit_is_a_field_of_the_policy_of_its_type() -> None:
    types = {field.name: field.type for field in dataclasses.fields(Policy)}
    assert {name: types[name] for name in LIMITS} == {name: TYPES[limit.kind] for name, limit in LIMITS.items()}


def test_what_is_summed_up_is_a_figure_of_what_she_holds() -> None:
    figures = {limit.sum_of for limit in LIMITS.values() if limit.sum_of is not None}
    assert figures == {field.name for field in dataclasses.fields(Held)}


def test_each_is_an_argument_of_install_with_the_policys_default_and_told_on_the_page() -> None:
    page = ADMIN_PAGE.read_text("utf-8")
    arguments = inspect.signature(install).parameters
    rules = page.partition("### Rules")[2].partition("```")[0]
    for name in LIMITS:
        assert arguments[name].default == getattr(Policy(), name)
        assert re.search(rf"^\| .*`{name}`.* \|", page, re.MULTILINE), f"{name} is no option on the page"
        assert f"`{name}`" in rules


def test_the_page_says_what_they_may_be() -> None:
    said = " ".join(ADMIN_PAGE.read_text("utf-8").split())
    for kind, words in (
        ("count", "whole numbers up to {most:,.0f}"),
        ("cpus", "CPUs from {least} to {most:,}"),
        ("bytes", f"memory from {RANGES['bytes'].least >> 20} MiB to {RANGES['bytes'].most >> 60} EiB"),
        ("seconds", f"times from a second to {RANGES['seconds'].most / 86400 / 365:g} years"),
    ):
        told = words.format(least=RANGES[kind].least, most=RANGES[kind].most)
        assert told in said


def test_each_number_can_be_told_of_and_is_told_in_its_unit_in_the_audit_log() -> None:
    assert {limit.name for limit in NUMBERS} <= TOLD
    times = {limit.name for limit in NUMBERS if "1 h" in changed({}, {limit.name: 3600.0})}
    assert times == {limit.name for limit in NUMBERS if limit.kind == "seconds"}


def test_the_api_takes_each_number_and_that_none_may_be_public() -> None:
    assert set(LimitsChange.model_fields) == {*(limit.name for limit in NUMBERS), "allow_public"}
    assert set(LIMITS) - set(LimitsChange.model_fields) == {"allowed_images"}
