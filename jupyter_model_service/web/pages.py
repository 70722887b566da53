"""All of our pages, where the gateway is a hub's: who is shown which. Beside ``ROUTES``, and never with a token."""

from __future__ import annotations

from . import page_audit, page_deeds
from .page import Answer, Page, PageCall, Who
from .page_index import index, styles
from .sign_in import sign_in

__all__ = ["PAGES"]


async def oauth_callback(call: PageCall) -> Answer:
    """The Hub sends people back here, and they go on to where they came from. That somebody is signed in now is written
    down, and nothing of what the Hub sent with her."""
    await call.note(await call.sessions.finish(call.handler), 302)
    return None


PAGES: tuple[Page, ...] = (
    Page("GET", "oauth_callback", "oauth_callback", oauth_callback, Who.ANYONE),
    Page("GET", "sign-in", "sign_in", sign_in, Who.VISITOR, about="service"),
    Page("GET", "", "index", index, Who.VISITOR),
    Page("GET", "audit", "list_audit", page_audit.audit, Who.AUDITOR),
    Page("GET", "audit.jsonl", "save_audit", page_audit.save_audit, Who.AUDITOR),
    Page("GET", "page.css", "styles", styles, Who.ANYONE),
    Page("POST", "services/{owner}/{name}/stop", "stop_service", who=Who.VISITOR, form=page_deeds.STOP),
    Page("POST", "services/{owner}/{name}/start", "start_service", who=Who.VISITOR, form=page_deeds.START),
    Page("POST", "services/{owner}/{name}/private", "update_service", who=Who.VISITOR, form=page_deeds.PRIVATE),
    Page("POST", "services/{owner}/{name}/notice", "set_notice", form=page_deeds.NOTICE),
    Page("POST", "limits", "set_limits", form=page_deeds.LIMITS),
    Page("POST", "sign-out", "sign_out", page_deeds.sign_out, Who.VISITOR, of_session=True),
)
