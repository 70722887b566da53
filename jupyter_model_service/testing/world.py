"""A world of replicas that exists in memory only, and the launcher and leases that look at it."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from jupyter_model_service.core.policy import Held
from jupyter_model_service.core.reports import (
    Exit,
    GpuSample,
    LeaseClosed,
    LeaseEvent,
    LeaseOpened,
    LeasePorts,
    LeaseSample,
    LeaseState,
    RunnerState,
)
from jupyter_model_service.core.revision import Revision
from jupyter_model_service.errors import InvalidRequest, LaunchError, ModelServiceError
from jupyter_model_service.ports import NOTHING_HELD, Placement, Seen, StartRequest


@dataclass(frozen=True)
class StartScript:
    """How one start goes. It takes ``seconds``, then raises ``error`` if there is one.

    ``spawned_after``: the replica exists in the world from then on (by default at the end), so that a gateway
    killed between the two leaves one behind that its store knows without placement.
    """

    seconds: float = 0.0
    error: LaunchError | None = None
    spawned_after: float | None = None
    waits: tuple[str, ...] = ()  # what it tells while it waits


class FakeReplica:
    """One replica, and the strings that a test pulls on it. Phases are those of ``core.reports``."""

    def __init__(self, request: StartRequest, number: int) -> None:
        self.id = request.replica
        self.request = request
        self.placement = Placement(
            handle={"number": number},
            control=("127.0.0.1", 30000 + number),
            address=("127.0.0.1", 40000 + number),
        )
        self.state = RunnerState("preparing", action=0, actions=len(request.revision.definition.pre_start_actions))
        self.alive = True  # the runner lives
        self.reachable = True  # its control stream answers
        self.started = False  # launcher.start() has returned for it
        self.port_open = False
        self.hangs = False  # the port accepts, and no answer comes
        self.status = 200  # of the health path
        self.ignores_stop = False
        self.why = ""  # what launcher.find() knows of its end
        self.stop_seconds = 0.0  # how long launcher.stop() takes
        self.listens_on: tuple[str, ...] = ()  # what launcher.exposed() says
        self.ports: tuple[tuple[str, int], ...] | None = None  # what its runner says to lease.ask_ports(), if anything
        self.squatted = False  # another process listens on its address: what launcher.holds() denies
        self.lines: list[str] = []
        self.stops: list[float] = []  # the graces of the stops asked for by its lease
        self.collected = False
        self._lease: FakeLease | None = None

    # what the model server does

    def serves(self) -> None:
        """The pre-start actions are done, the port is open, and health checks pass."""
        self.port_open, self.hangs, self.status = True, False, 200
        self.becomes("loading")

    def becomes(self, phase: str, **fields: object) -> None:
        """The runner reports a new phase, with any other field of ``RunnerState``."""
        if phase in ("loading", "stopping") and self.state.prepared_after is None:
            fields.setdefault("prepared_after", 0.0)
        if phase == "loading":
            fields.setdefault("model_pid", 5000 + self.placement.control[1])
        self.state = replace(self.state, phase=phase, **fields)  # type: ignore[arg-type]
        self._emit(LeaseState(self.state))

    def exits(
        self,
        code: int | None = None,
        *,
        signal: str | None = None,
        stage: str = "serve",
        oom: bool = False,
        action: int | None = None,
        message: str = "",
        tail: Sequence[str] = (),
    ) -> None:
        """The model server (or a pre-start action) ended; the runner lives on and says so."""
        self.port_open = False
        self.becomes("exited", exit=Exit(stage, code, signal, oom, action, message, tuple(tail)))

    def dies(self, reason: str = "the connection was closed") -> None:
        """``kill -9`` of the runner: the model server goes with it, nobody reports an exit."""
        self.alive = self.port_open = self.reachable = False
        self._lose(reason)

    def falls_silent(self, reason: str = "nothing was heard for 3 s") -> None:
        """Alive, but not heard of any more (paused, disconnected), until :meth:`speaks`."""
        self.reachable = False
        self._lose(reason)

    def cannot_be_asked(self, ours: bool = True) -> None:
        """The lease that was lost cannot be opened again: the gateway has no descriptor left for it, or has again."""
        if self._lease is not None:
            self._lease.fails(LeaseClosed("too many open files" if ours else "connection refused", ours=ours))

    def speaks(self) -> None:
        self.reachable = True
        if self._lease is not None:
            self._lease.connect()

    def samples(
        self,
        gpus: Sequence[GpuSample] | None = None,
        rss: int | None = None,
        cpu_seconds: float | None = None,
        cpu_at: float | None = None,
    ) -> None:
        self._emit(LeaseSample(None if gpus is None else tuple(gpus), rss, cpu_seconds, cpu_at))

    # what leases do with it

    def takes(self, lease: FakeLease, secret: str) -> bool:
        """Whether this lease is connected now; a newly proven connection replaces the former one.

        The lease of a replica that cannot be reached is remembered, and connects when it :meth:`speaks`.
        """
        if not self.alive or secret != self.request.secret:
            return False
        if self._lease is not lease:
            former, self._lease = self._lease, lease
            if former is not None:
                former.lost("another gateway took over")
        return self.reachable

    def asked_for_ports(self) -> None:
        if self.alive and self.ports is not None:
            self._emit(LeasePorts(self.ports))

    def asked_to_stop(self, grace: float) -> None:
        self.stops.append(grace)
        if self.alive and not self.ignores_stop and self.state.phase != "exited":
            self.becomes("stopping")
            self.exits(signal="SIGTERM")

    def was_collected(self) -> None:
        if self.state.phase == "exited":
            self.collected = True
            self.dies("the runner has gone")

    def leaves(self, lease: FakeLease) -> None:
        if self._lease is lease:
            self._lease = None

    def _emit(self, event: LeaseEvent) -> None:
        if self._lease is not None:
            self._lease.report(event)

    def _lose(self, reason: str) -> None:
        if self._lease is not None:
            self._lease.lost(reason)


@dataclass
class World:
    """Every replica that exists. ``requests`` and ``removed`` are the history, oldest first.

    ``scripts`` is used up by the next starts, ``script`` is how all later ones go. ``on_start`` is called
    with each new replica (``lambda r: r.serves()`` for a world in which everything comes up).
    """

    replicas: dict[str, FakeReplica] = field(default_factory=dict)
    requests: list[StartRequest] = field(default_factory=list)
    removed: list[FakeReplica] = field(default_factory=list)
    scripts: deque[StartScript] = field(default_factory=deque)
    script: StartScript = field(default_factory=StartScript)
    on_start: Callable[[FakeReplica], None] | None = None
    cannot_enforce: tuple[str, ...] = ()  # what launcher.check() says
    places: int | None = None  # how many living replicas there is room for, GPUs for example
    limit: int | None = None  # how many an owner may have, as launcher.room() says beforehand
    limit_of_ours: bool = False  # whether nobody but the gateway holds it: launcher.start() knows nothing of it
    find_error: ModelServiceError | None = None
    find_seconds: float = 0.0  # that launcher.find() takes
    stop_error: LaunchError | None = None
    stop_leaves: str | None = None  # what launcher.stop() says is left of it
    generation: int = 0
    _numbers: int = 0

    def __iter__(self) -> Iterator[FakeReplica]:
        return iter(list(self.replicas.values()))

    def __len__(self) -> int:
        return len(self.replicas)

    def replica(self, replica: str) -> FakeReplica:
        return self.replicas[replica]

    def at(self, address: tuple[str, int]) -> FakeReplica | None:
        """The living replica whose model server has this address."""
        return next((r for r in self if r.placement.address == address and r.alive), None)

    def of(self, owner: str, service: str) -> list[FakeReplica]:
        return [r for r in self if (r.request.owner, r.request.service) == (owner, service)]

    def kill_gateway(self) -> None:
        """``kill -9`` of the gateway: launchers and leases made so far do nothing more, not even clean up."""
        self.generation += 1

    def spawn(self, request: StartRequest) -> FakeReplica:
        self._numbers += 1
        replica = FakeReplica(request, self._numbers)
        self.replicas[replica.id] = replica
        return replica

    def remove(self, replica: str) -> None:
        if (gone := self.replicas.pop(replica, None)) is not None:
            self.removed.append(gone)
            gone.dies()


class FakeLauncher:
    """Implements ``ports.Launcher`` over a :class:`World`."""

    def __init__(self, world: World | None = None, name: str = "fake") -> None:
        self.name = name
        self.world = world if world is not None else World()
        self._generation = self.world.generation

    def check(
        self, revision: Revision, *, owner: str = "", public: bool = False, replicas: int = 1, held: Held = NOTHING_HELD
    ) -> Sequence[str]:
        if revision.image is not None:
            raise InvalidRequest("Replicas have no image here: leave it out.")
        return self.world.cannot_enforce

    def room(self, revision: Revision, held: Held, *, owner: str = "") -> int | None:
        return None if self.world.limit is None else self.world.limit - held.replicas

    def refusal(self, revision: Revision, held: Held, *, owner: str = "") -> str | None:
        if self.world.limit is None or not self.world.limit_of_ours or held.replicas < self.world.limit:
            return None
        return f"{owner} may run {self.world.limit} at most."

    async def start(self, request: StartRequest) -> Placement:
        there = self.world.replicas.get(request.replica)
        if there is not None and there.alive and there.started:
            return there.placement
        self.world.requests.append(request)
        script = self.world.scripts.popleft() if self.world.scripts else self.world.script
        before = script.seconds if script.spawned_after is None else min(script.spawned_after, script.seconds)
        try:
            for reason in script.waits:
                request.tell(reason)
            await asyncio.sleep(before)
            if script.error is not None and script.spawned_after is None:
                raise script.error
            if self.world.places is not None and sum(r.alive for r in self.world) >= self.world.places:
                raise LaunchError("1 GPU is needed, and none is free.", stage="gpus")
            replica = self.world.spawn(request)
            await asyncio.sleep(script.seconds - before)
            if script.error is not None:
                raise script.error
        except BaseException:
            if self._generation == self.world.generation:
                self.world.remove(request.replica)
            raise
        replica.started = True
        if self.world.on_start is not None:
            self.world.on_start(replica)
        return replica.placement

    async def find(self) -> Sequence[Seen]:
        await asyncio.sleep(self.world.find_seconds)
        if self.world.find_error is not None:
            raise self.world.find_error
        return [Seen(r.id, r.placement if r.alive else None, r.alive, r.why) for r in self.world]

    async def stop(self, replica: str, placement: Placement | None) -> str | None:
        there = self.world.replicas.get(replica)
        await asyncio.sleep(there.stop_seconds if there is not None else 0.0)
        if self.world.stop_error is not None:
            raise self.world.stop_error
        if self._generation == self.world.generation:
            self.world.remove(replica)
        return self.world.stop_leaves

    async def exposed(self, replica: str, placement: Placement) -> Sequence[str]:
        await asyncio.sleep(0)
        there = self.world.replicas.get(replica)
        return there.listens_on if there is not None else ()

    async def holds(self, replica: str, placement: Placement) -> bool:
        await asyncio.sleep(0)
        there = self.world.replicas.get(replica)
        return there is None or not there.squatted


class FakeLease:
    """Implements ``ports.Lease``. Events arrive in order, each in a turn of the loop of its own, none after
    ``close``. Like the real one it says nothing about connections that never came about."""

    def __init__(self, world: World, replica: str, secret: str, on_event: Callable[[LeaseEvent], None]) -> None:
        self._world = world
        self._generation = world.generation
        self._id = replica
        self._secret = secret
        self._on_event = on_event
        self._loop = asyncio.get_running_loop()
        self._open = False
        self._closed = False
        self._loop.call_soon(self.connect)

    def connect(self) -> None:
        replica = self._replica()
        if replica is not None and not self._open and replica.takes(self, self._secret):
            self._open = True
            self._deliver(LeaseOpened(replica.state))

    def report(self, event: LeaseEvent) -> None:
        if self._open:
            self._deliver(event)

    def lost(self, reason: str) -> None:
        if self._open:
            self._open = False
            self._deliver(LeaseClosed(reason))

    def fails(self, event: LeaseClosed) -> None:
        if not self._open:
            self._deliver(event)

    async def logs(self, after: int = 0, limit: int = 1000) -> tuple[Sequence[str], int, int]:
        await asyncio.sleep(0)
        replica = self._replica()
        if replica is None or not self._open:
            raise LaunchError(f"The runner of replica {self._id} cannot be reached.", stage="lease")
        lines = replica.lines[after : after + limit]
        return lines, after + len(lines), 0

    def stop(self, grace: float) -> None:
        if (replica := self._replica()) is not None and self._open:
            replica.asked_to_stop(grace)

    def ask_ports(self) -> None:
        if (replica := self._replica()) is not None and self._open:
            replica.asked_for_ports()

    def collected(self) -> None:
        if (replica := self._replica()) is not None and self._open:
            replica.was_collected()

    async def close(self) -> None:
        replica = self._replica()
        self._closed, self._open = True, False
        if replica is not None:
            replica.leaves(self)
        await asyncio.sleep(0)

    def _replica(self) -> FakeReplica | None:
        """The replica while this lease can do anything with it."""
        if self._closed or self._generation != self._world.generation:
            return None
        return self._world.replicas.get(self._id)

    def _deliver(self, event: LeaseEvent) -> None:
        with contextlib.suppress(RuntimeError):  # the loop of a test that is over
            self._loop.call_soon(self._hand_over, event)

    def _hand_over(self, event: LeaseEvent) -> None:
        if not self._closed and self._generation == self._world.generation:
            self._on_event(event)


class FakeLeases:
    """Implements ``ports.Leases`` over a :class:`World`. ``opened`` lists the replicas asked for."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.opened: list[str] = []

    def open(
        self, replica: str, control: tuple[str, int], secret: str, on_event: Callable[[LeaseEvent], None]
    ) -> FakeLease:
        self.opened.append(replica)
        return FakeLease(self.world, replica, secret, on_event)
