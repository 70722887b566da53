"""What a service ran before (``former``, where a rollback leads), and how often replicas of it were replaced.

What was stable before is read from the events, as far as they go back; ``restarts`` was not written down so far.
"""

from __future__ import annotations

import json

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("services", sa.Column("former", sa.JSON, nullable=False, server_default="[]"))
    op.add_column("services", sa.Column("restarts", sa.Integer, nullable=False, server_default="0"))
    connection = op.get_bind()
    for service, stable in connection.execute(
        sa.text("SELECT id, stable FROM services WHERE stable IS NOT NULL")
    ).all():
        update = sa.text("UPDATE services SET former = :former WHERE id = :service")
        former = json.dumps(_former(connection, service, stable))
        connection.execute(update, {"former": former, "service": service})


def _former(connection: sa.Connection, service: str, stable: int) -> list[int]:
    """The revisions that were fully up before the stable one, oldest first; one that is gone back to ends what came
    after it."""
    of_service = {"service": service}
    kept = set(connection.scalars(sa.text("SELECT number FROM revisions WHERE service_id = :service"), of_service))
    told = sa.text("SELECT details FROM events WHERE service_id = :service AND kind = 'service.stable' ORDER BY id")
    line: list[int] = []
    for details in connection.scalars(told, of_service):
        number = json.loads(details).get("revision")
        if number in kept:
            line = [*(line[: line.index(number)] if number in line else line), number]
    return line[: line.index(stable)] if stable in line else line
