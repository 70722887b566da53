"""What the gateway asks of the Hub's spawner, as plain data that both sides check.

It travels as the ``user_options`` of a named server, ``{"model_service": {"v": 1, "summary": …, "sealed": …}}``:
every user of a Hub may write options, and everybody who may read a server's model reads them. So all that matters is
sealed (``adapters/sealing.py``), names the one server that it is for, and is read here as if it were hostile.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

from .bounds import LONGEST_PERSON
from .plain_data import Fields

KEY = "model_service"
VERSION = 1

SERVER_PREFIX = "ms-"
JOB_PREFIX = "ms-job-"
MAX_SERVER_NAME = 30  # of JupyterHub 6

LABEL = "org.jupyter.model-service."
"""Begins the labels of every container and volume of ours. All have ``hub`` (which tells one Hub's things from
another's on the same engine) and ``user``; replicas' also ``server``, ``replica``, ``owner``, ``service``,
``service-id`` and ``revision``."""

CONTROL_PORT = 39777
"""The runner's, in every replica; the next one where the model itself listens there."""

VOLUME = "volume:"  # before the name of a volume, in the place of a folder
VOLUME_PATTERN = r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,199}"
SERVICE_ID_PATTERN = r"[0-9a-f]{32}"
MAX_REPLICA = MAX_SERVER_NAME - len(SERVER_PREFIX)


# --- names -------------------------------------------------------------------------------------------


def is_volume(folder: str) -> bool:
    """``volume:NAME``: a volume that is mounted whole, in the place of a folder."""
    return re.fullmatch(VOLUME + VOLUME_PATTERN, folder) is not None


def server_name(replica: str) -> str:
    """The named server of a replica (``chat-x1y2z3`` → ``ms-chat-x1y2z3``), at most 30 characters."""
    return SERVER_PREFIX + replica


def job_server(number: str) -> str:
    """The named server of a job; ``number``: 12 hexadecimal digits. No replica has such a name: behind a service's
    name there are six characters, and a service called ``job-…`` brings a hyphen."""
    return JOB_PREFIX + number


def is_job_server(name: str) -> bool:
    return re.fullmatch(JOB_PREFIX + "[0-9a-f]{12}", name) is not None


def replica_of(name: str) -> str | None:
    """The inverse of :func:`server_name`; ``None`` for what no replica's server is called."""
    pattern = SERVER_PREFIX + r"([a-z][a-z0-9]*(?:-[a-z0-9]+)*-[a-z0-9]{6})"
    match = re.fullmatch(pattern, name) if len(name) <= MAX_SERVER_NAME else None
    return match.group(1) if match else None


def volume_name(service_id: str, number: int) -> str:
    """The volume of a revision's snapshot."""
    return f"ms-{service_id[:12]}-r{number}"


# --- the envelope ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Summary:
    """What anybody may read: for the Hub's pages and for people who look into its database."""

    service: str = ""
    revision: int = 0
    image: str | None = None
    gpus: int = 0


def enveloped(summary: Summary, sealed: str) -> dict[str, Any]:
    """The whole ``user_options``."""
    return {KEY: {"v": VERSION, "summary": dataclasses.asdict(summary), "sealed": sealed}}


def sealed_in(user_options: Mapping[str, Any]) -> str:
    """The sealed text of :func:`enveloped`; ``ValueError`` for anything else."""
    if set(user_options) != {KEY}:
        raise ValueError(f'The options of such a server are one object under "{KEY}".')
    fields = Fields("The options", user_options[KEY])
    if fields.integer("v") != VERSION:
        raise ValueError(f"The options are of version {fields.integer('v')}, and only {VERSION} is known here.")
    fields.mapping("summary")
    sealed = fields.text("sealed", most=1 << 20)
    fields.finish()
    return sealed


# --- what is asked -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class ReplicaStorage:
    """Mounted at ``/models``, read-only. ``kind``: ``snapshot`` (a revision's own volume) or ``volume`` (a named one,
    whole)."""

    kind: str
    volume: str


@dataclass(frozen=True)
class VolumeMount:
    source: str
    target: str
    read_only: bool = True


@dataclass(frozen=True)
class ReplicaOptions:
    """One replica. ``user`` and ``server`` are the Hub's names of what it is for; ``image`` ``None``: what the user's
    notebook runs. ``spec`` is the runner's specification (``runner/PROTOCOL.md``) without ``replica``, ``secret`` and
    ``control``, which are added where the container is made. ``memory`` in bytes."""

    do: ClassVar[str] = "replica"

    user: str
    server: str
    owner: str
    service: str
    service_id: str
    replica: str
    secret: str = field(repr=False)
    revision: int
    image: str | None
    spec: Mapping[str, Any] = field(repr=False)
    port: int
    cpus: float | None = None
    memory: int | None = None
    gpus: int = 0
    storage: ReplicaStorage | None = None
    mounts: tuple[VolumeMount, ...] = ()

    def to_plain(self) -> dict[str, Any]:
        return _plain(self)

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> ReplicaOptions:
        fields = _fields(cls, plain)
        options = cls(
            user=_user(fields),
            server=_server(fields),
            owner=fields.text("owner", most=100),
            service=fields.text("service", pattern=r"[a-z][a-z0-9-]{0,19}"),
            service_id=_service_id(fields),
            replica=fields.text("replica", most=MAX_REPLICA),
            secret=fields.text("secret", pattern=r"[0-9a-f]{64}"),
            revision=fields.integer("revision", least=1),
            image=_image(fields),
            spec=fields.mapping("spec"),
            port=fields.integer("port", least=1, most=65535),
            cpus=fields.optional("cpus", lambda: fields.number("cpus", least=0.001, most=100_000)),
            memory=fields.optional("memory", lambda: fields.integer("memory", least=1, most=1 << 60)),
            gpus=fields.integer("gpus", least=0, most=1024),
            storage=fields.optional("storage", lambda: _storage(fields)),
            mounts=tuple(_mount(each) for each in fields.items("mounts", most=100)),
        )
        fields.finish()
        if replica_of(options.server) != options.replica:
            raise ValueError("The name of the server is not that of the replica.")
        if own := {"replica", "secret", "control"} & set(options.spec):
            raise ValueError(f'The runner\'s specification has "{min(own)}", which is not for the gateway to say.')
        targets = [mount.target for mount in options.mounts] + (["/models"] if options.storage else [])
        if len(set(targets)) != len(targets):
            raise ValueError("Two volumes are to be mounted at the same place.")
        return options


@dataclass(frozen=True)
class SnapshotOptions:
    """Copy a folder of the user's workspace into the volume of a revision. ``folder`` is the path as her notebook sees
    it, ``exclude`` names that are left out wherever they are; ``limit_bytes`` and ``limit_files`` are what is left of
    her quota."""

    do: ClassVar[str] = "snapshot"

    user: str
    server: str
    service_id: str
    revision: int
    folder: str
    image: str | None
    exclude: tuple[str, ...]
    limit_bytes: int
    limit_files: int

    @property
    def volume(self) -> str:
        return volume_name(self.service_id, self.revision)

    def to_plain(self) -> dict[str, Any]:
        return _plain(self)

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> SnapshotOptions:
        fields = _fields(cls, plain)
        options = cls(
            user=_user(fields),
            server=_job(fields),
            service_id=_service_id(fields),
            revision=fields.integer("revision", least=1),
            folder=fields.path("folder"),
            image=_image(fields),
            exclude=fields.texts("exclude", most=1000),
            limit_bytes=fields.integer("limit_bytes", least=0, most=1 << 60),
            limit_files=fields.integer("limit_files", least=0, most=1 << 40),
        )
        fields.finish()
        return options


@dataclass(frozen=True)
class CollectOptions:
    """Remove this user's volumes of ours but those in ``keep``."""

    do: ClassVar[str] = "collect"

    user: str
    server: str
    keep: tuple[str, ...]

    def to_plain(self) -> dict[str, Any]:
        return _plain(self)

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> CollectOptions:
        fields = _fields(cls, plain)
        options = cls(
            user=_user(fields),
            server=_job(fields),
            keep=fields.texts("keep", most=100_000, pattern=VOLUME_PATTERN),
        )
        fields.finish()
        return options


@dataclass(frozen=True)
class LookOptions:
    """Say who holds which GPU of the Docker host (``core/gpu_looks.py``). ``user`` is the one who holds the endpoints'
    tokens: it is no person's."""

    do: ClassVar[str] = "look"

    user: str
    server: str

    def to_plain(self) -> dict[str, Any]:
        return _plain(self)

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> LookOptions:
        fields = _fields(cls, plain)
        options = cls(user=_user(fields), server=_job(fields))
        fields.finish()
        return options


JobOptions = SnapshotOptions | CollectOptions | LookOptions
Options = ReplicaOptions | JobOptions

_Any = TypeVar("_Any", ReplicaOptions, SnapshotOptions, CollectOptions, LookOptions)
_KINDS: dict[str, type[Options]] = {
    kind.do: kind for kind in (ReplicaOptions, SnapshotOptions, CollectOptions, LookOptions)
}


def options_from_plain(plain: Mapping[str, Any]) -> Options:
    """Whatever is asked; ``ValueError`` with one sentence for anything that no ``to_plain`` made."""
    do = plain.get("do")
    kind = _KINDS.get(do) if isinstance(do, str) else None
    if kind is None:
        raise ValueError(f"The options ask for {str(do)[:40]!r}, which is none of {', '.join(sorted(_KINDS))}.")
    return kind.from_plain(plain)


def _plain(options: Options) -> dict[str, Any]:
    return {"do": options.do, **_listed(dataclasses.asdict(options))}


def _listed(value: Any) -> Any:
    """Tuples as JSON has them."""
    if isinstance(value, Mapping):
        return {key: _listed(inner) for key, inner in value.items()}
    return [_listed(inner) for inner in value] if isinstance(value, list | tuple) else value


def _fields(kind: type[_Any], plain: Mapping[str, Any]) -> Fields:
    fields = Fields(f"The {kind.do} options", plain)
    if fields.text("do") != kind.do:
        raise ValueError(f"These are no options of a {kind.do}.")
    return fields


def _user(fields: Fields) -> str:
    return fields.text("user", most=LONGEST_PERSON)


def _server(fields: Fields) -> str:
    return fields.text("server", most=MAX_SERVER_NAME)


def _job(fields: Fields) -> str:
    name = _server(fields)
    if not is_job_server(name):
        raise ValueError("The name of the server is not that of a job.")
    return name


def _service_id(fields: Fields) -> str:
    return fields.text("service_id", pattern=SERVICE_ID_PATTERN)


def _image(fields: Fields) -> str | None:
    # No blanks, no leading hyphen: nothing that could be taken for two words or for an option.
    return fields.optional("image", lambda: fields.text("image", pattern=r"[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,499}"))


def _storage(fields: Fields) -> ReplicaStorage:
    inner = Fields("The storage", fields.mapping("storage"))
    storage = ReplicaStorage(
        inner.text("kind", pattern="snapshot|volume"), inner.text("volume", pattern=VOLUME_PATTERN)
    )
    inner.finish()
    return storage


def _mount(plain: object) -> VolumeMount:
    inner = Fields("A mount", plain)
    mount = VolumeMount(
        source=inner.text("source", pattern=VOLUME_PATTERN),
        target=inner.path("target"),
        read_only=inner.flag("read_only"),
    )
    inner.finish()
    if mount.target == "/":
        raise ValueError("A mount covers the whole of the container's files.")
    return mount


__all__: Sequence[str] = [
    "CONTROL_PORT",
    "JOB_PREFIX",
    "KEY",
    "LABEL",
    "MAX_SERVER_NAME",
    "SERVER_PREFIX",
    "VERSION",
    "VOLUME_PATTERN",
    "CollectOptions",
    "JobOptions",
    "LookOptions",
    "Options",
    "ReplicaOptions",
    "ReplicaStorage",
    "SnapshotOptions",
    "Summary",
    "VolumeMount",
    "enveloped",
    "is_job_server",
    "job_server",
    "options_from_plain",
    "replica_of",
    "sealed_in",
    "server_name",
    "volume_name",
]
