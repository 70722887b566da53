"""What is sealed: on a hub, options that only the gateway can have made and only the Hub's process can read; and
everywhere what is secret in the gateway's database (``at_rest``).

On a hub both processes hold the same key, in a file that ``install()`` makes. Fernet (AES-128-CBC and HMAC-SHA256):
what was sealed can neither be read nor changed nor made by anybody else; which server or row it is for stands inside.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from .key_file import SealError, key_bytes

__all__ = ["Sealer", "key_for"]


def key_for(purpose: str, key: str) -> str:
    """A key of its own for this purpose, made of the one that everything has: what is sealed with it can stand for
    nothing else that the key seals."""
    made = HKDF(SHA256(), 32, salt=None, info=purpose.encode("ascii")).derive(key.encode("ascii"))
    return base64.urlsafe_b64encode(made).decode("ascii")


class Sealer:
    """``key`` is what :func:`.key_file.new_key` gives."""

    def __init__(self, key: str) -> None:
        key_bytes(key)
        self._fernet = Fernet(key)

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
