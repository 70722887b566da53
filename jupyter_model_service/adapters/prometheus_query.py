"""The administrator's queries, asked of a Prometheus (or what speaks its HTTP API) in the background.

Only what rules look at is asked, each every few seconds; the same text once for all services. Nobody waits for an
answer: what is not known, or not any more, is unknown, with a reason.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from ..core.scaling.promql import Query
from ..ports import AskedQuery, Clock
from .hub_calls import limited

__all__ = ["PrometheusQueries"]

log = logging.getLogger(__name__)

AT_ONCE = 8  # questions; a Prometheus has 20 for everybody
ANSWER_BYTES = 1 << 20  # one number is some hundred bytes
SAID_AGAIN = 600.0  # seconds until the log has the same words about a query once more
_NOT_YET = "it has not been asked yet"
_Key = tuple[str, str, str]


class _Unknown(Exception):
    """No value, and why, in one clause. ``down``: nobody need be asked just now."""

    def __init__(self, reason: str, *, down: bool = False) -> None:
        super().__init__(reason)
        self.down = down


@dataclass(frozen=True)
class _Reading:
    """``at``, of the monotonic clock, matters for a value only: what is unknown does not get stale."""

    at: float
    value: float | None
    reason: str = ""


class PrometheusQueries:
    """Implements ``ports.Queries``. ``url`` is the server's base address; ``token_file`` has a bearer token, which is
    read anew for each round. ``timeout`` and ``interval`` in seconds. Lives on one event loop."""

    def __init__(
        self,
        url: str,
        queries: Mapping[str, Query],
        *,
        clock: Clock,
        timeout: float,
        interval: float,
        token_file: Path | None = None,
    ) -> None:
        self._url = url.rstrip("/") + "/api/v1/query"
        self._queries = dict(queries)
        self._clock = clock
        self._timeout = timeout
        self._interval = interval
        self._token_file = token_file
        self._asked: dict[_Key, AskedQuery] = {}
        self._due: dict[_Key, float] = {}
        self._readings: dict[_Key, _Reading] = {}
        self._said: dict[str, tuple[str, float]] = {}  # query → what the log had of it last, and when
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._http: httpx.AsyncClient | None = None

    # --- ports.Queries -------------------------------------------------------------------------------

    @property
    def names(self) -> Collection[str]:
        return self._queries.keys()

    def want(self, asked: Collection[AskedQuery]) -> None:
        wanted = {(each.name, each.owner, each.service): each for each in asked if each.name in self._queries}
        for gone in self._asked.keys() - wanted.keys():
            del self._due[gone]
            self._readings.pop(gone, None)
        for new in wanted.keys() - self._asked.keys():
            self._due[new] = self._clock.monotonic()
            self._wake.set()
        self._asked = wanted

    def value(self, name: str, owner: str, service: str) -> float | None:
        reading = self._readings.get((name, owner, service))
        return reading.value if reading is not None and self._is_fresh(reading) else None

    def reason(self, name: str, owner: str, service: str) -> str:
        reading = self._readings.get((name, owner, service))
        if name not in self._queries:
            return f"the administrator allows no query {name}"
        if reading is None:
            return _NOT_YET
        if reading.value is not None and not self._is_fresh(reading):
            return f"its last answer is {self._clock.monotonic() - reading.at:.0f} s old"
        return reading.reason

    def _is_fresh(self, reading: _Reading) -> bool:
        """Two rounds may be missed: that of an answer that is on its way, and one that was late."""
        return self._clock.monotonic() - reading.at <= 2 * self._interval + self._timeout

    # --- life ----------------------------------------------------------------------------------------

    def start(self) -> None:
        self._http = httpx.AsyncClient(
            trust_env=False,  # neither a proxy nor a .netrc of the environment may see the token
            limits=httpx.Limits(max_connections=AT_ONCE, max_keepalive_connections=AT_ONCE),
        )
        self._task = asyncio.get_running_loop().create_task(self._run(), name="prometheus queries")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
        if self._http is not None:
            await self._http.aclose()

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            now = self._clock.monotonic()
            due = [key for key, at in self._due.items() if at <= now]
            if due:
                try:
                    await self._round(due)
                except Exception:  # whatever it is: the next round may do better, and what is not asked gets stale
                    log.exception("asking Prometheus failed")
                for key in due:
                    if key in self._due:
                        self._due[key] = now + self._interval
            await self._until(min(self._due.values(), default=now + self._interval))

    async def _until(self, when: float) -> None:
        """Sleep so long, or until something new is wanted."""
        tasks = [
            asyncio.ensure_future(self._clock.sleep(max(0.0, when - self._clock.monotonic()))),
            asyncio.ensure_future(self._wake.wait()),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    # --- asking --------------------------------------------------------------------------------------

    async def _round(self, due: Collection[_Key]) -> None:
        texts: dict[str, list[_Key]] = {}
        for key in due:
            asked = self._asked[key]
            text = self._queries[asked.name].about(asked.owner, asked.service, asked.replicas)
            if text is None:
                self._note(key, _Reading(0.0, None, "no replica is ready that it could be about"))
            else:
                texts.setdefault(text, []).append(key)
        token = await asyncio.to_thread(self._token)
        room = asyncio.Semaphore(AT_ONCE)
        down: dict[str, str] = {}  # what need not be asked any more in this round → why; empty: anything

        async def ask(text: str, keys: Sequence[_Key]) -> None:
            async with room:
                reason = down.get("") or down.get(keys[0][0])
                reading = _Reading(0.0, None, reason) if reason else await self._reading(keys[0][0], text, token, down)
            for key in keys:
                self._note(key, reading)

        work = [asyncio.ensure_future(ask(text, keys)) for text, keys in texts.items()]
        try:
            await asyncio.gather(*work)
        finally:
            for task in work:
                task.cancel()
            if work:
                await asyncio.wait(work)

    def _note(self, key: _Key, reading: _Reading) -> None:
        if key not in self._asked:
            return
        self._readings[key] = reading
        now = self._clock.monotonic()
        reason, since = self._said.get(key[0], ("", now))
        if reading.reason and (reading.reason != reason or now - since >= SAID_AGAIN):
            self._said[key[0]] = reading.reason, now
            log.warning("query %s for %s/%s: %s", *key, reading.reason)

    def _token(self) -> str | None:
        """Blocking. A file that cannot be read is told of by Prometheus, which refuses to answer without."""
        if self._token_file is None:
            return None
        with contextlib.suppress(OSError, ValueError):
            return self._token_file.read_text(encoding="ascii").strip()
        return None

    async def _reading(self, name: str, text: str, token: str | None, down: dict[str, str]) -> _Reading:
        try:
            answer = await limited(self._answer(text, token), self._timeout)
            return _Reading(self._clock.monotonic(), _number(answer))
        except _Unknown as unknown:
            reason = str(unknown)
            if unknown.down:
                down[""] = reason
        except asyncio.TimeoutError:
            reason = down[name] = f"Prometheus did not answer within {self._timeout:g} s"
        return _Reading(0.0, None, reason)

    async def _answer(self, text: str, token: str | None) -> Any:
        """The JSON of a good answer. ``_Unknown`` otherwise; no time limit."""
        assert self._http is not None
        headers = {"Accept": "application/json"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        data = {"query": text, "timeout": f"{self._timeout:g}s"}
        body = b""
        try:
            async with self._http.stream("POST", self._url, data=data, headers=headers, timeout=None) as answer:
                async for piece in answer.aiter_bytes():
                    body += piece
                    if len(body) > ANSWER_BYTES:
                        raise _Unknown("Prometheus' answer is longer than 1 MiB; the query must give one value")
        except httpx.HTTPError as error:
            raise _Unknown(f"Prometheus cannot be reached ({type(error).__name__})", down=True) from error
        if answer.status_code in (401, 403):
            raise _Unknown(
                f"Prometheus refuses to answer (status {answer.status_code}); the administrator may have to set "
                "prometheus_token_file",
                down=True,
            )
        try:
            found = json.loads(body)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict) or "status" not in found:
            raise _Unknown(f"what answers in the place of Prometheus is none (status {answer.status_code})", down=True)
        if found["status"] != "success":
            raise _Unknown(f"Prometheus refuses the query: {_line(found.get('error'))}")
        return found


def _number(answer: Any) -> float:
    """The one value of an instant query's answer."""
    try:
        kind, result = answer["data"]["resultType"], answer["data"]["result"]
        if kind == "vector":
            if not result:
                raise _Unknown("Prometheus has no such series now")
            if len(result) > 1:
                raise _Unknown(f"the query gives {len(result)} series, and must give one, as by sum(…) or max(…)")
            text = result[0]["value"][1]
        elif kind == "scalar":
            text = result[1]
        else:
            raise _Unknown(f"the query gives a {_line(kind)}, and must give one value")
        value = float(text)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise _Unknown("Prometheus' answer cannot be read") from error
    if not math.isfinite(value):
        raise _Unknown(f"the query gives {text}")  # such as a share of no calls: 0 / 0
    return value


def _line(words: object) -> str:
    return " ".join(str(words).split())[:200]
