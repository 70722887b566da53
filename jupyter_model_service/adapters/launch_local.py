"""Replicas as processes of this machine: one directory each, a runner that outlives the gateway.

What must hold at any instant, ``kill -9`` of the gateway included: a replica can be found by its directory or by
the marks in its environment, so the directory is there before the runner and goes after the last process; and
nothing is signalled that is not provably the replica's (``processes`` says what counts as proof).

    <directory>/<replica>/   0700
        spec.json     0600, for the runner; our own notes are its key "launcher"
        runner.json   the runner's: its process, its control address, the model's process
        output.log    0600, what the runner itself has to say (the model's lines are in its ring)
        env/          0700, the replica's own Python environment over the user's

Everything here blocks for milliseconds to seconds, so it runs in threads of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from jupyter_model_service.core.policy import Held, Host, Policy, Wish, beyond, room
from jupyter_model_service.core.revision import Revision
from jupyter_model_service.errors import InvalidRequest, LaunchError
from jupyter_model_service.ports import NOTHING_HELD, Placement, Seen, StartRequest
from jupyter_model_service.runner import runner_command

from .gpus import gpu_ids, shortage
from .local_files import (
    free_port,
    inheritable,
    last_line,
    not_enforced,
    notes_of,
    placement_in,
    run_plan,
    runner_in,
    write_spec,
)
from .local_look import Look
from .processes import DIRECTORY_MARK, REPLICA_MARK, Process, hold, is_loopback, listening

TERM_SECONDS = 0.3  # what a forced stop leaves the runner for an orderly one
KILL_SECONDS = 1.6  # and how long SIGKILL may take after that
OUTPUT_BYTES = 64 * 1024
_NO_LIMITS = Policy(max_services_per_user=None, max_replicas_per_user=None)
_GONE = ".gone-"  # directories on their way out

T = TypeVar("T")


class LocalLauncher:
    """Implements ``ports.Launcher``.

    ``directory`` holds one directory per replica and belongs to this launcher alone. ``python`` runs the runner,
    and the replicas' environments lie over its environment. ``abandon_after``: seconds after which a replica that
    no gateway asks for ends itself (``None``: never). ``gpus`` names the devices that may be given away. ``command``:
    how to run a runner, given the interpreter and its specification.
    """

    name = "local"

    def __init__(
        self,
        directory: Path,
        python: str = sys.executable,
        *,
        abandon_after: float | None = 900.0,
        start_timeout: float = 10.0,
        gpus: Callable[[], Sequence[str]] = gpu_ids,
        environment: Mapping[str, str] | None = None,
        command: Callable[[str, Path], Sequence[str]] = runner_command,
    ) -> None:
        self.directory = Path(directory).absolute()
        self._python = python
        self._abandon_after = abandon_after
        self._start_timeout = start_timeout
        self._gpus = gpus
        self._host = Host()  # as it was at the last check: the driver may take seconds for a look
        self._environment = environment
        self._command = command
        self._threads = ThreadPoolExecutor(max_workers=8, thread_name_prefix="local-launcher")
        self._placing = threading.Lock()  # one start at a time chooses its port and its GPUs
        self._guard = threading.Lock()
        self._locks: weakref.WeakValueDictionary[str, threading.Lock] = weakref.WeakValueDictionary()
        self._starting: set[str] = set()

    # --- ports.Launcher ---

    def check(
        self, revision: Revision, *, owner: str = "", public: bool = False, replicas: int = 1, held: Held = NOTHING_HELD
    ) -> Sequence[str]:
        if revision.image is not None:
            raise InvalidRequest(
                f"The image {revision.image} cannot be used: replicas are local processes here; leave the image out."
            )
        folder = Path(revision.served_folder)
        if not folder.is_dir():
            raise InvalidRequest(_missing(revision))
        if not os.access(folder, os.R_OK | os.X_OK):
            raise InvalidRequest(f"The folder {folder} cannot be read by this user.")
        plan = run_plan(revision, "check", "check", revision.definition.port)
        if not os.path.isdir(plan.cwd):
            raise InvalidRequest(
                f"The model path {revision.definition.model_path} is no folder: it would be {plan.cwd} here."
            )
        if wanted := revision.resources.gpus:
            self._host = Host(gpus=len(self._gpus()))
            if problems := beyond(self._host, Wish(gpus=wanted, replicas=replicas)):
                raise InvalidRequest(" ".join(problems))
        return not_enforced(revision)

    def room(self, revision: Revision, held: Held, *, owner: str = "") -> int | None:
        return room(_NO_LIMITS, self._host, revision.resources.gpus, held)

    def refusal(self, revision: Revision, held: Held, *, owner: str = "") -> str | None:
        return None

    async def start(self, request: StartRequest) -> Placement:
        cancelled = threading.Event()
        job = self._in_thread(self._start, request, cancelled)
        try:
            return await asyncio.shield(job)
        except asyncio.CancelledError:
            cancelled.set()
            await _outlast(job)
            if not job.cancelled() and job.exception() is None:
                await _outlast(self._in_thread(self._end, request.replica))
            raise

    async def find(self) -> Sequence[Seen]:
        return await asyncio.shield(self._in_thread(self._find))

    async def stop(self, replica: str, placement: Placement | None) -> None:
        await asyncio.shield(self._in_thread(self._end, replica))

    async def exposed(self, replica: str, placement: Placement, *, loopback: bool = False) -> Sequence[str]:
        return await asyncio.shield(self._in_thread(self._exposed, replica, loopback))

    async def holds(self, replica: str, placement: Placement) -> bool:
        return await asyncio.shield(self._in_thread(self._holds, replica, placement.address))

    # --- starting ---

    def _start(self, request: StartRequest, cancelled: threading.Event) -> Placement:
        replica = request.replica
        folder = self._folder(replica)
        with self._lock(replica):
            there = next(iter(self._look(replica).seen()), None) if folder.exists() else None
            if there is not None and there.alive and there.placement:
                return there.placement
            self._starting.add(replica)
            try:
                _unless(cancelled, replica)
                if there is not None:
                    self._clear(replica)
                self._prepare(folder, request)
                return self._await_runner(replica, self._spawn(folder, replica), cancelled)
            except BaseException as error:
                self._clear(replica)
                if isinstance(error, OSError):
                    where = f" ({error.filename})" if error.filename else ""
                    raise LaunchError(
                        f"Replica {replica} cannot be started: {error.strerror or error}{where}.", stage="spawn"
                    ) from error
                raise
            finally:
                self._starting.discard(replica)

    def _prepare(self, folder: Path, request: StartRequest) -> None:
        """Choose port and GPUs, and write them down where the next start looks."""
        revision = request.revision
        if not os.path.isdir(revision.served_folder):
            raise LaunchError(_missing(revision), stage="files")
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.mkdir(mode=0o700)
        (folder / "env").mkdir(mode=0o700)
        with self._placing:
            notes = [notes_of(self._folder(other)) for other in self._replicas()]
            port = free_port({note["address"][1] for note in notes if note.get("address")})
            gpus = self._choose_gpus(request)
            plan = run_plan(revision, request.service, request.replica, port)
            write_spec(folder, request, plan, port, gpus, self._abandon_after)

    def _choose_gpus(self, request: StartRequest) -> Sequence[str]:
        wanted = request.revision.resources.gpus
        if not wanted:
            return ()
        devices = self._gpus()
        end = time.monotonic() + TERM_SECONDS + KILL_SECONDS
        for pause in _pauses(0.01):
            taken, ending = self._given_gpus()
            free = [gpu for gpu in devices if gpu not in taken | ending]
            if len(free) >= wanted:
                return free[:wanted]
            if len(free) + len(ending) < wanted or time.monotonic() > end:
                raise LaunchError(shortage(wanted, len(free), len(taken | ending) + len(free)), stage="gpus")
            time.sleep(pause)
        raise AssertionError("pauses never end")

    def _given_gpus(self) -> tuple[set[str], set[str]]:
        """Those of the replicas that live, and those that are about to be free: the runner is dead, and what is left of
        its processes is being ended. (A worker of the model keeps its memory there until it is killed, too.)"""
        taken: set[str] = set()
        ending: set[str] = set()
        look = self._look(*self._replicas())
        for seen in look.seen():
            if seen.alive or look.members(seen.replica):
                gpus = notes_of(self._folder(seen.replica)).get("gpus", ())
                (taken if seen.alive else ending).update(gpus)
        return taken, ending

    def _spawn(self, folder: Path, replica: str) -> subprocess.Popen[bytes]:
        environment = inheritable(os.environ if self._environment is None else self._environment)
        environment.update({REPLICA_MARK: replica, DIRECTORY_MARK: str(self.directory)})
        with open(folder / "output.log", "ab", opener=_private) as output:
            process = subprocess.Popen(
                self._command(self._python, folder / "spec.json"),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=folder,
                env=environment,
                start_new_session=True,
            )
        # Reaps it while we live; whoever adopts it after us is init.
        threading.Thread(target=process.wait, name=f"reap-{replica}", daemon=True).start()
        return process

    def _await_runner(self, replica: str, process: subprocess.Popen[bytes], cancelled: threading.Event) -> Placement:
        folder = self._folder(replica)
        end = time.monotonic() + self._start_timeout
        for pause in _pauses(0.005, 0.01):
            runner = runner_in(folder)
            if runner.get("pid") == process.pid and (placement := placement_in(folder, runner)):
                return placement
            _unless(cancelled, replica)
            if process.poll() is not None:
                said = last_line(folder / "output.log")
                raise LaunchError(
                    f"The runner of replica {replica} ended at once (status {process.returncode}): {said}.",
                    stage="runner",
                )
            if time.monotonic() > end:
                raise LaunchError(
                    f"The runner of replica {replica} said nothing for {self._start_timeout:g} s.", stage="runner"
                )
            cancelled.wait(pause)
        raise AssertionError("pauses never end")

    # --- looking ---

    def _find(self) -> Sequence[Seen]:
        look = self._look(*self._replicas())
        for replica in self._replicas():
            with contextlib.suppress(OSError):
                output = self._folder(replica) / "output.log"
                if output.stat().st_size > OUTPUT_BYTES:
                    os.truncate(output, 0)  # it is written in append mode
        for gone in self.directory.glob(f"{_GONE}*"):  # whose removal was interrupted
            shutil.rmtree(gone, ignore_errors=True)
        return [*look.seen(), *(Seen(replica, None, alive=True) for replica in look.strays())]

    def _look(self, *replicas: str) -> Look:
        return Look(self.directory, [self._folder(replica).name for replica in replicas], self._starting)

    def _exposed(self, replica: str, loopback: bool) -> Sequence[str]:
        found = listening(self._look(replica).members(replica))
        outside = sorted((host, port) for host, port in found if loopback or not is_loopback(host))
        return [f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in outside]

    def _holds(self, replica: str, address: tuple[str, int]) -> bool:
        return hold(self._look(replica).members(replica), address)

    # --- ending ---

    def _end(self, replica: str) -> None:
        with self._lock(replica):
            self._clear(replica)

    def _clear(self, replica: str) -> None:
        """Processes first, the directory last: as long as it is there, a crash of ours loses nothing."""
        left = self._kill(replica)
        if left:
            pids = ", ".join(str(process.pid) for process in sorted(left, key=lambda p: p.pid))
            raise LaunchError(f"Processes of replica {replica} do not end, even by SIGKILL: {pids}.", stage="stop")
        folder = self._folder(replica)
        if folder.exists():
            gone = folder.with_name(f"{_GONE}{replica}-{secrets.token_hex(4)}")
            try:
                folder.rename(gone)
            except FileNotFoundError:
                return
            except OSError as error:
                raise LaunchError(
                    f"The directory of replica {replica} cannot be removed: {error.strerror} ({folder}).", stage="stop"
                ) from error
            shutil.rmtree(gone, ignore_errors=True)

    def _kill(self, replica: str) -> set[Process]:
        """Returns what would not die."""
        look = self._look(replica)
        known = look.members(replica)
        first = look.runner(replica)
        if first is not None:
            first.signal(signal.SIGTERM)
            _wait_for([first], TERM_SECONDS)
        end = time.monotonic() + KILL_SECONDS
        clean = 0
        for pause in _pauses(0.002):
            # Two looks without anything: in the middle of its exec a process shows no environment.
            known |= self._look(replica).members(replica)
            living = {process for process in known if process.lives()}
            clean = 0 if living else clean + 1
            if clean == 2 or (living and time.monotonic() > end):
                return living
            for process in living:
                process.signal(signal.SIGKILL)
            _wait_for(living, min(pause, 0.02))
        raise AssertionError("pauses never end")

    # --- small things ---

    def _folder(self, replica: str) -> Path:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}", replica):
            raise InvalidRequest(f"{replica!r} cannot be a replica's id.")
        return self.directory / replica

    def _replicas(self) -> list[str]:
        """Those with a directory."""
        try:
            with os.scandir(self.directory) as entries:
                return sorted(e.name for e in entries if not e.name.startswith(".") and e.is_dir())
        except FileNotFoundError:
            return []

    def _lock(self, replica: str) -> threading.Lock:
        with self._guard:
            lock = self._locks.get(replica)
            if lock is None:
                lock = self._locks[replica] = threading.Lock()
            return lock

    def _in_thread(self, function: Callable[..., T], *args: Any) -> asyncio.Future[T]:
        return asyncio.get_running_loop().run_in_executor(self._threads, function, *args)


async def _outlast(job: asyncio.Future[Any]) -> None:
    """Wait for its end, however often we are cancelled: what it cleans up must be clean."""
    while not job.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait([job])


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _unless(cancelled: threading.Event, replica: str) -> None:
    if cancelled.is_set():
        raise LaunchError(f"The start of replica {replica} was cancelled.", stage="spawn")


def _pauses(first: float, longest: float = 0.05) -> Iterator[float]:
    pause = first
    while True:
        yield pause
        pause = min(pause * 1.5, longest)


def _wait_for(processes: Iterable[Process], seconds: float) -> None:
    end = time.monotonic() + seconds
    for pause in _pauses(0.002):
        if time.monotonic() > end or not any(process.lives() for process in processes):
            return
        time.sleep(pause)


def _missing(revision: Revision) -> str:
    if revision.kept.kind == "copy":
        return f"The files of revision {revision.number} are gone from {revision.served_folder}: update the service."
    return f"There is no folder {revision.folder} on this machine."
