"""The Tornado application: one handler class, one URL per path of the route table."""

from __future__ import annotations

import functools
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tornado.web import Application

from ..ports import NoRules, Rules
from ..wire import GatewayInfo
from ..wire.offer import OfferInfo
from .call import Counts, Looks, Overriding, Parts, Tokens
from .handler import NothingHere, RouteHandler
from .openapi import document
from .page import Page, PageHandler
from .page_session import PageSessions
from .pages import PAGES
from .routes import ROUTES, Access, Route
from .sign_in import Doors
from .stream import EventStreams

if TYPE_CHECKING:
    from ..engine.callers import Callers
    from ..engine.engine import Engine

__all__ = ["ControlApplication", "Shown", "make_application"]


@dataclass(frozen=True)
class Shown:
    """``doors``: services have hosts of their own, with doors for who has signed in."""

    sessions: PageSessions
    doors: Doors | None = None


class ControlApplication(Application):
    """Call :meth:`close_streams` before the server is stopped: an event stream has no end of its own."""

    def __init__(
        self, parts: Parts, routes: Sequence[Route], prefix: str, streams: EventStreams, shown: Shown | None = None
    ) -> None:
        self.routes = tuple(routes)
        self.streams = streams
        by_path: dict[str, dict[str, Route]] = {}
        for route in routes:
            by_path.setdefault(route.path, {})[route.method] = route
        rules: list[Any] = [
            (_pattern(prefix + path), RouteHandler, {"parts": parts, "routes": methods, "streams": streams})
            for path, methods in by_path.items()
        ]
        if shown is not None:
            rules += _pages(parts, shown, prefix)
        super().__init__(rules, default_handler_class=NothingHere, log_function=_logged_by_the_handler)

    def close_streams(self) -> None:
        self.streams.close()


def make_application(
    *,
    engine: Engine,
    tokens: Tokens,
    callers: Callers,
    metrics: Callable[[], bytes],
    info: Callable[[], GatewayInfo],
    attach: Callable[[int, float, bool], None],
    shutdown: Callable[[bool], None],
    offer: Callable[[str | None], Awaitable[OfferInfo]],
    rules: Rules | None = None,
    overrides: Overriding | None = None,
    prefix: str = "/",
    open_metrics: bool = False,
    shared: bool = False,
    told: Callable[[], Sequence[str]] = tuple,
    streams: EventStreams | None = None,
    looks: Looks | None = None,
    shown: Shown | None = None,
    uses: Counts | None = None,
) -> ControlApplication:
    """Build the application. ``metrics`` is the text for Prometheus; ``open_metrics`` serves it without a token.

    ``attach(pid, create_time, keep)`` raises ``InvalidRequest`` when there is no such process;
    ``shutdown(leave_replicas)`` only asks for the end, so that the answer can still be sent. ``shared``: the gateway
    has several users, and what concerns it as a whole is for administrators. ``told``: lines that ``health/ready``
    adds, of what is no reason to send callers elsewhere. ``looks`` sees the GPUs of the machine; ``shown``: there are
    pages for people, who sign in; ``uses`` knows who called how often.
    """
    routes = [_route(route, open_metrics=open_metrics, shared=shared) for route in ROUTES]
    describe = functools.cache(lambda: document(routes))  # 25 ms that a start does not need
    parts = Parts(
        engine, tokens, callers, metrics, info, attach, shutdown, describe, offer, rules or NoRules(), overrides, told
    )
    parts = replace(parts, looks=looks, uses=uses)
    return ControlApplication(parts, routes, prefix, EventStreams() if streams is None else streams, shown)


def _pages(parts: Parts, shown: Shown, prefix: str) -> list[Any]:
    by_path: dict[str, dict[str, Page]] = {}
    for page in PAGES:
        by_path.setdefault(page.path, {})[page.method] = page
    given = {"parts": parts, "sessions": shown.sessions, "doors": shown.doors, "prefix": prefix}
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
