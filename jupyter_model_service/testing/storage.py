"""Folders that exist in memory only, and the storage that keeps what they hold."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field

from jupyter_model_service.core.revision import Kept
from jupyter_model_service.errors import ModelServiceError, NoSpace, NotFound
from jupyter_model_service.ports import KeptKey

NAMES_SHOWN = 5


@dataclass
class Shelf:
    """``folders`` is what users have, by path: name to content; one that is not there is kept as an empty one. ``kept``
    survives the gateway. ``seconds`` is what each keeping takes, ``error`` what it then ends with; ``live`` is the
    reason for which nothing is kept. ``look_seconds`` is what a look at what changed takes."""

    folders: dict[str, dict[str, bytes]] = field(default_factory=dict)
    kept: dict[KeptKey, dict[str, bytes]] = field(default_factory=dict)
    half: set[KeptKey] = field(default_factory=set)  # being kept; what a killed gateway left of it
    seconds: float = 0.0
    told_every: float | None = None  # seconds between two words about it; by default four are said
    error: ModelServiceError | None = None
    live: str | None = None
    look_seconds: float = 0.0
    out_of_reach: bool = False  # as the users' folders are for the gateway of a hub
    looks: int = 0
    room: float = math.inf  # copies that it has a place for
    generation: int = 0

    def kill_gateway(self) -> None:
        """``kill -9``: nobody cleans up."""
        self.generation += 1


class FakeStorage:
    """Implements ``ports.Storage`` over a :class:`Shelf`. The path of a copy is ``kept:SERVICE/NUMBER``."""

    def __init__(self, shelf: Shelf | None = None) -> None:
        self.shelf = shelf if shelf is not None else Shelf()
        self._generation = self.shelf.generation
        self._moving = asyncio.Lock()
        self._under_way: set[KeptKey] = set()

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
        key, shelf = (service_id, number), self.shelf
        if shelf.live is not None:
            return Kept(why=shelf.live)
        shelf.half.add(key)
        self._under_way.add(key)
        try:
            files = dict(shelf.folders.get(folder, {}))
            expected(len(files), sum(map(len, files.values())))
            parts = 4 if shelf.told_every is None else max(1, round(shelf.seconds / shelf.told_every))
            for done in range(1, parts + 1):
                await asyncio.sleep(shelf.seconds / parts)
                progress(len(files) * done // parts, sum(map(len, files.values())) * done // parts)
            if shelf.error is not None:
                raise shelf.error
            async with self._moving:
                if len(shelf.kept) >= shelf.room:
                    raise NoSpace("There is no room for the copy.")
                shelf.kept[key] = files
        finally:
            self._under_way.discard(key)
            if self._generation == shelf.generation:
                shelf.half.discard(key)
        return Kept("copy", f"kept:{service_id}/{number}", len(files), sum(map(len, files.values())))

    async def changed(self, kept: Kept, folder: str) -> Sequence[str] | None:
        if self.shelf.out_of_reach:
            return None
        if kept.kind != "copy" or kept.path is None:
            return ()
        self.shelf.looks += 1
        await asyncio.sleep(self.shelf.look_seconds)
        if folder not in self.shelf.folders:
            raise NotFound(f"There is no folder {folder} any more.")
        service_id, _, number = kept.path.removeprefix("kept:").partition("/")
        then, now = self.shelf.kept.get((service_id, int(number)), {}), self.shelf.folders.get(folder, {})
        names = (name for name in sorted({*then, *now}) if then.get(name) != now.get(name))
        return [name for name, _ in zip(names, range(NAMES_SHOWN + 1), strict=False)]

    async def collect(self, wanted: Callable[[], Awaitable[Collection[KeptKey]]]) -> None:
        async with self._moving:
            keys = set(await wanted())
            if self._generation == self.shelf.generation:
                self.shelf.kept = {key: files for key, files in self.shelf.kept.items() if key in keys}
                self.shelf.half &= self._under_way
