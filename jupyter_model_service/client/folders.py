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

from ..model_folder import definition_path, read_definition
from . import calls
from .calls import Call, Key

__all__ = ["IMAGE_VARIABLE", "AskMode", "ReadFolder", "Steps", "for_create", "for_update", "for_validate"]

#: Set by DockerSpawner in every server of a hub.
IMAGE_VARIABLE = "JUPYTER_IMAGE_SPEC"


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


Steps = Generator[Call[Any] | ReadFolder | AskMode, Any, dict[str, Any]]


def for_create(options: Mapping[str, Any]) -> Steps:
    """The fields of ``wire.CreateRequest`` or ``wire.ValidateRequest``, completed."""
    return (yield from _completed(options, options.get("folder"), {"image": os.environ.get(IMAGE_VARIABLE) or None}))


def for_validate(options: Mapping[str, Any]) -> Steps:
    return (yield from _completed(options, options.get("folder"), {}))


def for_update(key: Key, options: Mapping[str, Any]) -> Steps:
    """The fields of ``wire.UpdateRequest``, completed. Without a folder, that of the active revision is read again."""
    if [name for name, value in options.items() if value is not None] == ["public"]:
        return dict(options)  # no new revision
    folder = options.get("folder")
    if folder is None and (yield AskMode()) == "hub":
        service = yield calls.get(key)
        active = [each["folder"] for each in service["revisions"] if each["number"] == service["revision"]]
        folder = active[0] if active else None
    return (yield from _completed(options, folder, {}))


def _completed(options: Mapping[str, Any], folder: str | None, defaults: Mapping[str, Any]) -> Steps:
    reads = folder is not None and options.get("definition") is None
    mounts = options.get("mounts")
    on_hub = bool((reads or mounts) and (yield AskMode()) == "hub")
    given = {name: value for name, value in options.items() if value is not None}
    if mounts and not on_hub:  # without volumes, a name is that of a folder in the user's working directory
        given["mounts"] = [
            {**each, "source": calls.absolute(each["source"])} if calls.is_volume_name(each["source"]) else each
            for each in mounts
        ]
    if folder is None or not reads or not on_hub:
        return given
    found = yield ReadFolder(folder)
    return {**defaults, **given, **found}
