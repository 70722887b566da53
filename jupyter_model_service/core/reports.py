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
    """With each heartbeat that has figures; ``gpus`` is ``None`` when unknown."""

    gpus: tuple[GpuSample, ...] | None
    rss: int | None = None  # bytes, of the replica's whole process tree


@dataclass(frozen=True)
class LeaseClosed:
    """The stream ended or fell silent: no traffic from here on. ``reason`` is one clause for people.

    ``ours``: it cannot be opened again because this process has no descriptor, memory or port left for it; that says
    nothing about the replica.
    """

    reason: str
    ours: bool = False


LeaseEvent = LeaseOpened | LeaseState | LeaseSample | LeaseClosed
