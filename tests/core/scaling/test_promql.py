"""Names are put into an administrator's query where they are quoted, and nowhere else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_model_service.core.scaling.promql import query_from
from jupyter_model_service.errors import InvalidRequest


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("vector(1)", "vector(1)"),
        (
            'sum(rate(tokens_total{service="{owner}/{service}"}[1m])) by (le)',
            'sum(rate(tokens_total{service="a.lee/chat"}[1m])) by (le)',
        ),
        ("avg(busy{pod=~'{replicas}'})", "avg(busy{pod=~'chat-1|chat-2'})"),
        ('busy{owner =~ "{owner}|root"}', 'busy{owner =~ "a\\\\.lee|root"}'),  # a dot is no wildcard
        ("busy{owner=~`{owner}`}", "busy{owner=~`a\\.lee`}"),
        ('busy{x="a\\"{service}"}', 'busy{x="a\\"chat"}'),
        ('busy{x=~"[a-z]{2}"} # {service}', 'busy{x=~"[a-z]{2}"} '),
        ('# it\'s "x\nbusy{s="{service}"}', '\nbusy{s="chat"}'),
    ],
)
def test_names_are_put_in(text: str, asked: str) -> None:
    assert query_from("load", text).about("a.lee", "chat", ["chat-2", "chat-1"]) == asked


def test_a_query_about_no_replicas_is_not_asked() -> None:
    """An empty pattern fits every series without that label."""
    assert query_from("load", 'busy{pod=~"{replicas}"}').about("alice", "chat", []) is None
    assert query_from("load", 'busy{s="{service}"}').about("alice", "chat", []) == 'busy{s="chat"}'


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is empty"),
        (" \n", "is empty"),
        ("x" * 9_000, "longer than 8000"),
        ("busy_{service}", "{service} outside quotes"),
        ("busy{service}", 'such as label="{service}"'),
        ('busy{x="a"} + {owner}', "{owner} outside quotes"),
        ('busy{x="{servce}"}', "{servce}, and only {service}, {owner}, {replicas}"),
        ('busy{pod="{replicas}"}', "stands for several"),
        ('busy{x="a', 'a quote " that does not end'),
        ("busy{x='a\\'}", "a quote ' that does not end"),
    ],
)
def test_what_cannot_be_asked_is_refused_in_one_sentence(text: str, why: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        query_from("load", text)
    said = str(caught.value)
    assert said.startswith("The query load ")
    assert why in said
    assert "\n" not in said


def unquoted(text: str) -> str:
    """What PromQL reads out of a string literal."""
    if text[0] == "`":
        return text[1:-1]
    out, at = "", 1
    while at < len(text) - 1:
        if text[at] == "\\":
            at += 1
            out += {"n": "\n"}.get(text[at], text[at])
        else:
            assert text[at] != text[0]
            out += text[at]
        at += 1
    return out


@given(st.text(st.sampled_from("ab\\\"'`\n.|{}"), max_size=12), st.sampled_from("\"'`"))
def test_no_name_gets_out_of_its_quotes(owner: str, quote: str) -> None:
    """Whatever an owner is called, what is read back is the name itself."""
    got = query_from("load", f"busy{{owner={quote}{{owner}}{quote}}}").about(owner, "chat", [])
    if quote == "`" and "`" in owner:
        assert got is None
    else:
        assert got is not None
        assert unquoted(got.removeprefix("busy{owner=").removesuffix("}")) == owner
