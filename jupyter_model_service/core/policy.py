"""What the administrator lets users do, checked by the gateway (for a good answer) and again in the Hub's process."""

from __future__ import annotations

import dataclasses
import fnmatch
import string
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from .plain_data import Fields
from .policy_limits import LIMITS, MOST_PATTERNS, RANGES
from .sentences import counted, in_bytes

SNAPSHOT_BYTES = 20 << 30
SNAPSHOT_FILES = 1_000_000
SERVICES = 100  # of one user


@dataclass(frozen=True)
class VolumeRule:
    """A named volume that may be mounted whole. In ``name``, ``{username}`` stands for the user's name as DockerSpawner
    writes it in the names of volumes. Without ``users`` and ``groups`` it is for everybody."""

    name: str
    users: tuple[str, ...] | None = None
    groups: tuple[str, ...] | None = None
    writable: bool = False

    def covers(self, volume: str, user: str, groups: Collection[str]) -> bool:
        return self.name.replace("{username}", volume_user(user)) == volume and _listed(
            user, groups, self.users, self.groups
        )


@dataclass(frozen=True)
class PolicyRule:
    """What holds for some instead of what holds for everybody: ``changes`` are values of some of the :data:`LIMITS`.
    ``core.effective`` says which rule goes first."""

    changes: Mapping[str, Any]
    users: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()


@dataclass(frozen=True)
class Policy:
    """``None`` is "no limit of ours" everywhere. ``allowed_images`` are names or patterns (``*``, ``?``); without them
    a replica may run what its owner's notebook runs and what the site offers her. Memory and bytes in bytes.

    ``max_services_per_user`` counts those without a replica, too, and those that are stopped.
    ``longest_token``: seconds until an endpoint's token has expired. A service is stopped when nobody has called it for
    ``idle_limit`` seconds, and when ``longest_life`` seconds have passed since a person created or started it."""

    allowed_images: tuple[str, ...] | None = None
    max_services_per_user: int | None = SERVICES
    max_replicas_per_user: int | None = 10
    max_gpus_per_user: int | None = None
    max_gpus_per_replica: int | None = None
    max_cpus: float | None = None
    max_memory: int | None = None
    model_volumes: tuple[VolumeRule, ...] = ()
    snapshot_bytes_per_user: int = SNAPSHOT_BYTES
    snapshot_files: int = SNAPSHOT_FILES
    allow_public: bool = True
    users: tuple[str, ...] | None = None
    groups: tuple[str, ...] | None = None
    longest_token: float | None = None
    idle_limit: float | None = None
    longest_life: float | None = None
    rules: tuple[PolicyRule, ...] = ()


@dataclass(frozen=True)
class Wish:
    """What is asked for: ``replicas`` of these, each with so much; 0 is within every sum. ``image`` ``None``: not known
    yet. ``volumes`` maps the names of whole volumes to whether they are to be writable."""

    image: str | None = None
    replicas: int = 1
    gpus: int = 0
    cpus: float | None = None
    memory: int | None = None
    volumes: Mapping[str, bool] = dataclasses.field(default_factory=dict)
    public: bool = False


@dataclass(frozen=True)
class Held:
    """What the user's services have already, or those of them that are beside the one it is about. What limits count
    is what they are to have: ``services`` that are not being deleted, and ``replicas`` also while they are not up."""

    replicas: int = 0
    gpus: int = 0
    services: int = 0


@dataclass(frozen=True)
class Host:
    """The most that there is of it for replicas, be it used or free; ``None``: not known. Memory in bytes."""

    gpus: int | None = None
    cpus: float | None = None
    memory: int | None = None


def beyond(host: Host, wish: Wish, there: str = "this machine has {}") -> list[str]:
    """What is asked for and is not there at all, so that waiting would not help; one sentence each."""
    said: list[str] = []
    replicas = max(1, wish.replicas)
    if host.gpus is not None and wish.gpus * replicas > host.gpus:
        each = f"{counted(wish.gpus, 'GPU')} {'is' if wish.gpus == 1 else 'are'}"
        asked = each if replicas == 1 else f"{replicas} replicas with {counted(wish.gpus, 'GPU')} each are"
        said.append(f"{asked} asked for, and {there.format(host.gpus or 'none')}.")
    if host.cpus is not None and wish.cpus is not None and wish.cpus > host.cpus:
        said.append(f"{wish.cpus:g} CPUs are asked for, and {there.format(f'{host.cpus:g}')}.")
    if host.memory is not None and wish.memory is not None and wish.memory > host.memory:
        said.append(f"{in_bytes(wish.memory)} of memory are asked for, and {there.format(in_bytes(host.memory))}.")
    return said


def whose(set_by: Mapping[str, str], field: str) -> str:
    """The end of a sentence about a limit, which says who set it."""
    return f"set {set_by.get(field) or FOR_ALL}"


FOR_ALL = "for all users"


def check(
    policy: Policy,
    user: str,
    groups: Collection[str],
    wish: Wish,
    held: Held,
    set_by: Mapping[str, str] = MappingProxyType({}),
) -> list[str]:
    """Everything that is against the policy, one sentence each, which says whose limit it is; empty when nothing is.
    ``policy`` is what holds for this user, and ``set_by`` where that comes from, as ``core.effective`` tells both."""
    said: list[str] = []

    def add(field: str, sentence: str) -> None:
        said.append(f"{sentence} ({whose(set_by, field)}).")

    if not _listed(user, groups, policy.users, policy.groups):
        said.append(f"{user} may not serve models here: the administrator has named the users and groups who may.")
    if wish.image is not None and policy.allowed_images is not None and not image_fits(policy, wish.image):
        allowed = ", ".join(policy.allowed_images) or "none"
        add("allowed_images", f"The image {wish.image} may not be used for replicas; allowed: {allowed}")
    limit = policy.max_replicas_per_user
    if limit is not None and wish.replicas and held.replicas + wish.replicas > limit:
        add(
            "max_replicas_per_user",
            f"That would be {counted(held.replicas + wish.replicas, 'replica')} of {user}, "
            f"and {limit} {_be(limit)} the most that one user may run",
        )
    for field, sentence in _check_gpus(policy, user, wish, held):
        add(field, sentence)
    if wish.cpus is not None and policy.max_cpus is not None and wish.cpus > policy.max_cpus:
        add("max_cpus", f"A replica may have at most {policy.max_cpus:g} CPUs, and {wish.cpus:g} are asked for")
    if wish.memory is not None and policy.max_memory is not None and wish.memory > policy.max_memory:
        add(
            "max_memory",
            f"A replica may have at most {in_bytes(policy.max_memory)} of memory, "
            f"and {in_bytes(wish.memory)} are asked for",
        )
    for name, writable in wish.volumes.items():
        said += _check_volume(policy, user, groups, name, writable)
    if wish.public and not policy.allow_public:
        add("allow_public", "Public services are not allowed here: make it private, so that callers need a token")
    return said


def _be(number: int) -> str:
    return "is" if number == 1 else "are"


def room(policy: Policy, host: Host, gpus: int, held: Held) -> int | None:
    """For how many more replicas with so many GPUs each there is room beside what the user has (below 0: some must go
    first); ``None``: for any number, as far as is known. What other users have of ``host`` does not count."""
    limit = policy.max_replicas_per_user
    rooms = [] if limit is None else [limit - held.replicas]
    rooms += [(most - held.gpus) // gpus for most in (policy.max_gpus_per_user, host.gpus) if gpus and most is not None]
    return min(rooms, default=None)


def image_fits(policy: Policy, image: str) -> bool:
    """Whether one of the patterns fits; False when there are none."""
    return any(fnmatch.fnmatchcase(image, pattern) for pattern in policy.allowed_images or ())


def of_any_registry(policy: Policy) -> list[str]:
    """The patterns of images, those of rules too, that say of no registry that it must be that one: ``*`` crosses
    slashes, so that ``*.example.org/*`` fits ``evil.test/x.example.org/y``, and ``ubuntu*`` ``ubuntu.evil.test/x``.
    Not ``*``, which says that any may be used."""
    lists = [policy.allowed_images, *(rule.changes.get("allowed_images") for rule in policy.rules)]
    patterns = [pattern for each in lists for pattern in each or () if pattern != "*"]
    return [each for each in dict.fromkeys(patterns) if any(sign in each.partition("/")[0] for sign in "*?[")]


def volume_user(user: str) -> str:
    """The user's name in the name of a volume, as DockerSpawner's own escaping writes it: ``ana-maria`` →
    ``ana-2dmaria``."""
    safe = string.ascii_lowercase + string.digits
    return "".join(c if c in safe else "".join(f"-{byte:x}" for byte in c.encode("utf-8", "replace")) for c in user)


def _check_gpus(policy: Policy, user: str, wish: Wish, held: Held) -> Iterator[tuple[str, str]]:
    each, most = policy.max_gpus_per_replica, policy.max_gpus_per_user
    if each is not None and wish.gpus > each:
        yield (
            "max_gpus_per_replica",
            f"A replica may have at most {counted(each, 'GPU')}, and {wish.gpus} are asked for",
        )
    wanted = held.gpus + wish.gpus * wish.replicas
    if most is not None and wish.gpus * wish.replicas and wanted > most:
        yield (
            "max_gpus_per_user",
            f"That would be {counted(wanted, 'GPU')} for the replicas of {user}, "
            f"and {most} {_be(most)} the most that one user may have",
        )


def _check_volume(policy: Policy, user: str, groups: Collection[str], name: str, writable: bool) -> list[str]:
    rules = [rule for rule in policy.model_volumes if rule.covers(name, user, groups)]
    if not rules:
        return [f"The volume {name} may not be mounted by {user}: the administrator lists those that may."]
    if writable and not any(rule.writable for rule in rules):
        return [
            f"The volume {name} may be mounted by {user} read-only, not writable: the administrator lists those that "
            "may be written."
        ]
    return []


def _listed(
    user: str, groups: Collection[str], users: tuple[str, ...] | None, allowed_groups: tuple[str, ...] | None
) -> bool:
    if users is None and allowed_groups is None:
        return True
    return user in (users or ()) or not set(groups).isdisjoint(allowed_groups or ())


# --- plain data --------------------------------------------------------------------------------------


def policy_to_plain(policy: Policy) -> dict[str, Any]:
    plain = dataclasses.asdict(policy)
    for key in ("allowed_images", "users", "groups"):
        plain[key] = None if plain[key] is None else list(plain[key])
    plain["model_volumes"] = [
        {**rule, "users": _names_out(rule["users"]), "groups": _names_out(rule["groups"])}
        for rule in plain["model_volumes"]
    ]
    plain["rules"] = [
        {"changes": changes_to_plain(rule.changes), "users": list(rule.users), "groups": list(rule.groups)}
        for rule in policy.rules
    ]
    return plain


def changes_to_plain(changes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in changes.items()}


def policy_from_plain(plain: Mapping[str, Any]) -> Policy:
    """The inverse of :func:`policy_to_plain`; ``ValueError`` with one sentence for anything else. What came later
    (times, rules, the number of services) may be missing."""
    later: dict[str, Any] = {"longest_token": None, "idle_limit": None, "longest_life": None, "rules": []}
    fields = Fields("The policy", {**later, "max_services_per_user": SERVICES, **plain})

    policy = Policy(
        **{name: _limit(fields, name) for name in LIMITS},
        model_volumes=tuple(_rule(each) for each in fields.items("model_volumes", most=10_000)),
        snapshot_bytes_per_user=fields.integer("snapshot_bytes_per_user"),
        snapshot_files=fields.integer("snapshot_files"),
        users=_names(fields, "users"),
        groups=_names(fields, "groups"),
        rules=tuple(_policy_rule(each) for each in fields.items("rules", most=10_000)),
    )
    fields.finish()
    return policy


def changes_from_plain(what: str, plain: object) -> dict[str, Any]:
    """Some of the :data:`LIMITS`, as :func:`changes_to_plain` writes them; ``ValueError`` for anything else, or
    for no value of one that cannot be without."""
    fields = Fields(what, plain)
    assert isinstance(plain, Mapping)  # Fields has seen to it
    for name in plain:
        if name in LIMITS and LIMITS[name].as_a_notebook and plain[name] is None:
            raise ValueError(f'{what}: "{name}" needs a value there.')
    found = {name: _limit(fields, name) for name in LIMITS if name in plain}
    fields.finish()
    return found


def _policy_rule(plain: object) -> PolicyRule:
    fields = Fields("The rules of the policy", plain)
    rule = PolicyRule(
        changes=changes_from_plain("The rules of the policy", fields.mapping("changes")),
        users=_names(fields, "users") or (),
        groups=_names(fields, "groups") or (),
    )
    fields.finish()
    return rule


def _limit(fields: Fields, name: str) -> Any:
    kind = LIMITS[name].kind
    if kind == "flag":
        return fields.flag(name)
    if kind == "patterns":
        return _names(fields, name)
    within = RANGES[kind]
    if within.whole:
        return fields.optional(name, lambda: fields.integer(name, least=int(within.least), most=int(within.most)))
    return fields.optional(name, lambda: fields.number(name, least=within.least, most=within.most))


def host_to_plain(host: Host) -> dict[str, Any]:
    return dataclasses.asdict(host)


def host_from_plain(plain: Mapping[str, Any]) -> Host:
    """The inverse of :func:`host_to_plain`; ``ValueError`` with one sentence for anything else."""
    fields = Fields("The figures of the host", plain)
    host = Host(
        gpus=fields.optional("gpus", lambda: fields.integer("gpus", least=0)),
        cpus=fields.optional("cpus", lambda: fields.number("cpus", least=0, most=RANGES["cpus"].most)),
        memory=fields.optional("memory", lambda: fields.integer("memory", least=0)),
    )
    fields.finish()
    return host


def _rule(plain: object) -> VolumeRule:
    fields = Fields("The rules of a volume", plain)
    rule = VolumeRule(
        name=fields.text("name", most=300),
        users=_names(fields, "users"),
        groups=_names(fields, "groups"),
        writable=fields.flag("writable"),
    )
    fields.finish()
    return rule


def _names(fields: Fields, name: str) -> tuple[str, ...] | None:
    return fields.optional(name, lambda: fields.texts(name, most=MOST_PATTERNS))


def _names_out(names: tuple[str, ...] | None) -> list[str] | None:
    return None if names is None else list(names)
