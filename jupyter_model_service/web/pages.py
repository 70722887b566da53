"""All of our pages, where the gateway is a hub's: who is shown which. Beside ``ROUTES``, and never with a token."""

from __future__ import annotations

from .page import Answer, Page, PageCall, Who
from .sign_in import sign_in

__all__ = ["PAGES"]


async def oauth_callback(call: PageCall) -> Answer:
    """The Hub sends people back here, and they go on to where they came from."""
    await call.sessions.finish(call.handler)
    return None


PAGES: tuple[Page, ...] = (
    Page("GET", "oauth_callback", "oauth_callback", oauth_callback, Who.ANYONE),
    Page("GET", "sign-in", "sign_in", sign_in, Who.VISITOR),
)
