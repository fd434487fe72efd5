# SPDX-License-Identifier: Apache-2.0
"""What Alembic runs for each migration, over the connection and transaction that it was given."""

from alembic import context

from billow.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite cannot alter most of a table in place
)
with context.begin_transaction():
    context.run_migrations()
