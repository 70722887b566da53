"""The small fakes: probe, definitions, meter."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from jupyter_model_service.core.definition import Definition
from jupyter_model_service.core.revision import Kept
from jupyter_model_service.errors import DefinitionError, Problem
from jupyter_model_service.ports import GivenDefinition, ProbeResult

from .world import World

Address = tuple[str, int]


class FakeProbe:
    """Implements ``ports.Probe``: answers as the world's replica at that address would.

    ``script(address, …)`` goes first: those results are given in turn, the last one for ever.
    ``asked`` lists every probe as ``(address, path)``, with ``None`` for a look at the port only.
    """

    def __init__(self, world: World | None = None) -> None:
        self._world = world if world is not None else World()
        self._scripts: dict[Address, deque[ProbeResult]] = {}
        self.asked: list[tuple[Address, str | None]] = []

    def script(self, address: Address, *results: ProbeResult) -> None:
        self._scripts[address] = deque(results)

    async def http(self, address: Address, path: str, expected_status: int, timeout: float) -> ProbeResult:
        self.asked.append((address, path))
        await asyncio.sleep(0)
        if (scripted := self._scripted(address)) is not None:
            return scripted
        replica = self._world.at(address)
        if replica is None or not replica.port_open:
            return ProbeResult(False, "connection refused", connected=False)
        if replica.hangs:
            await asyncio.sleep(timeout)
            return ProbeResult(False, f"no answer in {timeout:g} s", connected=True, seconds=timeout)
        if replica.status != expected_status:
            return ProbeResult(False, f"status {replica.status}, expected {expected_status}")
        return ProbeResult(True)

    async def port(self, address: Address, timeout: float) -> ProbeResult:
        self.asked.append((address, None))
        await asyncio.sleep(0)
        if (scripted := self._scripted(address)) is not None:
            return scripted
        replica = self._world.at(address)
        if replica is None or not replica.port_open:
            return ProbeResult(False, "connection refused", connected=False)
        return ProbeResult(True)

    def _scripted(self, address: Address) -> ProbeResult | None:
        results = self._scripts.get(address)
        if not results:
            return None
        return results.popleft() if len(results) > 1 else results[0]


class FakeDefinitions:
    """Implements ``ports.Definitions`` over a dictionary; a folder that nobody put there is a problem."""

    def __init__(self, folders: Mapping[str, Definition] | None = None) -> None:
        self._folders: dict[str, tuple[Definition, tuple[Problem, ...]]] = {
            folder: (definition, ()) for folder, definition in (folders or {}).items()
        }
        self._broken: dict[str, tuple[Problem, ...]] = {}
        self.seconds = 0.0  # that reading a folder takes

    def put(self, folder: str, definition: Definition, warnings: Sequence[Problem] = ()) -> None:
        self._broken.pop(folder, None)
        self._folders[folder] = (definition, tuple(warnings))

    def breaks(self, folder: str, *problems: Problem) -> None:
        self._broken[folder] = problems

    async def load(
        self, folder: str, given: GivenDefinition | None = None, kept: Kept | None = None
    ) -> tuple[Definition, Sequence[Problem]]:
        """What was put under the path of the copy, if anything was, is the definition there."""
        await asyncio.sleep(0 if kept is not None else self.seconds)
        if kept is not None and kept.path is not None and kept.path in {*self._folders, *self._broken}:
            folder = kept.path
        if folder in self._broken:
            raise DefinitionError(self._broken[folder])
        if folder not in self._folders:
            raise DefinitionError([Problem("", f"there is no folder {folder}")])
        return self._folders[folder]


@dataclass(frozen=True)
class MeteredCall:
    owner: str
    name: str
    revision: int
    status: int
    seconds: float
    first_byte: float | None


@dataclass
class CountingMeter:
    """Implements ``ports.Meter`` and keeps everything; counters are keyed ``(owner, name, …)``."""

    calls: list[MeteredCall] = field(default_factory=list)
    retries: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    refusals: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    broken_answers: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    phases: list[tuple[str, str, str, float]] = field(default_factory=list)
    restarts: Counter[tuple[str, str]] = field(default_factory=Counter)
    scalings: list[tuple[str, str, int, int]] = field(default_factory=list)
    cold_starts: Counter[tuple[str, str]] = field(default_factory=Counter)
    forgotten: list[tuple[str, str]] = field(default_factory=list)

    def call(self, owner: str, name: str, revision: int, status: int, seconds: float, first_byte: float | None) -> None:
        self.calls.append(MeteredCall(owner, name, revision, status, seconds, first_byte))

    def retried(self, owner: str, name: str, reason: str) -> None:
        self.retries[owner, name, reason] += 1

    def refused(self, owner: str, name: str, code: str) -> None:
        self.refusals[owner, name, code] += 1

    def broken(self, owner: str, name: str, reason: str) -> None:
        self.broken_answers[owner, name, reason] += 1

    def phase(self, owner: str, name: str, phase: str, seconds: float) -> None:
        self.phases.append((owner, name, phase, seconds))

    def restarted(self, owner: str, name: str) -> None:
        self.restarts[owner, name] += 1

    def scaled(self, owner: str, name: str, before: int, after: int) -> None:
        self.scalings.append((owner, name, before, after))

    def cold_start(self, owner: str, name: str) -> None:
        self.cold_starts[owner, name] += 1

    def forget(self, owner: str, name: str) -> None:
        self.forgotten.append((owner, name))
