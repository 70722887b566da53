"""How many callers may be connected, so that the process always has a descriptor for what it has to do itself. Pure."""

from __future__ import annotations

__all__ = ["SHARE_PER_OWNER", "SHARE_PER_SERVICE", "at_a_time", "most_callers", "most_of_one", "most_refused"]

_FEWEST = 16

# Of the callers for whom there is room, those of one service, and of all services of one owner, by default on a Hub.
SHARE_PER_SERVICE, SHARE_PER_OWNER = 0.33, 0.5


def most_callers(descriptors: int) -> int:
    """A call takes two descriptors, its caller's and its replica's. An eighth of all, and 32 at least, is for the rest:
    probes, logs, the store, files, what is started, callers who are told that there is no place.

    There is no limit for one address: behind a Hub's proxy all callers come from the same one, and on one's own machine
    everybody does."""
    return max(_FEWEST, (descriptors - max(32, descriptors // 8)) // 2)


def most_of_one(most: int, share: float) -> int | None:
    """Calls that one service may have open, so that the others' callers find a place; ``None``: as many as come."""
    return max(1, int(most * share)) if share < 1 else None


def most_refused(most: int) -> int:
    """Callers who are told so, and may take a moment to read it; any more are cut off."""
    return max(4, most // 16)


def at_a_time(most: int) -> int:
    """Idle connections that are closed together when there is no place left: to find the one that has been idle for
    longest means to look at all of them."""
    return max(1, most // 100)
