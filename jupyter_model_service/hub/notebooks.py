"""A user's own servers, as the Hub's process and the engine know them: what their image is, and what is mounted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..core.hub_options import SERVER_PREFIX
from .container import GONE
from .context import Notebook, NotebookMount
from .docker_calls import ENGINE_ERRORS, DockerCalls, status_of

_ROOT = frozenset({"", "root", "0", "0:0", "root:root"})


async def notebooks_of(spawner: Any, docker: DockerCalls) -> list[Notebook]:
    """The default server first, then those that run, the newest first. ``spawner``: any of the user's."""
    user = spawner.user
    # To ask for the spawner of a server that never was would make a record of it.
    default = user.spawners[""] if "" in user.orm_spawners else None
    found = []
    others = sorted(
        (each for name, each in user.spawners.items() if name and not name.startswith(SERVER_PREFIX)),
        key=lambda each: str(each.orm_spawner.started or ""),
        reverse=True,
    )
    for each in (default, *others):
        running = await _running(each, docker) if each is not None and each.active else None
        if running is not None or each is default:
            found.append(running or _configured(spawner if each is None else each))
    return found


def preferred(notebooks: list[Notebook]) -> Notebook:
    """The one that "her notebook" means: the default server, if it runs or nothing does."""
    return next((notebook for notebook in notebooks if notebook.container is not None), notebooks[0])


async def _running(spawner: Any, docker: DockerCalls) -> Notebook | None:
    try:
        seen = await docker("inspect_container", spawner.object_id or spawner.object_name)
    except ENGINE_ERRORS as error:
        if status_of(error) in GONE:
            return None
        raise
    run_as = str(seen["Config"].get("User") or "")
    return Notebook(
        server=spawner.name,
        image=str(seen["Config"]["Image"]),
        mounts=tuple(_mount(each) for each in seen.get("Mounts") or () if each.get("Type") in ("volume", "bind")),
        container=str(seen["Id"]),
        run_as=None if run_as in _ROOT else run_as,
    )


def _mount(seen: Mapping[str, Any]) -> NotebookMount:
    kind = str(seen["Type"])
    source = seen.get("Name") if kind == "volume" else seen.get("Source")
    return NotebookMount(str(source), str(seen["Destination"]), kind, not seen.get("RW", True))


def _configured(spawner: Any) -> Notebook:
    """Of one that does not run: what DockerSpawner would mount, which may lack what a hook of the site adds."""
    mounts = [
        NotebookMount(source, bind["bind"], "bind" if source.startswith("/") else "volume", bind.get("mode") == "ro")
        for source, bind in spawner.volume_binds.items()
    ]
    for mount in spawner.mount_binds:
        if mount.get("Type") in ("volume", "bind"):
            mounts.append(NotebookMount(mount["Source"], mount["Target"], mount["Type"], bool(mount.get("ReadOnly"))))
    return Notebook("", spawner.image, tuple(mounts))
