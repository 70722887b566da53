"""Tokens in the query of an address, where every log and history keeps them. Pure."""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from .message import Refusal

__all__ = ["NAMES", "TOKEN_IN_ADDRESS", "tokens_in"]

#: What people and other programs call them there, in whatever case.
NAMES = frozenset({"token", "access_token", "api_key"})

TOKEN_IN_ADDRESS = Refusal(
    400,
    "token_in_address",
    "A token in the address is never accepted, since addresses end up in logs and histories: send it as "
    "'Authorization: Bearer TOKEN', and revoke the one that was sent.",
)

_LIKE_ONE = re.compile(rb"[\x21-\x7e]{8,4096}")  # the Hub takes no shorter ones


def tokens_in(target: bytes) -> tuple[str, ...]:
    """What may be a token in the query of ``target``, each once: it has to be looked up, for models have parameters of
    these names, too."""
    query = target.partition(b"?")[2]
    found: dict[str, None] = {}
    for field in re.split(b"[&;]", query):
        name, _, value = field.partition(b"=")
        if unquote_to_bytes(name).decode("latin-1").lower() in NAMES:
            value = unquote_to_bytes(value)
            if _LIKE_ONE.fullmatch(value):
                found[value.decode("ascii")] = None
    return tuple(found)
