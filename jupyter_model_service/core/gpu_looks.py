"""What the Hub's process tells of the GPUs of its Docker host: who holds which, notebooks and others among them.

It is asked by a job server and answered in that server's state (``core/hub_options.py``), as plain data that the
gateway reads again with care.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from .gpu_pool import Gpu, Holder
from .plain_data import Fields

__all__ = ["GpuLook", "HolderKind", "SeenGpu", "SeenHolder", "look_from_plain", "look_to_plain"]

HolderKind = Literal["replica", "notebook", "other"]
MOST = 1024  # GPUs of one machine, and holders of one GPU


@dataclass(frozen=True)
class SeenHolder:
    """``label`` names it in a sentence. ``user`` and ``server`` are the Hub's names, ``replica`` and ``service``
    (``owner/name``) of one of ours."""

    kind: HolderKind
    label: str
    user: str | None = None
    server: str | None = None
    replica: str | None = None
    service: str | None = None


@dataclass(frozen=True)
class SeenGpu:
    """``id`` is its UUID, or its number where nobody counted. ``memory`` in bytes, 0 where it is not known."""

    id: str
    name: str = ""
    memory: int = 0
    holders: tuple[SeenHolder, ...] = ()


@dataclass(frozen=True)
class GpuLook:
    """``gpus`` is ``None`` where nobody knows; ``at`` (Unix time) is when it was so, ``problem`` why it is not known,
    or not known anew, in one sentence."""

    gpus: tuple[SeenGpu, ...] | None = None
    at: float | None = None
    problem: str = ""


def look_to_plain(found: Iterable[tuple[Gpu, Sequence[Holder]]], hub: str) -> dict[str, Any]:
    """``hub`` is ours: what another one on the same engine runs is named so that nobody takes it for ours."""
    return {
        "gpus": [
            {
                "id": gpu.id,
                "name": gpu.name,
                "memory": gpu.memory,
                "holders": [_holder(each, hub) for each in holders],
            }
            for gpu, holders in found
        ]
    }


def look_from_plain(result: Mapping[str, Any]) -> tuple[SeenGpu, ...]:
    """``ValueError`` with one sentence for what no :func:`look_to_plain` made."""
    return tuple(_seen(each) for each in Fields("The look at GPUs", result).items("gpus", most=MOST))


def _holder(holder: Holder, hub: str) -> dict[str, Any]:
    # A choice without a container yet is this process's own.
    ours = holder.replica is not None and (not holder.container or holder.hub == hub)
    kind: HolderKind = "replica" if ours else "notebook" if holder.user and not holder.replica else "other"
    return {
        "kind": kind,
        "label": holder.label if kind != "other" or holder.replica is None else f"{holder.label} of another Hub",
        "user": holder.user if kind != "other" else None,
        "server": holder.server if kind != "other" else None,
        "replica": holder.replica if ours else None,
        "service": holder.label if ours else None,
    }


def _seen(plain: object) -> SeenGpu:
    fields = Fields("A GPU", plain)
    return SeenGpu(
        id=fields.text("id", most=200),
        name="" if _empty(plain, "name") else fields.text("name", most=200),
        memory=fields.integer("memory"),
        holders=tuple(_seen_holder(each) for each in fields.items("holders", most=MOST)),
    )


def _seen_holder(plain: object) -> SeenHolder:
    fields = Fields("A holder of a GPU", plain)

    def maybe(name: str) -> str | None:
        # The name of a notebook server is empty for the default one.
        return "" if _empty(plain, name) else fields.optional(name, lambda: fields.text(name, most=300))

    kind = fields.text("kind", pattern="replica|notebook|other")
    return SeenHolder(
        kind=kind,  # type: ignore[arg-type]
        label=fields.text("label", most=400),
        user=maybe("user"),
        server=maybe("server"),
        replica=maybe("replica"),
        service=maybe("service"),
    )


def _empty(plain: object, name: str) -> bool:
    return isinstance(plain, Mapping) and plain.get(name) == ""
