"""A model folder tried out here: its server is started as a replica would be, asked whether it is well, sent one call,
and stopped again.

The launcher, the runner, the control stream and the probe are those of the real thing, so that port, address and
``/models`` become what they become for a replica on this machine. No gateway has a part in it, and no GPU is asked for.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import re
import secrets
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..adapters.definition_file import load_definition
from ..adapters.launch_local import LocalLauncher
from ..adapters.lease import TcpLease, TcpLeases
from ..adapters.probe import HttpProbe
from ..core import health
from ..core.definition import Definition
from ..core.names import service_name_from
from ..core.reports import LeaseClosed, LeaseEvent, LeaseOpened, LeaseState, RunnerState
from ..core.revision import Revision
from ..core.sentences import duration, names_folder, told
from ..core.words import FOLDER
from ..errors import ModelServiceError
from ..ports import Placement, StartRequest
from ..wire import ExitInfo
from ..wire.workbench import DryRunAnswer, DryRunLog, DryRunOutcome, DryRunPhase, SampleRequest
from .leftovers import Held, sweep
from .sample_call import call, judged
from .samples import check, read_samples

__all__ = ["TIMEOUT", "Plan", "Tell", "dry_run", "prepared"]

TIMEOUT = 300.0  # seconds for all of it, unless said otherwise
STOP_SECONDS = 5.0  # at most, between SIGTERM and SIGKILL: nobody's calls are open
ALONE_SECONDS = 10.0  # after which the runner ends itself when this process was killed
PORT_SECONDS = 2.0
EXPOSURE_SECONDS = 2.0  # from the start command to the first look at where the server listens
LOST_SECONDS = 5.0  # out of contact with the runner
END_SECONDS = 1.0  # in which a server that broke a call may turn out to have ended
QUIET_SECONDS = 1.0  # in which nobody need be told that it is not ready yet
LOG_SECONDS = 0.2
LOG_LINES = 500

Tell = Callable[[DryRunPhase | DryRunLog | DryRunAnswer], None]

_NO_MODELS = (
    f"there is no folder {FOLDER} on this machine: in the model's code use the variable BACKEND_MODEL_PATH, or a path "
    "relative to the model folder"
)


@dataclass(frozen=True)
class Plan:
    folder: Path
    definition: Definition
    request: SampleRequest


def prepared(folder: Path, request: SampleRequest | None = None) -> Plan:
    """What to run and to send: without ``request`` the folder's first sample, else its health path. Blocking.
    ``DefinitionError`` and ``InvalidRequest`` say why it cannot be."""
    definition, _ = load_definition(str(folder))
    if request is None:
        samples = read_samples(folder)
        path = definition.health_check.path if definition.health_check is not None else "/"
        request = samples[0] if samples else SampleRequest(name="health", path=path)
    check(request)
    plan = Plan(folder, definition, request)
    LocalLauncher(Path(tempfile.gettempdir())).check(_revision(plan))
    return plan


async def dry_run(plan: Plan, tell: Tell, *, timeout: float = TIMEOUT) -> DryRunOutcome:
    """Returns when nothing of it is left, also when it is cancelled: then the outcome is ``stopped``, and the
    cancellation has been obeyed. ``tell`` is called on the loop as things happen."""
    held = Held()
    run = _Run(plan, tell, held.path)
    work = asyncio.create_task(run.work(), name=f"dry run of {plan.folder}")
    stopped = False
    try:
        done, _ = await asyncio.wait({work}, timeout=timeout)
        if not done:
            run.fail(f"It took longer than {duration(timeout)}: {run.doing}.{run.hint}")
    except asyncio.CancelledError:
        stopped = True
    work.cancel()
    ending = asyncio.create_task(run.end(work), name=f"end of the dry run of {plan.folder}")
    while not ending.done():
        with contextlib.suppress(asyncio.CancelledError):  # what is being ended must be ended
            await asyncio.wait({ending})
    await asyncio.to_thread(held.remove)
    return run.outcome(stopped)


class _Failed(Exception):
    """The sentence."""


class _Run:
    def __init__(self, plan: Plan, tell: Tell, directory: Path) -> None:
        self._plan = plan
        self._tell = tell
        self._began = time.monotonic()
        self._launcher = LocalLauncher(directory / "replicas", abandon_after=ALONE_SECONDS)
        self._replica = f"dry-run-{secrets.token_hex(3)}"
        self._placement: Placement | None = None
        self._lease: TcpLease | None = None
        self._state = RunnerState("preparing")
        self._changed = asyncio.Event()
        self._ended = asyncio.Event()
        self._cursor = 0
        self._ready = False
        self._by_itself = False
        self._losing: asyncio.TimerHandle | None = None
        self._failure = ""
        self._answer: DryRunAnswer | None = None
        self.doing = "nothing had begun"
        self.hint = ""  # what to change, where that can be seen

    # --- what is told -------------------------------------------------------------------------------

    def fail(self, sentence: str) -> None:
        """The first one counts."""
        self._failure = self._failure or sentence

    def outcome(self, stopped: bool) -> DryRunOutcome:
        seconds = time.monotonic() - self._began
        left = self._state.exit if self._by_itself else None
        exit = ExitInfo(**{**dataclasses.asdict(left), "tail": list(left.tail)}) if left is not None else None
        if stopped:
            return DryRunOutcome(outcome="stopped", sentence="Stopped.", seconds=seconds)
        if self._failure or self._answer is None:
            sentence = self._failure or "It ended without a word."
            return DryRunOutcome(outcome="failed", sentence=sentence, seconds=seconds, exit=exit)
        well, sentence = judged(self._answer)
        return DryRunOutcome(outcome="passed" if well else "failed", sentence=sentence, seconds=seconds)

    def _phase(self, phase: str, sentence: str, doing: str = "", hint: str = "") -> None:
        self.doing, self.hint = doing or sentence.rstrip("."), hint
        at = time.monotonic() - self._began
        self._tell(DryRunPhase.model_validate({"phase": phase, "sentence": sentence + hint, "at": at}))

    def _hear(self, event: LeaseEvent) -> None:
        if isinstance(event, (LeaseOpened, LeaseState)):
            before, self._state = self._state, event.state
            self._unless_lost()
            if event.state.phase == "exited":
                self._ended.set()
            elif event.state.phase == "preparing" and event.state != before and event.state.action:
                which = f"{event.state.action} of {event.state.actions}"
                self._phase("preparing", f"Pre-start action {which}: {event.state.label}.")
        elif isinstance(event, LeaseClosed) and self._losing is None:
            self._losing = asyncio.get_running_loop().call_later(LOST_SECONDS, self._lost, event.reason)
        self._changed.set()

    def _lost(self, reason: str) -> None:
        if not self._ended.is_set():
            self.fail(f"The contact with its runner was lost: {reason}.")
            self._ended.set()

    def _unless_lost(self) -> None:
        if self._losing is not None:
            self._losing.cancel()
            self._losing = None

    # --- what is done -------------------------------------------------------------------------------

    async def work(self) -> None:
        """Until the answer is there, or something went wrong."""
        try:
            await sweep()
            await self._start()
            tasks = {asyncio.create_task(self._tries()), asyncio.create_task(self._ended.wait())}
            pump = asyncio.create_task(self._pump())
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                if self._ended.is_set():
                    self._by_itself = self._state.exit is not None
                    self.fail(self._why_ended())
            finally:
                await _end({*tasks, pump})
            for task in tasks:
                if not task.cancelled():
                    task.result()
        except (_Failed, ModelServiceError) as error:
            self.fail(str(error))

    async def _start(self) -> None:
        name = service_name_from(self._plan.definition.name)
        self._phase("starting", f"Starting {name} here.")
        secret = secrets.token_hex(32)
        revision = _revision(self._plan)
        self._placement = await self._launcher.start(StartRequest(self._replica, "", name, revision, secret))
        self._lease = TcpLeases().open(self._replica, self._placement.control, secret, self._hear)

    async def _tries(self) -> None:
        while self._state.phase != "loading":
            self._changed.clear()
            await self._changed.wait()
        await self._comes_up()
        self._ready = True
        assert self._placement is not None
        request = self._plan.request
        self._phase("calling", f"It is well. Sending {request.method} {request.path}.", "the call was not answered")
        self._answer = await call(self._placement.address, request)
        self._tell(self._answer)
        if self._answer.problem:  # its end says more than a connection that broke
            await asyncio.sleep(END_SECONDS)

    async def _comes_up(self) -> None:
        """As the gateway waits for a replica: first the port, then who listens there, then the health path."""
        assert self._placement is not None
        address, probe = self._placement.address, HttpProbe()
        check = self._plan.definition.health_check or health.WITHOUT_BLOCK
        begun = looked_at = time.monotonic()
        said, hint, accepted_at = "", "", None
        self._phase("loading", "The server is started; waiting until it is well.")
        while True:
            now = time.monotonic()
            if accepted_at is None:
                seen = await probe.port(address, PORT_SECONDS)
                reason = f"nothing listens on its port {address[1]} yet"
            else:
                seen = await probe.http(address, check.path, check.expected_status_code, check.max_wait_time)
                reason = seen.reason
            if seen.ok and accepted_at is None:
                await self._listens_well()
                accepted_at = now
                if self._plan.definition.health_check is not None:
                    continue
            if seen.ok:
                return
            if now - looked_at > EXPOSURE_SECONDS and accepted_at is None:
                await self._unless_exposed()
                hint = await self._elsewhere()
                looked_at = time.monotonic()
            if accepted_at is not None:
                reason, hint = _of_the_path(reason, check.path)
            if now - begun > check.initial_delay:
                reason = reason.removesuffix(" yet")
                hint = hint if accepted_at is not None else await self._elsewhere()
                raise _Failed(f"It did not become healthy within {duration(check.initial_delay)}: {reason}.{hint}")
            if reason + hint != said and now - begun > QUIET_SECONDS:
                said = reason + hint
                self._phase("loading", f"Not ready: {reason}.", f"it was not ready, {reason}", hint)
            pause = (
                health.port_pause(now - begun)
                if accepted_at is None
                else health.pass_pause(now - accepted_at, check.interval)
            )
            await asyncio.sleep(pause)

    async def _listens_well(self) -> None:
        await self._unless_exposed()
        assert self._placement is not None
        for pause in (0.05, 0.2, 0.0):  # it may have begun to listen while we looked
            if await self._launcher.holds(self._replica, self._placement):
                return
            await asyncio.sleep(pause)
        raise _Failed(f"Its port {self._placement.address[1]} is held by another process; try again.")

    async def _unless_exposed(self) -> None:
        assert self._placement is not None
        if addresses := await self._launcher.exposed(self._replica, self._placement):
            raise _Failed(
                f"It listens on {', '.join(addresses)}, where others reach it without a token: write 0.0.0.0 and "
                "{port} as arguments of start_command, and they become what they must be here."
            )

    async def _elsewhere(self) -> str:
        """Where it listens instead of on its port, as far as that can be seen."""
        assert self._placement is not None
        addresses = await self._launcher.exposed(self._replica, self._placement, loopback=True)
        runner = f":{self._placement.control[1]}"
        found = [address for address in addresses if not address.endswith(runner)]
        if not found:
            return ""
        return (
            f" It listens on {', '.join(found[:4])}: hand {{port}} over to it in start_command, in the place of the "
            "port, as an argument or a variable."
        )

    def _why_ended(self) -> str:
        exit = self._state.exit
        if exit is None:
            return "It ended without a word."
        reason = told(exit, was_ready=self._ready, label=self._state.label)
        hint = not Path(FOLDER).is_dir() and names_folder((exit.message, *exit.tail), FOLDER)
        return f"The server {reason}{f' ({_NO_MODELS})' if hint else ''}."

    # --- its log ------------------------------------------------------------------------------------

    async def _pump(self) -> None:
        while True:
            await self._read_log()
            await asyncio.sleep(LOG_SECONDS)

    async def _read_log(self) -> None:
        if self._lease is None:
            return
        with contextlib.suppress(ModelServiceError):  # the stream is just not open
            while True:
                lines, following, lost = await self._lease.logs(self._cursor, LOG_LINES)
                self._cursor = following
                if lines or lost:
                    self._tell(DryRunLog(lines=list(lines), lost=lost))
                if len(lines) < LOG_LINES:
                    return

    # --- its end ------------------------------------------------------------------------------------

    async def end(self, work: asyncio.Task[None]) -> None:
        """Whatever there is of it, in whatever state."""
        await asyncio.wait({work})
        if not work.cancelled() and (error := work.exception()) is not None:
            self.fail(f"It could not be tried, by an internal error ({type(error).__name__}: {error}).")
        if self._lease is not None:
            self._phase("stopping", "Stopping it.")
            grace = min(self._plan.definition.serving.stop_timeout, STOP_SECONDS)
            if not self._ended.is_set():
                self._lease.stop(grace)
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._ended.wait(), grace + 1.0)
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._read_log(), 2.0)
            self._lease.collected()
            await self._lease.close()
        self._unless_lost()
        try:
            await self._launcher.stop(self._replica, self._placement)
        except ModelServiceError as error:
            self.fail(error.message)


def _of_the_path(reason: str, path: str) -> tuple[str, str]:
    """What the probe says (``status 404, expected 200``) with what was asked for; and what to change, where the status
    tells it."""
    found = re.fullmatch(r"status (\d+), expected (\d+)", reason)
    if found is None:
        return f"GET {path}: {reason}", ""
    status, there = found[1], "health_check.path of the definition"
    if status in ("404", "405", "501"):
        hint = f" Write a path that it answers as {there}, or take health_check away: then an open port is enough."
    elif status.startswith("3"):
        hint = f" Redirects are not followed: write where it leads as {there}."
    elif status in ("401", "403"):
        hint = f" The path must need no sign-in: write another as {there}."
    else:
        hint = (
            "" if status >= "500" else f" Is that well? Then write expected_status_code: {status} below health_check."
        )
    return f"GET {path} answered {status}, not {found[2]}", hint


async def _end(tasks: set[asyncio.Task[Any]]) -> None:
    """Cancelled again and again: before Python 3.12, wait_for can swallow a cancellation that meets its result."""
    left = tasks
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=0.2)


def _revision(plan: Plan) -> Revision:
    return Revision(1, str(plan.folder), plan.definition, time.time())
