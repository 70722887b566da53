"""One sample call, sent straight to a server, and what came of it."""

from __future__ import annotations

import asyncio
import json
import time

import httpx

from ..core.sentences import duration
from ..wire.workbench import DryRunAnswer, SampleRequest

__all__ = ["call", "judged"]

CALL_SECONDS = 120.0  # for all of one call
BODY_BYTES = 64 << 10  # of an answer that are shown
SHOWN = 200  # characters of an answer in a sentence


async def call(address: tuple[str, int], request: SampleRequest, *, timeout: float = CALL_SECONDS) -> DryRunAnswer:
    """Never raises for what the server does: then ``status`` is ``None``."""
    began = time.monotonic()
    found = DryRunAnswer(request=request)
    try:
        await asyncio.wait_for(_exchange(address, request, found, began), timeout)
    except asyncio.TimeoutError:
        found.problem = f"no complete answer within {duration(timeout)}"
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        found.problem = f"{type(error).__name__}: {error}".rstrip(": ")
    found.seconds = time.monotonic() - began
    return found


async def _exchange(address: tuple[str, int], request: SampleRequest, found: DryRunAnswer, began: float) -> None:
    headers = dict(request.headers)
    content = None
    if request.body is not None:
        as_text = isinstance(request.body, str)
        content = request.body.encode() if as_text else json.dumps(request.body).encode()
        if not as_text and not any(name.lower() == "content-type" for name in headers):
            headers["Content-Type"] = "application/json"
    url = f"http://{address[0]}:{address[1]}{request.path}"
    async with (
        httpx.AsyncClient(trust_env=False, verify=False, timeout=None) as client,  # bounded as a whole; no TLS here
        client.stream(request.method, url, headers=headers, content=content) as answer,
    ):
        found.status, found.headers = answer.status_code, dict(answer.headers)
        body = b""
        async for chunk in answer.aiter_bytes():
            if found.first_byte is None:
                found.first_byte = time.monotonic() - began
            body += chunk[: BODY_BYTES + 1 - len(body)]
            found.body, found.truncated = body[:BODY_BYTES].decode("utf-8", "replace"), len(body) > BODY_BYTES
            if found.truncated:
                return


def judged(answer: DryRunAnswer) -> tuple[bool, str]:
    """Whether that is well, and a sentence of it."""
    what = f"{answer.request.method} {answer.request.path}"
    took = _took(answer.seconds)
    if answer.status is None or answer.problem:
        return False, f"It became healthy, but {what} failed after {took}: {answer.problem or 'no answer'}."
    if answer.status < 400:
        return True, f"It works: {what} was answered with {answer.status} in {took}."
    said = " ".join(answer.body.split())
    said = said if len(said) <= SHOWN else said[: SHOWN - 1] + "…"
    return False, f"It became healthy, but {what} was answered with {answer.status}{f': {said}' if said else ''}."


def _took(seconds: float) -> str:
    """``8.4 ms``, ``120 ms``, ``1.2 s``: a small model answers in less than what other durations are told in."""
    milliseconds = seconds * 1000
    return duration(seconds) if seconds >= 0.95 else f"{milliseconds:.{1 if milliseconds < 9.95 else 0}f} ms"
