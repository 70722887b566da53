"""Which values of the state database stand there sealed: the secrets of replicas, and the environments of revisions.

Of an environment the names stand there as they are, since everybody who may look at the service is told them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, select

from .at_rest import AtRest
from .key_file import SealError
from .schema import replicas, revisions

__all__ = ["opened_environment", "opened_secret", "sealed_environment", "sealed_secret", "unreadable"]

_Pairs = list[list[str]]


def sealed_secret(secret: str, replica: str, at_rest: AtRest) -> str:
    return at_rest.seal(secret, f"secret of {replica}")


def opened_secret(sealed: str, replica: str, at_rest: AtRest) -> str:
    """Empty where it is sealed with another key."""
    try:
        return at_rest.open(sealed, f"secret of {replica}")
    except SealError:
        return ""


def sealed_environment(pairs: _Pairs, service_id: str, number: int, at_rest: AtRest) -> Any:
    """As it is stored: JSON."""
    if not pairs:
        return []
    sealed = at_rest.seal(json.dumps(pairs), _environment_of(service_id, number))
    return {"names": [name for name, _ in pairs], "sealed": sealed}


def opened_environment(stored: Any, service_id: str, number: int, at_rest: AtRest) -> tuple[_Pairs, list[str]]:
    """The pairs; and the names where their values cannot be read, as they are sealed with another key."""
    if not isinstance(stored, Mapping):
        return [], []
    try:
        return json.loads(at_rest.open(stored["sealed"], _environment_of(service_id, number))), []
    except SealError:
        return [], list(stored["names"])


def _environment_of(service_id: str, number: int) -> str:
    return f"environment of {service_id} {number}"


def unreadable(connection: Connection, at_rest: AtRest) -> str | None:
    """What is sealed with another key, and what comes of it. It stays as it is: the key may come back."""
    found = connection.execute(select(replicas.c.id, replicas.c.secret)).all()
    lost = sum(not opened_secret(sealed, id, at_rest) for id, sealed in found)
    unread = sum(
        bool(opened_environment(row.content.get("environment"), row.service_id, row.number, at_rest)[1])
        for row in connection.execute(select(revisions)).all()
    )
    if not lost and not unread:
        return None
    return (
        f"The key {at_rest.key_file} is not the one that the database was sealed with. So the secrets of {lost} "
        "replicas cannot be read: they are ended, and others take their places. The environment values of "
        f"{unread} revisions cannot be read either: these are not started until their owners give them again "
        "(update --env), or that key is put back and the gateway started anew."
    )
