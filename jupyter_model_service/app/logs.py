"""Where log lines go: to stderr in a terminal, to the bounded ``gateway.log`` when there is no terminal."""

from __future__ import annotations

import logging
import os
import re
import sys
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path

__all__ = ["configure"]

_SIZE = 4 << 20  # bytes of one file; with the former one at most 8 MiB are kept
_SECRET = re.compile(r"\bjm[sc]_[A-Za-z0-9_-]+")


class _Formatter(logging.Formatter):
    """The last line of defence: a token that got into a message or traceback does not get into the log."""

    def format(self, record: logging.LogRecord) -> str:
        return _SECRET.sub("[token]", super().format(record))


class _OwnFile(RotatingFileHandler):
    """Also takes stderr along when the file changes: a crash of the interpreter then says so in the new one. Each file
    has mode 0600, whatever the umask is."""

    def _open(self) -> TextIOWrapper:
        return TextIOWrapper(open(self.baseFilename, "ab", opener=_private), self.encoding, "backslashreplace")

    def doRollover(self) -> None:
        former = os.stat(self.baseFilename)
        followers = [d for d in (1, 2) if os.path.samestat(os.fstat(d), former)]
        super().doRollover()
        if self.stream is not None:
            for descriptor in followers:
                os.dup2(self.stream.fileno(), descriptor)

    def handleError(self, record: logging.LogRecord) -> None:
        """A full disk must not stop the gateway, nor fill stderr, which is the same file."""


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def configure(level: int, log_file: Path) -> None:
    """Log to ``log_file`` if that is where stderr goes already (a detached start), else to stderr."""
    detached = _is_stderr(log_file)
    handler: logging.Handler = (
        _OwnFile(log_file, maxBytes=_SIZE, backupCount=1, encoding="utf-8")
        if detached
        else logging.StreamHandler(sys.stderr)
    )
    handler.setFormatter(_Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(level, logging.WARNING))
    logging.getLogger(__package__.partition(".")[0]).setLevel(level)
    logging.captureWarnings(True)


def _is_stderr(path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(2), path.stat())
    except OSError:
        return False
