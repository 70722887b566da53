"""Who holds which GPU of the Docker host, notebooks among them: only the Hub's process sees that; it is asked by a job.

Asked while somebody looks, and every half a minute at most: each look is a server that the Hub starts and removes. It
runs as the user who holds the endpoints' tokens, who is no person's.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import secrets

from ..core.gpu_looks import GpuLook, SeenGpu, look_from_plain
from ..core.hub_options import LookOptions, job_server
from ..core.reports import GpuSample
from ..errors import ModelServiceError
from ..ports import Clock
from .host_gpus import HostGpus
from .hub_jobs import HubJobs

__all__ = ["HubLooks"]

log = logging.getLogger(__name__)

FRESH = 30.0  # seconds for which an answer is not asked for again
AGAIN = 10.0  # seconds until another try after one that failed
PATIENCE = 5.0  # seconds for which whoever looks waits for an answer; a job takes about one
LIMIT = 60.0  # seconds for the job: NVML may take ten, and replicas that are being started go first


class HubLooks:
    """``user`` is the one whose servers the jobs are; ``figures`` are of the gateway's own machine, if that has the
    GPUs. Belongs to one event loop; :meth:`stop` ends what is under way."""

    def __init__(self, jobs: HubJobs, user: str, clock: Clock, figures: HostGpus) -> None:
        self._jobs = jobs
        self._user = user
        self._clock = clock
        self._figures = figures
        self._last = GpuLook()
        self._asked_at: float | None = None  # monotonic
        self._task: asyncio.Task[None] | None = None

    async def look(self) -> GpuLook:
        """As it is now, or was when it was last seen. Raises nothing: a ``problem`` says why it is not known."""
        now = self._clock.monotonic()
        if self._task is None:
            wait = AGAIN if self._last.problem else FRESH
            if self._asked_at is None or now >= self._asked_at + wait:
                self._task = asyncio.get_running_loop().create_task(self._ask(), name="look at GPUs")
        task = self._task
        if task is not None:
            await asyncio.wait({task}, timeout=PATIENCE)
            if not task.done() and self._last.gpus is None:
                return GpuLook(problem="The Hub has not said yet which GPUs there are: look again in a moment.")
        return self._last

    def figure(self, gpu: str) -> GpuSample | None:
        """How busy it is, where the gateway's machine is the one with the GPUs: known a moment after the first
        question."""
        found = self._figures.figures([gpu])
        return found[0] if found else None

    async def stop(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _ask(self) -> None:
        try:
            self._last = GpuLook(await self._seen(), self._clock.now())
        except ModelServiceError as error:
            self._last = dataclasses.replace(self._last, problem=str(error))
        except Exception:  # a fault of ours must not end what else whoever looks is shown
            log.exception("the look at GPUs failed")
            self._last = dataclasses.replace(self._last, problem="The look at GPUs failed; the gateway's log says why.")
        finally:
            self._asked_at = self._clock.monotonic()
            self._task = None

    async def _seen(self) -> tuple[SeenGpu, ...]:
        options = LookOptions(self._user, job_server(secrets.token_hex(6)))
        return look_from_plain(await self._jobs.run(options, "a look at the GPUs", LIMIT))
