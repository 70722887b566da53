"""The arguments of ``install()``, checked: each is right, or a ``WrongSetting`` with one sentence that names it."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..core.hosts import Hosts
from ..core.policy import VolumeRule
from ..core.policy_limits import LIMITS, LONGEST_PATTERN, MOST_PATTERNS, RANGES, Kind
from ..core.quantities import duration
from ..core.syslog import place_of
from .site_config import WrongSetting
from .sizes import size_of

_DAY = 86400.0


def names_of(what: str, given: Iterable[str]) -> tuple[str, ...]:
    if isinstance(given, str):
        raise WrongSetting(f"{what} is one text, {given!r}, and must be a list of them.")
    names = tuple(given)
    if len(names) > MOST_PATTERNS:
        raise WrongSetting(f"{what} has {len(names)} names, and may have {MOST_PATTERNS}.")
    for name in names:
        if not isinstance(name, str) or not 0 < len(name) <= LONGEST_PATTERN or not name.isprintable():
            raise WrongSetting(f"{what} has {name!r:.60}, which is no name.")
    return names


def networks_of(what: str, given: Iterable[str]) -> tuple[str, ...]:
    names = names_of(what, given)
    for name in names:
        try:
            ipaddress.ip_network(name, strict=False)
        except ValueError:
            raise WrongSetting(f"{what} has {name!r}, which is no address and no network such as 10.0.0.0/8.") from None
    return names


def limit_of(name: str, given: Any, where: str = "") -> Any:
    """One of :data:`core.policy_limits.LIMITS`, as ``install()`` or one of its rules (``where``) has it."""
    what, limit = f"{where}{name}", LIMITS[name]
    if limit.kind == "flag":
        if not isinstance(given, bool):
            raise WrongSetting(f"{what} is {given!r}, and must be True or False.")
        return given
    if given is None:
        return None
    if limit.kind == "patterns":
        return names_of(what, given)
    value = _number(limit.kind, given)
    if not limit.range.has(value):
        raise WrongSetting(f"{what} is {given!r}, and must be {limit.range.told}, or None.")
    return value if limit.range.whole else float(value)


def _number(kind: Kind, given: Any) -> Any:
    """As it is written in a Python file: sizes and times also as texts."""
    if kind == "seconds":
        return _seconds(given)
    try:
        return size_of(given) if kind == "bytes" else given
    except ValueError:
        return None


def count_of(what: str, given: int | None) -> int | None:
    if given is not None and (not isinstance(given, int) or isinstance(given, bool) or given < 0):
        raise WrongSetting(f"{what} is {given!r}, and must be a whole number or None.")
    return given


def share_of(what: str, given: float) -> float:
    """More than nothing, and all at most."""
    if not isinstance(given, int | float) or isinstance(given, bool) or not 0 < given <= 1:
        raise WrongSetting(f"{what} is {given!r}, and must be a share: more than 0, and 1 at most.")
    return float(given)


def time_of(what: str, given: str | float | None) -> float | None:
    """In seconds."""
    if given is None:
        return None
    seconds = _seconds(given)
    if not RANGES["seconds"].has(seconds):
        raise WrongSetting(f'{what} is {given!r}, and must be a time of a second or more such as "30d", or None.')
    return seconds


def _seconds(given: Any) -> float | None:
    text = f"{given}s" if isinstance(given, int | float) and not isinstance(given, bool) else given
    return duration(text) if isinstance(text, str) else None


def setting_size_of(what: str, given: str | int | None) -> int | None:
    try:
        return size_of(given)
    except ValueError as error:
        raise WrongSetting(f"{what}: {error}.") from None


def gpus_of(given: str | Iterable[str | int] | None) -> tuple[str, ...] | None:
    if given is None or given == "all":
        return () if given is None else None
    if isinstance(given, str | int):
        raise WrongSetting(f'gpus is {given!r}, and must be None, "all", or a list such as [0, 1].')
    ids = tuple(str(each) for each in given)
    for each in ids:
        if not re.fullmatch(r"\d{1,3}|(GPU|MIG)-[0-9A-Za-z/-]{4,80}", each):
            raise WrongSetting(f"gpus has {each!r}, which is neither a GPU's number nor its UUID.")
    return ids


def volumes_of(given: Mapping[str, Mapping[str, Any]] | Iterable[str]) -> tuple[VolumeRule, ...]:
    rules: list[VolumeRule] = []
    entries = given if isinstance(given, Mapping) else {name: {} for name in names_of("model_volumes", given)}
    for name, about in entries.items():
        plain = name.replace("{username}", "u") if isinstance(name, str) else ""
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", plain):
            raise WrongSetting(f"model_volumes has {name!r}, which is not the name of a Docker volume.")
        if not isinstance(about, Mapping) or not set(about) <= {"users", "groups", "writable"}:
            raise WrongSetting(f'model_volumes[{name!r}] may have "users", "groups" and "writable", and nothing else.')
        who = {key: names_of(f"model_volumes[{name!r}]", about[key]) for key in ("users", "groups") if key in about}
        rules.append(VolumeRule(name, who.get("users"), who.get("groups"), bool(about.get("writable", False))))
    return tuple(rules)


def access_log_of(where: str | Path | None, most: str | int | None) -> dict[str, Any]:
    """For the gateway, in whose ``data_dir`` a relative path is."""
    size = setting_size_of("access_log_bytes", most)
    if where is None:
        return {}
    path = str(where) if isinstance(where, Path) else where
    if not isinstance(path, str) or not path or not path.isprintable():
        raise WrongSetting(f'access_log is {where!r}, and must be a path, "-" for standard output, or None.')
    return {"access_log": path, "access_log_bytes": size or 0}


def audit_of(
    kept: str | float | None, where: str | Path | None, syslog: str | None, access_log: Mapping[str, Any]
) -> dict[str, Any]:
    """For the gateway: how long it keeps its audit log, and whereto it copies it."""
    seconds = time_of("audit_kept", kept)
    if seconds is not None and seconds < _DAY:
        raise WrongSetting(f"audit_kept is {kept!r}, and must be a day or more, or None for ever.")
    told: dict[str, Any] = {"audit_kept": seconds or 0}
    if where is not None:
        path = str(where) if isinstance(where, Path) else where
        if not isinstance(path, str) or not path or not path.isprintable():
            raise WrongSetting(f'audit_log is {where!r}, and must be a path, "-" for standard output, or None.')
        if path == access_log.get("access_log"):
            raise WrongSetting(f"audit_log and access_log are both {path!r}: each needs a place of its own.")
        told["audit_log"] = path
    if syslog is not None:
        try:
            told["audit_syslog"] = str(place_of(syslog))
        except (TypeError, ValueError, AttributeError) as error:
            raise WrongSetting(f"audit_syslog: {error}.") from None
    return told


def url_of(what: str, given: str | None) -> str | None:
    if given is not None and not re.fullmatch(r"https?://[^\s/?#@]+(/[^\s?#]*)?", given):
        raise WrongSetting(f"{what} is {given!r}, and must be an address such as https://models.example.org/.")
    if given is not None and "*" in given:
        try:
            Hosts(given)
        except ValueError as error:
            raise WrongSetting(f"{what}: {error}.") from None
    return given


def address_of(given: str) -> str:
    match = re.fullmatch(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:]+\]):(\d{1,5})", given)
    if match is None or not 0 < int(match.group(2)) < 65536:
        raise WrongSetting(f"gateway_address is {given!r}, and must be host:port.")
    if match.group(1) in ("127.0.0.1", "localhost", "0.0.0.0"):
        raise WrongSetting(
            f"gateway_address is {given!r}, which containers cannot reach: give the host's address in their network."
        )
    return given
