"""Which values of the state database stand there sealed: the secrets of replicas, and the environments of revisions.

Each is sealed for its place, and an environment for what it is given to as well: whoever can write rows, and has no
key, can neither put it into another row nor have it given to another model, or another owner's. Of an environment the
names stand there as they are, since everybody who may look at the service is told them. A migration that changes what
is bound (``_environment_of``, ``_secret_of``) has to seal anew.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, select

from .at_rest import AtRest
from .key_file import SealError
from .schema import replicas, revisions, services

__all__ = ["opened_environment", "opened_secret", "sealed_content", "sealed_secret", "unreadable"]

_Pairs = list[list[str]]


def sealed_secret(secret: str, replica: str, service_id: str, revision: int, at_rest: AtRest) -> str:
    return at_rest.seal(secret, _secret_of(replica, service_id, revision))


def opened_secret(sealed: str, replica: str, service_id: str, revision: int, at_rest: AtRest) -> str:
    """Empty where it is sealed with another key, or for another replica."""
    try:
        return at_rest.open(sealed, _secret_of(replica, service_id, revision))
    except SealError:
        return ""


def sealed_content(plain: Mapping[str, Any], owner: str, service_id: str, at_rest: AtRest) -> dict[str, Any]:
    """As it is stored what :func:`core.revision.revision_to_plain` gave, of a service of this owner's."""
    pairs: _Pairs = plain["environment"]
    if not pairs:
        return {**plain}
    sealed = at_rest.seal(json.dumps(pairs), _environment_of(owner, service_id, plain["number"], plain))
    return {**plain, "environment": {"names": [name for name, _ in pairs], "sealed": sealed}}


def opened_environment(
    content: Mapping[str, Any], owner: str, service_id: str, number: int, at_rest: AtRest
) -> tuple[_Pairs, list[str]]:
    """The pairs; and the names where their values cannot be read, as they are sealed with another key, or for something
    else than this owner's service, and a revision with this content."""
    stored = content.get("environment")
    if not isinstance(stored, Mapping):
        return [], []
    try:
        return json.loads(at_rest.open(stored["sealed"], _environment_of(owner, service_id, number, content))), []
    except SealError:
        return [], list(stored["names"])


def _secret_of(replica: str, service_id: str, revision: int) -> str:
    return f"secret of {replica} of {service_id} {revision}"


def _environment_of(owner: str, service_id: str, number: int, content: Mapping[str, Any]) -> str:
    """Folder, command, image, mounts: all that says where the values go."""
    rest = {name: value for name, value in content.items() if name != "environment"}
    # As it comes back from the database: a tuple is a list there, and each key a text.
    bound = json.dumps(json.loads(json.dumps([owner, service_id, rest])), sort_keys=True)
    return f"environment of {service_id} {number} {hashlib.sha256(bound.encode('ascii')).hexdigest()}"


def unreadable(connection: Connection, at_rest: AtRest) -> str | None:
    """What is sealed with another key, or for another place, and what comes of it. It stays as it is: the key may come
    back."""
    found = connection.execute(select(replicas)).all()
    lost = sum(not opened_secret(row.secret, row.id, row.service_id, row.revision, at_rest) for row in found)
    of_owners = select(revisions.c.content, revisions.c.service_id, revisions.c.number, services.c.owner).join(services)
    unread = sum(
        bool(opened_environment(row.content, row.owner, row.service_id, row.number, at_rest)[1])
        for row in connection.execute(of_owners).all()
    )
    if not lost and not unread:
        return None
    return (
        f"The key {at_rest.key_file} is not the one that the database was sealed with, or rows were changed by another "
        f"program. So the secrets of {lost} replicas cannot be read: they are ended, and others take their places. The "
        f"environment values of {unread} revisions cannot be read either: these are not started until their owners "
        "give them again (update --env), or that key is put back and the gateway started anew."
    )
