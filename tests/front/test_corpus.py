"""Inputs that a coverage-guided fuzzer found its way with (``make fuzz``), once more: see ``parsers.py`` for what they hold."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from . import parsers

CORPUS = Path(__file__).parent / "corpus"
JUDGES: dict[str, Callable[[bytes], str]] = {"requests": parsers.judge_requests, "answers": parsers.judge_answers}


def inputs(name: str) -> list[bytes]:
    return [text.encode("latin-1") for text in json.loads((CORPUS / f"{name}.json").read_text())]


@pytest.mark.parametrize("name", sorted(JUDGES))
def test_what_the_fuzzer_reached_is_read_as_another_parser_reads_it_or_refused(name: str) -> None:
    """The same whatever the pieces in which it comes, and the same to h11; nothing but a clean refusal otherwise."""
    said = [JUDGES[name](data) for data in inputs(name)]
    kinds = set(said) if name == "requests" else {word for each in said for word in each.split()}
    if name == "requests":
        assert {"1 of 1", "2 of 2", "0 of 0 400", "0 of 0 414", "0 of 0 431", "1 of 1 upgrade"} <= kinds
    else:
        assert {"end", "bad", "gone", "switched"} <= kinds


def test_the_judges_see_what_is_wrong() -> None:
    """They are worth as much as what they would not let through."""
    read = parsers.read_requests(b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc").read[0]
    right = parsers.forwarded(read)
    parsers.same_to_h11(read, right)
    for wrong in (
        right + b"x",
        right[:-1],
        right.replace(b"/a", b"/b"),
        right.replace(b"Host:", b"Transfer-Encoding: chunked\r\nHost:"),
        right.replace(b"Content-Length: 3", b"Content-Length: 2"),
        right.replace(b"Host:", b"Authorization: Bearer x\r\nHost:"),
    ):
        with pytest.raises(AssertionError):
            parsers.same_to_h11(read, wrong)
    ears = parsers.read_answer(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc")
    parsers.same_to_caller(ears)
    for out in (ears.out + b"x", ears.out[:-1], ears.out.replace(b"200", b"201"), ears.out.replace(b"abc", b"abd")):
        ears.out = out
        with pytest.raises(AssertionError):
            parsers.same_to_caller(ears)
