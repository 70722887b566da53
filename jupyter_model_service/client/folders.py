"""What the gateway of a hub has to be told besides: the definition that stands in the user's own folder, which it
cannot read, and the image that her notebook runs. And what a mount's bare name means: a volume there, a folder here.

Plain generators: they yield what is to be done (a call to the gateway, a folder to be read) and are sent the outcome,
so that the sync and the async client do it each in their own way.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any

from ..core.hub_options import is_volume
from ..core.names import owner_from
from ..errors import InvalidRequest
from ..fingerprint import fingerprint
from ..model_folder import FILE_NAMES, definition_path, read_definition
from . import calls
from .calls import Call, Key

__all__ = [
    "IMAGE_VARIABLE",
    "USER_VARIABLE",
    "AskMode",
    "LookAtFolder",
    "ReadFolder",
    "Steps",
    "for_create",
    "for_service",
    "for_update",
    "for_validate",
]

#: Set by DockerSpawner in every server of a hub.
IMAGE_VARIABLE = "JUPYTER_IMAGE_SPEC"
#: Set by JupyterHub in every server: whose it is.
USER_VARIABLE = "JUPYTERHUB_USER"


@dataclass(frozen=True)
class ReadFolder:
    """To be sent the outcome of :meth:`read`, which takes what a file system takes."""

    folder: str

    def read(self) -> dict[str, Any]:
        """``folder`` (absolute) and ``definition``, as the wire has them; ``DefinitionError`` when there is none."""
        path = definition_path(self.folder)
        return {"folder": str(path.parent), "definition": {"file": path.name, "text": read_definition(path)}}


@dataclass(frozen=True)
class AskMode:
    """To be sent the gateway's mode. A gateway that the user's own runtime file names need not be asked."""


@dataclass(frozen=True)
class LookAtFolder:
    """To be sent whether the folder has another fingerprint now, ``None`` when that cannot be told; bounded in time."""

    folder: str
    fingerprint: str

    def read(self) -> bool | None:
        if not os.path.isdir(self.folder):
            return None
        now = fingerprint(self.folder)
        return None if now is None else now != self.fingerprint


Steps = Generator[Call[Any] | ReadFolder | LookAtFolder | AskMode, Any, dict[str, Any]]


def for_create(options: Mapping[str, Any]) -> Steps:
    """The fields of ``wire.CreateRequest`` or ``wire.ValidateRequest``, completed."""
    return (yield from _completed(options, options.get("folder"), {"image": os.environ.get(IMAGE_VARIABLE) or None}))


def for_service(service: Mapping[str, Any]) -> Steps:
    """``ServiceInfo`` as JSON, completed with what only a server of its owner on the hub can find out."""
    active = next((each for each in service["revisions"] if each["number"] == service["revision"]), None)
    files = active.get("files") if active is not None else None
    if active is None or not files or service.get("folder_changed") is not None or not _in_server_of(service["owner"]):
        return dict(service)
    if files["kind"] != "copy" or not files.get("fingerprint"):
        return dict(service)
    return {**service, "folder_changed": (yield LookAtFolder(active["folder"], files["fingerprint"]))}


def _in_server_of(owner: str) -> bool:
    """Another user's folder of the same name is another folder, and so is one on her own machine at home."""
    user = os.environ.get(USER_VARIABLE)
    return user is not None and owner_from(user) == owner


def for_validate(options: Mapping[str, Any]) -> Steps:
    return (yield from _completed(options, options.get("folder"), {}))


def for_update(key: Key, options: Mapping[str, Any]) -> Steps:
    """The fields of ``wire.UpdateRequest``, completed. Without a folder, that of the active revision is read again."""
    if [name for name, value in options.items() if value is not None] in (["public"], ["visibility"]):
        return dict(options)  # no new revision
    folder = options.get("folder")
    if folder is None and (yield AskMode()) == "hub":
        service = yield calls.get(key)
        active = [each["folder"] for each in service["revisions"] if each["number"] == service["revision"]]
        folder = active[0] if active else None
        if folder is not None and is_volume(folder):
            raise InvalidRequest(
                f"Service {'/'.join(key)} is made of {folder}, which cannot be read here: name it again, where its "
                f"{FILE_NAMES[0]} is: update {key[1]} {folder}."
            )
    return (yield from _completed(options, folder, {}))


def _completed(options: Mapping[str, Any], folder: str | None, defaults: Mapping[str, Any]) -> Steps:
    """Beside a volume in the place of a folder, which cannot be read here either, its definition is in the working
    directory."""
    reads = folder is not None and options.get("definition") is None
    volume = folder is not None and is_volume(folder)
    mounts = options.get("mounts")
    on_hub = bool((reads or mounts or volume) and (yield AskMode()) == "hub")
    given = {name: value for name, value in options.items() if value is not None}
    if mounts and not on_hub:  # without volumes, a name is that of a folder in the user's working directory
        given["mounts"] = [
            {**each, "source": calls.absolute(each["source"])} if calls.is_volume_name(each["source"]) else each
            for each in mounts
        ]
    if volume and not on_hub:
        given["folder"] = os.path.abspath(folder or "")
    if folder is None or not reads or not on_hub:
        return given
    found = yield ReadFolder("." if volume else folder)
    return {**defaults, **given, **found, **({"folder": folder} if volume else {})}
