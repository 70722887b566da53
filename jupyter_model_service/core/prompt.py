"""How a prompt begins, read from the first bytes of a call to a language model; the rest of the body need not be here.

The same prompt gives the same beginning, however its bytes came in pieces.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from typing import Any

__all__ = ["beginning"]

_DECODE = json.JSONDecoder(strict=False).raw_decode
_UTF8 = codecs.getincrementaldecoder("utf-8")
_SPACE = re.compile(r"[ \t\r\n]*")
_OBJECT = re.compile(rb"[ \t\r\n]*\{")
_OPEN_TEXT = re.compile(r'"(?:[^"\\]+|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*')
_HIGH_SURROGATES = range(0xD800, 0xDC00)
_MOST_PARTS = 64  # members of an object, messages: 64 KB of `{},{},…` would take 30 ms


def beginning(data: bytes, characters: int, *, whole: bool) -> bytes | None:
    """The first ``characters`` of the prompt in a body that begins with ``data``; ``None``: that takes more of it.
    ``whole``: no more is looked at, so that what there is must do.

    The prompt is that of OpenAI's API: ``prompt``, or the texts of ``messages`` up to the first one of the user,
    which stay the same in each later turn of a conversation. Of any other body it is the first bytes.
    """
    if _OBJECT.match(data):
        found, settled = _Scanner(_UTF8("replace").decode(data)).prompt(characters)
        if not settled and not whole:
            return None
        if found:
            return found.encode("utf-8", "surrogatepass")
    return data[:characters] if whole or len(data) >= characters else None


class _Cut(Exception):
    """The text ends here, or is no JSON from here on."""


class _Scanner:
    """Walks through JSON from its beginning, which is all that may be there of it."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def prompt(self, characters: int) -> tuple[str, bool]:
        """What there is of it, and whether more of the body would change that."""
        try:
            for key in self._keys():
                start = self._next()
                if key == "prompt" and start == '"':
                    return self._text_here(characters)
                if key == "prompt" and start == "[":
                    return self._prompts(characters)
                if key == "messages" and start == "[":
                    return self._messages(characters)
                self._value()
        except _Cut:
            return "", False
        return "", True

    # --- its parts ---------------------------------------------------------------------------------------

    def _text_here(self, characters: int) -> tuple[str, bool]:
        """A text, which may be cut off."""
        start = self._at
        try:
            return str(self._value())[:characters], True
        except _Cut:
            pass
        open_text = _OPEN_TEXT.match(self._text, start)
        text = json.loads(open_text[0] + '"', strict=False) if open_text else ""
        if text and ord(text[-1]) in _HIGH_SURROGATES:  # half of a character
            text = text[:-1]
        return text[:characters], len(text) >= characters

    def _prompts(self, characters: int) -> tuple[str, bool]:
        """Several of them: the first; or one as a list of tokens: what stands there."""
        start = self._at
        self._at += 1
        if self._next() == '"':
            return self._text_here(characters)
        self._at = start
        try:
            self._value()
        except _Cut:
            found = self._text[start : start + characters]
            return found, len(found) == characters
        return self._text[start : self._at][:characters], True

    def _messages(self, characters: int) -> tuple[str, bool]:
        texts: list[str] = []
        size = 0
        self._at += 1
        for _ in range(_MOST_PARTS):
            if self._next() == "]":
                break
            start = self._at
            try:
                message = self._value()
            except _Cut:
                self._at = start
                texts.append(self._cut_message(characters))
                found = "\n".join(texts)
                return found[:characters], len(found) >= characters
            texts.append(_content(message))
            size += len(texts[-1]) + 1
            if size > characters or (isinstance(message, dict) and message.get("role") == "user"):
                break
            try:
                if self._next() != "]":
                    self._take(",")
            except _Cut:
                return "\n".join(texts)[:characters], False
        return "\n".join(texts)[:characters], True

    def _cut_message(self, characters: int) -> str:
        """What there is of its content, if that is a text."""
        try:
            for key in self._keys():
                if key == "content" and self._next() == '"':
                    return self._text_here(characters)[0]
                self._value()
        except _Cut:
            pass
        return ""

    # --- any JSON ----------------------------------------------------------------------------------------

    def _keys(self) -> Iterator[str]:
        """Of the object that begins here; whoever gets one takes its value before the next."""
        self._take("{")
        if self._next() == "}":
            return
        for _ in range(_MOST_PARTS):
            self._next()
            key = self._value()
            self._take(":")
            yield str(key)
            if self._next() == "}":
                return
            self._take(",")
        raise _Cut

    def _next(self) -> str:
        """The next character that is no space, which stays."""
        space = _SPACE.match(self._text, self._at)
        self._at = space.end() if space else self._at
        if self._at >= len(self._text):
            raise _Cut
        return self._text[self._at]

    def _take(self, character: str) -> None:
        if self._next() != character:
            raise _Cut
        self._at += 1

    def _value(self) -> Any:
        self._next()
        try:
            value, self._at = _DECODE(self._text, self._at)
        except (ValueError, RecursionError):
            raise _Cut from None
        return value


def _content(message: Any) -> str:
    """The text of one message: all of its parts that are text."""
    content = message.get("content") if isinstance(message, dict) else None
    if isinstance(content, list):
        parts = [part.get("text") for part in content if isinstance(part, dict)]
        return "\n".join(part for part in parts if isinstance(part, str))
    return content if isinstance(content, str) else ""
