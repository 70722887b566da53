"""The routing table: written by the engine, read and counted on by the front, both on one event loop.

Plain mutable records on purpose: a call costs a dictionary look-up and two integer additions here.
Who may write what: the engine owns ``Endpoint`` membership and ``Backend.serving``/``suspect``/``lost``/``doubtful``;
the front owns the counters, ``ejected_until`` and ``trial``. ``on_idle`` is how a drained backend is noticed without
polling.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from operator import itemgetter
from weakref import WeakValueDictionary

from .definition import Serving
from .hosts import label_of
from .sharing import NOBODY, Sharing
from .tally import Tally
from .traffic import Traffic


@dataclass(eq=False)
class Backend:
    """A replica as the front sees it."""

    replica: str
    revision: int
    host: str
    port: int
    serving: bool = True  # False: draining or lost, gets no new calls
    suspect: bool = False  # a probe failed or is late: used only when no other backend is left
    lost: bool = False  # its lease is gone: calls on it are broken off and replayed by the rules
    doubtful: bool = False  # lost, but it may come back: what it has begun to answer goes on
    in_flight: int = 0
    started: int = 0  # calls sent to it so far, breaks ties so that load spreads
    failures: int = 0  # consecutive 502/503/504 or connection errors
    ejected_until: float = 0.0  # monotonic seconds; in the past: half open (``balance.tier``), 0: no ejection
    trial: object | None = None  # while it is half open: who has the one call that tries it
    answered_at: float = 0.0  # monotonic time of the last byte that it sent for a call
    on_idle: Callable[[], None] | None = None  # called when in_flight falls to 0
    on_lost: Callable[[], None] | None = None  # set by the front: it is lost, or doubtful no more and lost for good
    on_drained: Callable[[], None] | None = None  # set by the front: the same for one that leaves, whose grace is over
    on_refused: Callable[[], None] | None = None  # set by the engine: a connection to it failed


@dataclass(eq=False)
class Owned:
    """What all services of one owner have together."""

    open: int = 0  # calls, counted by the front where there is a limit for them


@dataclass(eq=False)
class Endpoint:
    """One service as the front sees it.

    ``wanted``: it is to have replicas, and is neither failed nor on its way out. So a caller for whom there is none
    just now may be held: one is being started, or will be. Also true while all of them are well.

    ``asleep``: the autoscaler took its last replica away, and a call brings one back. The front then calls ``on_call``
    (after ``traffic.begun``), which has made it ``wanted`` when it returns; where it has not, ``unavailable`` says why,
    and no call is heard before ``retry_at`` (monotonic seconds). ``woken_at``: since when (monotonic seconds) it comes
    back from zero, whatever brought it back, until a replica serves or that start has failed. ``start_seconds`` is how
    long a start takes, learnt from past ones; ``cold_hold`` how long a caller may be held for one from zero.

    ``health_path`` is the definition's (``""``: it has none): a look at it is no call. ``created_at`` is the service's
    (Unix time), ``service_id`` its id, which no later one of its name has. ``sharing`` says who may call beside the
    owner, and is replaced by the engine with each change, so that it holds from the next call on. ``origins`` are those
    whose pages may call it (CORS). ``label`` is the first of its host's name, where services have hosts of their own;
    the table sets it.

    ``public`` is changed by :meth:`publish` while it is in a ``table``. ``listed`` is what :mod:`core.openai` says of
    it, made once.
    """

    owner: str
    name: str
    public: bool
    serving: Serving
    backends: list[Backend] = field(default_factory=list)
    wanted: bool = False
    stopped: bool = False  # its owner wants no replica: one comes when she says so, and nobody knows when
    unavailable: str = ""  # why there is no replica, in words, when there is none
    waiting: int = 0  # callers in the queue
    in_flight: int = 0
    wake: Callable[[], None] | None = None  # set by the front: look again, something became free or ready
    traffic: Traffic = field(default_factory=Traffic)
    asleep: bool = False
    on_call: Callable[[], None] | None = None  # set by the engine
    retry_at: float = 0.0
    woken_at: float | None = None
    start_seconds: float | None = None
    cold_hold: float = 300.0
    health_path: str = ""
    created_at: float = 0.0
    service_id: str = ""
    sharing: Sharing = NOBODY
    origins: tuple[str, ...] = ()
    anyone: Tally | None = None  # set by the front, of those who call it while it is public
    label: str = ""
    listed: bytes = b""
    table: RoutingTable | None = field(default=None, repr=False)
    owned: Owned = field(default_factory=Owned)  # the same one for all of an owner's in the table
    key: str = field(init=False)  # ``owner/name``, made once: it is looked up for each call

    def __post_init__(self) -> None:
        self.key = f"{self.owner}/{self.name}"

    def publish(self, public: bool) -> None:
        """Whether it may be called without a token, from now on."""
        if public is not self.public:
            self.public = public
            if self.table is not None:
                self.table.published(self)

    @property
    def ready(self) -> int:
        """How many replicas serve now, busy or not."""
        return sum(1 for backend in self.backends if backend.serving and not backend.lost)


class RoutingTable:
    """``owner/name`` → :class:`Endpoint`; and the label of its host → the same."""

    def __init__(self) -> None:
        self._endpoints: dict[tuple[str, str], Endpoint] = {}
        self._called: dict[str, dict[str, Endpoint]] = {}  # by name, then owner
        self._labels: dict[str, Endpoint] = {}
        self._owned: WeakValueDictionary[str, Owned] = WeakValueDictionary()
        self._public: set[tuple[str, str]] = set()
        self._in_order: list[Endpoint] | None = None

    def get(self, owner: str, name: str) -> Endpoint | None:
        return self._endpoints.get((owner, name))

    def labelled(self, label: str) -> Endpoint | None:
        """That whose host's name begins so."""
        return self._labels.get(label)

    def called(self, name: str) -> list[Endpoint]:
        """Those of that name, of any owner."""
        return list(self._called.get(name, {}).values())

    @property
    def any_public(self) -> bool:
        return bool(self._public)

    def in_order(self) -> list[Endpoint]:
        """All, by owner and name; not to be changed."""
        if self._in_order is None:
            self._in_order = [endpoint for _, endpoint in sorted(self._endpoints.items(), key=itemgetter(0))]
        return self._in_order

    def put(self, endpoint: Endpoint) -> None:
        self.remove(endpoint.owner, endpoint.name)
        self._endpoints[endpoint.owner, endpoint.name] = endpoint
        self._called.setdefault(endpoint.name, {})[endpoint.owner] = endpoint
        endpoint.label = label_of(endpoint.owner, endpoint.name)
        self._labels[endpoint.label] = endpoint
        self._in_order = None
        endpoint.table = self
        endpoint.owned = self._owned.setdefault(endpoint.owner, endpoint.owned)
        self.published(endpoint)

    def published(self, endpoint: Endpoint) -> None:
        """Its ``public`` may be another."""
        (self._public.add if endpoint.public else self._public.discard)((endpoint.owner, endpoint.name))

    def remove(self, owner: str, name: str) -> Endpoint | None:
        of_name = self._called.get(name, {})
        of_name.pop(owner, None)
        if not of_name:
            self._called.pop(name, None)
        self._public.discard((owner, name))
        self._in_order = None
        endpoint = self._endpoints.pop((owner, name), None)
        if endpoint is not None:
            endpoint.table = None
            self._labels.pop(endpoint.label, None)
        return endpoint

    def __iter__(self):  # type: ignore[no-untyped-def]
        return iter(list(self._endpoints.values()))

    def __len__(self) -> int:
        return len(self._endpoints)
