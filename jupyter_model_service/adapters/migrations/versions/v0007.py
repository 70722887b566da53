"""What is secret is sealed: the secrets of replicas, and the values of environments. So far they stood there in plain.

Each for its place, and an environment for all else that its revision says, and its owner. What becomes free by it, and
what was free before, is written over after this (``store_file``).
"""

from __future__ import annotations

import hashlib
import json

import sqlalchemy as sa
from alembic import context, op

from jupyter_model_service.adapters.schema import AnyText

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    at_rest = context.config.attributes["at_rest"]
    connection = op.get_bind()
    update = sa.text("UPDATE replicas SET secret = :sealed WHERE id = :id")
    rows = sa.text("SELECT id, service_id, revision, secret FROM replicas")
    for id, service, number, secret in connection.execute(rows).all():
        connection.execute(update, {"sealed": at_rest.seal(secret, f"secret of {id} of {service} {number}"), "id": id})
    update = sa.text("UPDATE revisions SET content = :content WHERE service_id = :service AND number = :number")
    owned = sa.text(
        "SELECT s.owner, r.service_id, r.number, r.content FROM revisions r LEFT JOIN services s ON s.id = r.service_id"
    ).columns(owner=AnyText())
    for owner, service, number, content in connection.execute(owned).all():
        plain = json.loads(content)
        pairs = plain.pop("environment", None)
        if pairs:
            digest = hashlib.sha256(json.dumps([owner, service, plain], sort_keys=True).encode("ascii")).hexdigest()
            sealed = at_rest.seal(json.dumps(pairs), f"environment of {service} {number} {digest}")
            plain["environment"] = {"names": [name for name, _ in pairs], "sealed": sealed}
            row = {"content": json.dumps(plain), "service": service, "number": number}
            connection.execute(update, row)
