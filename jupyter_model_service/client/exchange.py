"""One call as a conversation with whatever carries it: pure generator, driven by the sync and the async client.

``conversation`` yields a :class:`Request` and is sent the :class:`Answer`, or is thrown :class:`Unreachable` (nothing
was sent: safe to repeat) or :class:`Broken`. A gateway that was restarted has another token and perhaps another
port: the runtime file is read again once, then the call is repeated.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import GatewayUnavailable, InvalidRequest, ModelServiceError
from .address import Address, Locator
from .calls import STREAM, Call
from .failures import error_from

#: Silence after which an event stream is taken for dead: three heartbeats of 10 s.
STREAM_SILENCE = 30.0
CONNECT_SECONDS = 5.0
ANSWER_LIMIT = 64 << 20  # bytes


class Unreachable(Exception):
    """No connection came about; nothing was sent."""


class Broken(Exception):
    """The connection ended or fell silent before the whole answer was there."""


@dataclass(frozen=True)
class Request:
    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)  # the token is in there
    body: bytes | None
    seconds: float
    loopback: bool


@dataclass(frozen=True)
class Answer:
    """``headers`` have lower-case names."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def request_for(address: Address, call: Call[Any]) -> Request:
    headers = {"Authorization": f"Bearer {address.token}", "Accept": "application/json"}
    body = None
    if call.body is not None:
        body = _encoded(call.body)
        headers["Content-Type"] = "application/json"
    return Request(call.method, address.url + call.target, headers, body, call.seconds, address.loopback)


def _encoded(body: Mapping[str, Any]) -> bytes:
    for name, value in body.items():
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:  # which, not what: it may be a secret
            raise InvalidRequest(f"What is given as {name} is no UTF-8 text, and nothing else can be sent.") from error
    return json.dumps(body).encode()


def stream_request(address: Address) -> Request:
    headers = {"Authorization": f"Bearer {address.token}", "Accept": "text/event-stream"}
    return Request("GET", address.url + STREAM, headers, None, STREAM_SILENCE, address.loopback)


def conversation(locator: Locator, call: Call[Any]) -> Generator[Request, Answer, Any]:
    """Returns the answer's plain JSON; raises the error that the gateway answered, or ``GatewayUnavailable``."""
    repeated = False
    while True:
        address = locator.current()
        try:
            answer = yield request_for(address, call)
        except Unreachable as error:
            if not repeated and locator.moved():
                repeated = True
                continue
            raise unreachable(address, str(error)) from error
        except Broken as error:
            if not repeated and call.method == "GET":
                repeated = True
                locator.moved()
                continue
            raise broken(address, str(error)) from error
        if answer.status == 401 and not repeated and locator.moved():
            repeated = True
            continue
        return plain(address, answer)


def plain(address: Address, answer: Answer) -> Any:
    """The JSON of a success; anything else is raised as the error that it stands for."""
    if not 200 <= answer.status < 300:
        raise refused(address, answer)
    if not answer.body.strip():
        return None
    try:
        return json.loads(answer.body)
    except ValueError as error:
        raise GatewayUnavailable(f"{address.url} did not answer with JSON: is it a model-service gateway?") from error


def refused(address: Address, answer: Answer) -> ModelServiceError:
    return error_from(answer.status, answer.headers, answer.body, address.url)


def unreachable(address: Address, reason: str) -> GatewayUnavailable:
    return GatewayUnavailable(
        f"The model-service gateway at {address.url} cannot be reached ({reason}): "
        "see whether it runs with `jupyter model-service gateway --status`."
    )


def broken(address: Address, reason: str) -> GatewayUnavailable:
    return GatewayUnavailable(
        f"The model-service gateway at {address.url} did not finish its answer ({reason}): "
        "look with `jupyter model-service list` whether the change was made."
    )
