"""Alembic's entry: runs the steps on the connection, and inside the transaction, that ``store_file`` gives."""

from __future__ import annotations

from alembic import context

from jupyter_model_service.adapters.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite alters little in place
)
context.run_migrations()
