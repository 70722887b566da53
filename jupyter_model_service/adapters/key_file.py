"""Files that hold a key: 32 random bytes in URL-safe base64, for the eyes of the user who runs this (mode 0600)."""

from __future__ import annotations

import base64
import contextlib
import errno
import os
import stat
import threading
from pathlib import Path

__all__ = ["SealError", "key_bytes", "make_key", "new_key", "read_key"]


class SealError(ValueError):
    """What is sealed cannot be opened with this key, or the key cannot be used. One sentence."""


def new_key() -> str:
    """A fresh key, of 44 characters."""
    return base64.urlsafe_b64encode(os.urandom(32)).decode("ascii")


def key_bytes(key: str) -> bytes:
    """The 32 bytes of what :func:`new_key` gives; ``SealError`` for everything else."""
    try:
        plain = base64.urlsafe_b64decode(key)
    except ValueError:
        plain = b""
    if len(plain) != 32:
        raise SealError("The key of the model service is not one: 44 characters as new_key() makes them.")
    return plain


def make_key(path: Path) -> str:
    """The key of this file, made (mode 0600) if there is none: those who begin together get the same."""
    if not path.exists():
        fresh = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}")
        with contextlib.suppress(FileNotFoundError):
            fresh.unlink()  # of a process that was killed here and had our numbers
        try:
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            with open(descriptor, "w", encoding="ascii") as file:
                file.write(new_key() + "\n")
                file.flush()
                os.fsync(file.fileno())
            try:
                os.link(fresh, path)  # never in the place of one that came first
            except FileExistsError:
                pass
            except OSError as error:
                if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK):
                    raise
                fresh.rename(path)  # a file system without hard links; the gateway's lock keeps a second one out here
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
        key_bytes(key)
    except SealError:
        raise SealError(
            f"The key file {path} holds no key: put the right one back, or remove it, and a new one is made."
        ) from None
    return key
