"""Files that only the Hub's own user may read, written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

from .site_config import WrongSetting


def token_in(path: Path) -> str:
    """The service's token at the Hub, made once."""
    with contextlib.suppress(FileNotFoundError):
        if text := path.read_text().strip():
            return text
    token = secrets.token_hex(32)
    write_private(path, token + "\n")
    return token


def write_private(path: Path, text: str) -> None:
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    with contextlib.suppress(FileNotFoundError):
        fresh.unlink()
    try:
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
        fresh.replace(path)
    except OSError as error:
        raise WrongSetting(f"{path} cannot be written: {error.strerror}.") from None
