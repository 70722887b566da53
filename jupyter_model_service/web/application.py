"""The Tornado application: one handler class, one URL per path of the route table."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from tornado.web import Application

from .call import Parts
from .handler import NothingHere, RouteHandler
from .openapi import document
from .page import Page, PageHandler
from .page_session import PageSessions
from .pages import PAGES
from .routes import ROUTES, Access, Route
from .sending import Sending
from .sign_in import Doors
from .stream import EventStreams

__all__ = ["ControlApplication", "Shown", "make_application"]


@dataclass(frozen=True)
class Shown:
    """``doors``: services have hosts of their own, with doors for who has signed in."""

    sessions: PageSessions
    doors: Doors | None = None


class ControlApplication(Application):
    """Call :meth:`close_streams` before the server is stopped: an event stream has no end of its own."""

    def __init__(
        self,
        parts: Parts,
        routes: Sequence[Route],
        prefix: str,
        streams: EventStreams,
        sending: Sending,
        shown: Shown | None = None,
    ) -> None:
        self.routes = tuple(routes)
        self.streams = streams
        by_path: dict[str, dict[str, Route]] = {}
        for route in routes:
            by_path.setdefault(route.path, {})[route.method] = route
        given = {"parts": parts, "streams": streams, "sending": sending}
        rules: list[Any] = [
            (_pattern(prefix + path), RouteHandler, {**given, "routes": methods}) for path, methods in by_path.items()
        ]
        if shown is not None:
            rules += _pages(parts, shown, prefix, sending)
        super().__init__(rules, default_handler_class=NothingHere, log_function=_logged_by_the_handler)

    def close_streams(self) -> None:
        self.streams.close()


def make_application(
    parts: Parts,
    *,
    prefix: str = "/",
    open_metrics: bool = False,
    shared: bool = False,
    streams: EventStreams | None = None,
    sending: Sending | None = None,
    shown: Shown | None = None,
) -> ControlApplication:
    """Build the application. ``open_metrics`` serves them without a token. ``shared``: the gateway has several users,
    and what concerns it as a whole is for administrators. ``shown``: there are pages for people, who sign in."""
    routes = [_route(route, open_metrics=open_metrics, shared=shared) for route in ROUTES]
    described = replace(parts, document=functools.cache(lambda: document(routes)))  # 25 ms that a start does not need
    return ControlApplication(
        described,
        routes,
        prefix,
        EventStreams() if streams is None else streams,
        Sending() if sending is None else sending,
        shown,
    )


def _pages(parts: Parts, shown: Shown, prefix: str, sending: Sending) -> list[Any]:
    by_path: dict[str, dict[str, Page]] = {}
    for page in PAGES:
        by_path.setdefault(page.path, {})[page.method] = page
    given = {"parts": parts, "sessions": shown.sessions, "doors": shown.doors, "prefix": prefix, "sending": sending}
    return [(_pattern(prefix + path), PageHandler, {**given, "pages": pages}) for path, pages in by_path.items()]


def _route(route: Route, *, open_metrics: bool, shared: bool) -> Route:
    if open_metrics and route.opens:
        return replace(route, access=Access.ANYONE)
    return replace(route, access=route.shared) if shared and route.shared is not None else route


def _pattern(path: str) -> str:
    """``…/{owner}/{name}`` as a regular expression; a variable is one segment of the path."""
    parts = re.split(r"\{(\w+)\}", path)
    return "".join(f"(?P<{part}>[^/]+)" if i % 2 else re.escape(part) for i, part in enumerate(parts))


def _logged_by_the_handler(handler: object) -> None:
    """Tornado's access log would hold the query; ``on_finish`` writes our own line."""
