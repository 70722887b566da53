"""What a revision keeps of its folder: kept before the store knows the revision, removed after it has forgotten it.

The store is the truth about what is wanted, and besides it what is just being kept and what replicas still run from. A
gateway that is killed at any instant leaves at most files that nobody wants; the next start collects them.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from ..core.replica import Phase
from ..core.revision import Kept, Revision
from ..core.sentences import counted, duration
from ..errors import ModelServiceError, NoSpace, NotFound, Overloaded, StoreError
from ..ports import KeptKey, Storage
from .copying import Copying
from .ledger import Ledger
from .state import Parts, Service
from .tasks import Tasks, within

log = logging.getLogger(__name__)

Services = Callable[[], Iterable[Service]]


@dataclass(frozen=True)
class Changed:
    """``names`` of files that are not as they were kept, the first few; or the ``folder`` itself that is gone."""

    names: Sequence[str] = ()
    gone: bool = False


def unkept(kept: Kept) -> str:
    """To be said when a revision is made."""
    if kept.kind == "copy":
        return f"; {kept.why}" if kept.why else ""
    return f"; its files are read where they lie, a rollback cannot bring them back: {kept.why or 'none are kept'}"


def as_now(kept: Kept) -> str:
    """To be said when a revision is gone back to."""
    if kept.kind != "copy":
        return "; its files were not kept and are as they are now"
    if not kept.linked:
        return ""
    return f"; {counted(kept.linked, 'link')} in it lead{'s' if kept.linked == 1 else ''} to files as they are now"


async def _finished(task: asyncio.Task[Kept]) -> None:
    await asyncio.wait({task})


@dataclass
class _Look:
    """What the last look ``found`` that came to an end, and when (monotonic); ``begun`` counts all, ``done`` is its
    number."""

    begun: int = 0
    done: int = 0
    ended: float = -math.inf
    took: float = 0.0
    found: Changed | None = None


class Keeping:
    def __init__(self, parts: Parts, storage: Storage, tasks: Tasks, ledger: Ledger, services: Services) -> None:
        self.turn = asyncio.Lock()  # of the commands: who holds it may change what services have
        self._parts = parts
        self._storage = storage
        self._tasks = tasks
        self._ledger = ledger
        self._services = services
        self._coming: set[KeptKey] = set()  # being kept, or kept and not in the store yet
        self._running: set[asyncio.Task[Kept]] = set()
        self._looks: dict[KeptKey, _Look] = {}
        self._collect_again = False
        self._closed = False

    # --- keeping ---

    @asynccontextmanager
    async def kept(self, service_id: str, owner: str, revision: Revision, copying: Copying) -> AsyncIterator[Kept]:
        """What is kept for this revision, which the body writes to the store; if the body fails, it is removed."""
        key = (service_id, revision.number)
        self._coming.add(key)
        written = False
        try:
            try:
                kept = await self._keep(key, owner, revision, copying)
            except NoSpace:
                if not await self._drop_failed():
                    raise
                kept = await self._keep(key, owner, revision, copying)
            yield kept
            written = True
        finally:
            self._coming.discard(key)
            if not written:
                self.collect()

    async def _keep(self, key: KeptKey, owner: str, revision: Revision, copying: Copying) -> Kept:
        if self._closed:
            raise Overloaded("The gateway is ending; nothing was changed.")
        settings, folder = self._parts.settings, revision.folder
        keeping = self._storage.keep(
            *key, folder, copying.progress, owner=owner, image=revision.image, expected=copying.expected
        )
        copying.begins()
        task = asyncio.get_running_loop().create_task(self._bounded(keeping, copying))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            task.cancel()
            raise
        finally:
            copying.over()
        if task.cancelled():
            raise Overloaded("The gateway is ending; nothing was changed.")
        try:
            return task.result()
        except TimeoutError:
            silent = copying.heard_at + settings.keep_silence <= copying.began + settings.keep_limit
            why = (
                f"nothing was heard of the copy for {duration(settings.keep_silence)}"
                if silent
                else f"that takes longer than {duration(settings.keep_limit)}"
            )
            raise StoreError(
                f"The files of {folder} could not be copied: {why}. Look at the file system, or move what replicas "
                "need not keep out of the folder."
            ) from None

    async def _bounded(self, keeping: Coroutine[Any, Any, Kept], copying: Copying) -> Kept:
        """``TimeoutError`` when it takes too long in all (reading the definition counts), or nothing is heard of it."""
        clock, settings = self._parts.clock, self._parts.settings
        task = asyncio.ensure_future(keeping)
        try:
            while not task.done():
                ends = min(copying.heard_at + settings.keep_silence, copying.began + settings.keep_limit)
                if (left := ends - clock.monotonic()) <= 0:
                    raise TimeoutError
                with suppress(TimeoutError):
                    await within(clock, _finished(task), left)
            return task.result()
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait({task})

    def close(self) -> None:
        """What is being kept is given up; whoever asked for it is told."""
        self._closed = True
        for task in self._running:
            task.cancel()

    # --- what changed since ---

    async def changed(self, service: Service) -> Changed | None:
        """What of the folder is not as the active revision keeps it, as of now; ``None`` when that is not known: who
        asks waits no longer than ``look_limit``, and then gets what was found ``look_kept`` seconds ago at most."""
        revision, clock, settings = service.active, self._parts.clock, self._parts.settings
        if revision.kept.kind != "copy" or service.deleting:
            return None
        look = self._looks.setdefault((service.id, revision.number), _Look())
        with suppress(TimeoutError):
            await within(clock, self._look_after(look.begun, look, service, revision), settings.look_limit)
        return look.found if clock.monotonic() - look.ended <= settings.look_kept else None

    async def _look_after(self, former: int, look: _Look, service: Service, revision: Revision) -> None:
        """One look at a time: one that is under way began before this was asked, so another comes after it."""
        name = f"look {service.id} {revision.number}"
        for _ in range(2):
            if look.done > former:
                return
            if not self._tasks.running(name):
                self._tasks.start(name, self._look(look, revision))
            await self._tasks.finished([name])

    async def _look(self, look: _Look, revision: Revision) -> None:
        """A look of 100 ms, at 20,000 files, is made twice a second at most."""
        clock, share = self._parts.clock, self._parts.settings.look_share
        if (pause := look.ended + look.took * (1 / share - 1) - clock.monotonic()) > 0:
            await clock.sleep(pause)
        look.begun += 1
        number, began = look.begun, clock.monotonic()
        try:
            names = await self._storage.changed(revision.kept, revision.folder)
            found = Changed(tuple(names)) if names is not None else None
        except NotFound:
            found = Changed(gone=True)
        now = clock.monotonic()
        look.done, look.ended, look.took, look.found = number, now, now - began, found

    # --- what is not wanted any more ---

    def collect(self) -> None:
        """Soon, and once however often it is asked for meanwhile."""
        self._collect_again = self._tasks.running("collecting")
        if not self._collect_again:
            self._tasks.start("collecting", self._collect())

    async def drop_old(self, service: Service) -> None:
        """Forget revisions beyond the newest few, but none that is active, stable, run from or to be gone back to. What
        cannot be written now is dropped after the next update."""
        newest = sorted(service.revisions)[-self._parts.settings.revisions_kept :]
        old = sorted(set(service.revisions) - {*newest, *self._needed(service), *service.record.former[-1:]})
        await self._drop(service, old)
        if old:
            self.collect()

    async def _drop_failed(self) -> bool:
        """Forget the revisions that never came up and were taken back: their copies are gone on return. Whether there
        were any."""
        dropped = False
        for service in list(self._services()):
            async with self.turn:
                if not self._parts.settings.copies_beside_store or service.deleting:
                    continue
                tried = {number for number, retry in service.retries.items() if retry.failures and not retry.ever_ready}
                copies = {number for number, each in service.revisions.items() if each.kept.kind == "copy"}
                failed = (copies & tried) - {*self._needed(service), *service.record.former}
                await self._drop(service, sorted(failed))
                dropped = dropped or not failed <= set(service.revisions)
        if dropped:
            await self._storage.collect(self._wanted)
        return dropped

    def _needed(self, service: Service) -> set[int | None]:
        used = {r.revision.number for r in service.replicas.values() if r.phase is not Phase.GONE}
        return {*used, service.record.active, service.record.stable}

    async def _drop(self, service: Service, old: Sequence[int]) -> None:
        try:
            for number in old:
                await self._ledger.commit(partial(self._parts.store.remove_revision, service.id, number))
                service.revisions.pop(number, None)
                service.retries.pop(number, None)
                self._looks.pop((service.id, number), None)
        except ModelServiceError as error:
            log.warning("Old revisions of service %s stay for now: %s", service.key, error)

    async def _collect(self) -> None:
        while True:
            try:
                await self._storage.collect(self._wanted)
            except Exception as error:  # what is left is found again
                log.warning("Files of former revisions stay for now: %s", error or type(error).__name__)
            if not self._collect_again:
                return
            self._collect_again = False

    async def _wanted(self) -> Collection[KeptKey]:
        store = self._parts.store
        stored = {(s.id, r.number) for s in await store.services() for r in await store.revisions(s)}
        return (
            stored | self._coming | {(s.id, r.revision.number) for s in self._services() for r in s.replicas.values()}
        )

    async def removed(self, service: Service) -> None:
        """Out of the store, for which a full disk has no room: then its copies go before it, those first that nothing
        needs, and if that is not enough, all."""
        for spared in (self._needed(service), set[int | None]()):
            try:
                return await self._ledger.remove_service(service.id)
            except NoSpace:
                if not self._parts.settings.copies_beside_store:
                    raise
            await self._storage.collect(partial(self._wanted_but, service, spared))
        try:
            await self._ledger.remove_service(service.id)
        except NoSpace as error:
            raise NoSpace(
                f"{error} The copies of its files were removed to make room, and that was not enough."
            ) from None

    async def _wanted_but(self, service: Service, spared: Collection[int | None]) -> Collection[KeptKey]:
        return {key for key in await self._wanted() if key[0] != service.id or key[1] in spared}

    def forget(self, service: Service) -> None:
        """It is gone, its last replica too."""
        self._looks = {key: look for key, look in self._looks.items() if key[0] != service.id}
        self.collect()
