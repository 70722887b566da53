"""What a revision's folder held, kept in a volume that the Hub's process makes.

The gateway can read no user's workspace, so it asks: a short-lived named server of the user, of which nothing is run
but the copying container. ``Kept.path`` is the name of the volume. A folder ``volume:NAME`` is not copied: that volume
is mounted as it is.

Whose volumes there are is noted in a file before they are made: a service that is gone says so no more.
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from ..core.hub_options import (
    VOLUME,
    VOLUME_PATTERN,
    CollectOptions,
    SnapshotOptions,
    is_job_server,
    job_server,
    volume_name,
)
from ..core.policy import Policy
from ..core.revision import Kept
from ..errors import HubRefused, InvalidRequest, LaunchError, StoreError
from ..fingerprint import EXCLUDED
from ..ports import KeptKey
from .hub_jobs import HubJobs
from .hub_servers import HubServers, ServerState
from .hub_users import HubUsers
from .private_file import read_book, write_book

log = logging.getLogger(__name__)

KEEP_SECONDS = 12 * 3600.0  # the Hub's side gives a copy six hours, and it may have to wait for others
TURN_TOLD = 10.0  # seconds between two words of a copy that waits for a collection
COLLECT_SECONDS = 300.0
NAMES_SHOWN = 3
_NOT_WHOLE = {
    "outside": "links to what is outside the folder lead nowhere in a replica",
    "skipped": "what is neither file nor folder nor link is left out",
    "unsettled": "files that kept changing are as they were at one moment",
}
_OF_THE_USER = frozenset({"folder", "limit", "policy"})  # stages of a failed copy that are hers to mend


class HubStorage:
    """Implements ``ports.Storage``. ``book`` is the file with the names of volumes and their users (JSON, 0600).
    ``jobs`` are the gateway's: whatever else of that kind is there was a killed one's."""

    def __init__(
        self, servers: HubServers, users: HubUsers, policy: Policy, book: Path, jobs: HubJobs | None = None
    ) -> None:
        self._servers = servers
        self._users = users
        self._policy = policy
        self._book = book
        self._writing = asyncio.Lock()  # the book
        self._jobs = jobs or HubJobs(servers)
        self._turns: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()

    # --- ports.Storage ---

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
        mounted = _mounted(folder.removeprefix(VOLUME)) if folder.startswith(VOLUME) else None
        user = await self._users.name_of(owner)  # noted by it: a service without replicas asks nothing else of the Hub
        if mounted is not None:
            return mounted
        options = SnapshotOptions(
            user=user,
            server=job_server(secrets.token_hex(6)),
            service_id=service_id,
            revision=number,
            folder=_absolute(folder),
            image=image,
            exclude=EXCLUDED,
            limit_bytes=self._policy.snapshot_bytes_per_user,
            limit_files=self._policy.snapshot_files,
        )
        try:
            SnapshotOptions.from_plain(options.to_plain())  # as the Hub's side reads it, before anything is begun
        except ValueError as error:
            raise InvalidRequest(f"The folder {folder[:80]!r} cannot be served: {error}") from error

        all_known = False

        def tell(state: ServerState) -> None:
            """At each look that finds it going on: the Hub's side gives it up itself when it hears nothing of it."""
            nonlocal all_known
            if not all_known and "of_bytes" in state.progress:
                all_known = True
                expected(_count(state.progress, "of_files"), _count(state.progress, "of_bytes"))
            progress(_count(state.progress, "files"), _count(state.progress, "bytes"))

        async with self._waiting_turn(user, progress):  # no collection may run that does not know of it
            await self._note({options.volume: user}, ())
            try:
                result = await self._jobs.run(
                    options, f"files of revision {number}", KEEP_SECONDS, tell, lambda: progress(0, 0)
                )
            except LaunchError as error:
                if error.stage in _OF_THE_USER:
                    raise InvalidRequest(str(error)) from error
                raise StoreError(f"The files of {folder} could not be copied: {error}") from error
        fingerprint = result.get("fingerprint")
        return Kept(
            "copy",
            options.volume,
            _count(result, "files"),
            _count(result, "bytes"),
            why=_not_whole(result),
            fingerprint=fingerprint if isinstance(fingerprint, str) and fingerprint else None,
        )

    async def changed(self, kept: Kept, folder: str) -> Sequence[str] | None:
        return None  # nothing of ours can look into a workspace without starting a container

    async def collect(self, wanted: Callable[[], Awaitable[Collection[KeptKey]]]) -> None:
        await self._end_stale_jobs()
        for user in sorted(set((await self._read()).values())):
            async with self._turn(user):
                await self._collect(user, {volume_name(*key) for key in await wanted()})

    # --- what is not wanted any more ---

    async def _collect(self, user: str, wanted: Collection[str]) -> None:
        unwanted = {volume for volume, whose in (await self._read()).items() if whose == user} - set(wanted)
        if not unwanted:
            return
        options = CollectOptions(user, job_server(secrets.token_hex(6)), tuple(sorted(wanted)))
        try:
            await self._jobs.run(options, "former revisions", COLLECT_SECONDS)
        except (LaunchError, HubRefused) as error:
            if await self._is_gone(user):
                log.info("The volumes of %s are left to the Hub: there is no such user any more", user)
            else:
                raise StoreError(f"The files of former revisions of {user} stay for now: {error}") from error
        await self._note({}, unwanted)

    async def _is_gone(self, user: str) -> bool:
        return user not in {known.name for known in (await self._users.look()).values()}

    async def _end_stale_jobs(self) -> None:
        """What a killed gateway waited for. Ended first, so that no copy is under way that nobody wants."""
        for user in (await self._users.look()).values():
            for server in user.servers.values():
                if (
                    is_job_server(server.name)
                    and server.name not in self._jobs.under_way
                    and self._servers.is_ours(server)
                ):
                    await self._servers.end(user.name, server.name)

    # --- turns ---

    def _turn(self, user: str) -> asyncio.Lock:
        turn = self._turns.get(user)
        if turn is None:
            turn = self._turns[user] = asyncio.Lock()
        return turn

    @asynccontextmanager
    async def _waiting_turn(self, user: str, progress: Callable[[int, int], None]) -> AsyncIterator[None]:
        """The user's turn; that it is waited for is progress, too."""
        turn = self._turn(user)
        taking = asyncio.ensure_future(turn.acquire())
        try:
            while not taking.done():
                await asyncio.wait({taking}, timeout=TURN_TOLD)
                progress(0, 0)
            yield
        finally:
            if not taking.cancel():
                turn.release()

    # --- the book ---

    async def _read(self) -> dict[str, str]:
        return await asyncio.to_thread(_read, self._book)

    async def _note(self, made: Mapping[str, str], gone: Collection[str]) -> None:
        """On the disk when it returns."""
        async with self._writing:
            book = await self._read()
            new = {volume: user for volume, user in {**book, **made}.items() if volume not in gone}
            if new == book:
                return
            try:
                await asyncio.to_thread(write_book, self._book, new)
            except OSError as error:
                raise StoreError(f"{self._book} cannot be written: {error.strerror or error}.") from error


def _mounted(volume: str) -> Kept:
    if not re.fullmatch(VOLUME_PATTERN, volume):
        raise InvalidRequest(f'"{volume}" is no name of a volume: write volume:NAME.')
    return Kept("live", volume, why=f"the volume {volume} is mounted as it is")


def _absolute(folder: str) -> str:
    if not folder.startswith("/") or "\0" in folder:
        raise InvalidRequest(f"The folder {folder} must be a full path, as your notebook sees it.")
    return folder


def _count(told: Mapping[str, object], name: str) -> int:
    value = told.get(name)
    return value if isinstance(value, int) else 0


def _not_whole(result: Mapping[str, object]) -> str | None:
    """What of the folder is not in the copy as it is there; ``None`` when all is."""
    said = []
    for key, what in _NOT_WHOLE.items():
        noted = result.get(key)
        if isinstance(noted, Mapping) and (count := _count(noted, "count")):
            said.append(f"{what} ({_some(noted.get('names'), count)})")
    elsewhere = result.get("not_copied")
    if isinstance(elsewhere, Sequence) and not isinstance(elsewhere, str) and elsewhere:
        said.append(f"other storage that is mounted in it is not copied ({_some(elsewhere, len(elsewhere))})")
    return "; ".join(said) or None


def _some(names: object, count: int) -> str:
    shown = [str(name) for name in names][:NAMES_SHOWN] if isinstance(names, Sequence) else []
    more = count - len(shown)
    return ", ".join([*shown, f"{more} more"] if more > 0 else shown)


def _read(path: Path) -> dict[str, str]:
    book = read_book(path, "which volumes there are is noted anew")
    return {volume: str(user) for volume, user in book.items()}


__all__ = ["HubStorage"]
