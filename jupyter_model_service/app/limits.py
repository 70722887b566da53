"""What the system allows this process. Each connection through the gateway takes two descriptors."""

from __future__ import annotations

import logging
import resource

__all__ = ["raise_descriptor_limit"]

ENOUGH = 65_536
FALLBACK = 10_240  # the most that macOS takes, whatever it says that its hard limit is

log = logging.getLogger(__name__)


def raise_descriptor_limit(enough: int = ENOUGH) -> int:
    """Raise the soft limit of open files to the hard one, at most to ``enough``; never lowers it.

    The usual 1,024 are used up by some 500 callers at once, and then nothing can be probed, logged or started.
    Replicas inherit the raised limit. Returns the soft limit that now holds.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return soft
    for most in (enough, FALLBACK):
        wanted = most if hard == resource.RLIM_INFINITY else min(most, hard)
        if wanted <= soft:
            break
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError):
            continue
        return wanted
    log.debug("the limit of open files stays at %d", soft)
    return soft
