"""One replica's container: made of nothing but our own options, started, waited for, and told about when it ends.

Nothing of the site's configuration of notebooks comes in (volumes, environment, tokens, commands, hooks), except where
the engine is concerned: which runtime, name servers and log driver containers have on this machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..core.hub_options import CONTROL_PORT, ReplicaOptions
from ..core.sentences import LINE, in_bytes, last_line
from ..errors import LaunchError
from ..runner import packed, runner_argument
from .context import LABEL
from .docker_calls import ENGINE_ERRORS, DockerCalls, explained, status_of

MODELS = "/models"
UP_SECONDS = 30.0  # for the runner to listen: an image's own start script may look at every file of a home first
SPEC_BYTES = 100 * 1024  # longer specifications are compressed; the kernel takes 128 KiB in one variable
SPEC_MOST = 127 * 1024
STOP_SECONDS = 10  # between SIGTERM and SIGKILL
DRIVER = "NVIDIA_DRIVER_CAPABILITIES"
GONE = (404, 409)  # there is no such container, or it is being removed already

# What a site says about containers on its engine, and that gives a replica nothing of anybody.
FROM_SITE = frozenset(
    {"cgroup_parent", "cpuset_cpus", "cpuset_mems", "dns", "dns_opt", "dns_search", "extra_hosts", "init", "log_config"}
    | {"runtime", "shm_size", "storage_opt", "ulimits"}
)


@dataclass(frozen=True)
class ReplicaContainer:
    """Everything that decides how a replica's container is made. ``memory`` in bytes, ``None`` for no limit."""

    name: str
    hub: str
    network: str
    image: str
    options: ReplicaOptions = field(repr=False)
    gpus: Sequence[str] = ()
    driver: str | None = None  # parts of NVIDIA's driver, where the image's own choice will not do
    cpus: float | None = None
    memory: int | None = None
    run_as: str | None = None
    from_site: Mapping[str, Any] = field(default_factory=dict)

    @property
    def control_port(self) -> int:
        return CONTROL_PORT if self.options.port != CONTROL_PORT else CONTROL_PORT + 1

    @property
    def labels(self) -> dict[str, str]:
        o = self.options
        own = {"hub": self.hub, "user": o.user, "server": o.server, "kind": "replica", "replica": o.replica}
        own |= {"owner": o.owner, "service": o.service, "service-id": o.service_id, "revision": str(o.revision)}
        return {LABEL + name: value for name, value in own.items()}

    def environment(self) -> dict[str, str]:
        """The variables that the container begins with; the rest is the image's."""
        o = self.options
        spec = {"protocol": 1, "directory": None, **o.spec, "replica": o.replica, "secret": o.secret}
        spec["control"] = {"host": "0.0.0.0", "port": self.control_port}
        text = json.dumps(spec, separators=(",", ":"))
        if len(text) > SPEC_BYTES:
            text = packed(text)
        if len(text) > SPEC_MOST:
            raise LaunchError(
                f"The definition is too long to be handed to a container ({in_bytes(len(text))} compressed, "
                f"{in_bytes(SPEC_MOST)} at most): put large texts into files of the model folder.",
                stage="container",
            )
        variables = {"MODEL_SERVICE_SPEC": text}
        if not self.gpus:
            # An engine whose default runtime is NVIDIA's gives every GPU to an image that names none.
            variables["NVIDIA_VISIBLE_DEVICES"] = "void"
        elif self.driver is not None:
            variables[DRIVER] = self.driver
        return variables

    def mounts(self) -> list[dict[str, Any]]:
        """Named volumes only. ``NoCopy``: nothing of the image is written into an empty volume."""
        wanted = [(mount.source, mount.target, mount.read_only) for mount in self.options.mounts]
        if self.options.storage is not None:
            wanted.append((self.options.storage.volume, MODELS, True))
        return [
            {
                "Type": "volume",
                "Source": source,
                "Target": target,
                "ReadOnly": read_only,
                "VolumeOptions": {"NoCopy": True},
            }
            for source, target, read_only in wanted
        ]

    def create_arguments(self, client: Any) -> dict[str, Any]:
        """For ``APIClient.create_container``."""
        host: dict[str, Any] = {key: value for key, value in self.from_site.items() if key in FROM_SITE}
        host |= {
            "network_mode": self.network,
            "mounts": self.mounts(),
            "security_opt": ["no-new-privileges"],
            "restart_policy": {"Name": "no"},
        }
        if self.memory is not None:
            host["mem_limit"] = self.memory
        if self.cpus is not None:
            host |= {"cpu_period": 100_000, "cpu_quota": int(self.cpus * 100_000)}
        if self.gpus:
            host["device_requests"] = [{"Driver": "", "DeviceIDs": list(self.gpus), "Capabilities": [["gpu"]]}]
        return {
            "image": self.image,
            "name": self.name,
            "command": ["python3", "-I", "-S", "-c", runner_argument()],
            "environment": self.environment(),
            "labels": self.labels,
            "user": self.run_as,
            "host_config": client.create_host_config(**host),
        }


async def start(docker: DockerCalls, wanted: ReplicaContainer) -> tuple[str, str]:
    """Make and start it, and wait until its runner listens: the container's id and address. ``LaunchError`` otherwise,
    and then, as when cancelled, it is gone."""
    await remove(docker, wanted.name, hub=wanted.hub, server=wanted.options.server)
    try:
        made = await _unbroken(docker("create_container", **wanted.create_arguments(docker.client)))
        await _unbroken(docker("start", made["Id"]))
        return made["Id"], await _await_runner(docker, wanted, made["Id"])
    except ENGINE_ERRORS as error:
        await _discard(docker, wanted)
        raise LaunchError(_refused(wanted.image, error), stage="container") from error
    except BaseException:
        await _discard(docker, wanted)
        raise


async def remove(docker: DockerCalls, name: str, *, hub: str, server: str, seconds: int | None = None) -> bool:
    """Take away the container of this name, if it is of this server; with ``seconds``, SIGTERM comes first. Whether
    there was one. ``LaunchError`` when it is somebody else's."""
    try:
        there = await docker("inspect_container", name)
    except ENGINE_ERRORS as error:
        if status_of(error) == 404:
            return False
        raise LaunchError(f"The Docker engine does not answer: {explained(error)}", stage="engine") from error
    labels = there["Config"].get("Labels") or {}
    if (labels.get(LABEL + "hub"), labels.get(LABEL + "server")) != (hub, server):
        raise LaunchError(f"There is a container {name} already, which is not this replica's.", stage="container")
    if seconds is not None and there["State"]["Running"] and not there["State"]["Paused"]:
        await docker.try_("stop", there["Id"], timeout=seconds)
    refused = await docker.try_("remove_container", there["Id"], force=True, v=True)
    if refused is not None and refused not in GONE:
        raise LaunchError(f"The container {name} cannot be removed: the engine refuses it.", stage="engine")
    return True


async def _discard(docker: DockerCalls, wanted: ReplicaContainer) -> None:
    with contextlib.suppress(LaunchError):
        await _unbroken(remove(docker, wanted.name, hub=wanted.hub, server=wanted.options.server))


async def _unbroken(work: Any) -> Any:
    """Its result; when cancelled, after it has ended: what it made can only then be removed."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        if not task.cancelled():
            task.exception()
        raise


# --- waiting -----------------------------------------------------------------------------------------


async def _await_runner(docker: DockerCalls, wanted: ReplicaContainer, container: str) -> str:
    loop = asyncio.get_running_loop()
    end = loop.time() + UP_SECONDS
    address = ""
    pause = 0.02
    while True:
        seen = await docker("inspect_container", container)
        if not seen["State"]["Running"]:
            raise LaunchError(await _ended(docker, wanted, seen), stage="runner")
        address = ((seen["NetworkSettings"]["Networks"] or {}).get(wanted.network) or {}).get("IPAddress") or address
        look_again = loop.time() + 0.5
        while address and loop.time() < look_again:
            if await _accepts(address, wanted.control_port):
                return address
            await asyncio.sleep(pause)
            pause = min(pause * 1.3, 0.1)
        if loop.time() > end:
            raise LaunchError(
                f"The container runs, but its runner cannot be reached within {UP_SECONDS:g} s at "
                f"{address or 'no address'} port {wanted.control_port}: the Hub must be in the Docker network "
                f"{wanted.network} or on its machine, and the image must run what it is given.",
                stage="runner",
            )


async def _accepts(host: str, port: int) -> bool:
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(host, port), 1.0)
    except (OSError, asyncio.TimeoutError):
        return False
    writer.close()
    return True


# --- what it died of ---------------------------------------------------------------------------------


def _refused(image: str, error: BaseException) -> str:
    """Of a container that could not be made or started."""
    said = _cause(str(getattr(error, "explanation", None) or explained(error)))
    if "python3" in said and ("not found" in said or "no such file" in said):
        return no_python(image)
    if status_of(error) == 404 and "image" in said.lower():
        return f"There is no image {image} on the Docker engine."
    return f"The container cannot be started from the image {image}: {said}"


_CHAIN = re.compile(
    r"(failed to create shim( task)?|(OCI|runc)( runtime)? create failed|unable to start container process|unknown): "
)


def _cause(said: str) -> str:
    """What the engine said without the names of its parts, and with volumes called by their names."""
    text = _readable(re.sub(r'"?/[^\s":]*/volumes/([^/\s":]+)/_data"?', r"the volume \1", _CHAIN.sub("", said)))
    return text if len(text) <= 2 * LINE else f"{text[:LINE]} … {text[-LINE:]}"


def no_python(image: str) -> str:
    return f"The image {image} has no python3, which every replica needs to be started with."


async def _ended(docker: DockerCalls, wanted: ReplicaContainer, seen: Mapping[str, Any]) -> str:
    said = ""
    with contextlib.suppress(*ENGINE_ERRORS):
        text = await docker("logs", seen["Id"], tail=20)
        said = last_line([_readable(line) for line in text.decode("utf-8", "replace").splitlines()])
    code = int(seen["State"].get("ExitCode") or 0)
    if code == 127 and (not said or "python3" in said):
        return no_python(wanted.image)
    if seen["State"].get("OOMKilled"):
        limit = f" of {in_bytes(wanted.memory)}" if wanted.memory else ""
        return f"The container ran out of memory{limit} before its runner listened."
    if reason := seen["State"].get("Error"):
        return f"The container cannot be started from the image {wanted.image}: {_cause(reason)}"
    return f"The container ended before its runner listened (exit code {code})" + (f": {said}" if said else ".")


async def how_it_ended(docker: DockerCalls, seen: Mapping[str, Any]) -> str:
    """Why a replica's container runs no more, in one clause: of one whose runner had listened."""
    said = ""
    with contextlib.suppress(*ENGINE_ERRORS):
        text = await docker("logs", seen["Id"], tail=20)
        said = last_line([_readable(line) for line in text.decode("utf-8", "replace").splitlines()])
    code = int(seen["State"].get("ExitCode") or 0)
    out_of_memory = "ran out of memory" if seen["State"].get("OOMKilled") else "ended"
    return f"its container {out_of_memory} (exit code {code})" + (f": {said}" if said else "")


def _readable(line: str) -> str:
    return "".join(c if c.isprintable() else " " for c in line)


# --- what it needs -----------------------------------------------------------------------------------


async def need_image(docker: DockerCalls, image: str, *, pull: bool) -> None:
    """Have the image on the engine; ``pull`` if it is not there."""
    refused = await docker.try_("inspect_image", image)
    if refused is None:
        return
    why = ""
    if refused == 404 and pull:
        repository, tag = _with_tag(image)
        try:
            await docker("pull", repository, tag)
            await docker("inspect_image", image)
            return
        except ENGINE_ERRORS as error:
            why = f", and it cannot be pulled: {explained(error)}"
    elif refused != 404:
        raise LaunchError(f"The Docker engine does not say whether it has the image {image}.", stage="engine")
    raise LaunchError(f"There is no image {image} on the Docker engine{why or '.'}", stage="image")


async def driver_for(docker: DockerCalls, image: str) -> str | None:
    """What ``NVIDIA_DRIVER_CAPABILITIES`` has to be for the runner to see how busy the GPUs are; ``None`` where that is
    so already. The library that tells it is of the part ``utility``: NVIDIA's runtime puts it in unless the image names
    other parts. A device request that named it would not add it, but leave out all the others."""
    config = (await docker("inspect_image", image)).get("Config") or {}
    for variable in config.get("Env") or ():
        name, _, value = str(variable).partition("=")
        parts = [part.strip() for part in value.split(",") if part.strip()]
        if name == DRIVER and parts and not {"all", "utility"}.intersection(parts):
            return ",".join([*parts, "utility"])
    return None


async def need_volumes(docker: DockerCalls, names: Sequence[str]) -> None:
    """The engine would make those that are not there, empty."""
    missing = []
    for name in names:
        refused = await docker.try_("inspect_volume", name)
        if refused == 404:
            missing.append(name)
        elif refused is not None:
            raise LaunchError(f"The Docker engine does not say whether there is a volume {name}.", stage="engine")
    if missing:
        what = "volume" if len(missing) == 1 else "volumes"
        raise LaunchError(f"The Docker engine has no {what} {', '.join(missing)}.", stage="volume")


def _with_tag(image: str) -> tuple[str, str]:
    """``host:5000/name:tag`` → name and tag; a digest is a tag to the engine."""
    if "@" in image:
        repository, _, digest = image.partition("@")
        return repository, digest
    if ":" in image.rsplit("/", 1)[-1]:
        repository, _, tag = image.rpartition(":")
        return repository, tag
    return image, "latest"
