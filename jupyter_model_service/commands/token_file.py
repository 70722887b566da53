"""A token in a file of the user's: mode 0600 from its first byte on, and nothing else is ever overwritten."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

from ..errors import InvalidRequest

#: What begins an endpoint token; a file that begins so is a token file that may be replaced.
PREFIX = "jms_"


def check_target(text: str) -> Path:
    """Before a token is made: whether it could be written there. Opens nothing but regular files, so that no pipe
    makes it wait, and follows no link: who planted it would choose where the token goes. Raises ``InvalidRequest``."""
    path = Path(text).expanduser().absolute()
    wrong = _objection(path)
    if wrong is not None:
        raise InvalidRequest(f"{wrong}; no token was made.")
    return path


def _objection(path: Path) -> str | None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return None if path.parent.is_dir() else f"There is no folder {path.parent} to write the token to"
    except (OSError, ValueError) as error:  # a file in the place of a folder, a name that is too long
        return f"{path} cannot be written ({getattr(error, 'strerror', None) or error})"
    if stat.S_ISDIR(mode):
        return f"{path} is a folder: name a file for the token"
    if stat.S_ISLNK(mode):
        return f"{path} is a symbolic link, which is not followed: name the file itself"
    if not stat.S_ISREG(mode):
        return f"{path} is a device, a pipe or a socket: name a file for the token"
    if not _holds_token(path):
        return f"{path} exists and is no token file: choose another name"
    return None


def write_token(path: Path, token: str) -> None:
    """Replaces the file as a whole, so that no reader ever sees half a token. Raises ``OSError``."""
    partial = path.with_name(f".{path.name[:100]}.{os.urandom(4).hex()}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "w", encoding="ascii") as file:
            os.fchmod(descriptor, 0o600)  # a umask of 0777 would leave nobody anything
            file.write(token + "\n")
        os.replace(partial, path)  # of a link, this would replace the link
    except BaseException:
        with suppress(OSError):
            partial.unlink()
        raise


def _holds_token(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
        with open(descriptor, "rb") as file:
            start = file.read(512) if stat.S_ISREG(os.fstat(descriptor).st_mode) else b"something else by now"
    except OSError:
        return False
    return not start.strip() or (start.startswith(PREFIX.encode()) and len(start.split()) == 1)
