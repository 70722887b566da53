"""What install() has to say where each service has a host of its own, by which people sign in."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

__all__ = ["notes_on_hosts"]


def notes_on_hosts(endpoints_url: str | None, public_url: str, *, given: bool) -> Iterator[str]:
    """``public_url`` is the Hub's as browsers reach it, ``given`` or guessed."""
    if endpoints_url is None or "*" not in endpoints_url:
        return
    yield (
        f"people sign in to the pages of services at {endpoints_url} by way of {public_url}, where the Hub asks them "
        "nothing but who they are (oauth_no_confirm)."
    )
    if not given:
        yield (
            f"c.JupyterHub.public_url is not set, and {public_url} is a guess from bind_url: where browsers reach the "
            "Hub elsewhere, nobody can sign in to the pages of services until it is."
        )
    hub, services = (urlsplit(url).hostname or "" for url in (public_url, endpoints_url.replace("*", "any")))
    if _beside(hub, services):
        yield (
            f"the pages of services at {endpoints_url} and the Hub at {public_url} are the same site to browsers: a "
            "script of such a page can set cookies for both, and so sign people in there as somebody else. Another "
            "domain of its own is safer (docs/admin.md)."
        )


def _beside(one: str, other: str) -> bool:
    """Whether the last two labels are the same, which is what most domains are registered by."""
    ends = [name.rstrip(".").lower().split(".")[-2:] for name in (one, other)]
    return ends[0] == ends[1] and len(ends[0]) == 2 and not ends[0][-1].isdecimal()
