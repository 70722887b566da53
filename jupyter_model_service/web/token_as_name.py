"""A token where a name belongs, of a user, a group, a service or another token, or in a notice.

It would stand in the database, in events and in the audit log for as long as these are kept. Known here are the tokens
of endpoints, by their digests, and those of the Hub that came with a call of the last five minutes; of any other text
nobody can say here whether it is one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from ..core.token_in_address import TOKEN_IN_ADDRESS
from ..core.tried import NAMED_ALONE, UNTOLD
from ..errors import InvalidRequest
from .call import Parts

__all__ = ["HIDDEN", "TokenAsName", "hidden", "in_address", "in_body", "is_token", "texts_of"]

HIDDEN = "…"
_MOST = 4_000
_LIKE_ONE = re.compile(r"[\x21-\x7e]{8,4096}")  # the Hub takes no shorter ones
_WITHIN = re.compile(r"[A-Za-z0-9_-]{32,}")  # ours have 47 characters, those that the Hub makes 32


class TokenAsName(InvalidRequest):
    """What was sent where a name belongs is a token that is good."""


def in_address() -> TokenAsName:
    return TokenAsName(
        "A token was sent in the address, in the place of a name: nothing was changed, but logs on the way may have "
        "it. Say a name instead, and revoke the token that was sent.",
        code=TOKEN_IN_ADDRESS.code,
    )


def in_body() -> TokenAsName:
    return TokenAsName(
        "A token was sent where a name or a note belongs, and would stand in logs and lists: nothing was changed or "
        "written down. Say a name instead, and revoke the token that was sent.",
        code="token_as_name",
    )


def is_token(parts: Parts, text: str) -> bool:
    """Whether ``text`` is a token that is known to be good, or has one in it."""
    found = {text, *_WITHIN.findall(text)}
    return any(_LIKE_ONE.fullmatch(each) and (parts.tokens.met(each) or parts.callers.met(each)) for each in found)


def hidden(parts: Parts, path: Mapping[str, str]) -> dict[str, str]:
    """What is variable in an address, as it may be told."""
    return {name: HIDDEN if is_token(parts, value) else value for name, value in path.items()}


def texts_of(sent: Any) -> Iterator[str]:
    """All texts of what was sent, as JSON or a form, but those of a definition and the values of an environment: an
    owner may well give her model a token, and there it stands sealed. 4,000 at most, which is 10 ms of the event loop;
    no request that is one has so many."""
    found = {name: value for name, value in sent.items() if name not in UNTOLD} if isinstance(sent, Mapping) else {}
    return islice(_texts(found), _MOST)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, each in value.items():
            yield str(name)
            yield from _texts(list(each) if name in NAMED_ALONE and isinstance(each, Mapping) else each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)
