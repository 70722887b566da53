"""What the spawner does for the gateway: a replica's container, a snapshot, a collection, a look at the GPUs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..core import policy as rules
from ..core.effective import Effective, effective
from ..core.gpu_looks import look_to_plain
from ..core.hub_options import LookOptions, Options, ReplicaOptions, SnapshotOptions
from ..core.sentences import in_bytes
from ..errors import LaunchError
from . import container
from .context import Notebook
from .docker_calls import ENGINE_ERRORS, explained
from .life import Life
from .notebooks import notebooks_of, preferred
from .settings import HubParts, HubSettings
from .sizes import size_of


class Work:
    """One piece of it, for the user of ``spawner`` (a DockerSpawner, in the Hub's process)."""

    def __init__(self, spawner: Any, settings: HubSettings, parts: HubParts, life: Life) -> None:
        self._spawner = spawner
        self._settings = settings
        self._parts = parts
        self._life = life

    def _holds(self, user: str) -> Effective:
        """For the user, by her groups as they are now."""
        return effective(self._settings.policy, user, [group.name for group in self._spawner.user.groups])

    async def do(self, options: Options) -> None:
        """Raises ``LaunchError``; cancelled, it leaves nothing behind."""
        try:
            if isinstance(options, LookOptions):
                found = await self._parts.gpus.look(self._parts.docker)
                self._life.done(look_to_plain(found, self._settings.hub))
                return
            notebooks = await notebooks_of(self._spawner, self._parts.docker)
            if isinstance(options, ReplicaOptions):
                await self._start_replica(options, notebooks)
            elif isinstance(options, SnapshotOptions):
                self._life.done(await self._keep_snapshot(options, notebooks))
            else:
                self._life.done(await self._parts.snapshots.collect(options.user, options.keep))
        except ENGINE_ERRORS as error:
            raise LaunchError(f"The Docker engine does not answer: {explained(error)}", stage="engine") from error

    # --- replicas ---

    async def _start_replica(self, options: ReplicaOptions, notebooks: list[Notebook]) -> None:
        docker = self._parts.docker
        notebook = preferred(notebooks)
        image = self._image(options.user, options.image, notebooks)
        cpus, memory = self._limits(options)
        self._check_policy(options, image)
        await container.need_image(docker, image, pull=self._spawner.pull_policy not in ("never", "skip"))
        await self._check_volumes(options)
        try:
            gpus = await self._parts.gpus.take(
                options.gpus, options.replica, docker, label=f"{options.owner}/{options.service}", user=options.user
            )
            wanted = container.ReplicaContainer(
                name=container_name(self._spawner),
                hub=self._settings.hub,
                network=self._settings.network,
                image=image,
                options=options,
                gpus=gpus,
                driver=await container.driver_for(docker, image) if gpus else None,
                cpus=cpus,
                memory=memory,
                run_as=notebook.run_as if notebook.image == image else None,
                from_site=await site_host_config(self._spawner),
            )
            made, address = await container.start(docker, wanted)
        except BaseException:
            self._parts.gpus.give_back(options.replica)
            raise
        life = self._life
        life.container, life.image, life.gpus = made, image, tuple(gpus)
        life.control, life.address = (address, wanted.control_port), (address, options.port)

    def _image(self, user: str, asked: str | None, notebooks: list[Notebook]) -> str:
        """What her notebook runs, or another that the administrator or the site lets her have."""
        if asked is None:
            return preferred(notebooks).image
        policy = self._holds(user).policy
        if policy.allowed_images is not None:
            return asked  # the policy's patterns say the rest
        if any(notebook.image == asked for notebook in notebooks):
            return asked
        offered = self._spawner._get_allowed_images()
        if offered == "*":
            return asked
        if asked in (offered or {}):
            return str(offered[asked])
        if asked in (offered or {}).values():
            return asked
        raise LaunchError(
            f"The image {asked} may not be used for replicas: it is neither what your notebook runs nor one of "
            "those that the administrator offers for notebooks (set for all users).",
            stage="policy",
        )

    def _limits(self, options: ReplicaOptions) -> tuple[float | None, int | None]:
        """What is not asked for is what a notebook has here; more than that only where the policy says how much."""
        site_cpus, site_memory = self._spawner.cpu_limit or None, size_of(self._spawner.mem_limit or None)
        policy = self._holds(options.user).policy
        cpus = options.cpus if options.cpus is not None else _least(site_cpus, policy.max_cpus)
        memory = options.memory if options.memory is not None else _least(site_memory, policy.max_memory)
        if policy.max_cpus is None and site_cpus is not None and cpus is not None and cpus > site_cpus:
            raise LaunchError(
                f"A replica may have at most {site_cpus:g} CPUs, as a notebook here, and {cpus:g} are asked for "
                "(set for all users).",
                stage="policy",
            )
        if policy.max_memory is None and site_memory is not None and memory is not None and memory > site_memory:
            raise LaunchError(
                f"A replica may have at most {in_bytes(site_memory)} of memory, as a notebook here, "
                f"and {in_bytes(memory)} are asked for (set for all users).",
                stage="policy",
            )
        return cpus, None if memory is None else int(memory)

    def _check_policy(self, options: ReplicaOptions, image: str) -> None:
        volumes = {mount.source: not mount.read_only for mount in options.mounts}
        if options.storage is not None and options.storage.kind == "volume":
            volumes.setdefault(options.storage.volume, False)
        wish = rules.Wish(image=image, gpus=options.gpus, cpus=options.cpus, memory=options.memory, volumes=volumes)
        groups = [group.name for group in self._spawner.user.groups]
        holds = self._holds(options.user)
        if said := rules.check(holds.policy, options.user, groups, wish, rules.Held(), holds.set_by):
            raise LaunchError(" ".join(said), stage="policy")
        # The user's others take up what she may have, as while an update rolls out: there is room when one has gone.
        held = self._held(options.replica)
        if said := rules.check(holds.policy, options.user, groups, wish, held, holds.set_by):
            raise LaunchError(" ".join(said), stage="room")

    def _held(self, replica: str) -> rules.Held:
        """By the user's other replicas, which are spawners of this process. Of several that are being started, those
        count that began before: else two that come together could keep each other out."""
        lives = [spawner.model_service_life for spawner in self._spawner.user.spawners.values()]
        others = [
            life
            for life in lives
            if life is not None and life.do == "replica" and not life.over
            if life.replica != replica and life.began <= self._life.began
        ]
        return rules.Held(len(others), sum(life.wanted_gpus for life in others))

    async def _check_volumes(self, options: ReplicaOptions) -> None:
        names = [mount.source for mount in options.mounts]
        storage = options.storage
        if storage is not None and storage.kind == "snapshot":
            if not await self._parts.snapshots.belongs(options.user, storage.volume):
                raise LaunchError(
                    f"The files of revision {options.revision} are not there any more: update the service.",
                    stage="volume",
                )
        elif storage is not None:
            names.append(storage.volume)
        await container.need_volumes(self._parts.docker, names)

    # --- jobs ---

    async def _keep_snapshot(self, options: SnapshotOptions, notebooks: list[Notebook]) -> dict[str, Any]:
        notebook = preferred(notebooks)
        # It is for the replicas, and this is the first that is asked of us.
        self._image(options.user, options.image, notebooks)
        image = options.image if any(each.image == options.image for each in notebooks) else notebook.image
        assert image is not None
        await container.need_image(self._parts.docker, image, pull=False)

        def report(files: int, size: int) -> None:
            self._life.progress = {**self._life.progress, "files": files, "bytes": size}

        def expected(files: int, size: int) -> None:
            self._life.progress = {"files": 0, "bytes": 0, "of_files": files, "of_bytes": size}

        mounts = [mount for each in (notebook, *notebooks) for mount in each.mounts]
        chosen = list({mount.target: mount for mount in reversed(mounts)}.values())
        options = replace(options, image=image)
        return await self._parts.snapshots.keep(
            chosen, options, report, image=image, run_as=notebook.run_as, expected=expected
        )


def container_name(spawner: Any) -> str:
    """DockerSpawner's own for a named server, whatever template the site has for notebooks: that may not tell
    servers apart."""
    return str(spawner._render_templates("{prefix}-{username}--{servername}"))


async def site_host_config(spawner: Any) -> Mapping[str, Any]:
    """The site's ``extra_host_config``, which may be a function of the spawner."""
    given = spawner.extra_host_config
    if callable(given):
        given = given(spawner)
        if hasattr(given, "__await__"):
            given = await given
    return given or {}


def _least(*limits: Any) -> Any:
    return min((limit for limit in limits if limit is not None), default=None)
