"""A replica that has ended while the engine or the proxy was away, as the Hub's own code deals with it. No Hub runs, and
no engine is asked: the Hub's handlers, its user and its spawner are the installed JupyterHub's."""

from __future__ import annotations

import asyncio
import logging
from types import SimpleNamespace
from typing import Any

from docker.errors import NotFound
from jupyterhub import orm
from jupyterhub.apihandlers.users import UserServerAPIHandler
from jupyterhub.handlers.base import BaseHandler
from jupyterhub.objects import Server
from jupyterhub.spawner import Spawner
from jupyterhub.user import User
from requests.exceptions import ConnectionError as NoEngine

from jupyter_model_service.adapters.hub_models import HubServer
from jupyter_model_service.adapters.hub_servers import ServerState, state_of
from jupyter_model_service.adapters.key_file import new_key
from jupyter_model_service.adapters.sealing import Sealer
from jupyter_model_service.core.policy import Policy
from jupyter_model_service.hub.life import Life
from jupyter_model_service.hub.settings import HubSettings
from jupyter_model_service.hub.spawner import spawner_class

NAME = "ms-chat-abc123"
ENDED = {"Id": "c1", "State": {"Running": False, "ExitCode": 137}}


class Engine:
    """It knows the replica's container, which has ended. ``looks``: so many more it answers."""

    def __init__(self) -> None:
        self.looks = 1000

    def inspect_container(self, container: str) -> Any:
        if self.looks == 0:
            raise NoEngine("no such file: docker.sock")
        self.looks -= 1
        return ENDED

    def logs(self, container: str, tail: int) -> bytes:
        return b"the model was killed\n"

    def containers(self, **asked: Any) -> list[Any]:
        return []

    def volumes(self, **asked: Any) -> dict[str, Any]:
        return {"Volumes": []}

    def __getattr__(self, method: str) -> Any:
        def call(*args: Any, **named: Any) -> Any:
            raise NotFound("no such container", response=SimpleNamespace(status_code=404))

        return call


class Proxy:
    def __init__(self) -> None:
        self.away = False
        self.answers = asyncio.Event()
        self.answers.set()

    async def delete_user(self, user: Any, server_name: str) -> None:
        await self.answers.wait()
        if self.away:
            raise ConnectionError("the proxy cannot be reached")


class Site(Spawner):
    """The site's own class. What it does is not asked for."""

    client: Any = None

    async def start(self) -> Any:
        raise AssertionError("nothing is started")

    async def stop(self, now: bool = False) -> None:
        raise AssertionError("nothing runs")

    async def poll(self) -> int | None:
        return 1


class Hub:
    """One user with one replica, that ran until a moment ago. ``asked``: statuses of its answers."""

    def __init__(self) -> None:
        self.engine, self.proxy = Engine(), Proxy()
        settings = HubSettings("replicas", Policy(), "hub", Sealer(new_key()), "http://10.0.0.1:8910")
        made = spawner_class(Site, settings)
        made.client = self.engine
        self.db = orm.new_session_factory("sqlite:///:memory:")()
        orm_user = orm.User(name="alice")
        self.db.add(orm_user)
        self.db.commit()
        hub = SimpleNamespace(url="http://10.0.0.1:8081/hub/", base_url="/hub/")
        self.user = User(orm_user, {"spawner_class": made, "allow_named_servers": True, "hub": hub}, self.db)
        self.db.add(orm.Spawner(name=NAME, user=orm_user))
        self.db.commit()
        self.spawner = self.user.spawners[NAME]
        orm_server = orm.Server(base_url=f"/user/alice/{NAME}/")
        self.db.add(orm_server)
        self.db.commit()
        self.spawner.server = Server(orm_server=orm_server)
        self.spawner.model_service_life = Life(do="replica", replica="chat-abc123", container="c1")
        self.spawner.add_poll_callback(BaseHandler.user_stopped, self.handler(), self.user, NAME)
        self.db.commit()

    def handler(self, **body: Any) -> Any:
        async def stop_single_user(user: Any, name: str) -> None:
            raise AssertionError("it has ended: there is nothing to stop")

        self.status = 0

        def set_status(status: int) -> None:
            self.status = status

        return SimpleNamespace(
            log=logging.getLogger("hub"),
            db=self.db,
            proxy=self.proxy,
            allow_named_servers=True,
            find_user=lambda name: self.user,
            get_json_body=lambda: body,
            stop_single_user=stop_single_user,
            set_header=lambda name, value: None,
            set_status=set_status,
        )

    async def delete(self) -> int:
        """``DELETE /users/alice/servers/NAME``, as the gateway asks for it."""
        handler = self.handler(remove=True)
        await UserServerAPIHandler.delete.__wrapped__(handler, "alice", NAME)  # type: ignore[attr-defined]
        return self.status

    def records(self) -> list[str]:
        return sorted(name for name in self.user.orm_spawners if name)


def test_an_engine_that_goes_while_the_hub_notices_an_end_leaves_no_record_that_nothing_removes() -> None:
    """An engine that is stopped ends its containers first: the Hub's look finds one ended, and asks again before it
    forgets the server. That answer failed, and from then on nobody was told any more: each DELETE was refused with
    'Spawner … is active and cannot be deleted', for as long as the Hub ran."""

    async def body() -> None:
        hub = Hub()
        hub.engine.looks = 1
        await hub.spawner.poll_and_notify()
        assert hub.engine.looks == 0
        hub.engine.looks = 1000
        assert await hub.delete() == 204
        assert hub.records() == []

    asyncio.run(body())


def test_nor_does_a_proxy_that_is_away_then() -> None:
    async def body() -> None:
        hub = Hub()
        hub.proxy.away = True
        await hub.spawner.poll_and_notify()
        hub.proxy.away = False
        assert await hub.delete() == 204
        assert hub.records() == []

    asyncio.run(body())


def test_that_its_container_has_ended_is_in_the_state_that_the_gateway_reads() -> None:
    """So that a record which the Hub does not remove is not taken for a replica that lives."""

    async def body() -> None:
        hub = Hub()
        assert not _state_of(hub).over
        await hub.spawner.poll()
        assert (_state_of(hub).over, _state_of(hub).ended) == (
            True,
            "its container ended (exit code 137): the model was killed",
        )

    asyncio.run(body())


def _state_of(hub: Hub) -> ServerState:
    state = state_of(HubServer("alice", NAME, state=hub.spawner.get_state()))
    assert state is not None
    return state


def test_a_server_is_removed_after_what_is_under_way_for_its_end() -> None:
    """The Hub's own look has just found it ended: a DELETE that comes meanwhile is not refused as of one that runs."""

    async def body() -> None:
        hub = Hub()
        hub.proxy.answers.clear()
        look = asyncio.ensure_future(hub.spawner.poll_and_notify())
        removal = asyncio.ensure_future(hub.delete())
        done, _ = await asyncio.wait({look, removal}, timeout=0.5)
        assert not done
        hub.proxy.answers.set()
        assert await removal == 204
        await look
        assert hub.records() == []

    asyncio.run(body())
