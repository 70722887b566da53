"""What the engine needs of the world. Adapters implement these; fakes pass the same contract suites.

Every method with ``async`` may take time and must bound it; none may block the loop. Errors are
:class:`~jupyter_model_service.errors.ModelServiceError` (a ``LaunchError`` says at which ``stage``).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from ..core.definition import Definition
from ..core.grants import PathRule
from ..core.happenings import Audience
from ..core.limits import Limits
from ..core.policy import Held
from ..core.reports import LeaseEvent
from ..core.revision import Kept, Revision
from ..core.revision_change import GivenDefinition
from ..core.scaling.policy import Autoscaling
from ..errors import Problem
from .access import (
    AccessStore,
    AuditStore,
    Begun,
    Identity,
    IssuedToken,
    NoRules,
    Notice,
    Oauth,
    OverrideRecord,
    Rules,
    TokenIssuer,
    TokenRecord,
    UseRecord,
    Uses,
    Visit,
    Visits,
)
from .figures import AskedQuery, Meter, NoQueries, Queries

__all__ = [
    "NOTHING_HELD", "AccessStore", "AskedQuery", "AuditStore", "Begun", "Clock", "Definitions", "EventRecord",
    "GivenDefinition", "Identity", "IssuedToken", "KeptKey", "Launcher", "Lease", "Leases", "Meter", "NoQueries",
    "NoRules", "Notice", "Oauth", "OverrideRecord", "Placement", "Probe", "ProbeResult", "Queries", "ReplicaRecord",
    "Rules", "Seen", "ServiceRecord", "StartRequest", "Storage", "Store", "TokenIssuer", "TokenRecord",
    "UseRecord", "Uses", "Visit", "Visits",
]  # fmt: skip

NOTHING_HELD = Held()


class Clock(Protocol):
    def now(self) -> float:
        """Unix time in seconds, for what people read and what is stored."""

    def monotonic(self) -> float:
        """Seconds that never jump, for every interval and back-off."""

    async def sleep(self, seconds: float) -> None:
        """Return when ``monotonic()`` has advanced by ``seconds`` (at once, but not before one turn of the
        loop, for 0 or less); ends early only by cancellation. Every wait of the engine goes through here."""


# --- model folders ---------------------------------------------------------------------------------


class Definitions(Protocol):
    async def load(
        self, folder: str, given: GivenDefinition | None = None, kept: Kept | None = None
    ) -> tuple[Definition, Sequence[Problem]]:
        """Read, parse and check the folder's definition; also returns the warnings. ``given`` is what is read instead
        where the folder is out of reach. ``kept`` is what a revision has of the folder: its definition is read from
        there, where it is in reach, so that files and definition are of one moment.

        Raises ``DefinitionError`` with all problems (a missing folder or file is one, too).
        """


KeptKey = tuple[str, int]
"""Service id and revision number."""


class Storage(Protocol):
    """Keeps what the folder of a revision held when the revision was made."""

    async def keep(
        self,
        service_id: str,
        number: int,
        folder: str,
        progress: Callable[[int, int], None],
        *,
        owner: str = "",
        image: str | None = None,
        expected: Callable[[int, int], None] = lambda files, size: None,
    ) -> Kept:
        """Keep the folder's files for this revision, in the place of what may be there under the same key. ``owner``:
        whose folder it is, where that is not the user that we run as; then who that was is kept as well, whatever the
        folder. ``image``: what the revision's replicas run.

        ``progress(files, bytes)`` is called on the loop now and then, at least each 20 s while the work goes on, also
        while it waits for its turn; ``expected(files, bytes)`` at most once, with what it will come to as far as a look
        could tell. ``kind`` is ``live``, with the reason, when the
        folder is beyond the limits of what is kept. ``InvalidRequest`` when the folder cannot be read, ``StoreError``
        when there is no place for it; when it raises or is cancelled, nothing is left behind.
        """

    async def changed(self, kept: Kept, folder: str) -> Sequence[str] | None:
        """Names of files, relative to the folder, that are not (or not there any more, or new) as they were when they
        were kept: the first few, fit to be shown. Looks at sizes and times only. Empty for ``live``, ``None`` where the
        folder is out of reach. ``NotFound`` when the folder itself is not there, where that can be seen."""

    async def collect(self, wanted: Callable[[], Awaitable[Collection[KeptKey]]]) -> None:
        """Remove what belongs to none of these, and what was left by a keeping that was killed. ``wanted`` is asked
        while nothing can become kept, so that what came just before is in it."""


# --- launching replicas ------------------------------------------------------------------------------


@dataclass(frozen=True)
class StartRequest:
    """All that is needed to start one replica. ``secret`` is 32 random bytes in hex, never logged."""

    replica: str
    owner: str
    service: str
    revision: Revision
    secret: str = field(repr=False)
    service_id: str = ""
    tell: Callable[[str], None] = field(
        default=lambda waiting: None, repr=False, compare=False
    )  # what a start waits for


@dataclass(frozen=True)
class Placement:
    """Where a started replica is: ``control`` is the runner's control address, ``address`` the model server's.

    ``handle`` is plain JSON data of the launcher's own: the store keeps it, ``stop`` gets it back after any restart
    of ours, and nothing else reads it. A launcher whose replicas bear another's name where they are (a container's
    id, a server of the Hub) finds them by it; the local one goes by its directories, and only notes what it knows.
    """

    handle: Mapping[str, Any]
    control: tuple[str, int]
    address: tuple[str, int]


@dataclass(frozen=True)
class Seen:
    """One replica that exists in the world, whether the store knows it or not."""

    replica: str
    placement: Placement | None  # None: found, but not (yet, or any more) usable
    alive: bool
    reason: str = ""  # why it is not, in one clause, where that is known


class Launcher(Protocol):
    """Starts, finds and ends replicas. ``start`` and ``stop`` are idempotent per replica id."""

    name: str

    def check(
        self, revision: Revision, *, owner: str = "", public: bool = False, replicas: int = 1, held: Held = NOTHING_HELD
    ) -> Sequence[str]:
        """What of this revision the launcher cannot enforce, one sentence each. ``owner``: whose it will be, as far as
        that matters; ``public``: whether callers will need no token; ``replicas``: how many there are to be, beside
        what the owner's other services have (``held``).

        Raises ``InvalidRequest`` for what it cannot do at all (an image, when replicas are processes; more GPUs than
        there are), and for what this owner may not have. With 0 replicas it is about one that there may be later.
        """

    def room(self, revision: Revision, held: Held, *, owner: str = "") -> int | None:
        """For how many more replicas of this revision there is room beside all that the owner has now (``held``), as
        far as is known; ``None``: for any number. Asked often, and answered from memory: ``start`` has the last word.
        """

    def refusal(self, revision: Revision, held: Held, *, owner: str = "") -> str | None:
        """Why one more replica of this revision may not be started beside ``held``, in a sentence, where a limit says
        so that nobody but the gateway holds: ``start`` would not refuse it. ``None``: ``start`` has the word."""

    async def start(self, request: StartRequest) -> Placement:
        """Start the runner and return as soon as its control address is known (not: model ready).

        When it raises or is cancelled, nothing of the replica is left behind. A ``LaunchError`` of the stage ``gpus``
        says that there is no room for it just now: that is tried again for as long as it is wanted.
        """

    async def find(self) -> Sequence[Seen]:
        """Every replica of ours that exists, in one bulk look: the truth after a restart or a doubt."""

    async def stop(self, replica: str, placement: Placement | None) -> str | None:
        """End everything of the replica, by force: processes, port and directory are gone on return.

        A clause about what is left all the same, of which nothing runs, and which the launcher tries again to remove;
        ``None``: nothing. ``LaunchError`` when it cannot be ended (yet).
        """

    async def exposed(self, replica: str, placement: Placement) -> Sequence[str]:
        """Addresses (``0.0.0.0:8000``) on which the replica listens where it must not; empty when fine."""

    async def holds(self, replica: str, placement: Placement) -> bool:
        """Whether the replica itself listens on its address; ``False`` when nobody or somebody else does."""


# --- the lease ---------------------------------------------------------------------------------------


class Lease(Protocol):
    """One open (or opening) control stream to one runner; reports by the ``on_event`` given to ``open``."""

    async def logs(self, after: int = 0, limit: int = 1000) -> tuple[Sequence[str], int, int]:
        """Log lines after the cursor: ``(lines, next cursor, lines lost from the ring)``."""

    def stop(self, grace: float) -> None:
        """Ask the runner to end the model: SIGTERM to its group, SIGKILL after ``grace`` seconds."""

    def collected(self) -> None:
        """The end was recorded; the runner may go."""

    def ask_ports(self) -> None:
        """Ask where the replica listens: a ``LeasePorts`` follows soon, or never (no contact, an older runner)."""

    async def close(self) -> None:
        """Give the lease back; no event follows."""


class Leases(Protocol):
    def open(
        self, replica: str, control: tuple[str, int], secret: str, on_event: Callable[[LeaseEvent], None]
    ) -> Lease:
        """Connect, prove each other, and keep reporting. Reconnects by itself with a short back-off until closed:
        each success is a ``LeaseOpened``, each loss a ``LeaseClosed``; it never raises."""


# --- probes ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ProbeResult:
    """``ok`` or the reason in one clause (``status 500, expected 200``). ``connected`` tells a port that
    accepts from one that does not; ``seconds`` is how long it took. ``ours``: nothing was asked, because this process
    had no descriptor, memory or port left for it; that says nothing about the replica."""

    ok: bool
    reason: str = ""
    connected: bool = True
    seconds: float = 0.0
    ours: bool = False


class Probe(Protocol):
    async def http(self, address: tuple[str, int], path: str, expected_status: int, timeout: float) -> ProbeResult:
        """GET the path on a fresh connection."""

    async def port(self, address: tuple[str, int], timeout: float) -> ProbeResult:
        """Whether the port accepts a connection."""


# --- what is kept over restarts ----------------------------------------------------------------------


@dataclass(frozen=True)
class ServiceRecord:
    """``want``: what the owner asked for. ``active`` is the revision to run; ``stable`` the last one that was
    fully up (they differ while an update rolls out); ``error`` why the service is failed, if it is."""

    id: str
    owner: str
    name: str
    public: bool
    running: bool
    replicas: int
    active: int
    stable: int | None
    created_at: float
    error: str | None = None
    note: str | None = None  # such as why the last update was taken back
    restarted_at: float | None = None  # replicas created before are to be replaced (Unix time)
    former: tuple[int, ...] = ()  # what was ``stable`` before it, oldest first, without what was left by a rollback
    restarts: int = 0  # replicas that were replaced after they had run and failed
    autoscaling: Autoscaling | None = None  # then ``replicas`` is what the autoscaler decided last, unless it is held
    notice: Notice | None = None
    origins: tuple[str, ...] = ()  # whose pages may call the endpoint (CORS)
    last_call_at: float | None = None  # Unix time; kept by ``touch_services`` alone
    began_at: float | None = None  # when a person created or started it last (Unix time)


@dataclass(frozen=True)
class ReplicaRecord:
    """Written before the launch (``placement`` None) and after it, so that a crash between leaks nothing. Without its
    ``secret``, when that cannot be read any more, it is of no use but to be ended."""

    id: str
    service_id: str
    revision: int
    secret: str = field(repr=False)
    placement: Placement | None
    created_at: float


@dataclass(frozen=True)
class EventRecord:
    """One line of a service's history. ``kind`` is stable (``replica.ready``), ``message`` is for people: for its owner
    alone, or (``audience``) for whoever may look into the service; ``others`` is what these are told in the first case.
    """

    id: int
    at: float
    service_id: str
    kind: str
    message: str
    replica: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    audience: Audience = "owner"
    others: str = ""


class Store(Protocol):
    """The durable half of the state. Each write is on disk when it returns; ``StoreError`` if it is not."""

    @property
    def identity(self) -> str:
        """A few letters and digits by which this store is told from one that was made anew. A copy has the same."""

    @property
    def access(self) -> AccessStore: ...
    @property
    def audit(self) -> AuditStore: ...
    async def services(self) -> Sequence[ServiceRecord]: ...
    async def revisions(self, service: ServiceRecord) -> Sequence[Revision]:
        """Of this service, as it is known to whoever asks: what is secret in them is its ``owner``'s alone."""

    async def replicas(self) -> Sequence[ReplicaRecord]: ...
    async def tokens(self) -> Sequence[TokenRecord]: ...
    async def events(self, service_id: str | None = None, after: int = 0, limit: int = 100) -> Sequence[EventRecord]:
        """The newest ``limit`` events with an id above ``after``, oldest first."""

    async def add_service(self, record: ServiceRecord, revision: Revision) -> None:
        """Both or neither; ``Conflict`` when ``owner/name`` exists."""

    async def save_service(self, record: ServiceRecord) -> None:
        """All but ``last_call_at``."""

    async def touch_services(self, called: Mapping[str, float]) -> None:
        """``last_call_at`` (Unix time) by service id; those that are gone are passed over."""

    async def add_revision(self, service: ServiceRecord, revision: Revision) -> None: ...
    async def remove_revision(self, service_id: str, number: int) -> None:
        """One that is not there is fine."""

    async def remove_service(self, service_id: str) -> None:
        """With its revisions, replicas, tokens, events, shares and uses."""

    async def save_replica(self, record: ReplicaRecord) -> None: ...
    async def remove_replica(self, replica_id: str) -> None: ...
    async def add_events(self, events: Sequence[EventRecord]) -> None:
        """Ids are assigned by the engine, increasing. Older ones beyond 1,000 per service are dropped."""

    async def add_token(self, record: TokenRecord) -> None: ...
    async def remove_token(self, token_id: str) -> None: ...
    async def touch_tokens(self, used: Mapping[str, float]) -> None: ...
    async def change_tokens(
        self, limits: Mapping[str, Limits | None], rules: Mapping[str, tuple[PathRule, ...]]
    ) -> None:
        """By token id; all of them or none."""

    async def rotate_token(self, old: str, ends: float, new: TokenRecord) -> None:
        """``new`` is added, and the token ``old`` expires at ``ends`` (Unix time); both or neither. ``StoreError`` when
        ``old`` is not there any more."""

    async def count_tokens(self, counted: Mapping[str, tuple[int, int]]) -> None:
        """``day`` and ``calls``, by token id. Here and above, tokens that are gone are passed over."""

    async def close(self) -> None: ...
