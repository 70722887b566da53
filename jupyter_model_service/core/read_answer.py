"""Reading the head of a replica's answer strictly (RFC 9110, 9112): what a parser let through is judged here."""

from __future__ import annotations

import re

from .header_names import (
    ANSWER_RULES,
    CODING,
    CONNECTION,
    CONNECTION_OPTIONS,
    KEEP,
    LENGTH,
    LOCATION,
    TRAILER,
    TYPE,
    UPGRADE,
    tokens_of,
)
from .message import DIGITS, EVENT_STREAM, AnswerHead, BadMessage, Headers

__all__ = ["read_answer"]

_TIMEOUT = re.compile(rb"(?:^|,)\s*timeout=(\d{1,6})")
_PRINTABLE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*\Z")


def read_answer(status: int, version: str, reason: bytes, headers: Headers, *, to_head: bool) -> AnswerHead:
    """Judge an answer's head; ``to_head`` says that the request was HEAD. Raises :class:`BadMessage` (502)."""
    if not 100 <= status <= 599:  # RFC 9110 §15: "values outside the range 100..599 are invalid"
        raise BadMessage(502, "bad_answer", f"The replica's answer has the status {status:03d}, which HTTP has not.")
    answer = AnswerHead(status, reason if _PRINTABLE.match(reason) else b"", [])
    answer.version = 11 if version == "1.1" else 10
    lengths: list[bytes] = []
    codings: list[bytes] = []
    tokens: list[bytes] = []
    plain = answer.headers
    rules = ANSWER_RULES
    for name, raw in headers:
        lower = name.lower()
        rule = rules.get(lower)
        value = raw.rstrip(b" \t")
        if rule is None:
            plain.append((name, value))
        elif rule == LENGTH:
            lengths.append(value)
        elif rule == CODING:
            codings.append(value)
        elif rule == CONNECTION:
            tokens += tokens_of(value)
        elif rule == UPGRADE:
            answer.upgrade = value
        elif rule == KEEP:
            limit = _TIMEOUT.search(value)
            answer.keep_seconds = float(limit[1]) if limit else None
        elif rule == TRAILER:
            answer.trailer += (value,)
        elif rule == TYPE:
            answer.events |= value.split(b";")[0].strip().lower() == EVENT_STREAM
            plain.append((name, value))
        elif rule == LOCATION:
            answer.leads = True
            plain.append((name, value))
    if tokens:
        named = set(tokens) - CONNECTION_OPTIONS
        if named:
            answer.headers = [pair for pair in plain if pair[0].lower() not in named]
            answer.named = frozenset(named)
    answer.keep = b"close" not in tokens and (version == "1.1" or b"keep-alive" in tokens)
    if (lengths or codings) and status < 200 and status != 101:
        # RFC 9110 §8.6, §15.2: it has no body. A parser that reads one, and a caller who does not, see other answers.
        raise BadMessage(502, "bad_answer", f"The replica's answer {status} is an informational one with a body.")
    _answer_framing(answer, lengths, codings)
    if to_head or status in (204, 304) or status < 200:
        answer.has_body = answer.until_close = answer.chunked = False
        if status == 204 or status < 200:
            answer.length = None
    return answer


def _answer_framing(answer: AnswerHead, lengths: list[bytes], codings: list[bytes]) -> None:
    if codings:
        if lengths or len(codings) > 1 or codings[0].lower() != b"chunked":
            raise BadMessage(502, "bad_answer", "The replica's answer has an ambiguous or unknown framing.")
        answer.chunked = True
    elif lengths:
        if len(lengths) > 1 or not DIGITS.match(lengths[0]):
            raise BadMessage(502, "bad_answer", "The replica's answer has a malformed Content-Length.")
        answer.length = int(lengths[0])
    else:
        answer.until_close = True
