"""The JSON of a replica: where it is in its life, and how it ended."""

from __future__ import annotations

from pydantic import BaseModel

__all__ = ["ActionInfo", "ExitInfo", "GpuInfo", "ReplicaInfo"]


class ExitInfo(BaseModel):
    stage: str
    code: int | None = None
    signal: str | None = None
    oom: bool = False
    action: int | None = None
    message: str = ""
    tail: list[str] = []


class ActionInfo(BaseModel):
    index: int
    count: int
    label: str


class GpuInfo(BaseModel):
    uuid: str
    utilization: float
    memory_used: int
    memory_total: int


class ReplicaInfo(BaseModel):
    id: str
    revision: int
    phase: str
    since: float
    reason: str | None = None
    pid: int | None = None
    address: str | None = None
    action: ActionInfo | None = None
    in_flight: int = 0
    suspect: bool = False
    exit: ExitInfo | None = None
    gpus: list[GpuInfo] | None = None
    rss: int | None = None
    created_at: float = 0.0
