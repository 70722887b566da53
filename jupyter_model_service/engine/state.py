"""The engine's picture of services and replicas: plain records that only the event loop's thread touches.

Who changes what: ``Replica.life`` only ``controller.apply``; ``Service.record`` only the controller (decisions of
the plan) and ``engine.Engine`` (after the store has it); contact, probing and ending their own fields below.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..core.backoff import Retry
from ..core.definition import HealthCheck
from ..core.health import WITHOUT_BLOCK, Health
from ..core.lives import End
from ..core.replica import LIVE, SERVING, Life, Phase
from ..core.reports import LeaseSample, RunnerState
from ..core.revision import Revision
from ..core.routing import Backend, Endpoint, RoutingTable
from ..core.scaling.decide import Memory
from ..core.scaling.policy import Autoscaling
from ..core.scaling.signals import Bounds, Decision, Limit
from ..ports import (
    Clock,
    Launcher,
    Lease,
    Leases,
    Meter,
    Probe,
    ReplicaRecord,
    ServiceRecord,
    Store,
)
from .settings import EngineSettings

DECISIONS_KEPT = 100  # per service


@dataclass(frozen=True)
class Parts:
    """The world, as given to the engine."""

    store: Store
    launcher: Launcher
    leases: Leases
    probe: Probe
    clock: Clock
    meter: Meter
    routing: RoutingTable
    settings: EngineSettings


@dataclass(eq=False)
class Replica:
    """``created`` is monotonic (of the launch, or of the adoption), ``since_at`` the Unix time of the phase."""

    record: ReplicaRecord
    service: Service
    revision: Revision
    life: Life
    created: float
    since_at: float
    adopted: bool = False
    outdated: bool = False
    substitute: bool = False  # started in the place of one that had failed
    # contact
    lease: Lease | None = None
    lease_open: bool = False
    silence: str = ""  # why the lease is not open, in the lease's words
    unasked: bool = False  # and that it is our own lack, which says nothing about the replica
    runner: RunnerState | None = None
    sample: LeaseSample | None = None
    sample_at: float = 0.0  # monotonic
    cpu: float | None = None  # percent of one core, between its last two samples
    # probing
    health: Health = field(default_factory=Health)
    ports: tuple[tuple[str, int], ...] = ()  # where it listened when its runner was asked
    ports_asked_at: float | None = None  # monotonic
    poke: asyncio.Event = field(default_factory=asyncio.Event)  # probe now
    exposed: str = ""  # the hosts on which it listened and must not
    # launching
    placed: bool = True  # False: the launcher found no place for it (no GPU is free)
    refusal: str = ""  # and its sentence about that
    # the front's side
    backend: Backend | None = None
    # ending
    idle: asyncio.Event = field(default_factory=asyncio.Event)
    exited: asyncio.Event = field(default_factory=asyncio.Event)
    hurry: asyncio.Event = field(default_factory=asyncio.Event)  # drain no longer than ``hurried``
    hurried: float = 0.0

    @property
    def id(self) -> str:
        return self.record.id

    @property
    def phase(self) -> Phase:
        return self.life.phase

    def live(self) -> bool:
        return self.life.phase in LIVE

    def serving(self) -> bool:
        return self.life.phase in SERVING

    def ran(self) -> bool:
        """Whether anything of its definition was run."""
        return Phase.PREPARING in self.life.starts or Phase.LOADING in self.life.starts

    def has_calls(self) -> bool:
        """Whether calls may be on it, new ones or the last: it is asked how it is."""
        return self.life.phase in SERVING or self.life.phase is Phase.DRAINING

    def looked_after(self) -> bool:
        """Whether it is of use: it serves, comes up to, or has its last calls."""
        return self.live() or self.life.phase is Phase.DRAINING

    @property
    def check(self) -> HealthCheck:
        """The definition's health check, or the figures for one without."""
        return self.revision.definition.health_check or WITHOUT_BLOCK


@dataclass(frozen=True)
class Departed:
    """What stays of a failed replica for people to read."""

    id: str
    revision: int
    reason: str | None
    life: Life
    since_at: float
    created_at: float
    address: str | None


class Mark(NamedTuple):
    """What calls had done by ``at`` (monotonic); what came since is the difference to now."""

    at: float
    arrived: int
    finished: int
    failed: int
    whole: tuple[int, ...]
    first: tuple[int, ...]
    in_flight_seconds: float


@dataclass(slots=True)
class Decided:
    """A decision, and since when (Unix time) nothing of it but its figures has changed; ``at`` is its own time. A
    value; not frozen, for the time that it takes."""

    decision: Decision
    at: float
    since: float
    gist: object  # what it comes to, without its figures


@dataclass(slots=True)
class Steady:
    """What the last decision was about, of ``since`` (monotonic): until one of it changes, or ``until`` has come, there
    is nothing to decide. ``at``: when it was last seen that all is the same. ``about``: policy, bounds, failures, count
    and revision. ``calls``: the counters, and the last call."""

    until: float
    since: float
    at: float
    about: tuple[Autoscaling, Bounds, Retry, int, int]
    calls: tuple[int, int, float | None, float]
    ready: int
    measures: Mapping[str, float | None]


@dataclass(eq=False)
class Scaled:
    """What the autoscaler has in memory of a service. All of it begins anew with the gateway.

    ``bounds`` are those of the policy ``bounds_of``, found at ``bounds_at`` (Unix time) and good until they change.
    ``limit`` is what its owner may have, looked at last, and when to look again (monotonic). ``idle_since``: when it
    went to zero (monotonic). ``waking``: it was brought back from there, and no replica has been ready since.
    ``steady``: nothing is decided meanwhile, and ``memory`` is of when that began.
    ``marks`` cover the last minute, ``tick`` is what calls had done at the last look.
    """

    memory: Memory | None = None
    steady: Steady | None = None
    bounds: Bounds | None = None
    bounds_of: Autoscaling | None = None
    bounds_at: float = 0.0
    limit: tuple[Limit, float] | None = None
    idle_since: float | None = None
    waking: bool = False
    tick: Mark | None = None
    decisions: deque[Decided] = field(default_factory=lambda: deque(maxlen=DECISIONS_KEPT))
    marks: deque[Mark] = field(default_factory=deque)


@dataclass(eq=False)
class Preparing:
    """A revision whose files are being kept, and which the store does not know yet. ``given_up``: why it is not made,
    once that is so."""

    number: int
    task: asyncio.Task[Any]
    given_up: str | None = None


class Changed(NamedTuple):
    """What a command leaves. ``notices``: sentences for who asked, about what it did besides or deserves a look."""

    service: Service
    notices: tuple[str, ...] = ()


@dataclass(eq=False)
class Service:
    record: ServiceRecord
    revisions: dict[int, Revision]
    endpoint: Endpoint
    replicas: dict[str, Replica] = field(default_factory=dict)
    retries: dict[int, Retry] = field(default_factory=dict)
    departed: deque[Departed] = field(default_factory=deque)
    not_enforced: tuple[str, ...] = ()
    holes: int = 0  # failed replicas whose replacement has not been started yet
    owed: int = 0  # those among them that had run: what is started for one is a restart
    deleting: bool = False
    at_zero: bool = False  # it was to have no replica when its endpoint was last looked after
    unseen: bool = False  # the world could not be looked at yet: its replicas are those that the store knows
    last_number: int = 0  # the highest revision number that the store may know
    preparing: Preparing | None = None  # one at a time: each is made from what the one before left
    scaled: Scaled = field(default_factory=Scaled)
    end: End | None = None  # the policy's, when it is near

    @property
    def id(self) -> str:
        return self.record.id

    @property
    def key(self) -> str:
        return f"{self.record.owner}/{self.record.name}"

    @property
    def active(self) -> Revision:
        return self.revisions[self.record.active]

    @property
    def asleep(self) -> bool:
        """Whether the autoscaler took its last replica away, and a call may bring one back."""
        record = self.record
        policy = record.autoscaling
        if policy is None or policy.held or record.replicas or not record.running:
            return False
        return record.error is None and not self.deleting

    def retry(self, revision: int) -> Retry:
        known = self.retries.get(revision)
        # The stable revision has shown once that it comes up, be it before our last restart.
        return known if known is not None else _PROVED if revision == self.record.stable else _UNPROVED


_PROVED, _UNPROVED = Retry(ever_ready=True), Retry()

Services = Mapping[tuple[str, str], Service]
