"""What a token may be called, how long it may live, and beside which it may go on. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable

from ..errors import InvalidRequest
from .bounds import LONGEST_LABEL, LONGEST_OVERLAP, LONGEST_TOKEN
from .limits import Limits, check_limits

MOST_TOKENS = 2_000  # of one service, with those that have expired and were not revoked


def kept_to(limits: Limits | None) -> Limits | None:
    """As they are kept to; none at all is ``None``."""
    limits = check_limits(limits) if limits is not None else None
    return limits if limits is not None and limits.any else None


def check_name(name: str) -> None:
    if len(name) > LONGEST_LABEL:
        raise InvalidRequest(f"The name of a token has at most {LONGEST_LABEL} characters, this one has {len(name)}.")
    if not name.isprintable():
        raise InvalidRequest("The name of a token has only printable characters: no line breaks or control codes.")


def check_room(there: int) -> None:
    """All of them are looked at with each change of the service, and in each list of its tokens."""
    if there >= MOST_TOKENS:
        raise InvalidRequest(
            f"The service has {there:,} tokens, which is the most: revoke those that have expired or that nobody "
            "needs, and share it with a group where many people are to call it."
        )


def check_expiry(expires_in: float | None) -> None:
    if expires_in is not None and not (math.isfinite(expires_in) and 0 < expires_in <= LONGEST_TOKEN):
        raise InvalidRequest(
            f"A token expires after more than 0 and at most {LONGEST_TOKEN} seconds, or never: {expires_in} is neither."
        )


def check_overlap(overlap: float) -> None:
    if not (math.isfinite(overlap) and 0 <= overlap <= LONGEST_OVERLAP):
        raise InvalidRequest(
            f"A token goes on for 0 to {LONGEST_OVERLAP} seconds beside the one that takes its place, {overlap} is "
            "neither: make another token with `generate-token`, and revoke this one when nobody needs it any more."
        )


def end_beside(made_at: float, overlap: float, expires_at: float | None) -> float:
    """When a token ends (Unix time) in whose place another one was ``made_at``: ``overlap`` seconds later, and never
    later than it was to (``expires_at``). One of an hour that is rotated with a day ends in that hour."""
    ends = made_at + overlap
    return ends if expires_at is None else min(ends, expires_at)


def life_like(lives: Iterable[float | None], longest: float | None) -> float | None:
    """Seconds that one more of a family lives where nobody says how many, ``None`` for ever: as long as that of its
    ``lives`` which was to be longest (others may have been ended by rotation), and no longer than ``longest``."""
    known = [math.inf if each is None else each for each in lives]
    found = min(max(known), math.inf if longest is None else longest)
    return None if found == math.inf else min(found, float(LONGEST_TOKEN))
