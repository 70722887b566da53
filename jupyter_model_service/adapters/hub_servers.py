"""Servers of ours on a Hub: asked for with sealed options, watched until they are there, ended until they are gone.

The Hub's process tells of them in the server's state, under our key; see :class:`ServerState`. A start that failed on
that side is a server that runs nothing and whose state says why, so that the Hub counts no failure of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..core.hub_options import KEY, Options, Summary, enveloped, sealed_in
from ..core.sentences import duration
from ..errors import HubRefused, HubUnavailable, LaunchError
from ..ports import Clock
from .hub_api import HubApi, HubServer
from .sealing import Sealer

log = logging.getLogger(__name__)

SETTLING = (0.1, 0.3, 0.6)  # a start whose answer we did not wait for may reach the Hub after our look
ATTEMPTS = 3  # at a start whose answer was lost and of which the Hub knows nothing
REMOVE_SECONDS = 2.0  # for the Hub to remove the record of a server that it has stopped
TOLD_EVERY = 0.5  # seconds between two looks while the Hub has not answered a start
END_SECONDS = 50.0  # for a server to go: the Hub's own time to stop a container is 10 s
REFUSED_PAUSE = 5.0  # seconds at most between two attempts at a server that the Hub refuses to end
RECORD_SECONDS = 10.0  # for which a Hub is asked to remove a mere record that it refuses to remove
LEFT_EVERY = 300.0  # seconds between two attempts at the records that are left


@dataclass(frozen=True)
class ServerState:
    """What the Hub's process tells of a server of ours. ``control`` and ``address``: of the runner and of the model
    server, once there is a container. ``error`` is stage and sentence, ``result`` a job's, ``progress`` how far it is
    (``files``, ``bytes``). ``exited``: the Hub's process has seen that its container runs no more; ``ended``: why."""

    do: str = ""
    replica: str = ""
    control: tuple[str, int] | None = None
    address: tuple[str, int] | None = None
    container: str | None = None
    image: str | None = None
    gpus: tuple[str, ...] = ()
    error: tuple[str, str] | None = None
    result: Mapping[str, Any] | None = None
    progress: Mapping[str, Any] = field(default_factory=dict)
    exited: bool = False
    ended: str = ""

    @property
    def over(self) -> bool:
        """Whether nothing of it runs, nor will."""
        return self.exited or self.error is not None or self.result is not None


def state_of(server: HubServer) -> ServerState | None:
    """``None`` for a server that is none of ours, or of which nothing is known yet."""
    told = server.state.get(KEY)
    if not isinstance(told, Mapping):
        return None
    error, result, progress = told.get("error"), told.get("result"), told.get("progress")
    return ServerState(
        do=str(told.get("do") or ""),
        replica=str(told.get("replica") or ""),
        control=_address(told.get("control")),
        address=_address(told.get("address")),
        container=told.get("container"),
        image=told.get("image"),
        gpus=tuple(str(gpu) for gpu in told.get("gpus") or ()),
        error=(str(error.get("stage") or "start"), str(error.get("message"))) if isinstance(error, Mapping) else None,
        result=result if isinstance(result, Mapping) else None,
        progress=progress if isinstance(progress, Mapping) else {},
        exited=told.get("exit") is not None,
        ended=str(told.get("ended") or ""),
    )


@dataclass(frozen=True)
class _Posted:
    """What a look must explain: the Hub said no, or its answer did not arrive."""

    refused: str = ""
    lost: bool = False


class HubServers:
    """``patience``: seconds for which a Hub that is not there, or says "later", is waited for in a start."""

    def __init__(self, api: HubApi, sealer: Sealer, clock: Clock, *, patience: float = 300.0) -> None:
        self._api = api
        self._sealer = sealer
        self._clock = clock
        self._patience = patience
        self._left: set[tuple[str, str]] = set()  # users and names of the records that the Hub did not remove

    def is_ours(self, server: HubServer) -> bool:
        """Whether this service asked for it: nobody else can seal, while a user may name her servers as she likes."""
        try:
            plain = self._sealer.open(sealed_in(server.user_options))
        except ValueError:
            return False
        return (plain.get("user"), plain.get("server")) == (server.user, server.name)

    async def start(
        self,
        options: Options,
        summary: Summary,
        *,
        done: Callable[[ServerState], bool],
        limit: float,
        tell: Callable[[ServerState], None] | None = None,
        waits: Callable[[str], None] = lambda reason: None,
    ) -> ServerState:
        """Start the server that the options name and wait until ``done``, at most ``limit`` seconds. ``LaunchError``
        with the stage when it did not come up, ``HubUnavailable``; however it ends, what is there is the caller's.
        ``tell`` is called at each look while it goes on; ``waits`` is told why a Hub that is not there, or says
        "later", is waited for."""
        user, name = options.user, options.server
        body = enveloped(summary, self._sealer.seal(options.to_plain()))
        end = self._clock.monotonic() + limit
        posted = await self._post_telling(user, name, body, waits, tell)
        attempts = 1
        for pause in _pauses():
            server = await self._api.server(user, name, patience=self._patience)
            state = state_of(server) if server is not None else None
            if state is not None and state.error is not None:
                raise LaunchError(state.error[1], stage=state.error[0])
            if server is None or (server.stopped and not server.pending):
                if not posted.lost or attempts == ATTEMPTS:
                    gone = "it was removed" if server is None else "it ended at once; the Hub's log says more"
                    raise LaunchError(
                        f"The Hub did not start the server {name}: {posted.refused or gone}".rstrip(".") + ".",
                        stage="hub",
                    )
                posted, attempts = await self._post(user, name, body, waits), attempts + 1  # it never reached the Hub
            elif state is not None:
                if server.pending != "stop" and done(state):
                    return state
                if tell is not None:
                    tell(state)
            elif server.ready:
                raise LaunchError(
                    f"{user} has a server {name} that this service has not started: remove it on the Hub's page.",
                    stage="hub",
                )
            if self._clock.monotonic() > end:
                raise LaunchError(f"The Hub did not start the server {name} within {duration(limit)}.", stage="hub")
            await self._clock.sleep(pause)
        raise AssertionError("pauses never end")

    async def _post_telling(
        self,
        user: str,
        name: str,
        body: Mapping[str, Any],
        waits: Callable[[str], None],
        tell: Callable[[ServerState], None] | None,
    ) -> _Posted:
        """The Hub answers a start after 10 s when it is not done before; how far it is, can be seen meanwhile."""
        if tell is None:
            return await self._post(user, name, body, waits)
        posting = asyncio.ensure_future(self._post(user, name, body, waits))
        try:
            while not (await asyncio.wait({posting}, timeout=TOLD_EVERY))[0]:
                with contextlib.suppress(HubUnavailable, HubRefused):
                    server = await self._api.server(user, name, patience=0.0)
                    if server is not None and (state := state_of(server)) is not None:
                        tell(state)
            return posting.result()
        finally:
            if not posting.done():
                posting.cancel()
                await asyncio.wait({posting})

    async def _post(self, user: str, name: str, body: Mapping[str, Any], waits: Callable[[str], None]) -> _Posted:
        try:
            await self._api.start_server(
                user, name, body, patience=self._patience, waits=lambda failure: waits(str(failure))
            )
        except HubUnavailable as error:
            if not error.sent:
                raise
            log.info("The answer to the start of %s was lost: %s", name, error)
            return _Posted(lost=True)
        except HubRefused as error:
            if error.hub_status not in (400, 500):
                raise LaunchError(str(error), stage="hub") from error
            return _Posted(refused=str(error))  # it runs already, or is being stopped, or did not come up
        return _Posted()

    async def end(self, user: str, name: str, *, settle: bool = False, limit: float | None = None) -> str | None:
        """Until nothing is there, which is fine from the beginning. ``settle``: its start may be under way to the Hub.
        ``LaunchError`` when the Hub has not ended it within ``limit`` seconds (50), ``HubUnavailable``.

        Of a server of which nothing runs, the Hub may keep the record, and refuse to remove it, for as long as it runs:
        a sentence about that. It is tried again by :meth:`remove_left`."""
        began, limit = self._clock.monotonic(), END_SECONDS if limit is None else limit
        settling = iter(SETTLING if settle else ())
        pauses, refusals = _pauses(), _pauses(REFUSED_PAUSE)
        while True:
            refused = ""
            try:
                await self._api.stop_server(user, name, remove=True)
            except HubRefused as error:
                if error.hub_status not in (400, 500):
                    raise LaunchError(f"The server {name} cannot be ended: {error}", stage="stop") from error
                refused = f": {error}"
            if (there := await self._left_of(user, name, began + limit)) is None:
                self._left.discard((user, name))
                if (wait := next(settling, None)) is None:
                    return None
                await self._clock.sleep(wait)
                continue
            taken = self._clock.monotonic() - began
            if refused and taken > RECORD_SECONDS and _runs_nothing(there):
                self._left.add((user, name))
                return f"nothing of it runs, but the Hub does not remove its record{refused}"
            if taken > limit:
                raise LaunchError(
                    f"The Hub did not end the server {name} within {duration(limit)}{refused}", stage="stop"
                )
            await self._clock.sleep(next(refusals if refused else pauses))

    async def _left_of(self, user: str, name: str, end: float) -> HubServer | None:
        """Wait while the Hub is at it; what there is of it then. The Hub answers before it has removed the record."""
        removed_by = self._clock.monotonic() + REMOVE_SECONDS
        for pause in _pauses():
            server = await self._api.server(user, name)
            if server is None:
                return None
            now = self._clock.monotonic()
            if now > end or (server.pending != "stop" and (not server.stopped or now > removed_by)):
                return server
            await self._clock.sleep(pause)
        raise AssertionError("pauses never end")

    async def remove_left(self) -> None:
        """Until cancelled: try again, each five minutes, to have removed what the Hub refused to remove."""
        while True:
            await self._clock.sleep(LEFT_EVERY)
            for user, name in sorted(self._left):
                with contextlib.suppress(HubUnavailable, HubRefused):
                    await self._api.stop_server(user, name, remove=True)
                    if await self._left_of(user, name, self._clock.monotonic()) is None:
                        self._left.discard((user, name))
                        log.info("The Hub has removed its record of the server %s at last", name)

    async def clean(self, user: str, name: str, *, settle: bool, limit: float | None = None) -> None:
        """:meth:`end` after a start that failed or was cancelled: goes on when we are cancelled once more, and raises
        nothing, as there is a better reason to tell. Who must be sure ends it again."""
        work = asyncio.ensure_future(self.end(user, name, settle=settle, limit=limit))
        while not work.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([work])
        if not work.cancelled() and (error := work.exception()) is not None:
            log.warning("The server %s is left for now: %s", name, error)


def _runs_nothing(server: HubServer) -> bool:
    state = state_of(server)
    return (server.stopped and not server.pending) or (state is not None and state.over)


def _pauses(longest: float = 0.5) -> Iterator[float]:
    pause = 0.02
    while True:
        yield pause
        pause = min(pause * 1.5, longest)


def _address(value: object) -> tuple[str, int] | None:
    match value:
        case [str(host), int(port)]:
            return host, port
        case _:
            return None
