"""Replicas as named servers of a JupyterHub, started by the Hub's own spawner.

The Hub is asked through its REST API only; containers are the business of the spawner in the Hub's process. What must
hold at any instant, ``kill -9`` of the gateway included: a replica can be found by its server's name, which is there
before the container and goes after it.

The Hub itself notices the end of a container only when it polls, so that a look here also knocks at the control port
of what the Hub takes for running: nobody listens there any more when the runner has gone. That can be learned in a
short time only (after ``docker kill``, connections were refused from 0 to 10 ms on, and after 40 to 80 ms nothing
answered at that address at all), so that what is known is knocked at first.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from ..core import policy as rules
from ..core.command import container_spec
from ..core.effective import set_here_against
from ..core.hub_options import (
    VOLUME,
    VOLUME_PATTERN,
    ReplicaOptions,
    ReplicaStorage,
    Summary,
    VolumeMount,
    replica_of,
    server_name,
)
from ..core.policy import Host
from ..core.revision import Resources, Revision
from ..core.sentences import in_bytes
from ..errors import HubRefused, InvalidRequest, LaunchError, ModelServiceError
from ..ports import NOTHING_HELD, Clock, Placement, Rules, Seen, StartRequest
from .hub_api import HubApi, HubServer, HubUser
from .hub_calls import limited
from .hub_servers import HubServers, ServerState, state_of
from .hub_users import HubUsers

log = logging.getLogger(__name__)

START_SECONDS = 600.0  # the image may have to be pulled
CLEAN_SECONDS = 20.0  # after a start that failed: while it lasts nothing is started in its place
SWEEP_EVERY = 600.0  # between two looks at all users of the Hub
ACTIVITY_EVERY = 60.0
ACTIVITY_LOOK = 5.0  # until a new replica is reported, too: a culler may have a time limit of seconds
ACTIVITY_AHEAD = 30.0  # beyond the next report, which may be late; the Hub takes up to an hour
KNOCK_SECONDS = 0.3
KNOCK_AGAIN = 0.02  # a container that is being killed may take a last connection
POST_MORTEM_SECONDS = 2.0  # why a container ended is worth waiting for so long
AUTOPSY_PAUSE = 0.05  # between two looks at a server that the Hub is stopping
ABANDONED_AFTER = 86_400.0  # seconds after which a replica that no gateway asks for ends itself
NOTHING_KNOWN = Host()
LEAST_CPUS = 0.01  # of Docker's
LEAST_MEMORY = 6 << 20  # bytes; of Docker's
Address = tuple[str, int]
T = TypeVar("T")


class HubLauncher:
    """Implements ``ports.Launcher``."""

    name = "hub"

    def __init__(
        self,
        api: HubApi,
        servers: HubServers,
        users: HubUsers,
        policies: Rules,
        clock: Clock,
        *,
        start_limit: float = START_SECONDS,
        abandon_after: float | None = ABANDONED_AFTER,
        host: Host = NOTHING_KNOWN,
    ) -> None:
        self._api = api
        self._servers = servers
        self._users = users
        self._policies = policies
        self._host = host
        self._clock = clock
        self._start_limit = start_limit
        self._abandon_after = abandon_after
        self._where: dict[str, str] = {}  # replica → the Hub's name of its user
        self._starting: set[str] = set()
        self._changed: dict[
            str, int
        ] = {}  # replica → when it began, came up or ended here, of those since a look began
        self._looks: set[int] = set()  # when those began that are under way
        self._step = 0
        self._controls: dict[str, Address] = {}  # of those that lived at the last look
        self._gpus: dict[str, tuple[str, ...]] = {}  # and which GPUs they hold
        self._ended: dict[str, str] = {}  # replica → why it ended, of those that are still there
        self._swept_at: float | None = None

    # --- ports.Launcher ---

    def check(
        self,
        revision: Revision,
        *,
        owner: str = "",
        public: bool = False,
        replicas: int = 1,
        held: rules.Held = NOTHING_HELD,
    ) -> Sequence[str]:
        container_spec(revision, service="check", replica="check", abandon_after=None)
        for mount in revision.mounts:
            if not re.fullmatch(VOLUME_PATTERN, mount.source):
                raise InvalidRequest(f"{mount.source} cannot be mounted: on this hub only named volumes can.")
        user = self._users.known(owner)
        if user is None and owner and self._users.looked:  # before the first look nothing is started for anybody
            raise InvalidRequest(f"The Hub has no user whose services would be {owner}'s.")
        wish = rules.Wish(
            image=revision.image,
            replicas=replicas,
            gpus=revision.resources.gpus,
            cpus=revision.resources.cpus,
            memory=revision.resources.memory,
            volumes=_volumes(revision),
            public=public,
        )
        problems = [*_too_little(wish), *rules.beyond(self._host, wish, "this hub has {} for replicas")]
        if user is not None:
            holds = self._policies.of(owner)
            problems += rules.check(holds.policy, user.name, user.groups, wish, held, holds.set_by)
        if problems:
            raise InvalidRequest(" ".join(problems))
        return ()

    def room(self, revision: Revision, held: rules.Held, *, owner: str = "") -> int | None:
        return rules.room(self._policies.of(owner).policy, self._host, revision.resources.gpus, held)

    def refusal(self, revision: Revision, held: rules.Held, *, owner: str = "") -> str | None:
        wish = rules.Wish(gpus=revision.resources.gpus)
        return set_here_against(self._policies.of(owner), self._policies.user(owner), wish, held)

    async def start(self, request: StartRequest) -> Placement:
        user = await self._users.name_of(request.owner)
        options = self._options(request, user)
        self._where[request.replica] = user
        self._starting.add(request.replica)
        self._touch(request.replica)
        try:
            placement = _placement(user, options.server, await self._started(options, request))
        except BaseException as error:
            # Only of a start that did not get an answer can anything still be under way.
            settle = not isinstance(error, LaunchError)
            await self._servers.clean(user, options.server, settle=settle, limit=CLEAN_SECONDS)
            raise
        finally:
            self._starting.discard(request.replica)
            self._touch(request.replica)
        self._controls[request.replica] = placement.control
        self._gpus[request.replica] = _gpus_in(placement)
        return placement

    async def find(self) -> Sequence[Seen]:
        knocks = {control: asyncio.ensure_future(_knock(control)) for control in set(self._controls.values())}
        self._step += 1
        began = self._step
        self._looks.add(began)
        try:
            return await self._found(knocks, began)
        finally:
            self._looks.discard(began)
            oldest = min(self._looks, default=self._step)
            self._changed = {replica: at for replica, at in self._changed.items() if at > oldest}
            for knock in knocks.values():
                knock.cancel()

    async def _found(self, knocks: Mapping[Address, asyncio.Future[bool]], began: int) -> Sequence[Seen]:
        now = self._clock.monotonic()
        if self._swept_at is None or now - self._swept_at > SWEEP_EVERY:
            users = await self._sweep()
        else:
            names = sorted(set(self._where.values()))
            found = await asyncio.gather(*(self._api.user(name) for name in names))
            users = [user for user in found if user is not None]
        servers = list(self._ours(users))
        seen = await asyncio.gather(*(self._seen(replica, server, knocks) for replica, server in servers))
        placed = {one.replica: one.placement for one in seen if one.placement is not None}
        kept = self._starting | {replica for replica, at in self._changed.items() if at > began}

        def newer(former: Mapping[str, T], found: Mapping[str, T]) -> dict[str, T]:
            """A look takes seconds where the Hub does: what began or ended since is as it was noted then."""
            there = {replica: what for replica, what in found.items() if replica not in kept}
            return {**there, **{replica: what for replica, what in former.items() if replica in kept}}

        self._where = newer(self._where, {replica: server.user for replica, server in servers})
        self._ended = newer(self._ended, {one.replica: one.reason for one in seen if one.reason})
        self._controls = newer(self._controls, {replica: placement.control for replica, placement in placed.items()})
        self._gpus = newer(self._gpus, {replica: _gpus_in(placement) for replica, placement in placed.items()})
        return seen

    async def stop(self, replica: str, placement: Placement | None) -> str | None:
        left = None
        user = placement.handle.get("user") if placement is not None else self._where.get(replica)
        if user is None:
            await self._sweep()
            user = self._where.get(replica)
        if user is not None:
            left = await self._servers.end(user, server_name(replica), settle=placement is None)
        self._touch(replica)
        self._where.pop(replica, None)
        self._controls.pop(replica, None)
        self._gpus.pop(replica, None)
        self._ended.pop(replica, None)
        return left

    def gpus_of(self, replica: str) -> Sequence[str]:
        """Those that it was given, of one that was there at the last look."""
        return self._gpus.get(replica, ())

    async def exposed(self, replica: str, placement: Placement) -> Sequence[str]:
        return ()  # it has a network of its own with the gateway

    async def holds(self, replica: str, placement: Placement) -> bool:
        return True  # its address is its own; the lease proves that it is still there

    # --- starting ---

    async def _started(self, options: ReplicaOptions, request: StartRequest) -> ServerState:
        """Where no GPU is free, that is the error's stage (``gpus``): the engine tries again, or makes room itself."""
        summary = Summary(f"{request.owner}/{request.service}", options.revision, options.image, options.gpus)
        limit = self._start_limit
        return await self._servers.start(options, summary, done=_is_placed, limit=limit, waits=request.tell)

    def _options(self, request: StartRequest, user: str) -> ReplicaOptions:
        revision, resources = request.revision, self._resources(request)
        return ReplicaOptions(
            user=user,
            server=server_name(request.replica),
            owner=request.owner,
            service=request.service,
            service_id=request.service_id,
            replica=request.replica,
            secret=request.secret,
            revision=revision.number,
            image=revision.image,
            spec=container_spec(
                revision, service=request.service, replica=request.replica, abandon_after=self._abandon_after
            ),
            port=revision.definition.port,
            cpus=resources.cpus,
            memory=resources.memory,
            gpus=resources.gpus,
            storage=_storage(revision),
            mounts=tuple(VolumeMount(m.source, m.target, m.read_only) for m in revision.mounts),
        )

    def _resources(self, request: StartRequest) -> Resources:
        """Who asks for nothing gets what a notebook has, which the Hub's side says: it does not know what an
        administrator took away from her meanwhile."""
        asked, holds = request.revision.resources, self._policies.of(request.owner)
        cpus, memory = asked.cpus, asked.memory
        if cpus is None and holds.set_here("max_cpus"):
            cpus = holds.policy.max_cpus
        if memory is None and holds.set_here("max_memory"):
            memory = holds.policy.max_memory
        return replace(asked, cpus=cpus, memory=memory)

    # --- looking ---

    def _touch(self, replica: str) -> None:
        self._step += 1
        self._changed[replica] = self._step

    async def _sweep(self) -> Sequence[HubUser]:
        """All users with their servers: what this gateway does not know of is in there, too."""
        found = (await self._users.look()).values()
        self._swept_at = self._clock.monotonic()
        self._where.update((replica, server.user) for replica, server in self._ours(found))
        return list(found)

    async def _seen(self, replica: str, server: HubServer, knocks: Mapping[Address, asyncio.Future[bool]]) -> Seen:
        state = state_of(server)
        if state is not None and state.error is not None:
            return Seen(replica, None, alive=False, reason=state.error[1])
        if state is not None and state.exited and state.ended:
            return Seen(replica, None, alive=False, reason=state.ended)
        if server.pending == "stop":
            return Seen(replica, None, alive=False, reason=await self._post_mortem(replica, server))
        if server.stopped:
            return Seen(replica, None, alive=False, reason=self._ended.get(replica, ""))
        if state is None or not _is_placed(state):
            return Seen(replica, None, alive=server.pending is not None)
        placement = _placement(server.user, server.name, state)
        known = knocks.get(placement.control)
        if await (known if known is not None else _knock(placement.control)):
            return Seen(replica, placement, alive=True)
        return Seen(replica, None, alive=False, reason=await self._post_mortem(replica, server))

    async def _post_mortem(self, replica: str, server: HubServer) -> str:
        """Asked to stop it, the Hub looks first how it is, finds it dead, and says why in its state."""
        if replica not in self._ended:
            with contextlib.suppress(ModelServiceError, asyncio.TimeoutError):
                return await limited(self._autopsy(server), POST_MORTEM_SECONDS)
        return self._ended.get(replica, "")

    async def _autopsy(self, server: HubServer) -> str:
        if server.pending != "stop":
            await self._api.stop_server(server.user, server.name, remove=False, patience=0.0)
        while True:
            after = await self._api.server(server.user, server.name, patience=0.0)
            state = state_of(after) if after is not None else None
            if state is not None and state.error is not None:
                return state.error[1]
            if after is None or after.pending != "stop":
                return ""
            await self._clock.sleep(AUTOPSY_PAUSE)

    def _ours(self, users: Iterable[HubUser]) -> Iterator[tuple[str, HubServer]]:
        for user in users:
            for server in user.servers.values():
                if (replica := replica_of(server.name)) is not None and self._servers.is_ours(server):
                    yield replica, server

    # --- activity ---

    async def report_activity(self) -> None:
        """Until cancelled: tell the Hub soon after each start, and each minute, that all replicas are in use, or its
        idle culler ends them."""
        told: frozenset[str] = frozenset()
        told_at = self._clock.monotonic()
        while True:
            await self._clock.sleep(ACTIVITY_LOOK)
            now, running = self._clock.monotonic(), frozenset(self._controls)
            if running <= told and now - told_at < ACTIVITY_EVERY:
                continue
            try:
                await self.report_once()
                told, told_at = running, now
            except Exception as error:  # the next look is soon enough
                log.warning("The Hub could not be told that replicas are in use: %s", error)

    async def report_once(self) -> None:
        """In use until the next report: at any time between two, no culler may find them idle for long."""
        until = self._clock.now() + ACTIVITY_EVERY + ACTIVITY_AHEAD
        for name in sorted(set(self._where.values())):
            user = await self._api.user(name)
            # The whole report is refused when one server is not there, so that only what is there is reported.
            running = {server.name: until for _, server in self._ours([user] if user else ()) if not server.stopped}
            if running:
                with contextlib.suppress(HubRefused):  # one went meanwhile
                    await self._api.activity(name, running)


def _is_placed(state: ServerState) -> bool:
    return state.control is not None and state.address is not None


def _placement(user: str, server: str, state: ServerState) -> Placement:
    if state.control is None or state.address is None:
        raise LaunchError(f"The Hub does not tell the address of the server {server}.", stage="hub")
    handle = {"user": user, "server": server, "container": state.container, "gpus": list(state.gpus)}
    return Placement(handle, state.control, state.address)


def _gpus_in(placement: Placement) -> tuple[str, ...]:
    return tuple(str(each) for each in placement.handle.get("gpus") or ())


def _storage(revision: Revision) -> ReplicaStorage | None:
    kept = revision.kept
    if kept.path is None:
        return None
    return ReplicaStorage("snapshot" if kept.kind == "copy" else "volume", kept.path)


def _too_little(wish: rules.Wish) -> Iterator[str]:
    """What the engine would refuse at each start."""
    if wish.cpus is not None and wish.cpus < LEAST_CPUS:
        yield f"A replica needs at least {LEAST_CPUS:g} CPUs, and {wish.cpus:g} are asked for."
    if wish.memory is not None and wish.memory < LEAST_MEMORY:
        yield f"A replica needs at least {in_bytes(LEAST_MEMORY)} of memory, and {in_bytes(wish.memory)} are asked for."


def _volumes(revision: Revision) -> dict[str, bool]:
    """Whole volumes by name, and whether they are to be writable."""
    wanted = {mount.source: not mount.read_only for mount in revision.mounts}
    storage = _storage(revision)
    if revision.folder.startswith(VOLUME):  # nothing may be kept of it yet
        storage = ReplicaStorage("volume", revision.folder.removeprefix(VOLUME))
    if storage is not None and storage.kind == "volume":
        wanted.setdefault(storage.volume, False)
    return wanted


async def _knock(control: Address) -> bool:
    """False only when the machine at that address says that nobody listens. The runner does as long as it lives."""
    for pause in (KNOCK_AGAIN, 0.0):
        try:
            _, writer = await limited(asyncio.open_connection(*control), KNOCK_SECONDS)
        except ConnectionRefusedError:
            return False
        except (OSError, asyncio.TimeoutError):
            return True  # paused, out of reach, or we have no descriptor left: no proof of anything
        writer.close()
        await asyncio.sleep(pause)
    return True
