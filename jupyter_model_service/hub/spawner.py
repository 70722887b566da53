"""The spawner of a site with ours in front: named servers ``ms-…`` are replicas and jobs, all others stay as they are.

A start of ours never raises for a replica that cannot be started or a job that fails: both lines of JupyterHub count
that as a failed spawn, and end the whole Hub after ``consecutive_failure_limit`` of them. The server then "runs" at the
Hub's own address until the gateway has read why, or for a minute.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit

import jupyterhub
from jupyterhub import orm
from jupyterhub.utils import maybe_future
from tornado import web

from ..adapters.key_file import SealError
from ..core.hub_options import KEY, SERVER_PREFIX, Options, ReplicaOptions, options_from_plain, sealed_in
from ..core.sentences import counted, in_bytes
from ..errors import LaunchError
from . import container
from .docker_calls import ENGINE_ERRORS, status_of
from .life import Life
from .settings import HubParts, HubSettings
from .sweep import known_of
from .work import Work, container_name

POLL_SECONDS = 5.0
START_SECONDS = 12 * 3600.0  # for the longest snapshot and its turn; every step has a limit of its own
HTTP_SECONDS = 20.0
PROGRESS_SECONDS = 0.25

if TYPE_CHECKING:

    class _Site:
        """What is used of DockerSpawner."""

        name: str
        user: Any
        hub: Any
        handler: Any
        log: Any
        client: Any
        user_options: Mapping[str, Any]
        object_id: str
        object_name: str
        start_timeout: float
        http_timeout: float
        poll_interval: float
        consecutive_failure_limit: int
        _spawn_future: asyncio.Future[Any] | None

        async def start(self) -> Any: ...
        async def stop(self, now: bool = False) -> None: ...
        async def poll(self) -> Any: ...
        async def poll_and_notify(self) -> Any: ...
        @property
        def ready(self) -> bool: ...
        @property
        def active(self) -> bool: ...
        @property
        def pending(self) -> Any: ...
        def add_poll_callback(self, callback: Callable[..., Any], *args: Any, **kwargs: Any) -> None: ...
        def progress(self) -> AsyncIterator[dict[str, Any]]: ...
        def get_state(self) -> dict[str, Any]: ...
        def load_state(self, state: dict[str, Any]) -> None: ...
        def clear_state(self) -> None: ...
        def get_env(self) -> dict[str, str]: ...
        def run_pre_spawn_hook(self) -> Any: ...
        def run_post_stop_hook(self) -> Any: ...
        def delete_forever(self) -> Any: ...
        async def _run_apply_user_options(self, user_options: Mapping[str, Any]) -> None: ...
else:
    _Site = object


class Refused(Exception):
    """Not by our service, or not for this server. One sentence."""


class ModelServiceMixin(_Site):
    """In front of a DockerSpawner class; see :func:`spawner_class`."""

    model_service: ClassVar[HubSettings]
    model_service_parts: ClassVar[HubParts | None] = None
    model_service_life: Life | None = None
    model_service_failures: dict[str, Any] | None = None  # the Hub's settings, which have its count of failed spawns
    model_service_noticing: asyncio.Lock | None = None

    # --- starting ---

    async def start(self) -> Any:
        if not self._is_for_us():
            address = await super().start()
            self._parts()
            return address
        self.model_service_failures = getattr(self.handler, "settings", None)
        try:
            options = self._opened()
        except Refused as refusal:
            return self._refuse(str(refusal))
        if self._ends_with_its_user():
            return self._refuse(f"The user {self.user.name} is being deleted.")
        life = Life(do=options.do)
        if isinstance(options, ReplicaOptions):
            life.replica, life.service = options.replica, options.service
            life.revision, life.wanted_gpus = options.revision, options.gpus
        self.model_service_life = life
        self.object_name, self.object_id = container_name(self), ""
        try:
            await Work(self, self.model_service, self._parts(), life).do(options)
        except LaunchError as error:
            life.fail(error.stage, str(error))
            self.log.warning("Model service: %s of %s could not be done: %s", options.do, self._told(), error)
        except Exception as error:  # a fault of ours must not count as a failed spawn of the Hub
            self.log.exception("Model service: %s of %s failed", options.do, self._told())
            life.fail("internal", f"The Hub's side of the model service failed: {type(error).__name__}.")
        if life.over:
            return self._hubs_own_address()
        self.object_id = life.container or ""
        return life.control

    def _is_for_us(self) -> bool:
        return self.name.startswith(SERVER_PREFIX) or KEY in self.user_options

    def _opened(self) -> Options:
        """What our service asks for, for this server of this user; :class:`Refused` for everything else."""
        who = getattr(self.handler, "current_user", None)
        if not isinstance(who, orm.Service) or who.name != self.model_service.service_name:
            raise Refused(reserved_name())
        try:
            plain = self.model_service.sealer.open(sealed_in(self.user_options))
            options = options_from_plain(plain)
        except SealError as error:
            raise Refused(str(error)) from None
        except ValueError as error:
            raise Refused(f"These options are wrong: {error}") from None
        if (options.user, options.server) != (self.user.name, self.name):
            raise Refused("These options are for another server.")
        return options

    def _refuse(self, sentence: str) -> str:
        """6.x counts no 403 as a failed spawn; 5.x counts everything, and a user must not be able to end the Hub."""
        self.log.warning("Model service: refused to start %s: %s", self._told(), sentence)
        if int(jupyterhub.version_info[0]) >= 6:
            raise web.HTTPError(403, sentence)
        self.model_service_life = Life(do="", restored=True)
        self.model_service_life.fail("refused", sentence)
        return self._hubs_own_address()

    def _parts(self) -> HubParts:
        """Also asked for with a notebook, once that has reached the engine: with them begins the look for what the Hub
        has no record of, which it needs most when it has no replica left."""
        if self.model_service_parts is None:
            type(self).model_service_parts = HubParts(self.model_service, self.client)
        assert self.model_service_parts is not None
        db = self.user.db
        self.model_service_parts.sweep.begin(lambda: known_of(db))
        return self.model_service_parts

    def _hubs_own_address(self) -> str:
        """Of something that answers HTTP and is not the user's: the Hub asks it once whether it is up."""
        url = urlsplit(self.hub.url)
        return f"{url.scheme}://{url.netloc}"

    def _told(self) -> str:
        return f"{self.user.name}/{self.name}"

    def add_poll_callback(self, callback: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """The last that the Hub does in a start that did not raise. It then takes that for a success and counts failed
        spawns anew: notebooks that fail one after the other, with replicas between them, would never reach a limit.
        So its count stays as it is now."""
        super().add_poll_callback(callback, *args, **kwargs)
        settings, self.model_service_failures = self.model_service_failures, None
        if settings is None or self._spawn_future is None:
            return
        failures = settings.get("failure_count", 0)

        def restore(_: object) -> None:
            settings["failure_count"] = max(failures, settings.get("failure_count", 0))

        self._spawn_future.add_done_callback(restore)  # after the Hub's own

    # --- watching and ending ---

    async def poll(self) -> Any:
        life = self.model_service_life
        if life is None:
            # Of a start that a killed Hub has begun, only the container is left.
            if await self._swept():
                return 1
            status = await super().poll()
            self._parts()
            return status
        if life.over:
            return 1 if life.read_by_now else None
        if life.container is None:
            return None if not life.restored else 1
        if life.exit is None:
            life.exit = await self._exit_of(life)
        return life.exit

    async def _exit_of(self, life: Life) -> str | int | None:
        """``None`` while its container runs. No container of ours is started twice: what it says once is for good, and
        the Hub, which asks twice before it forgets a server, needs no engine for the second answer."""
        try:
            seen = await self._parts().docker("inspect_container", life.container)
        except ENGINE_ERRORS as error:
            if status_of(error) == 404:
                return 1
            raise
        state = seen["State"]
        if state["Running"]:
            return None
        if life.ended is None:
            life.ended = await container.how_it_ended(self._parts().docker, seen)
        return f"ExitCode={state.get('ExitCode')}"

    async def poll_and_notify(self) -> Any:
        """The Hub tells of an end once, whatever comes of it: a proxy that is away just then leaves a server that has
        ended and counts as active for as long as the Hub runs, and of which each DELETE is refused (500). So is a
        DELETE that comes while it is being told. Therefore one at a time, and what it did not forget is forgotten here;
        the Hub takes a route that is left from its proxy when it next looks at all of them."""
        if not self.name.startswith(SERVER_PREFIX):
            return await super().poll_and_notify()
        if self.model_service_noticing is None:
            self.model_service_noticing = asyncio.Lock()
        async with self.model_service_noticing:
            status = await super().poll_and_notify()
            if status is not None and self.ready:
                self.log.warning("Model service: %s has ended (%s), and is forgotten after all", self._told(), status)
                await self.user.stop(self.name)
        return status

    async def stop(self, now: bool = False) -> None:
        if self.model_service_life is None:
            await super().stop(now)
            return
        await self._clean_up(None if now else container.STOP_SECONDS)

    @property
    def will_resume(self) -> bool:
        """Whether the Hub keeps the server's token and OAuth client for its next start. Names of ours are used once:
        each replica that ever ran would leave a token that never expires."""
        return not self.name.startswith(SERVER_PREFIX) and bool(getattr(super(), "will_resume", False))

    async def _swept(self) -> bool:
        """Take away a container of ours that the Hub's database does not know of; whether there was one."""
        if not self.name.startswith(SERVER_PREFIX):
            return False
        try:
            return await container.remove(
                self._parts().docker, container_name(self), hub=self.model_service.hub, server=self.name
            )
        except LaunchError:
            return False  # a notebook that had such a name before us

    async def delete_forever(self) -> None:
        """The Hub stops nothing of which it has no server; a container may be there all the same. Of a user's default
        server this is the end of the user."""
        if not self.name:
            self._parts().departures.begin(self.user)
        elif not self._ends_with_its_user():
            await self._swept()
        await maybe_future(super().delete_forever())

    @property
    def active(self) -> bool:
        return bool(super().active) and not (self._ends_with_its_user() and not self.pending)

    def _ends_with_its_user(self) -> bool:
        parts = self.model_service_parts
        return parts is not None and self.name.startswith(SERVER_PREFIX) and parts.departures.under_way(self.user.name)

    async def _clean_up(self, seconds: int | None = None) -> None:
        """Nothing of the replica is left, and its GPUs are free."""
        life = self.model_service_life
        if life is None or life.do != "replica":
            return
        parts = self._parts()
        try:
            await container.remove(
                parts.docker, container_name(self), hub=self.model_service.hub, server=self.name, seconds=seconds
            )
        except LaunchError:
            parts.sweep.soon()  # the Hub forgets the server all the same
            raise
        finally:
            if life.replica is not None:
                parts.gpus.give_back(life.replica)
        life.container = None
        self.object_id = ""

    def run_post_stop_hook(self) -> Any:
        """The Hub asks a server that has ended by itself for nothing else."""
        if self.model_service_life is None:
            return super().run_post_stop_hook()
        return self._clean_up()

    async def progress(self) -> AsyncIterator[dict[str, Any]]:
        """Also what a job has done so far, with ``files`` and ``bytes`` beside what the Hub's page shows."""
        life = self.model_service_life
        if life is None:
            async with contextlib.aclosing(super().progress()) as events:  # type: ignore[type-var]
                async for event in events:
                    yield event
            return
        yield {"progress": 10, "message": "Starting the replica" if life.do == "replica" else f"Doing a {life.do}"}
        told: dict[str, int] = {}
        while not life.over and life.container is None:
            if life.progress != told:
                told = dict(life.progress)
                done = f"Copied {counted(told['files'], 'file')}, {in_bytes(told['bytes'])}"
                yield {"progress": 50, "message": done, **told}
            await asyncio.sleep(PROGRESS_SECONDS)

    # --- what the Hub keeps ---

    def get_state(self) -> dict[str, Any]:
        state = super().get_state()
        if self.model_service_life is not None:
            state[KEY] = self.model_service_life.to_plain()
        return state

    def load_state(self, state: dict[str, Any]) -> None:
        super().load_state(state)
        if isinstance(state.get(KEY), Mapping):
            self.model_service_life = Life.from_plain(state[KEY])
            self._set_times()

    def clear_state(self) -> None:
        """Of a replica that has ended by itself, why stays to be read until its server is removed."""
        super().clear_state()
        life, self.model_service_life = self.model_service_life, None
        if life is not None and life.ended is not None:
            self.model_service_life = Life(do=life.do, replica=life.replica, restored=True)
            self.model_service_life.fail("ended", life.ended)

    # --- what the Hub does before a start ---

    def run_pre_spawn_hook(self) -> Any:
        """A site's hook is for notebooks: it may mount a home, or refuse a user who has not paid for hers."""
        if self._is_for_us():
            self._set_times()
            return None
        return super().run_pre_spawn_hook()

    async def _run_apply_user_options(self, user_options: Mapping[str, Any]) -> None:
        if not self._is_for_us():
            await super()._run_apply_user_options(user_options)

    def _set_times(self) -> None:
        self.start_timeout, self.http_timeout, self.poll_interval = START_SECONDS, HTTP_SECONDS, POLL_SECONDS
        self.consecutive_failure_limit = 0

    def get_env(self) -> dict[str, str]:
        environment = super().get_env()
        if not self._is_for_us():
            prefix = self.hub.base_url.removesuffix("/").removesuffix("hub")
            environment.setdefault(
                "MODEL_SERVICE_URL", f"{self.model_service.gateway}{prefix}services/{self.model_service.service_name}/"
            )
        return environment


def reserved_name() -> str:
    return (
        f'Servers whose names begin with "{SERVER_PREFIX}" are replicas of the model service: only it starts them. '
        'Use "jupyter model-service".'
    )


def spawner_class(site: type[Any], settings: HubSettings) -> type[Any]:
    """The site's class with ours in front: its configuration is found by the names of its own classes."""
    return type("ModelServiceSpawner", (ModelServiceMixin, site), {"model_service": settings, "__module__": __name__})


__all__ = ["ModelServiceMixin", "Refused", "reserved_name", "spawner_class"]
