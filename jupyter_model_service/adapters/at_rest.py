"""What is secret in the state database is sealed there, so that a dump or a copy of the file alone tells none of it.

On a hub by Fernet (``sealing.FernetAtRest``). A user's own gateway has the standard library alone, which signs and has
no cipher. Of its HMAC-SHA256 :class:`HmacAtRest` makes a pad as long as the text (the counter mode of NIST SP 800-108,
each pad used once), and it signs what comes out (encrypt-then-MAC). Its key lies beside the database: whoever can read
the whole folder can read the secrets, as she could read them in the processes of the replicas.
"""

from __future__ import annotations

import base64
import hmac
import os
from pathlib import Path
from typing import Protocol

from .key_file import SealError, key_bytes, make_key

__all__ = ["AtRest", "HmacAtRest", "own_at_rest"]

_NONCE, _TAG, _BLOCK = 16, 32, 32  # bytes


class AtRest(Protocol):
    """``about`` names the place of a secret (which column, of which row): sealed, it is opened as that and no other."""

    key_file: Path

    def seal(self, plain: str, about: str) -> str:
        """In ASCII, another one each time."""

    def open(self, sealed: str, about: str) -> str:
        """``SealError`` where it was sealed with another key, as something else, or not at all."""


class HmacAtRest:
    """``key`` as :func:`.key_file.new_key` makes one."""

    def __init__(self, key: str, key_file: Path) -> None:
        self.key_file = key_file
        made = key_bytes(key)
        self._pad_key, self._tag_key = (_hmac(made, b"state database: " + use) for use in (b"pad", b"tag"))

    def seal(self, plain: str, about: str) -> str:
        nonce = os.urandom(_NONCE)
        hidden = self._padded(nonce, plain.encode("utf-8", "surrogatepass"))
        return base64.urlsafe_b64encode(nonce + hidden + self._tag(nonce, hidden, about)).decode("ascii")

    def open(self, sealed: str, about: str) -> str:
        try:
            plain = base64.b64decode(sealed.encode("ascii", "replace"), altchars=b"-_", validate=True)
        except ValueError:
            plain = b""
        nonce, hidden, tag = plain[:_NONCE], plain[_NONCE:-_TAG], plain[-_TAG:]
        if len(plain) < _NONCE + _TAG or not hmac.compare_digest(tag, self._tag(nonce, hidden, about)):
            raise SealError("What is there was not sealed with this key.")
        return self._padded(nonce, hidden).decode("utf-8", "surrogatepass")

    def _padded(self, nonce: bytes, text: bytes) -> bytes:
        """Hidden, or shown again."""
        blocks = range(-(-len(text) // _BLOCK))
        pad = b"".join(_hmac(self._pad_key, nonce + number.to_bytes(8, "big")) for number in blocks)
        return bytes(one ^ other for one, other in zip(text, pad, strict=False))

    def _tag(self, nonce: bytes, hidden: bytes, about: str) -> bytes:
        # The nonce has always the same length, and the digest of what it is about, too: nothing can be moved over.
        return _hmac(self._tag_key, nonce + _hmac(self._tag_key, about.encode("utf-8", "surrogatepass")) + hidden)


def own_at_rest(key_file: Path) -> HmacAtRest:
    """With the key in this file, which is made if there is none. ``SealError`` where it cannot be used."""
    return HmacAtRest(make_key(key_file), key_file)


def _hmac(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, "sha256")
