"""Limits of a user as people read and write them: the names of the fields of a policy, and their values. Pure."""

from __future__ import annotations

from typing import Any

from .effective import Effective
from .policy import whose
from .quantities import parse_duration, parse_size
from .sentences import in_bytes, lasting

__all__ = ["LIMIT_WORDS", "idle_told", "limit_read", "limit_told", "limit_written"]

LIMIT_WORDS = {
    "allowed_images": "images",
    "max_services_per_user": "services",
    "max_replicas_per_user": "replicas",
    "max_gpus_per_user": "GPUs",
    "max_gpus_per_replica": "GPUs of a replica",
    "max_cpus": "CPUs of a replica",
    "max_memory": "memory of a replica",
    "allow_public": "public services",
    "longest_token": "life of a token",
    "idle_limit": "idle at most",
    "longest_life": "life of a service",
}
_TIMES = ("longest_token", "idle_limit", "longest_life")
_UNITS = (("d", 86400), ("h", 3600), ("m", 60))
_SIZES = (("t", 1 << 40), ("g", 1 << 30), ("m", 1 << 20), ("k", 1 << 10))


def limit_told(name: str, value: Any, used: float | None = None) -> str:
    """``2 of 5``, ``8 GiB``, ``7 days``: what a user may have, and has of it."""
    if name == "allow_public":
        return "allowed" if value else "not allowed"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    said = lasting(value) if name in _TIMES else in_bytes(int(value)) if name == "max_memory" else f"{value:g}"
    return said if used is None else f"{used:g} of {said}"


def idle_told(holds: Effective) -> list[str]:
    """What an administrator set for a user and takes nothing away, one sentence each."""
    said: list[str] = []
    for name, (value, by) in holds.idle.items():
        now = limit_told(name, getattr(holds.policy, name))
        more = "" if name == "allow_public" else ", and only the installation gives more"
        said.append(
            f"{LIMIT_WORDS[name]}: {limit_told(name, value)}, set {by}, takes nothing away: {now} "
            f"{'anyway' if name == 'allow_public' else 'is what holds'} ({whose(holds.set_by, name)}){more}."
        )
    return said


def limit_written(name: str, value: Any) -> str:
    """As :func:`limit_read` reads it, without loss: ``8g``, ``7d``, ``90s``, ``2``."""
    units, rest = (_UNITS, "s") if name in _TIMES else (_SIZES, "") if name == "max_memory" else ((), "")
    for unit, size in units:
        if value and value % size == 0:
            return f"{value // size:.0f}{unit}"
    return (str(int(value)) if value == int(value) else f"{value:.15g}") + rest


def limit_read(name: str, text: str) -> float | int | None:
    """``None`` for an empty one: no limit of that kind. ``ValueError`` or ``InvalidRequest`` with one sentence for what
    is none."""
    text = text.strip()
    if not text:
        return None
    if name in _TIMES:
        return parse_duration(text)
    if name == "max_memory":
        return parse_size(text)
    if not text.isascii() or not text.replace(".", "", 1 if name == "max_cpus" else 0).isdigit() or len(text) > 15:
        raise ValueError(f"{text[:40]!r} is no number of {LIMIT_WORDS[name]}.")
    return float(text) if name == "max_cpus" else int(text)
