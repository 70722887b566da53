"""What ``install()`` has decided, for the spawners of the Hub's process, and what they share."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ..adapters.sealing import Sealer
from ..core.policy import Policy
from .departures import Departures
from .docker_calls import DockerCalls
from .gpus import GpuPool
from .snapshots import Snapshots
from .sweep import Sweep


@dataclass(frozen=True)
class HubSettings:
    """``hub`` tells this Hub's containers and volumes from those of another on the same engine. ``gateway`` is the
    address (``http://10.0.0.1:8910``) at which containers and the Hub's proxy reach the gateway. ``gpus``: numbers or
    UUIDs of those that replicas may have, ``()`` for none, ``None`` for all."""

    network: str
    policy: Policy
    hub: str
    sealer: Sealer = field(repr=False)
    gateway: str
    service_name: str = "model-service"
    gpus: tuple[str, ...] | None = ()


class HubParts:
    """One per Hub process, made with the first server that it starts or looks at: the client is DockerSpawner's."""

    def __init__(self, settings: HubSettings, client: Any) -> None:
        self.docker = DockerCalls(client)
        self._settings = settings

    @cached_property
    def gpus(self) -> GpuPool:
        return GpuPool(self._settings.gpus)

    @cached_property
    def snapshots(self) -> Snapshots:
        limit = self._settings.policy.snapshot_bytes_per_user
        return Snapshots(self.docker, hub=self._settings.hub, bytes_per_user=limit)

    @cached_property
    def sweep(self) -> Sweep:
        return Sweep(self.docker, self.snapshots, self._settings.hub)

    @cached_property
    def departures(self) -> Departures:
        return Departures(self.docker, self.gpus, self.snapshots, self.sweep, self._settings.hub)
