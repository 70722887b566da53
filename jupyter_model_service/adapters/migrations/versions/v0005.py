"""Shares, uses, overrides and the audit log; origins, notices and lives of services; rules and families of tokens.

There was none of it so far: whatever is there belongs to its owner alone."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    _of_services()
    op.create_table(
        "overrides",
        sa.Column("user", sa.String, nullable=False),
        sa.Column("changes", sa.JSON, nullable=False),
        sa.Column("set_by", sa.String, nullable=False),
        sa.Column("set_at", sa.Float, nullable=False),
        sa.PrimaryKeyConstraint("user", name="pk_overrides"),
    )
    op.create_table(
        "audit",
        sa.Column("id", sa.Integer, primary_key=True, nullable=False, autoincrement=True),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("who", sa.String, nullable=False),
        sa.Column("address", sa.String, nullable=False),
        sa.Column("action", sa.String, nullable=False),
        sa.Column("target", sa.String, nullable=False),
        sa.Column("status", sa.Integer, nullable=False),
        sa.Column("code", sa.String, nullable=False),
        sa.Column("before", sa.JSON(none_as_null=True)),
        sa.Column("after", sa.JSON(none_as_null=True)),
        sa.Column("request_id", sa.String, nullable=False),
        sa.Column("count", sa.Integer, nullable=False, server_default="1"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_audit_at", "audit", ["at"])
    op.create_index("ix_audit_target", "audit", ["target"])
    op.create_table(
        "audit_floor",
        sa.Column("since", sa.Float, nullable=False),
        sa.PrimaryKeyConstraint("since", name="pk_audit_floor"),
    )
    for trigger in (_UNCHANGED, _KEPT, _ADDED):
        op.execute(trigger)


def _of_services() -> None:
    op.add_column("services", sa.Column("notice", sa.JSON(none_as_null=True)))
    op.add_column("services", sa.Column("origins", sa.JSON, nullable=False, server_default="[]"))
    op.add_column("services", sa.Column("last_call_at", sa.Float))
    op.add_column("services", sa.Column("began_at", sa.Float))
    op.add_column("tokens", sa.Column("rules", sa.JSON, nullable=False, server_default="[]"))
    op.add_column("tokens", sa.Column("family", sa.String, nullable=False, server_default=""))
    op.add_column("tokens", sa.Column("created_by", sa.String, nullable=False, server_default=""))
    op.create_table(
        "shares",
        sa.Column("service_id", sa.String, nullable=False),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("role", sa.String, nullable=False),
        sa.Column("limits", sa.JSON(none_as_null=True)),
        sa.Column("made", sa.String),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.Column("created_by", sa.String, nullable=False),
        sa.ForeignKeyConstraint(["service_id"], ["services.id"], name="fk_shares_service_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("service_id", "kind", "name", name="pk_shares"),
    )
    op.create_table(
        "uses",
        sa.Column("service_id", sa.String, nullable=False),
        sa.Column("who", sa.String, nullable=False),
        sa.Column("made", sa.String, nullable=False, server_default=""),
        sa.Column("day", sa.Integer, nullable=False),
        sa.Column("calls", sa.Integer, nullable=False, server_default="0"),
        sa.Column("refused", sa.Integer, nullable=False, server_default="0"),
        sa.Column("last_at", sa.Float),
        sa.ForeignKeyConstraint(["service_id"], ["services.id"], name="fk_uses_service_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("service_id", "who", "made", "day", name="pk_uses"),
    )
    op.create_index("ix_uses_day", "uses", ["day"])


_UNCHANGED = """CREATE TRIGGER audit_unchanged BEFORE UPDATE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit log is never changed'); END"""

_KEPT = """CREATE TRIGGER audit_kept BEFORE DELETE ON audit
WHEN OLD.at >= COALESCE((SELECT MAX(since) FROM audit_floor), OLD.at)
BEGIN SELECT RAISE(ABORT, 'the audit log is kept for a time'); END"""

_ADDED = """CREATE TRIGGER audit_added BEFORE INSERT ON audit WHEN EXISTS (SELECT 1 FROM audit WHERE id = NEW.id)
BEGIN SELECT RAISE(ABORT, 'the audit log is never changed'); END"""
