"""What the Docker host has for replicas, as the Hub sees it at its start: told to the gateway, which sees nothing of it
and is to refuse at once what no start could ever have."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from ..core.gpu_pool import Mixed, known_ids, on_trust
from ..core.policy import Host, Policy
from ..core.policy_limits import RANGES
from ..errors import LaunchError
from .gpus import read_inventory
from .site_config import SiteConfig
from .sizes import size_of

__all__ = ["as_notebooks_have", "host_of", "offered_images"]


def host_of(engine: Mapping[str, Any], gpus: Collection[str] | None) -> Host:
    """``engine`` is what ``docker info`` says, empty where it does not answer; ``gpus`` as in ``HubSettings``."""
    cpus, memory = engine.get("NCPU"), engine.get("MemTotal")
    return Host(
        gpus=_gpus_there(gpus),
        cpus=float(cpus) if isinstance(cpus, int) and cpus > 0 else None,
        memory=memory if isinstance(memory, int) and memory > 0 else None,
    )


def _gpus_there(allowed: Collection[str] | None) -> int | None:
    """``None`` where a driver that comes later may bring some."""
    if allowed is not None and not allowed:
        return 0
    with contextlib.suppress(LaunchError, Mixed):  # each start says why none can be given
        if inventory := read_inventory():
            return len(known_ids(inventory, allowed)[0])
        if allowed is not None:
            return len(on_trust(allowed))
    return None


def as_notebooks_have(policy: Policy, site: SiteConfig, spawner: type[Any]) -> Policy:
    """With the limits of a notebook here, where the policy has none of its own and the site's are no functions."""
    cpus, memory = site.of_spawners(spawner, "cpu_limit"), site.of_spawners(spawner, "mem_limit")
    if policy.max_cpus is None and RANGES["cpus"].has(cpus):
        policy = replace(policy, max_cpus=float(cpus))
    if policy.max_memory is None and memory and not callable(memory):
        with contextlib.suppress(ValueError):  # the spawner itself refuses it
            size = size_of(memory)
            policy = replace(policy, max_memory=size if RANGES["bytes"].has(size) else None)
    return policy


def offered_images(site: SiteConfig, spawner: type[Any]) -> list[str]:
    """Those that the site lists for its users, to be shown to them here, too; none where a function tells them."""
    given = site.of_spawners(spawner, "allowed_images")
    if isinstance(given, Mapping):
        given = given.values()  # the keys are what users are shown instead
    elif not isinstance(given, list | tuple | set):
        return []  # "*" is no list either
    return list(map(str, given))
