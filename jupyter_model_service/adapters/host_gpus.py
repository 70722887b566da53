"""Figures of GPUs that a replica holds and its own runner cannot see, from NVIDIA's driver on the gateway's machine.

A runner in a container asks the driver's library there, which the container runtime puts in. Where an image keeps it
out, or has another C library than it needs, the gateway asks in its place, if it runs on the machine with the GPUs;
elsewhere the figures stay unknown. Asked by a process of its own, because the library may hang or crash.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import logging
import os
import sys
from collections.abc import Callable, Sequence

from ..core.gpu_pool import Gpu, is_named
from ..core.reports import GpuSample, LeaseEvent, LeaseSample
from ..ports import Clock, Lease, Leases
from ..runner import RUNNER
from .lease_messages import sample_from

__all__ = ["HostGpus", "LeasesWithHostGpus"]

log = logging.getLogger(__name__)

STALE = 5.0  # seconds
WANTED_FOR = 30.0  # seconds without a question after which nobody is asked any more
AGAIN_AFTER = 60.0  # seconds until a library that gave up, or is not there, is tried again
LIBRARY = "libnvidia-ml.so.1"


class HostGpus:
    """``figures`` answers from memory and costs nothing where nobody needs it: the first question starts the process.
    ``library``: what is loaded in the place of NVIDIA's, from ``MODEL_SERVICE_NVML`` if that is set."""

    def __init__(self, clock: Clock, library: str | None = None) -> None:
        self._clock = clock
        self._library = library or os.environ.get("MODEL_SERVICE_NVML") or LIBRARY
        self._wanted_at = 0.0
        self._try_at = 0.0
        self._known: list[tuple[Gpu, GpuSample]] = []
        self._known_at = 0.0
        self._task: asyncio.Task[None] | None = None

    def figures(self, ids: Sequence[str]) -> tuple[GpuSample, ...] | None:
        """Of the GPUs with these UUIDs or numbers; ``None`` unless all are known. Must be called on the event loop."""
        now = self._wanted_at = self._clock.monotonic()
        if (self._task is None or self._task.done()) and now >= self._try_at:
            self._task = asyncio.get_running_loop().create_task(self._run(), name="figures of GPUs")
        if now - self._known_at > STALE:
            return None
        found = [sample for each in ids for gpu, sample in self._known if is_named(gpu, each)]
        return tuple(found) if found and len(found) == len(ids) else None

    async def stop(self) -> None:
        self._try_at = float("inf")
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _run(self) -> None:
        load = f"import os, sys; sys.path.insert(0, {str(RUNNER.parent)!r}); import runner; "
        load += "runner.sample_gpus(sys.argv[1], 'all', 1, os.getppid(), numbered=True)"
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", "-c", load, self._library),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            assert process.stdout is not None
            while self._clock.monotonic() - self._wanted_at < WANTED_FOR:
                line = await asyncio.wait_for(process.stdout.readline(), 2 * STALE)
                if not line:
                    await asyncio.wait_for(process.wait(), STALE)
                    break
                told = json.loads(line)
                sample = sample_from({"gpus": told})
                if sample is not None and sample.gpus is not None:
                    numbers = [each.get("index") for each in told]
                    self._known = [(Gpu(n, gpu.uuid), gpu) for n, gpu in zip(numbers, sample.gpus, strict=True)]
                    self._known_at = self._clock.monotonic()
        except (asyncio.TimeoutError, ValueError) as error:
            log.warning("GPUs of this machine cannot be looked at: %s", error or "NVIDIA's library does not answer")
        finally:
            self._try_at = max(self._try_at, self._clock.monotonic() + AGAIN_AFTER)
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                gone = asyncio.ensure_future(process.wait())
                await asyncio.wait({gone}, timeout=1.0)  # no longer: in the driver it may be beyond every signal
                gone.cancel()


class LeasesWithHostGpus:
    """Implements ``ports.Leases``: what a runner does not know of its GPUs is filled in. ``held_by`` tells which GPUs a
    replica was given, by their UUIDs, or by their numbers where the administrator names them so."""

    def __init__(self, leases: Leases, gpus: HostGpus, held_by: Callable[[str], Sequence[str]]) -> None:
        self._leases = leases
        self._gpus = gpus
        self._held_by = held_by

    def open(
        self, replica: str, control: tuple[str, int], secret: str, on_event: Callable[[LeaseEvent], None]
    ) -> Lease:
        def filled(event: LeaseEvent) -> None:
            if isinstance(event, LeaseSample) and not event.gpus and (ids := self._held_by(replica)):
                event = dataclasses.replace(event, gpus=self._gpus.figures(ids))
            on_event(event)

        return self._leases.open(replica, control, secret, filled)
