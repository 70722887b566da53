"""In a server of a hub: what is asked of the gateway gets what only this server can read, the folder's definition and
the notebook's image. A panel in the browser then asks for the same as on one's own machine."""

from __future__ import annotations

import json
import os
import re
from typing import Any
from urllib.parse import unquote

from ..client import calls
from ..client.address import Locator
from ..client.calls import Key
from ..client.folders import IMAGE_VARIABLE, Steps, for_create, for_service, for_update, for_validate
from ..client.light import Connection

__all__ = ["complete", "described", "offered", "service_of", "takes_a_folder"]

_SERVICE = re.compile(r"api/v1/services/([^/]+)/([^/]+)")
_UPDATE = re.compile(r"api/v1/services/([^/]+)/([^/]+)/update")


def takes_a_folder(method: str, path: str) -> bool:
    return method == "POST" and (path in ("api/v1/services", "api/v1/validate") or bool(_UPDATE.fullmatch(path)))


def service_of(method: str, path: str) -> Key | None:
    """The service that is asked for, and nothing else of it."""
    found = _SERVICE.fullmatch(path) if method == "GET" else None
    return None if found is None else (unquote(found[1]), unquote(found[2]))


def described(url: str, token: str, key: Key) -> dict[str, Any]:
    """The gateway's ``ServiceInfo`` with what only this server sees: whether its folder has changed. Blocking."""
    connection = Connection(Locator(url, token))
    return connection.complete(for_service(connection.send(calls.get(key))))


def offered(url: str, token: str) -> dict[str, Any]:
    """The gateway's ``OfferInfo`` with the image that this server runs in. Blocking."""
    offer: dict[str, Any] = Connection(Locator(url, token)).send(calls.offer())
    return {**offer, "own_image": os.environ.get(IMAGE_VARIABLE) or None}


def complete(url: str, token: str, path: str, body: bytes) -> bytes:
    """The body to send instead. Blocking: it reads the folder and may ask the gateway at ``url``. Raises
    ``DefinitionError`` and what a client raises; a body that makes no sense is left for the gateway to refuse."""
    try:
        options = json.loads(body or b"{}")
    except ValueError:
        return body
    if not isinstance(options, dict) or not isinstance(options.get("folder"), (str, type(None))):
        return body
    completed = Connection(Locator(url, token)).complete(_steps(path, options))
    return json.dumps(completed).encode()


def _steps(path: str, options: dict[str, Any]) -> Steps:
    update = _UPDATE.fullmatch(path)
    if update is not None:
        return for_update((unquote(update[1]), unquote(update[2])), options)
    return for_create(options) if path == "api/v1/services" else for_validate(options)
