"""The tables of the state database, as they are at schema ``HEAD``.

A new database is made from here in one go; older ones are brought here by ``migrations/``. A test holds both
ways against each other. Who changes a table adds a migration and raises ``HEAD`` in the same commit.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Connection,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    TypeDecorator,
    UniqueConstraint,
    event,
)

# Schemas are numbered, so that "older" and "newer" are told apart without reading the migrations.
HEAD = "0007"


class AnyText(TypeDecorator[str]):
    """Text that comes back exactly as it went in. A path that is not UTF-8 reaches Python with lone surrogates,
    which SQLite's driver refuses; such a text is stored as bytes instead."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | bytes | None:
        if value is None:
            return None
        try:
            value.encode()
        except UnicodeEncodeError:
            return value.encode("utf-8", "surrogatepass")
        return value

    def process_result_value(self, value: str | bytes | None, dialect: Dialect) -> str | None:
        return value.decode("utf-8", "surrogatepass") if isinstance(value, bytes) else value


# Constraints have names, so that a later migration can change them (SQLite keeps none for unnamed ones).
metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _of_service(primary_key: bool = False) -> Column[str]:
    """What belongs to a service goes with it."""
    return Column(
        "service_id",
        AnyText,
        ForeignKey("services.id", ondelete="CASCADE"),
        primary_key=primary_key,
        nullable=False,
    )


services = Table(
    "services",
    metadata,
    Column("id", AnyText, primary_key=True, nullable=False),
    Column("owner", AnyText, nullable=False),
    Column("name", AnyText, nullable=False),
    Column("public", Boolean, nullable=False),
    Column("running", Boolean, nullable=False),
    Column("replicas", Integer, nullable=False),
    Column("active", Integer, nullable=False),
    Column("stable", Integer),
    Column("created_at", Float, nullable=False),
    Column("error", AnyText),
    Column("note", AnyText),
    Column("restarted_at", Float),
    Column("former", JSON, nullable=False, server_default="[]"),
    Column("restarts", Integer, nullable=False, server_default="0"),
    Column("autoscaling", JSON(none_as_null=True)),
    Column("notice", JSON(none_as_null=True)),
    Column("origins", JSON, nullable=False, server_default="[]"),
    Column("last_call_at", Float),
    Column("began_at", Float),
    UniqueConstraint("owner", "name"),
)

# ``content`` is the whole frozen revision, the values of its environment sealed (``store_sealed``); its number stands
# beside it only as the key.
revisions = Table(
    "revisions",
    metadata,
    _of_service(primary_key=True),
    Column("number", Integer, primary_key=True, nullable=False, autoincrement=False),
    Column("content", JSON, nullable=False),
)

# ``secret`` has to be known again: after a restart the gateway proves with it that it is the replica's own gateway. It
# is sealed (``store_sealed``), so that a copy of the database without the key is of no use to whoever finds it.
replicas = Table(
    "replicas",
    metadata,
    Column("id", AnyText, primary_key=True, nullable=False),
    _of_service(),
    Column("revision", Integer, nullable=False),
    Column("secret", AnyText, nullable=False),
    Column("placement", JSON(none_as_null=True)),
    Column("created_at", Float, nullable=False),
    Index(None, "service_id"),
)

# ``calls`` were let in on ``day``, the last one on which a token with ``limits`` was used.
tokens = Table(
    "tokens",
    metadata,
    Column("id", AnyText, primary_key=True, nullable=False),
    _of_service(),
    Column("name", AnyText, nullable=False),
    Column("digest", AnyText, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("expires_at", Float),
    Column("last_used_at", Float),
    Column("limits", JSON(none_as_null=True)),
    Column("day", Integer, nullable=False, server_default="0"),
    Column("calls", Integer, nullable=False, server_default="0"),
    Column("rules", JSON, nullable=False, server_default="[]"),
    Column("family", AnyText, nullable=False, server_default=""),
    Column("created_by", AnyText, nullable=False, server_default=""),
    UniqueConstraint("digest"),
    Index(None, "service_id"),
)

# ``id`` is SQLite's row id, which every index holds as its last column: the index on ``service_id`` alone
# therefore finds the newest 1,000 of one service in order.
events = Table(
    "events",
    metadata,
    Column("id", Integer, primary_key=True, nullable=False, autoincrement=False),
    Column("at", Float, nullable=False),
    _of_service(),
    Column("kind", AnyText, nullable=False),
    Column("message", AnyText, nullable=False),
    Column("replica", AnyText),
    Column("details", JSON, nullable=False),
    Column("audience", AnyText, nullable=False, server_default="owner"),
    Column("others", AnyText, nullable=False, server_default=""),
    Index(None, "service_id"),
)

# With whom a service is shared, by the Hub's names. ``made`` tells a user from a later one of the same name.
shares = Table(
    "shares",
    metadata,
    _of_service(primary_key=True),
    Column("kind", AnyText, primary_key=True, nullable=False),
    Column("name", AnyText, primary_key=True, nullable=False),
    Column("role", AnyText, nullable=False),
    Column("limits", JSON(none_as_null=True)),
    Column("made", AnyText),
    Column("created_at", Float, nullable=False),
    Column("created_by", AnyText, nullable=False),
)

# Calls per service, token or person, and day. No more than that is kept of any call.
uses = Table(
    "uses",
    metadata,
    _of_service(primary_key=True),
    Column("who", AnyText, primary_key=True, nullable=False),
    Column("made", AnyText, primary_key=True, nullable=False, server_default=""),
    Column("day", Integer, primary_key=True, nullable=False, autoincrement=False),
    Column("calls", Integer, nullable=False, server_default="0"),
    Column("refused", Integer, nullable=False, server_default="0"),
    Column("last_at", Float),
    Index(None, "day"),
)

# What administrators said for one user while the gateway ran.
overrides = Table(
    "overrides",
    metadata,
    Column("user", AnyText, primary_key=True, nullable=False),
    Column("changes", JSON, nullable=False),
    Column("set_by", AnyText, nullable=False),
    Column("set_at", Float, nullable=False),
)

# Stays when the service that it is about is gone. Ids are never used again, so that whoever reads on misses nothing.
audit = Table(
    "audit",
    metadata,
    Column("id", Integer, primary_key=True, nullable=False, autoincrement=True),
    Column("at", Float, nullable=False),
    Column("who", AnyText, nullable=False),
    Column("address", AnyText, nullable=False),
    Column("action", AnyText, nullable=False),
    Column("target", AnyText, nullable=False),
    Column("status", Integer, nullable=False),
    Column("code", AnyText, nullable=False),
    Column("before", JSON(none_as_null=True)),
    Column("after", JSON(none_as_null=True)),
    Column("request_id", AnyText, nullable=False),
    Column("count", Integer, nullable=False, server_default="1"),
    Index(None, "at"),
    Index(None, "target"),
    sqlite_autoincrement=True,
)

# One row at most: what is older than ``since`` may go from the audit log.
audit_floor = Table("audit_floor", metadata, Column("since", Float, primary_key=True, nullable=False))

# SQLite itself refuses to change the log, or to remove from it what is to be kept, whichever program asks.
AUDIT_TRIGGERS = (
    """CREATE TRIGGER audit_unchanged BEFORE UPDATE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit log is never changed'); END""",
    """CREATE TRIGGER audit_kept BEFORE DELETE ON audit
WHEN OLD.at >= COALESCE((SELECT MAX(since) FROM audit_floor), OLD.at)
BEGIN SELECT RAISE(ABORT, 'the audit log is kept for a time'); END""",
    # REPLACE removes what it replaces without asking the one above.
    """CREATE TRIGGER audit_added BEFORE INSERT ON audit WHEN EXISTS (SELECT 1 FROM audit WHERE id = NEW.id)
BEGIN SELECT RAISE(ABORT, 'the audit log is never changed'); END""",
)


@event.listens_for(metadata, "after_create")
def _add_triggers(target: MetaData, connection: Connection, **_: object) -> None:
    for trigger in AUDIT_TRIGGERS:
        connection.exec_driver_sql(trigger)
