"""Options that only the gateway can have made and only the Hub's process can read.

Both hold the same key, in a file that ``install()`` makes. Fernet (AES-128-CBC and HMAC-SHA256): what was sealed can
neither be read nor changed nor made by anybody else; which server it is for stands inside.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet, InvalidToken

__all__ = ["SealError", "Sealer", "make_key", "new_key", "read_key"]


class SealError(ValueError):
    """What is sealed cannot be opened with this key, or the key cannot be used. One sentence."""


class Sealer:
    """``key`` is what :func:`new_key` gives."""

    def __init__(self, key: str) -> None:
        try:
            self._fernet = Fernet(key.encode("ascii", "replace"))
        except ValueError:
            raise SealError("The key of the model service is not one: 44 characters as new_key() makes them.") from None

    def seal(self, plain: Mapping[str, Any]) -> str:
        text = json.dumps(dict(plain), separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        return self._fernet.encrypt(text.encode("utf-8")).decode("ascii")

    def open(self, text: str) -> dict[str, Any]:
        """What :meth:`seal` was given; ``SealError`` for everything else."""
        try:
            plain = json.loads(self._fernet.decrypt(text.encode("utf-8", "replace")))
        except (InvalidToken, ValueError, RecursionError):
            raise SealError("These options were not made by this Hub's model service.") from None
        if not isinstance(plain, dict):
            raise SealError("These options were not made by this Hub's model service.")
        return plain


def new_key() -> str:
    """A fresh key: 32 random bytes in URL-safe base64."""
    return Fernet.generate_key().decode("ascii")


def make_key(path: Path) -> str:
    """The key of this file, made (mode 0600) if there is none: two processes that begin together get the same."""
    if not path.exists():
        fresh = path.with_name(f".{path.name}.{os.getpid()}")
        with contextlib.suppress(FileNotFoundError):
            fresh.unlink()  # of a process that was killed here and had our number
        try:
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            with open(descriptor, "w", encoding="ascii") as file:
                file.write(new_key() + "\n")
                file.flush()
                os.fsync(file.fileno())
            with contextlib.suppress(FileExistsError):
                os.link(fresh, path)  # never in the place of one that came first
        except OSError as error:
            raise SealError(f"The key file {path} cannot be made: {error.strerror or error}.") from None
        finally:
            with contextlib.suppress(OSError):
                fresh.unlink()
    return read_key(path)


def read_key(path: Path) -> str:
    """The key of this file, which must belong to this user (or root) and be readable by nobody else."""
    try:
        with open(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)) as file:
            facts = os.fstat(file.fileno())
            text = file.read(1024)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise SealError(f"The key file {path} cannot be read: {reason}.") from None
    if not stat.S_ISREG(facts.st_mode) or facts.st_uid not in (os.getuid(), 0):
        raise SealError(f"The key file {path} must be a file that belongs to the user who runs this, or to root.")
    if facts.st_mode & 0o077:
        raise SealError(f"The key file {path} can be read by others: chmod 600 {path}.")
    key = text.strip()
    try:
        Sealer(key)
    except SealError:
        raise SealError(f"The key file {path} holds no key: remove it, and a new one is made.") from None
    return key
