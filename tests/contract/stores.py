"""Both kinds of store, and records to put into them."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Protocol

from hypothesis import strategies as st

from jupyter_model_service.adapters.store import SqlStore
from jupyter_model_service.core.definition import Definition
from jupyter_model_service.core.revision import Revision
from jupyter_model_service.ports import EventRecord, Placement, ReplicaRecord, ServiceRecord, Store, TokenRecord
from jupyter_model_service.testing import MemoryStore


class Opener(Protocol):
    async def open(self) -> Store: ...
    async def reopen(self, store: Store) -> Store: ...


class OnDisk:
    def __init__(self, folder: Path) -> None:
        self.path = folder / "state.db"

    async def open(self) -> Store:
        return await SqlStore.open(self.path)

    async def reopen(self, store: Store) -> Store:
        await store.close()
        return await SqlStore.open(self.path)


class InMemory:
    def __init__(self, folder: Path) -> None:
        pass

    async def open(self) -> Store:
        return MemoryStore()

    async def reopen(self, store: Store) -> Store:
        assert isinstance(store, MemoryStore)
        return store.reopened()


KINDS: list[Callable[[Path], Opener]] = [OnDisk, InMemory]


def with_store(opener: Opener, body: Callable[[Store], Coroutine[Any, Any, None]]) -> None:
    async def run() -> None:
        store = await opener.open()
        try:
            await body(store)
        finally:
            await store.close()

    asyncio.run(run())


DEFINITION = Definition(name="Tiny Chat", model_path="/models", port=8000, start_command=("python", "main.py"))


def revision(number: int = 1) -> Revision:
    return Revision(number=number, folder="/home/u/chat", definition=DEFINITION, created_at=100.0 + number)


def service(id: str = "s1", name: str = "chat", **changes: Any) -> ServiceRecord:
    plain = ServiceRecord(
        id=id, owner="u", name=name, public=False, running=True, replicas=1, active=1, stable=None, created_at=5.0
    )
    return dataclasses.replace(plain, **changes)


def replica(id: str = "chat-aaaaaa", service_id: str = "s1", placement: Placement | None = None) -> ReplicaRecord:
    return ReplicaRecord(
        id=id, service_id=service_id, revision=1, secret="5e" * 32, placement=placement, created_at=7.0
    )


def event(id: int, service_id: str = "s1") -> EventRecord:
    return EventRecord(id=id, at=float(id), service_id=service_id, kind="replica.ready", message=f"event {id}")


def token(id: str = "t1", service_id: str = "s1") -> TokenRecord:
    return TokenRecord(id=id, service_id=service_id, name="laptop", digest=id * 8, created_at=9.0)


# A path that is not UTF-8 reaches Python with lone surrogates, and a message may hold that path.
texts = st.text(st.characters(), max_size=30)
numbers = st.floats(allow_nan=False)
integers = st.integers(-(2**63), 2**63 - 1)
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
plain_maps = st.dictionaries(texts, plain, max_size=3)
addresses = st.tuples(texts, st.integers(0, 65535))
