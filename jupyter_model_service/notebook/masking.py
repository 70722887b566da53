"""No token in an output: outputs are kept in the notebook, which is mailed, pushed and published. Pure."""

from __future__ import annotations

import re
from typing import IO, cast

__all__ = ["HIDDEN", "masked", "masked_output"]

HIDDEN = "jms_…****"
#: A token of an endpoint or of the gateway: the prefix, then base64 (43 characters; a cut one of 8 is one, too).
_TOKEN = re.compile(r"(jm[sc]_)[A-Za-z0-9_-]{8,}")


def masked(text: str) -> str:
    """``text`` with each token of ours as ``jms_…****``, whoever wrote it there."""
    return _TOKEN.sub(r"\1…****", text)


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
