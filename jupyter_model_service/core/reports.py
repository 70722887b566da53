"""What a runner says over its lease, as plain data. ``runner/PROTOCOL.md`` is the wire form of these."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class GpuSample:
    """``utilization`` in percent 0..100, memory in bytes."""

    uuid: str
    utilization: float
    memory_used: int
    memory_total: int


@dataclass(frozen=True)
class Exit:
    """How something ended. ``code`` is the exit status, or ``signal`` the name (``SIGKILL``) that ended it.

    ``stage`` is ``prepare`` (a pre-start action) or ``serve`` (the model server); ``action`` counts from 1.
    ``tail`` holds the last log lines, oldest first.
    """

    stage: str
    code: int | None = None
    signal: str | None = None
    oom: bool = False
    action: int | None = None
    message: str = ""
    tail: tuple[str, ...] = ()


@dataclass(frozen=True)
class RunnerState:
    """The runner's whole state, sent first on every lease and after every change. Idempotent by design.

    ``phase`` is ``preparing``, ``loading`` (the start command runs), ``exited`` (see ``exit``) or ``stopping``.
    ``prepared_after`` is the seconds that the pre-start actions took, ``None`` while they run.
    ``model_pid`` is the pid of the start command as seen by the runner.
    """

    phase: str
    action: int = 0
    actions: int = 0
    label: str = ""
    model_pid: int | None = None
    prepared_after: float | None = None
    exit: Exit | None = None


@dataclass(frozen=True)
class LeaseOpened:
    state: RunnerState


@dataclass(frozen=True)
class LeaseState:
    state: RunnerState


@dataclass(frozen=True)
class LeaseSample:
    """With each heartbeat that has figures; ``None`` is unknown, and so is everything once the last heartbeat with
    figures is seconds old: whoever keeps a sample notes when it came.

    ``cpu_seconds`` is what the replica's whole process tree has used so far, those that have ended included. It only
    grows while one runner lives. ``cpu_at`` is when that was read, in seconds since the runner's start: beats may come
    late, and on a crowded machine only every fifth one has a new figure. A runner of an older version tells neither.
    """

    gpus: tuple[GpuSample, ...] | None
    rss: int | None = None  # bytes, of the replica's whole process tree
    cpu_seconds: float | None = None
    cpu_at: float | None = None


def cpu_percent(earlier: LeaseSample, later: LeaseSample) -> float | None:
    """Percent of one core between two samples of one replica; ``None`` when unknown, or when the later one has no new
    figure (then the one before still holds)."""
    if earlier.cpu_seconds is None or earlier.cpu_at is None or later.cpu_seconds is None or later.cpu_at is None:
        return None
    passed, used = later.cpu_at - earlier.cpu_at, later.cpu_seconds - earlier.cpu_seconds
    return 100.0 * used / passed if passed > 0 and used >= 0 else None


@dataclass(frozen=True)
class LeaseClosed:
    """The stream ended or fell silent: no traffic from here on. ``reason`` is one clause for people.

    ``ours``: it cannot be opened again because this process has no descriptor, memory or port left for it; that says
    nothing about the replica.
    """

    reason: str
    ours: bool = False


@dataclass(frozen=True)
class LeasePorts:
    """Where the replica's processes take TCP connections now, as ``(address, port)``: the answer to a question."""

    ports: tuple[tuple[str, int], ...]


LeaseEvent = LeaseOpened | LeaseState | LeaseSample | LeasePorts | LeaseClosed
