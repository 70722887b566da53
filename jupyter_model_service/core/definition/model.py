"""What a model folder says about itself: Backend.AI's model definition, parsed, checked and frozen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..affinity import Affinity
from ..scaling.policy import Autoscaling


@dataclass(frozen=True)
class Action:
    """One pre-start action; ``kind`` is ``run_command``, ``write_file``, ``write_tempfile``, ``mkdir`` or ``log``."""

    kind: str
    args: Mapping[str, Any]
    ref: str | None = None  # later arguments may use its result as {ref}


@dataclass(frozen=True)
class HealthCheck:
    """Backend.AI's fields and meanings; times in seconds."""

    path: str
    interval: float = 10.0
    max_retries: int = 10
    max_wait_time: float = 15.0
    expected_status_code: int = 200
    initial_delay: float = 1800.0  # grace until the first pass, counted from the end of the pre-start actions


@dataclass(frozen=True)
class Serving:
    """Our additive ``serving:`` block. Everything is optional; times in seconds, sizes in bytes."""

    concurrency: int | None = None  # calls at once per replica; None: no cap
    queue: int = 100  # callers that may wait for a free replica of this service
    queue_timeout: float = 60.0
    connect_timeout: float = 2.0
    first_byte_timeout: float = 300.0
    idle_timeout: float = 300.0  # between two bytes of a started answer
    drain_timeout: float = 30.0  # open calls may finish for so long when a replica leaves
    stop_timeout: float = 10.0  # between SIGTERM and SIGKILL
    retry: bool = True
    replay_limit: int = 1 << 20  # bodies up to this size can be sent again to another replica
    body_limit: int | None = None  # longer ones are refused; None: no limit
    affinity: Affinity | None = None  # which replica a call had best go to; None: the least busy one
    autoscaling: Autoscaling | None = None  # taken when a service is created, and when an update changes it


@dataclass(frozen=True)
class Definition:
    name: str
    model_path: str
    port: int
    start_command: tuple[str, ...] | str | None = None
    shell: str | None = "/bin/bash"
    pre_start_actions: tuple[Action, ...] = ()
    health_check: HealthCheck | None = None
    serving: Serving = field(default_factory=Serving)
