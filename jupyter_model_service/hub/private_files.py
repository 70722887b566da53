"""Files that only the Hub's own user may read, written whole or not at all."""

from __future__ import annotations

import contextlib
import secrets
from pathlib import Path

from ..adapters import private_file
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
    try:
        private_file.write_private(path, text)
    except OSError as error:
        raise WrongSetting(f"{path} cannot be written: {error.strerror}.") from None
