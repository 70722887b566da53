"""Calls of the model itself: how an httpx request is made of them, and which answers are not the model's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx

from ..errors import ModelServiceError, UpstreamError
from .address import Address
from .calls import Key, endpoint_path
from .exchange import CONNECT_SECONDS, unreachable
from .failures import OURS, error_from


def method_for(options: Mapping[str, Any]) -> str:
    sends = any(options.get(name) is not None for name in ("json", "content", "data", "files"))
    return "POST" if sends else "GET"


def arguments(address: Address, key: Key, path: str, timeout: float, options: Mapping[str, Any]) -> dict[str, Any]:
    """For ``httpx.Client.build_request``. The control token goes to the gateway's own address only; a caller who gives
    an ``Authorization`` of her own (to try out an endpoint token) has it sent instead."""
    headers = httpx.Headers(options.get("headers"))
    headers.setdefault("Authorization", f"Bearer {address.token}")
    times = httpx.Timeout(timeout, connect=min(timeout, CONNECT_SECONDS))
    return {**options, "url": address.url + endpoint_path(key, path), "headers": headers, "timeout": times}


def unsent(error: httpx.TransportError) -> bool:
    return isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)


def may_repeat(response: httpx.Response, options: Mapping[str, Any]) -> bool:
    """A gateway that was restarted does not know our token; what can be sent again is. A body that is an iterator is
    used up, and a token of the caller's own stays as wrong as it is."""
    own = "authorization" in httpx.Headers(options.get("headers"))
    whole = isinstance(options.get("content"), str | bytes | None) and options.get("files") is None
    return response.status_code == 401 and refused_by_gateway(response) and whole and not own


def refused_by_gateway(response: httpx.Response) -> bool:
    return OURS in response.headers


def failure(response: httpx.Response) -> ModelServiceError:
    headers = {name.lower(): value for name, value in response.headers.items()}
    return error_from(response.status_code, headers, response.content, str(response.request.url))


def no_answer(address: Address, error: httpx.TransportError) -> ModelServiceError:
    if unsent(error):
        return unreachable(address, str(error) or type(error).__name__)
    return interrupted(error)


def interrupted(error: httpx.TransportError) -> UpstreamError:
    reason = str(error) or type(error).__name__
    if isinstance(error, httpx.TimeoutException):
        return UpstreamError(f"The endpoint sent nothing for the time allowed ({reason}).", code="timeout")
    return UpstreamError(f"The answer of the endpoint broke off ({reason}).", code="broken_answer")
