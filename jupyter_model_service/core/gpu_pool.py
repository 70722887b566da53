"""Who holds which GPU of a Docker host, and which are to be given next. Plain data only: what NVML counted and what
``docker inspect`` says of the containers.

Containers ask in three ways: by ids (numbers, UUIDs, ``nvidia.com/gpu=…`` of CDI), by a number of GPUs without saying
which (the NVIDIA runtime then gives the first ones, ``-1`` all), and, under the ``nvidia`` runtime, by a variable of
their environment or image. Since others get the first ones, ours are given from the last.

Where nobody counted the GPUs (the Hub is in a container), only the names of a setting are known: of a number not its
UUID, and of a UUID not its number. Whoever asks in another way than the setting may have any of them, so has all.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .hub_options import LABEL

__all__ = ["Gpu", "Holder", "Mixed", "choose", "held", "holder_of", "is_named", "known_ids", "on_trust", "shortage"]

_CDI = "nvidia.com/gpu="
_NUMBER = re.compile(r"(?:gpu|mig)?(\d+)(?::\d+)?")  # 0; 0:1, a part of it; gpu0 and mig0:1 of CDI


class Mixed(ValueError):
    """GPUs that nobody counted are named in more than one way."""


@dataclass(frozen=True)
class Gpu:
    """``index`` is NVML's, in the order of the PCI bus, as the container runtime counts. ``memory`` in bytes.
    ``parts``: it is divided (MIG) and cannot be given as a whole. Of one that nobody counted either the number is
    known, which is its ``id`` then, or the UUID, and ``index`` is ``None``."""

    index: int | None
    id: str
    name: str = ""
    memory: int = 0
    parts: bool = False


@dataclass(frozen=True)
class Holder:
    """One container that can use GPUs. ``label`` is how a sentence names it (``a notebook of alice``), ``replica`` is
    set for one of ours. ``ids`` as asked for, ``first`` how many of the first ones (``-1``: all). ``server``: the Hub's
    name of it, ``hub`` of which Hub a replica is, both as far as the container says so."""

    container: str
    label: str
    replica: str | None = None
    user: str | None = None
    ids: tuple[str, ...] = ()
    first: int = 0
    server: str | None = None
    hub: str | None = None


def holder_of(container: Mapping[str, Any]) -> Holder | None:
    """Of what ``docker inspect`` says; ``None`` for a container without GPUs."""
    config, host = container.get("Config") or {}, container.get("HostConfig") or {}
    environment = dict(str(entry).partition("=")[::2] for entry in config.get("Env") or ())
    ids: list[str] = []
    first = 0
    requests = [request for request in host.get("DeviceRequests") or () if _asks_for_gpus(request)]
    for request in requests:
        ids += [str(each) for each in request.get("DeviceIDs") or ()]
        if not request.get("DeviceIDs"):
            first = _more(first, int(request.get("Count") or 0))
    if not requests and host.get("Runtime") == "nvidia":
        ids = [each.strip() for each in environment.get("NVIDIA_VISIBLE_DEVICES", "").split(",")]
    ids = [each.removeprefix(_CDI) for each in ids if each not in ("", "void", "none")]
    if "all" in ids:
        first, ids = -1, []
    if not ids and not first:
        return None
    labels = config.get("Labels") or {}
    label, user = _named(container, labels, environment)
    return Holder(
        str(container.get("Id", "")),
        label,
        labels.get(f"{LABEL}replica"),
        user,
        tuple(ids),
        first,
        labels.get(f"{LABEL}server") or environment.get("JUPYTERHUB_SERVER_NAME"),
        labels.get(f"{LABEL}hub"),
    )


def held(gpus: Sequence[Gpu], holders: Iterable[Holder]) -> dict[str, list[Holder]]:
    """For each GPU that somebody holds, who: by the ids in ``gpus``. Who may hold it for all that is known, does."""
    found: dict[str, list[Holder]] = {}
    for holder in holders:
        for gpu in gpus:
            if _has(holder, gpu) is not False:
                found.setdefault(gpu.id, []).append(holder)
    return found


def on_trust(named: Iterable[str]) -> list[Gpu]:
    """The GPUs of a setting where nobody counted them, each once. :class:`Mixed` where some may be the same."""
    found: list[Gpu] = []
    for name in named:
        number = _NUMBER.fullmatch(name)
        gpu = Gpu(int(number[1]), str(int(number[1]))) if number else Gpu(None, name)
        if found and _kind(gpu.id) != _kind(found[0].id):
            raise Mixed(f"{found[0].id} and {name}")
        if not any(is_named(gpu, each.id) for each in found):
            found.append(gpu)
    return found


def known_ids(gpus: Sequence[Gpu], allowed: Collection[str] | None) -> tuple[list[Gpu], list[str]]:
    """The GPUs that may be given, and which of ``allowed`` (numbers or UUIDs; ``None``: all) there are not. Divided
    ones cannot be given."""
    whole = [gpu for gpu in gpus if not gpu.parts]
    if allowed is None:
        return whole, []
    missing = [each for each in allowed if not any(is_named(gpu, each) for gpu in whole)]
    return [gpu for gpu in whole if any(is_named(gpu, each) for each in allowed)], missing


def choose(gpus: Sequence[Gpu], taken: Collection[str], wanted: int) -> list[str] | None:
    """The ids of ``wanted`` GPUs that are not ``taken``, the last ones first; ``None`` when there are too few."""
    free = [gpu.id for gpu in sorted(gpus, key=lambda gpu: -(gpu.index or 0)) if gpu.id not in taken]
    return free[:wanted] if len(free) >= wanted else None


def shortage(wanted: int, gpus: Sequence[Gpu], holders: Mapping[str, Sequence[Holder]], user: str | None = None) -> str:
    """Why they cannot be given now: ``no GPU free: 2 in use by a notebook of alice, 2 by alice/koalpaca``; ``user`` is
    told of "a notebook of yours"."""
    if not gpus:
        return "this Docker host has no GPU to give"
    if wanted > len(gpus):
        return f"{wanted} GPUs are wanted, and this Docker host has {len(gpus)} to give"
    counts: dict[str, int] = {}
    for gpu in gpus:
        for label in dict.fromkeys(_told(holder, user) for holder in holders.get(gpu.id, ())):
            counts[label] = counts.get(label, 0) + 1
    free = sum(1 for gpu in gpus if not holders.get(gpu.id))
    by = ", ".join(f"{count} by {label}" for label, count in counts.items()).replace(" by ", " in use by ", 1)
    which = "no GPU free" if not free else f"{wanted} GPUs are wanted and {free} {'is' if free == 1 else 'are'} free"
    return f"{which}: {by}{_unclear(gpus, holders, user)}"


def _unclear(gpus: Sequence[Gpu], holders: Mapping[str, Sequence[Holder]], user: str | None) -> str:
    """Of whom it is not known which GPUs they have, and what to do about it."""
    who = [_told(each, user) for gpu in gpus for each in holders.get(gpu.id, ()) if _has(each, gpu) is None]
    if not who:
        return ""
    return (
        f" (what {' and '.join(dict.fromkeys(who))} asked for cannot be compared with the setting gpus, as the Hub "
        "sees no GPU, so all of them count as in use: the administrator must name GPUs by number everywhere, or by "
        "UUID everywhere)"
    )


def _told(holder: Holder, user: str | None) -> str:
    return "a notebook of yours" if user is not None and holder.user == user and not holder.replica else holder.label


def _asks_for_gpus(request: Mapping[str, Any]) -> bool:
    if request.get("Driver") == "cdi":
        return any(str(each).startswith(_CDI) for each in request.get("DeviceIDs") or ())
    kinds = {str(kind) for kinds in request.get("Capabilities") or () for kind in kinds}
    return request.get("Driver") == "nvidia" or not kinds.isdisjoint({"gpu", "nvidia"})


def _more(first: int, second: int) -> int:
    return -1 if -1 in (first, second) else max(first, second)


def _has(holder: Holder, gpu: Gpu) -> bool | None:
    """``None``: it may be, and nobody knows."""
    if holder.first == -1:
        return True
    answers = {is_named(gpu, each) for each in holder.ids}
    if holder.first:
        answers.add(None if gpu.index is None else gpu.index < holder.first)
    return True if True in answers else None if None in answers else False


def is_named(gpu: Gpu, name: str) -> bool | None:
    """``0``, ``0:1`` (a part of it), or its UUID, of which the runtime takes the beginning, too. ``None``: only one of
    number and UUID is known of this GPU, and the name is of the other kind."""
    counted = gpu.index is not None and _kind(gpu.id) != "number"
    number = _NUMBER.fullmatch(name)
    if number:
        return None if gpu.index is None else int(number[1]) == gpu.index
    if not counted and _kind(name) != _kind(gpu.id):
        return None
    if len(name) <= len("GPU-"):
        return False if counted else None
    return gpu.id.startswith(name) or (not counted and name.startswith(gpu.id))


def _kind(name: str) -> str:
    return "number" if _NUMBER.fullmatch(name) else name[:4]


def _named(
    container: Mapping[str, Any], labels: Mapping[str, str], environment: Mapping[str, str]
) -> tuple[str, str | None]:
    owner, service = (labels.get(LABEL + name) for name in ("owner", "service"))
    user = labels.get(f"{LABEL}user", environment.get("JUPYTERHUB_USER"))
    if owner and service:
        return f"{owner}/{service}", user
    if user:
        return f"a notebook of {user}", user
    return f"the container {str(container.get('Name', '')).lstrip('/') or 'without a name'}", None
