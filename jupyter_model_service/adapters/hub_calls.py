"""One call to the Hub's REST API: limits, repetition, and what its failures mean."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable, Coroutine, Iterator, Mapping
from typing import Any, TypeVar

import httpx

from ..errors import HubRefused, HubUnavailable
from ..ports import Clock

QUICK_SECONDS = 15.0  # for what the Hub answers from its database
LONGEST_RETRY = 60.0  # for longer no call is held back, whatever the Hub says
_PAUSES = (0.1, 0.2, 0.4, 0.8, 1.6, 3.0)  # between attempts where the Hub names no time
_LATER = (429, 502, 503, 504)

T = TypeVar("T")


class Lane:
    """Calls of one kind: so many at once, and none before the Hub said so."""

    def __init__(self, width: int) -> None:
        self.room = asyncio.Semaphore(width)
        self.closed_until = 0.0  # of the monotonic clock
        self.why: HubUnavailable | None = None  # what it was closed by


class HubCalls:
    """``token`` is the service's own, never shown. ``patience``: seconds for which a call is repeated while the Hub is
    not there or says "later"; at least one attempt is made."""

    def __init__(
        self, url: str, token: str, patience: float, clock: Clock, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self.url = url.rstrip("/")
        self._own = {"Authorization": f"token {token}", "Accept": "application/json"}
        self._patience = patience
        self._clock = clock
        self._http = httpx.AsyncClient(
            trust_env=False,  # neither a proxy nor a .netrc of the environment may see the tokens
            transport=transport,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=16, keepalive_expiry=20.0),
        )

    async def close(self) -> None:
        await self._http.aclose()

    async def call(
        self,
        lane: Lane,
        method: str,
        path: str,
        *,
        body: Any = None,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        limit: float = QUICK_SECONDS,
        patience: float | None = None,
        again: bool = True,
        waits: Callable[[HubUnavailable], None] = lambda failure: None,
    ) -> httpx.Response:
        """The answer, whatever its status but those that mean "later". ``again``: a call that may have arrived may be
        made once more. ``limit`` is for one attempt. ``waits`` is told what each pause is for."""
        end = self._clock.monotonic() + (self._patience if patience is None else patience)
        pauses = _pauses()
        while True:
            held = lane.closed_until - self._clock.monotonic()
            if held > 0:
                if lane.closed_until > end:
                    raise HubUnavailable(
                        f"The Hub at {self.url} is to be left alone for now.", retry_after=held, sent=False
                    )
                if lane.why is not None:
                    waits(lane.why)
                await self._clock.sleep(held)
            try:
                answer = await self._once(lane, method, path, body, params, headers, limit)
            except HubUnavailable as lost:
                failure, pause = lost, next(pauses)
            else:
                if answer.status_code not in _LATER:
                    return answer
                failure = self._later(answer)
                pause = next(pauses)
                if answer.status_code in (429, 503) and failure.retry_after is not None:
                    pause = min(failure.retry_after, LONGEST_RETRY)
                    lane.closed_until = max(lane.closed_until, self._clock.monotonic() + pause)
                    lane.why = failure
            if (failure.sent and not again) or self._clock.monotonic() + pause > end:
                raise failure
            waits(failure)
            await self._clock.sleep(pause * random.uniform(1.0, 1.25))  # not all of us at the same instant

    async def _once(
        self,
        lane: Lane,
        method: str,
        path: str,
        body: Any,
        params: Mapping[str, str] | None,
        headers: Mapping[str, str] | None,
        limit: float,
    ) -> httpx.Response:
        async with lane.room:
            try:
                return await limited(
                    self._http.request(
                        method,
                        self.url + path,
                        content=None if body is None else json.dumps(body).encode(),
                        params=params,
                        headers={**self._own, **(headers or {})},
                        timeout=httpx.Timeout(limit, connect=min(limit, 5.0)),
                    ),
                    limit,
                )
            except (httpx.HTTPError, asyncio.TimeoutError) as error:
                raise self._lost(error, limit) from error

    def plain(self, answer: httpx.Response) -> Mapping[str, Any]:
        """The JSON object of a good answer."""
        self.check(answer)
        try:
            value = answer.json()
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise HubRefused(
                f"What answers at {self.url} is no JupyterHub: it sent no JSON object.", hub_status=answer.status_code
            )
        return value

    def check(self, answer: httpx.Response) -> None:
        if not 200 <= answer.status_code < 300:
            raise self.refused(answer)

    def refused(self, answer: httpx.Response) -> HubRefused:
        status = answer.status_code
        if status == 401 or (status == 403 and answer.request.url.path.endswith("/user")):
            said = "it does not know this service's token: is the service registered there, with this token?"
        else:
            said = f"status {status}{_said(answer)}"
        return HubRefused(f"The Hub at {self.url} refused a request: {said}", hub_status=status)

    def _later(self, answer: httpx.Response) -> HubUnavailable:
        """A proxy that gave up waiting (502, 504) may have passed the call on."""
        return HubUnavailable(
            f'The Hub at {self.url} says "later": status {answer.status_code}{_said(answer)}',
            retry_after=_retry_after(answer),
            sent=answer.status_code in (502, 504),
        )

    def _lost(self, error: Exception, limit: float) -> HubUnavailable:
        if isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout)):
            return HubUnavailable(f"The Hub at {self.url} cannot be reached: {error or 'no connection'}.", sent=False)
        if isinstance(error, (asyncio.TimeoutError, httpx.TimeoutException)):
            return HubUnavailable(f"The Hub at {self.url} did not answer within {limit:g} s.")
        return HubUnavailable(f"The Hub at {self.url} broke the connection: {error or type(error).__name__}.")


async def limited(work: Coroutine[Any, Any, T], seconds: float) -> T:
    """The result of ``work``, or ``asyncio.TimeoutError``. Unlike ``asyncio.wait_for`` before Python 3.12 it loses no
    cancellation that comes in the moment in which the work is done."""
    task = asyncio.ensure_future(work)
    try:
        done, _ = await asyncio.wait({task}, timeout=seconds)
        if not done:
            raise asyncio.TimeoutError
        return task.result()
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait({task})
        if not task.cancelled():
            task.exception()  # seen, so that the loop does not complain


def _pauses() -> Iterator[float]:
    yield from _PAUSES
    while True:
        yield _PAUSES[-1]


def _retry_after(answer: httpx.Response) -> float | None:
    """Seconds; the Hub sends no dates."""
    try:
        return max(0.0, float(answer.headers["Retry-After"]))
    except (KeyError, ValueError):
        return None


def _said(answer: httpx.Response) -> str:
    """The Hub's own words, as one line, to be set after a status."""
    try:
        message = answer.json().get("message")
    except (ValueError, AttributeError):
        message = None
    words = " ".join(str(message or answer.reason_phrase).split())[:500].rstrip(".")
    return f", {words}." if words else "."
