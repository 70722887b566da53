"""YAML as plain data: the rules of YAML 1.2, line numbers, and bounds."""

from __future__ import annotations

import math
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from jupyter_model_service.adapters.yaml_document import YamlProblem, read_yaml


def problem(text: str) -> tuple[int | None, str]:
    with pytest.raises(YamlProblem) as caught:
        read_yaml(text)
    return caught.value.line, caught.value.message


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("on", "on"),
        ("yes", "yes"),
        ("no", "no"),
        ("off", "off"),
        ("y", "y"),
        ("12:30:45", "12:30:45"),
        ("2024-01-02", "2024-01-02"),
        ("1_000", "1_000"),
        ("0b1", "0b1"),
        ("=", "="),
        ("010", 10),
        ("0o10", 8),
        ("0x1F", 31),
        ("-3", -3),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("-.inf", -math.inf),
        ("true", True),
        ("FALSE", False),
        ("True", True),
        ("null", None),
        ("~", None),
        ("", None),
        ('"8000"', "8000"),
        ("'true'", "true"),
        ("!!str 5", "5"),
        ("|\n  a\n  b\n", "a\nb\n"),
        ("한국어", "한국어"),
        ("9" * 400, "9" * 400),
    ],
)
def test_values_follow_the_core_schema_of_yaml_1_2(written: str, value: Any) -> None:
    (read,) = read_yaml(f"- {written}").data
    assert read == value
    assert type(read) is type(value)


def test_not_a_number_is_a_float() -> None:
    assert math.isnan(read_yaml("[.nan]").data[0])


def test_keys_are_what_was_written() -> None:
    assert read_yaml("yes: 1\n2: x\nnull: y\ntrue: z").data == {"yes": 1, "2": "x", "null": "y", "true": "z"}


def test_lines_and_spelling_of_every_path() -> None:
    document = read_yaml("# a comment\na:\n  - x\n  - b: 1.10\n\n    c: true\nd: {e: 5}\n")
    assert document.data == {"a": ["x", {"b": 1.1, "c": True}], "d": {"e": 5}}
    assert document.lines == {
        (): 2,
        ("a",): 2,
        ("a", 0): 3,
        ("a", 1): 4,
        ("a", 1, "b"): 4,
        ("a", 1, "c"): 6,
        ("d",): 7,
        ("d", "e"): 7,
    }
    assert document.spelling == {("a", 1, "b"): "1.10", ("a", 1, "c"): "true", ("d", "e"): "5"}


def test_an_empty_text_is_nothing() -> None:
    assert read_yaml("").data is None
    assert read_yaml("# only a comment\n").data is None


def test_duplicate_keys_are_reported_with_both_lines_and_the_first_is_kept() -> None:
    document = read_yaml("a: 1\nb:\n  c: 1\n  c: 2\na: 3\n")
    assert document.data == {"a": 1, "b": {"c": 1}}
    assert [(path, p.line, p.message) for path, p in document.problems] == [
        (("b", "c"), 4, "is there twice (first in line 3); keep one"),
        (("a",), 5, "is there twice (first in line 1); keep one"),
    ]


def test_aliases_and_merges_are_filled_in() -> None:
    text = "x: &x {a: 1, b: [1]}\ny: *x\nz: {<<: *x, a: 2}\nw: {<<: [{c: 3}, *x]}\n"
    data = read_yaml(text).data
    assert data["y"] == {"a": 1, "b": [1]}
    assert data["z"] == {"a": 2, "b": [1]}
    assert data["w"] == {"c": 3, "a": 1, "b": [1]}
    assert data["y"]["b"] is not data["x"]["b"]


@pytest.mark.parametrize(
    ("text", "line", "told"),
    [
        ("a: 1\nb: [1, 2\n", 3, "is not valid YAML: expected ',' or ']'"),
        ("a: b: c", 1, "is not valid YAML: mapping values are not allowed here; check the indentation"),
        ("a:\n\t- b", 2, "is not valid YAML: found character '\\t' that cannot start any token; indent with spaces"),
        ("a: *b", 1, "is not valid YAML: found undefined alias 'b'"),
        ("a: 1\n---\nb: 2", 2, "holds more than one document (`---`); keep one"),
        ("a: 1\nb: \x07", 2, "holds a control character here; take it out"),
        ("? [a]\n: b", 1, "has a key that is a list or a mapping; keys are words"),
        ("a: &a\n  b: *a", 1, "has an alias (`*…`) that stands inside what it stands for"),
        ("a: &a [1]\nb: {<<: *a}", 1, "has a `<<` that is not followed by a mapping"),
        ("a: &a {b: 1}\nc: &c {<<: *a}\nd: {<<: *c}", 2, "merges (`<<`) a mapping that merges another"),
        ("a: 1\nb: !!python/object/apply:os.system [ls]", 2, "has the tag !!python/object/apply:os.system; only plain"),
        ("a: !secret x", 1, "has the tag !secret; only plain values are read"),
        ("a: !!set {b}", 1, "has the tag !!set; only plain values are read"),
        ("a: !!int seven", 1, 'says that "seven" is of type int, which it is not'),
        ("a: !!bool maybe", 1, 'says that "maybe" is of type bool, which it is not'),
    ],
)
def test_what_is_not_read_is_said_with_its_line(text: str, line: int, told: str) -> None:
    found, message = problem(text)
    assert message.startswith(told)
    assert found == line


def test_a_deep_document_is_refused_before_it_takes_the_stack() -> None:
    line, message = problem("\n" + "[" * 100_000)
    assert message == "is nested more than 50 levels deep; a definition needs 8"
    assert line == 2


def test_a_document_with_too_many_values_is_refused() -> None:
    assert "has more than 20000 values" in problem("[" + "1," * 30_000 + "]")[1]


def test_aliases_count_as_often_as_they_are_used() -> None:
    laughs = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    laughs += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    assert "values once its aliases are filled in" in problem("\n".join(laughs))[1]


def test_merges_count_too() -> None:
    keys = ", ".join(f"k{n}: 1" for n in range(500))
    assert "values once its aliases are filled in" in problem(f"a: &a {{{keys}}}\nb: {{<<: [{'*a, ' * 500}]}}")[1]


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=20,
)


@given(plain)
def test_what_pyyaml_writes_with_explicit_tags_is_read_back(data: Any) -> None:
    assert read_yaml(yaml.safe_dump(data, default_style='"', allow_unicode=True)).data == data


@given(st.text(max_size=60) | st.text("-[]{}:,*&!<>|?'\"\n ab1#%@", max_size=60))
def test_any_text_is_a_document_or_one_problem(text: str) -> None:
    try:
        read_yaml(text)
        message = "read"
    except YamlProblem as error:
        message = error.message
    assert message
    assert "\n" not in message
