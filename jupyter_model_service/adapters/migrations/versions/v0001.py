"""The first schema: services, revisions, replicas, tokens, events.

Written out and not taken from ``schema.py``, because that one goes on.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def _of_service(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["service_id"], ["services.id"], name=f"fk_{table}_service_id", ondelete="CASCADE")


def upgrade() -> None:
    op.create_table(
        "services",
        sa.Column("id", sa.String, nullable=False),
        sa.Column("owner", sa.String, nullable=False),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("public", sa.Boolean, nullable=False),
        sa.Column("running", sa.Boolean, nullable=False),
        sa.Column("replicas", sa.Integer, nullable=False),
        sa.Column("active", sa.Integer, nullable=False),
        sa.Column("stable", sa.Integer),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.Column("error", sa.String),
        sa.Column("note", sa.String),
        sa.Column("restarted_at", sa.Float),
        sa.PrimaryKeyConstraint("id", name="pk_services"),
        sa.UniqueConstraint("owner", "name", name="uq_services_owner_name"),
    )
    op.create_table(
        "revisions",
        sa.Column("service_id", sa.String, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("content", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("service_id", "number", name="pk_revisions"),
        _of_service("revisions"),
    )
    op.create_table(
        "replicas",
        sa.Column("id", sa.String, nullable=False),
        sa.Column("service_id", sa.String, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("secret", sa.String, nullable=False),
        sa.Column("placement", sa.JSON),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_replicas"),
        _of_service("replicas"),
    )
    op.create_table(
        "tokens",
        sa.Column("id", sa.String, nullable=False),
        sa.Column("service_id", sa.String, nullable=False),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("digest", sa.String, nullable=False),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.Column("expires_at", sa.Float),
        sa.Column("last_used_at", sa.Float),
        sa.PrimaryKeyConstraint("id", name="pk_tokens"),
        _of_service("tokens"),
        sa.UniqueConstraint("digest", name="uq_tokens_digest"),
    )
    op.create_table(
        "events",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("service_id", sa.String, nullable=False),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("message", sa.String, nullable=False),
        sa.Column("replica", sa.String),
        sa.Column("details", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_events"),
        _of_service("events"),
    )
    for table in ("replicas", "tokens", "events"):
        op.create_index(f"ix_{table}_service_id", table, ["service_id"])
