"""The limits of a token, and its calls of one day. Tokens had none so far, and nothing was counted."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("tokens", sa.Column("limits", sa.JSON(none_as_null=True)))
    op.add_column("tokens", sa.Column("day", sa.Integer, nullable=False, server_default="0"))
    op.add_column("tokens", sa.Column("calls", sa.Integer, nullable=False, server_default="0"))
