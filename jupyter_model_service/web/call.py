"""What a handler is given and what it gives back: plain data, nothing of Tornado."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from pydantic import BaseModel

from ..core.access import Caller, role_of
from ..core.gpu_looks import GpuLook
from ..core.reports import GpuSample
from ..core.sharing import Role
from ..errors import Forbidden
from ..ports import NoRules, Rules
from ..wire import GatewayInfo
from ..wire.offer import OfferInfo
from .download import Download

if TYPE_CHECKING:
    from ..engine.callers import Callers
    from ..engine.engine import Engine
    from ..engine.overrides import Overrides
    from ..engine.tokens import EndpointTokens
    from ..engine.uses import Uses

M = TypeVar("M", bound=BaseModel)


class Looks(Protocol):
    """At the GPUs of a hub's machine, as ``adapters.hub_looks.HubLooks`` has them."""

    async def look(self) -> GpuLook: ...
    def figure(self, gpu: str) -> GpuSample | None: ...


@dataclass(frozen=True)
class Parts:
    """What the control API stands on. ``attach`` and ``shutdown`` belong to the program around it: the one raises
    ``InvalidRequest`` when there is no such process, the other only asks for the end, so that the answer can still be
    sent. ``metrics`` is the text for Prometheus."""

    engine: Engine
    tokens: EndpointTokens
    callers: Callers  # the front's, too
    metrics: Callable[[], bytes]
    info: Callable[[], GatewayInfo]
    attach: Callable[[int, float, bool], None]  # pid, create time, keep
    shutdown: Callable[[bool], None]  # whether the replicas are left running
    offer: Callable[[str | None], Awaitable[OfferInfo]]  # to an owner
    rules: Rules = field(default_factory=NoRules)
    overrides: Overrides | None = None  # where there are users to set limits for
    told: Callable[[], Sequence[str]] = tuple  # more lines for ``health/ready``
    looks: Looks | None = None  # where others than replicas may have GPUs
    uses: Uses | None = None  # where somebody counts who calls how often
    document: Callable[[], Mapping[str, Any]] = dict  # OpenAPI, of the operations that the application has


@dataclass(frozen=True)
class Text:
    """An answer that is not JSON."""

    body: bytes
    content_type: str = "text/plain; charset=utf-8"


Answer = BaseModel | Mapping[str, Any] | Text | Download | None


@dataclass
class Noted:
    """What a handler knows of its own deed, for the audit log; nothing secret. What changed of the service in the path
    is seen without it."""

    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Call:
    """One request, authenticated, authorised and parsed. ``body`` and ``query`` are of the route's models."""

    parts: Parts
    caller: Caller | None
    path: Mapping[str, str]
    body: BaseModel | None = None
    query: BaseModel | None = None
    noted: Noted = field(default_factory=Noted)
    #: Who asks now, with the token that the request came with; raises where she may not any more. For what takes long.
    again: Callable[[], Awaitable[Caller | None]] | None = None

    async def still(self) -> None:
        """Before what was asked for long ago is done: her token may be revoked, or she may be gone."""
        if self.again is None:
            return
        caller = await self.again()
        if "owner" not in self.path and (caller is None or not caller.may_manage(self.home())):
            raise Forbidden("This token may not create services any more.")

    @property
    def service(self) -> tuple[str, str]:
        return self.path["owner"], self.path["name"]

    def given(self, model: type[M]) -> M:
        """The parsed body or query of this model."""
        for value in (self.body, self.query):
            if isinstance(value, model):
                return value
        raise TypeError(f"the route of this call does not take a {model.__name__}")

    @property
    def by(self) -> str:
        """Who does it, for what keeps that."""
        return self.caller.name if self.caller is not None else ""

    def role(self, owner: str, name: str) -> Role | None:
        """What the caller may do with that service; ``None``: it is not there for her."""
        return role_of(self.caller, owner, name, self.parts.engine.sharings.of(owner, name))

    def home(self) -> str:
        """The owner that new services of this caller get: the caller's own, or the only one that is managed."""
        caller = self.caller or Caller("nobody")
        if caller.home is not None and caller.may_manage(caller.home):
            return caller.home
        if caller.name in caller.manages:
            return caller.name
        if len(caller.manages) == 1:
            return next(iter(caller.manages))
        raise Forbidden("This token cannot create services: it does not say whose they would be.")
