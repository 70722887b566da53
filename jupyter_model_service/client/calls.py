"""Every call of the control API as plain data: what to send, and how to read the answer.

A :class:`Call` knows nothing of sockets or of sync and async; a service is always the pair ``(owner, name)`` here.
"""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from urllib.parse import quote, unquote, urlencode

from ..core.hub_options import is_volume
from ..errors import GatewayUnavailable, InvalidRequest
from .units import parse_size

if TYPE_CHECKING:
    from ..wire import (
        CopyInfo,
        EventInfo,
        GatewayInfo,
        LogAnswer,
        OfferInfo,
        ServiceInfo,
        SharedInfo,
        ValidateAnswer,
    )

T = TypeVar("T")
Key = tuple[str, str]  # owner, name

#: Seconds for a whole call: everything that takes long (pulling, loading) goes on after the answer. Reading a
#: definition from a slow network folder is the slowest of them.
CALL_SECONDS = 60.0
#: The gateway gives a copy six hours, or a minute without progress, and its word is better than our giving up.
COPY_SECONDS = 6.5 * 3600.0
_LOG_PAGE = 10_000  # lines; the most that the API gives at once
_LOG_PAGES = 8  # a runner keeps 20,000 lines: enough for a model that prints while we read


@dataclass(frozen=True)
class Copied:
    """A call that is answered when a folder is copied: by what to know the copy in the event stream. A service that is
    made has the name that the gateway chooses, unless one is given."""

    folder: str | None = None
    name: str | None = None
    key: Key | None = None

    def fits(self, data: Mapping[str, Any], owner: str) -> bool:
        """``data`` is a ``CopyInfo`` as JSON, ``owner`` the caller's own."""
        service = str(data.get("service"))
        if self.key is not None:
            return service == "/".join(self.key)
        whose, _, name = service.partition("/")
        return whose == owner and self.name in (None, name) and data.get("folder") == self.folder


@dataclass(frozen=True)
class Call(Generic[T]):
    """``path`` is relative to the gateway's address; ``read`` makes the answer's type from its plain JSON. With
    ``copied``, the answer may take as long as a copy does."""

    method: str
    path: str
    read: Callable[[Any], T]
    body: Mapping[str, Any] | None = None
    query: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = CALL_SECONDS
    copied: Copied | None = None

    @property
    def target(self) -> str:
        given = {name: value for name, value in self.query.items() if value is not None}
        return f"{self.path}?{urlencode(given, errors='replace')}" if given else self.path


def split_name(name: str) -> tuple[str | None, str]:
    """``name`` or ``owner/name``. Only the shape is checked here: which names exist is the gateway's business."""
    owner, slash, rest = name.rpartition("/")
    parts = (owner, rest) if slash else (rest,)
    if "/" in owner or any(part in ("", ".", "..") or len(part) > 255 for part in parts) or not is_text(name):
        shown = name if len(name) <= 60 else name[:57] + "..."
        raise InvalidRequest(f"{shown!r} is no name of a service: write NAME or OWNER/NAME.")
    return (owner if slash else None), rest


def is_text(value: str) -> bool:
    """Whether UTF-8 can carry it. Arguments and file names in another encoding come as halves of characters."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def service_path(key: Key, rest: str = "") -> str:
    owner, name = key
    return f"api/v1/services/{quote(owner, safe='')}/{quote(name, safe='')}{rest}"


# --- reading answers -------------------------------------------------------------------------------------


def reading_model(name: str, field_name: str | None = None) -> Callable[[Any], Any]:
    """Reads a wire model (or one field of it). pydantic is imported with the first answer, not with this module."""

    def read(data: Any) -> Any:
        from .. import wire

        kind = getattr(wire, name)
        try:
            answer = kind.model_validate(data)
        except ValueError as error:
            raise GatewayUnavailable(
                f"The gateway's answer is no {name}: it may be of another version than this client."
            ) from error
        return answer if field_name is None else getattr(answer, field_name)

    return read


def read_nothing(data: Any) -> None:
    return None


_SERVICE = reading_model("ServiceInfo")


def read_service(data: Any) -> ServiceInfo:
    service: ServiceInfo = _SERVICE(data)
    return service


def read_shared(data: Any) -> SharedInfo:
    shared: SharedInfo = reading_model("SharedInfo")(data)
    return shared


def read_copy(data: Any) -> CopyInfo:
    copy: CopyInfo = reading_model("CopyInfo")(data)
    return copy


def read_event(data: Any) -> EventInfo:
    event: EventInfo = reading_model("EventInfo")(data)
    return event


def _optional_service(data: Any) -> ServiceInfo | None:
    return read_service(data) if isinstance(data, dict) and "name" in data else None


# --- the calls -------------------------------------------------------------------------------------------


def info() -> Call[GatewayInfo]:
    return Call("GET", "api/v1/", reading_model("GatewayInfo"))


def offer() -> Call[OfferInfo]:
    return Call("GET", "api/v1/offer", reading_model("OfferInfo"))


def shutdown() -> Call[None]:
    return Call("POST", "api/v1/gateway/shutdown", read_nothing, body={})


def validate(folder: str, definition: Mapping[str, Any] | None = None) -> Call[ValidateAnswer]:
    body = given({"folder": folder, "definition": definition})
    return Call("POST", "api/v1/validate", reading_model("ValidateAnswer"), body=body)


def services() -> Call[list[ServiceInfo]]:
    return Call("GET", "api/v1/services", reading_model("ServiceList", "services"))


def shared() -> Call[list[SharedInfo]]:
    return Call("GET", "api/v1/services", reading_model("ServiceList", "shared"))


def endpoint_listed(key: Key) -> Call[str | None]:
    """The address of one that somebody else owns, which the caller may look into or only call; ``None`` where it
    is not in her list. Asked before :func:`get`, which is refused to whoever may only call, and noted as a denial."""

    def read(data: Any) -> str | None:
        listed = [*data.get("services", ()), *data.get("shared", ())] if isinstance(data, dict) else []
        return next((str(each["endpoint"]) for each in listed if (each["owner"], each["name"]) == key), None)

    return Call("GET", "api/v1/services", read)


def of_others(key: Key) -> Call[list[str]]:
    """``OWNER/NAME`` of those of the same name that others own and the caller may use."""

    def read(data: Any) -> list[str]:
        listed = [*data.get("services", ()), *data.get("shared", ())] if isinstance(data, dict) else []
        return [f"{each['owner']}/{each['name']}" for each in listed if each["name"] == key[1]]

    return Call("GET", "api/v1/services", read)


def create(options: Mapping[str, Any]) -> Call[ServiceInfo]:
    """``options`` are the fields of ``wire.CreateRequest``; those that are ``None`` are left out."""
    copied = Copied(options["folder"], options.get("name"))
    return Call("POST", "api/v1/services", read_service, body=given(options), seconds=COPY_SECONDS, copied=copied)


def get(key: Key) -> Call[ServiceInfo]:
    return Call("GET", service_path(key), read_service)


def delete(key: Key) -> Call[ServiceInfo | None]:
    return Call("DELETE", service_path(key), _optional_service)


def scale(key: Key, replicas: int) -> Call[ServiceInfo]:
    return Call("PUT", service_path(key, "/scale"), read_service, body={"replicas": replicas})


def update(key: Key, options: Mapping[str, Any]) -> Call[ServiceInfo]:
    """``options`` are the fields of ``wire.UpdateRequest``; what is left out stays as it is."""
    path, copied = service_path(key, "/update"), Copied(key=key)
    return Call("POST", path, read_service, body=given(options), seconds=COPY_SECONDS, copied=copied)


def rollback(key: Key, revision: int | None) -> Call[ServiceInfo]:
    return Call("POST", service_path(key, "/rollback"), read_service, body=given({"revision": revision}))


def act(key: Key, verb: str) -> Call[ServiceInfo]:
    """``verb`` is ``restart``, ``stop`` or ``start``."""
    return Call("POST", service_path(key, f"/{verb}"), read_service, body={})


def logs(key: Key, replica: str | None = None, after: int = 0, limit: int = 1000) -> Call[LogAnswer]:
    query = {"replica": replica, "after": after, "limit": limit}
    return Call("GET", service_path(key, "/logs"), reading_model("LogAnswer"), query=query)


def last_logs(key: Key, replica: str | None, tail: int) -> Generator[Call[LogAnswer], Any, Any]:
    """The last ``tail`` lines, as plain JSON: the API counts from the start, so the (bounded) log is gone through."""
    lines: deque[str] = deque(maxlen=tail)
    after = lost = 0
    for _ in range(_LOG_PAGES):
        answer = yield logs(key, replica, after, _LOG_PAGE)
        replica, after = answer["replica"], answer["next"]
        lines.extend(answer["lines"])
        lost += answer.get("lost", 0)
        if len(answer["lines"]) < _LOG_PAGE:
            break
    return {"replica": replica, "lines": list(lines), "next": after, "lost": lost}


def read_logs(data: Any) -> LogAnswer:
    answer: LogAnswer = reading_model("LogAnswer")(data)
    return answer


def events(key: Key, after: int = 0, limit: int = 100) -> Call[list[EventInfo]]:
    query = {"after": after, "limit": limit}
    return Call("GET", service_path(key, "/events"), reading_model("EventList", "events"), query=query)


STREAM = "api/v1/events"


def endpoint_path(key: Key, path: str) -> str:
    """Where a call for the model goes, below the gateway's own address: the control token goes nowhere else, so that
    ``InvalidRequest`` refuses what whoever resolves the path would lead to another service."""
    owner, name = key
    target = re.split("[?#]", path, maxsplit=1)[0]
    if {".", ".."} & set(unquote(target).split("/")):
        raise InvalidRequest(
            f"The path {path[:80]!r} has a part . or .., which would leave the service: write it in full."
        )
    return f"endpoints/{quote(owner, safe='')}/{quote(name, safe='')}/{path.lstrip('/')}"


def given(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def absolute(folder: str | Path) -> str:
    """The gateway has another working directory. Links are kept: the user's name for the folder is what is shown.
    ``volume:NAME`` stays as it is written: what it means depends on the gateway (``folders.py``)."""
    if is_volume(str(folder)):
        return str(folder)
    return os.path.abspath(Path(folder).expanduser())


def revision_options(
    folder: str | Path | None,
    image: str | None = None,
    environment: Mapping[str, str] | None = None,
    mounts: Sequence[str | Mapping[str, Any]] | None = None,
    cpus: float | None = None,
    memory: int | str | None = None,
    gpus: int | None = None,
) -> dict[str, Any]:
    """The fields of ``wire.RevisionOptions`` from what people write."""
    return {
        "folder": None if folder is None else absolute(folder),
        "image": image,
        "environment": None if environment is None else dict(environment),
        "mounts": None if mounts is None else [parse_mount(each) for each in mounts],
        "cpus": cpus,
        "memory": parse_size(memory) if isinstance(memory, str) else memory,
        "gpus": gpus,
    }


def parse_mount(mount: str | Mapping[str, Any]) -> dict[str, Any]:
    """``SRC:DST[:ro|rw]``, where ``DST`` is an absolute path inside the replica; a mapping is taken as it is. A ``SRC``
    that could be a volume's name stays as it is written: what it means depends on the gateway (``folders.py``)."""
    if not isinstance(mount, str):
        return dict(mount)
    parts = mount.split(":")
    mode = parts.pop() if len(parts) == 3 else "rw"
    if len(parts) != 2 or not all(parts) or mode not in ("ro", "rw"):
        raise InvalidRequest(f"{mount!r} is no mount: write SRC:DST or SRC:DST:ro.")
    source, target = parts
    if not target.startswith("/"):
        raise InvalidRequest(f"{mount!r} mounts at {target!r}, which must be an absolute path.")
    source = source if is_volume_name(source) else absolute(source)
    return {"source": source, "target": target, "read_only": mode == "ro"}


def is_volume_name(source: str) -> bool:
    """Docker's rule. ``data`` may be a volume or a folder here, ``./data`` is a folder."""
    return re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", source) is not None
