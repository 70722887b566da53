"""Public fakes for tests of the engine and of plug-ins: no processes, no sockets, no disk.

Everything that must survive a restart of the gateway lives outside the parts that restart: the
:class:`World` holds the replicas, :class:`Disk` what a store has written, :class:`Shelf` the files of revisions.
A test of a restart ends the engine (:meth:`World.kill_gateway` first, for one by ``kill -9``) and builds a
second one over the same three::

    world, disk, shelf = World(), Disk(), Shelf()
    launcher, leases, probe = FakeLauncher(world), FakeLeases(world), FakeProbe(world)
    store, storage, clock = MemoryStore(disk), FakeStorage(shelf), LoopClock()
    world.on_start = lambda replica: replica.serves()
    run_in_virtual_time(body())

The launcher, the store, the storage, the Hubs (:mod:`.hub`, :mod:`.hub_in_memory`), the identity and the issuer of
tokens pass the same contract suites as the real ones.
"""

from __future__ import annotations

from .clock import ClockAhead, LoopClock, ManualClock, VirtualTimeLoop, run_in_virtual_time
from .identity import FakeIdentity, FakeIssuer
from .parts import CountingMeter, FakeDefinitions, FakeProbe
from .storage import FakeStorage, Shelf
from .store import Disk, MemoryStore
from .world import FakeLauncher, FakeLease, FakeLeases, FakeReplica, StartScript, World

__all__ = [
    "ClockAhead",
    "CountingMeter",
    "Disk",
    "FakeDefinitions",
    "FakeIdentity",
    "FakeIssuer",
    "FakeLauncher",
    "FakeLease",
    "FakeLeases",
    "FakeProbe",
    "FakeReplica",
    "FakeStorage",
    "LoopClock",
    "ManualClock",
    "MemoryStore",
    "Shelf",
    "StartScript",
    "VirtualTimeLoop",
    "World",
    "run_in_virtual_time",
]
