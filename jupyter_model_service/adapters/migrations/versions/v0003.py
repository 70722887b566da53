"""The autoscaling policy of a service. None has one so far: their owners said how many replicas there are to be."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("services", sa.Column("autoscaling", sa.JSON(none_as_null=True)))
