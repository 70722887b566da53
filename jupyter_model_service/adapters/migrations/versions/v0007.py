"""What is secret is sealed: the secrets of replicas, and the values of environments. So far they stood there in plain.

What becomes free by it, and what was free before, is written over after this (``store_file``).
"""

from __future__ import annotations

import json

import sqlalchemy as sa
from alembic import context, op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    at_rest = context.config.attributes["at_rest"]
    connection = op.get_bind()
    update = sa.text("UPDATE replicas SET secret = :sealed WHERE id = :id")
    for id, secret in connection.execute(sa.text("SELECT id, secret FROM replicas")).all():
        connection.execute(update, {"sealed": at_rest.seal(secret, f"secret of {id}"), "id": id})
    update = sa.text("UPDATE revisions SET content = :content WHERE service_id = :service AND number = :number")
    for service, number, content in connection.execute(
        sa.text("SELECT service_id, number, content FROM revisions")
    ).all():
        plain = json.loads(content)
        pairs = plain.get("environment")
        if pairs:
            sealed = at_rest.seal(json.dumps(pairs), f"environment of {service} {number}")
            plain["environment"] = {"names": [name for name, _ in pairs], "sealed": sealed}
            row = {"content": json.dumps(plain), "service": service, "number": number}
            connection.execute(update, row)
