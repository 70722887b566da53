"""Tokens in the query of an address, where every log and history keeps them. Pure."""

from __future__ import annotations

import re
from itertools import islice

from .escapes import read, read_leniently
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

#: Of so many fields the values are looked at: nobody sends her token as the 65th by mistake.
MOST = 64
LONGEST = 4096
_LIKE_ONE = re.compile(rb"[\x21-\x7e]{8,}")  # the Hub takes no shorter ones
_END = re.compile(rb"[&;]")


def _spelled(name: str) -> str:
    """A pattern for it in small letters, each as itself or as ``%XX`` of the small or the capital one."""
    return "".join(f"(?:{c}|%{ord(c):02x}|%{ord(c.upper()):02x})" for c in name)


# One pattern for all fields: with each field by itself 16 KiB of "&" were 13 ms, for whoever has no token either.
_FIELD = re.compile(f"[&;](?:{'|'.join(map(_spelled, sorted(NAMES)))})=".encode())
_ENDS = tuple(f"{name}=".encode() for name in NAMES)


def tokens_in(target: bytes) -> tuple[str, ...]:
    """What may be a token in the query of ``target``, each once: it has to be looked up, for models have parameters of
    these names, too."""
    query = target.partition(b"?")[2]
    if b"=" not in query:
        return ()
    small = query.lower()
    try:
        plain = read(small).lower() if b"%" in small else small
        if not any(end in plain for end in _ENDS):
            return ()
    except UnicodeDecodeError:
        pass
    found: dict[str, None] = {}
    for field in islice(_FIELD.finditer(b"&" + small), MOST):
        value = _END.split(query[field.end() - 1 : field.end() + 3 * LONGEST], 1)[0]
        value = read_leniently(value)
        if 8 <= len(value) <= LONGEST and _LIKE_ONE.fullmatch(value):
            found[value.decode("ascii")] = None
    return tuple(found)
