"""A token in a file of the user's: mode 0600 from its first byte on, and nothing else is ever overwritten."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from ..errors import InvalidRequest

#: What begins an endpoint token; a file that begins so is a token file that may be replaced.
PREFIX = "jms_"


def check_target(text: str) -> Path:
    """Before a token is made: whether it could be written there. Raises ``InvalidRequest``."""
    path = Path(text).expanduser().absolute()
    if not path.parent.is_dir():
        raise InvalidRequest(f"There is no folder {path.parent} to write the token to; no token was made.")
    if path.is_dir():
        raise InvalidRequest(f"{path} is a folder: name a file for the token; no token was made.")
    if path.exists() and not _holds_token(path):
        raise InvalidRequest(f"{path} exists and is no token file: choose another name; no token was made.")
    return path


def write_token(path: Path, token: str) -> None:
    """Replaces the file as a whole, so that no reader ever sees half a token. Raises ``OSError``."""
    partial = path.with_name(f".{path.name}.{os.urandom(4).hex()}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "w", encoding="ascii") as file:
            file.write(token + "\n")
        os.replace(partial, path)
    except BaseException:
        with suppress(OSError):
            partial.unlink()
        raise


def _holds_token(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            start = file.read(512)
    except OSError:
        return False
    return not start.strip() or (start.startswith(PREFIX.encode()) and len(start.split()) == 1)
