"""Who is told what an event says, and what the others are. Of those that were there its owner alone is: that they were
for more nobody had written down."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column("events", sa.Column("audience", sa.String, nullable=False, server_default="owner"))
    op.add_column("events", sa.Column("others", sa.String, nullable=False, server_default=""))
