"""When the look for what the Hub has no record of begins: with its first server, whatever that is. No engine is asked."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from jupyterhub import orm

from jupyter_model_service.adapters.key_file import new_key
from jupyter_model_service.adapters.sealing import Sealer
from jupyter_model_service.core.policy import Policy
from jupyter_model_service.hub.settings import HubSettings
from jupyter_model_service.hub.spawner import spawner_class


class Engine:
    """It has one container, of a replica that the Hub has no record of."""

    def __init__(self) -> None:
        self.there = ["left-over"]
        self.emptied = threading.Event()

    def containers(self, **asked: Any) -> list[dict[str, Any]]:
        return [{"Id": each, "Names": ["/" + each], "Labels": {}} for each in self.there]

    def remove_container(self, container: str, **how: Any) -> None:
        self.there.remove(container)
        self.emptied.set()

    def volumes(self, **asked: Any) -> dict[str, Any]:
        return {"Volumes": []}


class Notebook:
    """A notebook's spawner, of a site whose Hub has no replica."""

    name = ""
    user_options: dict[str, Any] = {}  # noqa: RUF012
    client: Any = None
    faulty = False

    def __init__(self, db: Any) -> None:
        self.user = SimpleNamespace(name="alice", db=db)

    async def poll(self) -> int | None:
        if self.faulty:
            raise OSError("no engine")
        return None

    async def start(self) -> tuple[str, int]:
        if self.faulty:
            raise OSError("no engine")
        return "10.0.0.1", 8888


def a_notebook(engine: Engine | None) -> Any:
    settings = HubSettings("replicas", Policy(), "hub", Sealer(new_key()), "http://10.0.0.1:8910")
    made = spawner_class(Notebook, settings)(orm.new_session_factory("sqlite:///:memory:")())
    type(made).client = engine
    type(made).faulty = engine is None
    return made


@pytest.mark.parametrize(
    ("touched", "answer"), [(lambda one: one.poll(), None), (lambda one: one.start(), ("10.0.0.1", 8888))]
)
def test_what_is_left_over_goes_with_the_first_notebook(touched: Callable[[Any], Any], answer: Any) -> None:
    """A Hub without a record of ours, after it was ended with all its servers, has nobody else who would begin."""
    engine = Engine()

    async def body() -> None:
        assert await touched(a_notebook(engine)) == answer
        assert await asyncio.to_thread(engine.emptied.wait, 20)

    asyncio.run(body())
    assert engine.there == []


@pytest.mark.parametrize("touched", [lambda one: one.poll(), lambda one: one.start()])
def test_a_notebooks_own_failure_stays_what_it_is(touched: Callable[[Any], Any]) -> None:
    """Nothing of ours comes before it, nor hides it: the engine's client may be what fails."""
    made = a_notebook(None)
    with pytest.raises(OSError, match="no engine"):
        asyncio.run(touched(made))
    assert made.model_service_parts is None
