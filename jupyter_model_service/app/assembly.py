"""What differs between the gateway of one user and the gateway of a hub: the same engine, front, store and web, other
adapters, addresses and rules."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from ..adapters.lease import TcpLeases
from ..core.hosts import Hosts
from ..engine.callers import Callers
from ..engine.engine import Engine
from ..engine.overrides import Overrides
from ..engine.settings import EngineSettings
from ..engine.tokens import EndpointTokens
from ..engine.uses import Uses
from ..front.settings import FrontSettings
from ..ports import Clock, Definitions, Identity, Launcher, Leases, NoRules, Rules, Storage, Store, Visits
from ..web.page_session import PageSessions
from .offers import Offer

if TYPE_CHECKING:  # what it imports is installed with the extra `hub` alone
    from ..adapters.hub_looks import HubLooks

__all__ = ["Assemble", "Assembly", "Site"]


@dataclass(frozen=True)
class Site:
    """What is there already when the parts are chosen. What they take goes onto ``undo``."""

    store: Store
    clock: Clock
    undo: contextlib.AsyncExitStack
    end: Callable[[str], None]
    uses: Uses


def _nothing(engine: Engine, undo: contextlib.AsyncExitStack) -> None:
    return None


@dataclass(frozen=True)
class Assembly:
    """``base`` is the gateway's address as callers know it, with a slash at the end; ``prefix`` the path of it that
    reaches us; ``hosts``: services have hosts of their own besides. ``shared``: among people who sign in. ``begin``
    starts what runs beside the engine, ``told`` are lines for ``health/ready``, ``configured`` what the audit log says
    of how it was set up: no secret."""

    mode: Literal["embedded", "hub"]
    owner: str
    listener: socket.socket
    base: str
    launcher: Launcher
    storage: Storage
    definitions: Definitions
    tokens: EndpointTokens
    identity: Identity
    settings: EngineSettings
    attach: Callable[[int, float, bool], None]
    attached: Callable[[], int]
    kept: Callable[[], bool]
    offer: Offer
    leases: Leases = field(default_factory=TcpLeases)
    prefix: str = "/"
    front: FrontSettings = field(default_factory=FrontSettings)
    hosts: Hosts | None = None
    sessions: Callable[[Callers], PageSessions] | None = None  # of people at our own pages
    visits: Visits | None = None  # of people at the hosts of services
    shared: bool = False
    may_end: bool = True  # on request, and with it the replicas
    announced: str | None = field(default=None, repr=False)  # the control token for the user's own programs
    rules: Rules = field(default_factory=NoRules)  # of the administrator
    overrides: Overrides | None = None
    looks: HubLooks | None = None  # at GPUs that others than replicas may have
    begin: Callable[[Engine, contextlib.AsyncExitStack], Any] = _nothing
    told: Callable[[], Sequence[str]] = tuple
    configured: Mapping[str, Any] = field(default_factory=dict)

    def page_of(self, owner: str, name: str, public: bool) -> str | None:
        """Where a browser opens a service, if it may: it has no token to send, and where nobody signs in, only what is
        public answers one."""
        return self.hosts.url_of(owner, name) if self.hosts is not None and (public or self.shared) else None


class Assemble(Protocol):
    async def __call__(self, site: Site) -> Assembly: ...
