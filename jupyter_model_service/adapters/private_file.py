"""Small files for their owner's eyes: mode 0600 from the first moment, written whole or not at all.

A *book* is such a file with a JSON object: what must be known beside the database, such as what was begun.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["read_book", "write_book", "write_private"]

log = logging.getLogger(__name__)


def write_private(path: Path, text: str) -> None:
    """On disk when it returns. ``OSError``: then the file is as it was, and nothing is left beside it."""
    part = path.with_name(f".{path.name}.part")
    try:
        part.unlink(missing_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with open(os.open(part, flags, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise


def read_book(path: Path, lost: str) -> dict[str, Any]:
    """Empty where there is none, and where it cannot be read: then the log says so, and that ``lost``."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError("it is no object")
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        log.warning("%s cannot be read (%s): %s", path, error, lost)
        return {}
    return content


def write_book(path: Path, book: Mapping[str, Any]) -> None:
    write_private(path, json.dumps(book, indent=1, sort_keys=True))
