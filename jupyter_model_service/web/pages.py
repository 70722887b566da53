"""All of our pages, where the gateway is a hub's: who is shown which. Beside ``ROUTES``, and never with a token."""

from __future__ import annotations

from . import page_deeds
from .page import Answer, Page, PageCall, Who
from .page_index import index, styles
from .sign_in import sign_in

__all__ = ["PAGES"]


async def oauth_callback(call: PageCall) -> Answer:
    """The Hub sends people back here, and they go on to where they came from."""
    await call.sessions.finish(call.handler)
    return None


PAGES: tuple[Page, ...] = (
    Page("GET", "oauth_callback", "oauth_callback", oauth_callback, Who.ANYONE),
    Page("GET", "sign-in", "sign_in", sign_in, Who.VISITOR, about="service"),
    Page("GET", "", "index", index, Who.VISITOR),
    Page("GET", "page.css", "styles", styles, Who.ANYONE),
    Page("POST", "services/{owner}/{name}/stop", "stop_service", page_deeds.stop, Who.VISITOR),
    Page("POST", "services/{owner}/{name}/start", "start_service", page_deeds.start, Who.VISITOR),
    Page("POST", "services/{owner}/{name}/notice", "set_notice", page_deeds.notice),
    Page("POST", "limits", "set_limits", page_deeds.limits),
    Page("POST", "sign-out", "sign_out", page_deeds.sign_out, Who.VISITOR),
)
