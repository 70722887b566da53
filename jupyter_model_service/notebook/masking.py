"""No token in an output: outputs are kept in the notebook, which is mailed, pushed and published. Pure."""

from __future__ import annotations

import re
from typing import IO, Any, cast

__all__ = ["HIDDEN", "MaskedPieces", "masked", "masked_output", "masked_plain"]

HIDDEN = "jms_…****"
#: A token of an endpoint or of the gateway: the prefix, then base64 (43 characters; a cut one of 8 is one, too).
_LEAST = 8
_TOKEN = re.compile(rf"(jm[sc]_)[A-Za-z0-9_-]{{{_LEAST},}}")
_PREFIX = re.compile(r"jm[sc]_")
_BEGUN = re.compile(r"j(m[sc]?)?\Z")
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"


def masked(text: str) -> str:
    """``text`` with each token of ours as ``jms_…****``, whoever wrote it there."""
    return _TOKEN.sub(r"\1…****", text)


def masked_plain(value: Any) -> Any:
    """Plain data with the tokens in its texts masked, for what is shown by its ``repr``."""
    if isinstance(value, str):
        return masked(value)
    if isinstance(value, dict):
        return {name: masked_plain(each) for name, each in value.items()}
    return [masked_plain(each) for each in value] if isinstance(value, list | tuple) else value


class MaskedPieces:
    """A text that comes in pieces, masked as if it came at once: what may begin a token is held back (11 characters at
    most), and the rest of a token that was begun is left out."""

    def __init__(self) -> None:
        self._held = ""
        self._inside = False

    def feed(self, piece: str) -> str:
        """What can be shown by now."""
        if self._inside:
            piece = piece.lstrip(_LETTERS)
        if not piece:
            return ""
        text, self._held, self._inside = self._held + piece, "", False
        at = len(text.rstrip(_LETTERS))  # a token that is not at its end yet begins after it
        begun = _PREFIX.search(text, at)
        if begun is not None and len(text) - begun.end() >= _LEAST:
            self._inside = True
            return masked(text)
        begun = begun or _BEGUN.search(text, max(at, len(text) - 3))
        if begun is not None:
            text, self._held = text[: begun.start()], text[begun.start() :]
        return masked(text)

    def end(self) -> str:
        """What was held back, since nothing follows."""
        held, self._held, self._inside = self._held, "", False
        return held


def masked_output(stream: IO[str]) -> IO[str]:
    """``stream`` for lines: what is written at once is masked as a whole."""
    return cast("IO[str]", _MaskedOutput(stream))


class _MaskedOutput:
    """What an observer asks of a stream, and no more."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        self._stream.write(masked(text))
        return len(text)

    def flush(self) -> None:
        self._stream.flush()

    def isatty(self) -> bool:
        return False

    @property
    def encoding(self) -> str:
        return getattr(self._stream, "encoding", None) or "utf-8"
