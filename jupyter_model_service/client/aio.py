"""``AsyncClient``: the same methods as ``Client``, awaited. See there for what each does and raises."""

from __future__ import annotations

import asyncio
import builtins
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import httpx

from ..errors import GatewayUnavailable, ModelServiceError, NotFound, Unauthenticated
from ..wire import EventInfo, GatewayInfo, LogAnswer, OfferInfo, ServiceInfo, ValidateAnswer, Visibility
from . import calls, endpoint
from .access_async import Access
from .address import Address, Locator
from .admin_async import Admin
from .audit_async import Audit
from .calls import Call, Copied, Key
from .events import Change, RawChange, Reconnect, StreamParser, read_change
from .exchange import (
    ANSWER_LIMIT,
    CONNECT_SECONDS,
    Answer,
    Broken,
    Request,
    Unreachable,
    conversation,
    refused,
    stream_request,
)
from .folders import Steps, for_create, for_service, for_update, for_validate
from .patience import LISTEN_AFTER, OnCopy, Tell, reading
from .scaling_async import Scaling
from .stepping import drive, end, next_until, one_move
from .tokens_async import Tokens
from .waiting import WAIT_SECONDS, Following, Goal, failure

T = TypeVar("T")


class AsyncClient(Access, Admin, Audit, Scaling, Tokens):
    """:class:`~.sync.Client` for asyncio. Belongs to one event loop; ``async with`` gives its connections back."""

    def __init__(self, url: str | None = None, token: str | None = None, *, data_dir: str | Path | None = None) -> None:
        self._locator = Locator(url, token, data_dir)
        self._http: httpx.AsyncClient | None = None
        self._owner: str | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._locator.shown}>"

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def url(self) -> str:
        return self._locator.current().url

    @property
    def token(self) -> str:
        return self._locator.current().token

    async def close(self) -> None:
        if self._http is not None:
            await self._http.aclose()
            self._http = None

    # --- services ----------------------------------------------------------------------------------------

    async def info(self) -> GatewayInfo:
        return await self._send(calls.info())

    async def offer(self) -> OfferInfo:
        """What can be asked for now: GPUs, images, limits."""
        return await self._send(calls.offer())

    async def validate(self, folder: str | Path) -> ValidateAnswer:
        options = await self._complete(for_validate({"folder": calls.absolute(folder)}))
        return await self._send(calls.validate(**options))

    async def create(
        self,
        folder: str | Path,
        name: str | None = None,
        *,
        replicas: int = 1,
        public: bool | None = None,
        visibility: Visibility | None = None,
        image: str | None = None,
        environment: Mapping[str, str] | None = None,
        mounts: Sequence[str | Mapping[str, Any]] | None = None,
        cpus: float | None = None,
        memory: int | str | None = None,
        gpus: int | None = None,
        on_copy: OnCopy | None = None,
    ) -> ServiceInfo:
        options = calls.revision_options(folder, image, environment, mounts, cpus, memory, gpus)
        options = await self._complete(for_create(options))
        options |= {"name": name, "replicas": replicas, "public": public, "visibility": visibility}
        return await self._send(calls.create(options), on_copy)

    async def list(self) -> builtins.list[ServiceInfo]:
        return await self._send(calls.services())

    async def get(self, name: str) -> ServiceInfo:
        service = await self._plain(calls.get(await self._key(name)))
        return calls.read_service(await self._complete(for_service(service)))

    async def scale(self, name: str, replicas: int) -> ServiceInfo:
        return await self._send(calls.scale(await self._key(name), replicas))

    async def update(
        self,
        name: str,
        folder: str | Path | None = None,
        *,
        public: bool | None = None,
        visibility: Visibility | None = None,
        image: str | None = None,
        environment: Mapping[str, str] | None = None,
        mounts: Sequence[str | Mapping[str, Any]] | None = None,
        cpus: float | None = None,
        memory: int | str | None = None,
        gpus: int | None = None,
        on_copy: OnCopy | None = None,
    ) -> ServiceInfo:
        options = calls.revision_options(folder, image, environment, mounts, cpus, memory, gpus)
        key = await self._key(name)
        options = await self._complete(for_update(key, {**options, "public": public, "visibility": visibility}))
        return await self._send(calls.update(key, options), on_copy)

    async def rollback(self, name: str, revision: int | None = None) -> ServiceInfo:
        return await self._send(calls.rollback(await self._key(name), revision))

    async def restart(self, name: str) -> ServiceInfo:
        return await self._send(calls.act(await self._key(name), "restart"))

    async def stop(self, name: str) -> ServiceInfo:
        return await self._send(calls.act(await self._key(name), "stop"))

    async def start(self, name: str) -> ServiceInfo:
        return await self._send(calls.act(await self._key(name), "start"))

    async def delete(self, name: str) -> None:
        await self._send(calls.delete(await self._key(name)))

    async def endpoint(self, name: str) -> str:
        key = await self._key(name)
        listed = await self._send(calls.endpoint_listed(key)) if "/" in name else None
        return listed or (await self._send(calls.get(key))).endpoint

    # --- what happened -------------------------------------------------------------------------------------

    async def logs(
        self, name: str, replica: str | None = None, *, after: int = 0, limit: int = 1000, tail: int | None = None
    ) -> LogAnswer:
        key = await self._key(name)
        if tail is None:
            return await self._send(calls.logs(key, replica, after, limit))
        pages = calls.last_logs(key, replica, tail)
        try:
            call = next(pages)
            while True:
                call = pages.send(await self._plain(call))
        except StopIteration as end:
            return calls.read_logs(end.value)

    async def events(self, name: str, *, after: int = 0, limit: int = 100) -> builtins.list[EventInfo]:
        return await self._send(calls.events(await self._key(name), after, limit))

    async def watch(self, timeout: float | None = None) -> AsyncGenerator[Change, None]:
        async with contextlib.aclosing(self._watch(_deadline(timeout))) as changes:
            async for raw in changes:
                yield read_change(raw)

    async def wait_ready(
        self,
        name: str,
        timeout: float = WAIT_SECONDS,
        on_change: Callable[[ServiceInfo], None] | None = None,
    ) -> ServiceInfo:
        key = await self._key(name)
        service = await self._send(calls.get(key))
        following = Following(key, Goal(revision=service.revision, stopped=service.state == "stopped"), timeout)
        async with contextlib.aclosing(self._follow(following)) as states:
            async for state in states:
                service = calls.read_service(state)
                if on_change is not None:
                    on_change(service)
        if following.last is not None and following.outcome is not None and not following.outcome.ok:
            raise failure(following.last, following.outcome)
        return service

    # --- calling the model ---------------------------------------------------------------------------------

    async def request(
        self, method: str, name: str, path: str = "", *, timeout: float = 300.0, **options: Any
    ) -> httpx.Response:
        async with self.stream(method, name, path, timeout=timeout, **options) as response:
            try:
                await response.aread()
            except httpx.TransportError as error:
                raise endpoint.interrupted(error) from error
            return response

    async def call(self, name: str, path: str = "", *, timeout: float = 300.0, **options: Any) -> httpx.Response:
        return await self.request(endpoint.method_for(options), name, path, timeout=timeout, **options)

    @contextlib.asynccontextmanager
    async def stream(
        self, method: str, name: str, path: str = "", *, timeout: float = 300.0, **options: Any
    ) -> AsyncIterator[httpx.Response]:
        response = await self._open(method, await self._key(name), path, timeout, options)
        try:
            if endpoint.refused_by_gateway(response):
                await response.aread()
                raise endpoint.failure(response)
            yield response
        finally:
            await response.aclose()

    async def _open(self, method: str, key: Key, path: str, timeout: float, options: dict[str, Any]) -> httpx.Response:
        again = True
        while True:
            address = await self._address()
            http = self._client(address.loopback)
            request = http.build_request(method, **endpoint.arguments(address, key, path, timeout, options))
            try:
                response = await http.send(request, stream=True)
            except httpx.TransportError as error:
                if not (again and endpoint.unsent(error) and await asyncio.to_thread(self._locator.moved)):
                    raise endpoint.no_answer(address, error) from error
            else:
                if not (
                    again and endpoint.may_repeat(response, options) and await asyncio.to_thread(self._locator.moved)
                ):
                    return response
                await response.aclose()
            again = False

    # --- how it is carried -----------------------------------------------------------------------------------

    def _client(self, loopback: bool) -> httpx.AsyncClient:
        if self._http is None:
            self._http = httpx.AsyncClient(trust_env=not loopback)
        return self._http

    async def _address(self) -> Address:
        return await asyncio.to_thread(self._locator.current)

    async def _key(self, name: str) -> Key:
        owner, name = calls.split_name(name)
        if owner is None:
            if self._owner is None:
                self._owner = (await self.info()).owner
            owner = self._owner
        return owner, name

    async def _send(self, call: Call[T], on_copy: OnCopy | None = None) -> T:
        if call.copied is None:
            return call.read(await self._plain(call))
        answer = asyncio.ensure_future(self._plain(call))
        hearing = asyncio.ensure_future(self._hear(call.copied, reading(on_copy)))
        try:
            await asyncio.wait({answer, hearing}, return_when=asyncio.FIRST_COMPLETED)
            if not answer.done():
                hearing.result()  # raises when the gateway is lost, and what ``on_copy`` raised
            return call.read(await answer)
        finally:
            await end(answer, hearing)

    async def _hear(self, copied: Copied, tell: Tell) -> None:
        """What :class:`.patience.Patience` does, on the loop."""
        await asyncio.sleep(LISTEN_AFTER)
        try:
            owner = (await self.info()).owner
            async with contextlib.aclosing(self._watch(None, known=True)) as changes:
                async for change in changes:
                    if change.kind == "copying" and not change.data.get("over") and copied.fits(change.data, owner):
                        tell(change.data)
        except GatewayUnavailable:
            raise
        except ModelServiceError:
            return  # nothing to be heard here; the answer will come all the same

    async def _plain(self, call: Call[Any]) -> Any:
        talk = conversation(self._locator, call)
        request, result = await asyncio.to_thread(one_move, lambda: next(talk))
        while request is not None:
            try:
                answer = await self._exchange(request)
            except (Unreachable, Broken) as error:
                request, result = await asyncio.to_thread(one_move, partial(talk.throw, error))
            else:
                request, result = await asyncio.to_thread(one_move, partial(talk.send, answer))
        return result

    async def _complete(self, steps: Steps) -> dict[str, Any]:
        return await drive(steps, self._plain, embedded=not self._locator.explicit)

    async def _exchange(self, request: Request) -> Answer:
        try:
            return await asyncio.wait_for(self._answer(request), request.seconds)
        except (TimeoutError, asyncio.TimeoutError) as error:  # two classes before Python 3.11
            raise Broken(f"not complete after {request.seconds:g} s") from error

    async def _answer(self, request: Request) -> Answer:
        async with self._sent(request) as response:
            pieces, size = [], 0
            async for piece in response.aiter_bytes():
                pieces.append(piece)
                size += len(piece)
                if size > ANSWER_LIMIT:
                    raise Broken("the answer is too large")
            headers = {name.lower(): value for name, value in response.headers.items()}
            return Answer(response.status_code, headers, b"".join(pieces))

    @contextlib.asynccontextmanager
    async def _sent(self, request: Request) -> AsyncIterator[httpx.Response]:
        http = self._client(request.loopback)
        times = httpx.Timeout(request.seconds, connect=CONNECT_SECONDS)
        try:
            async with http.stream(
                request.method, request.url, content=request.body, headers=dict(request.headers), timeout=times
            ) as response:
                yield response
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise Unreachable(str(error) or type(error).__name__) from error
        except httpx.TransportError as error:
            raise Broken(str(error) or type(error).__name__) from error

    # --- following -------------------------------------------------------------------------------------------

    async def _watch(self, deadline: float | None, *, known: bool = False) -> AsyncGenerator[RawChange, None]:
        """``known``: the gateway was there a moment ago, and is waited for from the beginning."""
        reconnect = Reconnect()
        if known:
            reconnect.heard()
        while deadline is None or time.monotonic() < deadline:
            try:
                async with contextlib.aclosing(self._stream_changes()) as changes:
                    while (change := await next_until(changes, deadline)) is not None:
                        reconnect.heard()
                        yield change
            except (Unreachable, Broken, GatewayUnavailable) as error:
                pause = reconnect.lost(time.monotonic(), error)
                await asyncio.sleep(pause if deadline is None else min(pause, max(0.0, deadline - time.monotonic())))
                self._locator.forget()

    async def _stream_changes(self) -> AsyncGenerator[RawChange, None]:
        address = await self._address()
        parser = StreamParser()
        async with self._sent(stream_request(address)) as response:
            if response.status_code != 200:
                headers = {name.lower(): value for name, value in response.headers.items()}
                error = refused(address, Answer(response.status_code, headers, await response.aread()))
                if isinstance(error, Unauthenticated):
                    raise Broken(error.message)  # a restarted gateway has another token
                raise error
            async for chunk in response.aiter_bytes():
                for change in parser.feed(chunk):
                    yield change
        raise Broken("the event stream ended")

    async def _follow(self, following: Following) -> AsyncGenerator[Mapping[str, Any], None]:
        """:meth:`.light.Connection.follow`, awaited."""
        deadline = time.monotonic() + following.seconds
        if await self._look(following):
            yield following.last or {}
        if following.finished():
            return
        async with contextlib.aclosing(self._watch(deadline)) as changes:
            async for change in changes:
                if change.kind == "resync":
                    new = await self._look(following)
                elif change.key != following.name:
                    continue
                elif change.kind == "service":
                    new = following.take(change.data)
                elif change.kind == "removed":
                    following.gone()
                    return
                else:
                    continue
                if new:
                    yield following.last or {}
                if following.finished():
                    return
        raise following.late()

    async def _look(self, following: Following) -> bool:
        try:
            return following.take(await self._plain(calls.get(following.key)))
        except NotFound:
            following.gone()
            return False


def _deadline(seconds: float | None) -> float | None:
    return None if seconds is None else time.monotonic() + seconds
