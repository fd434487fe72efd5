# SPDX-License-Identifier: Apache-2.0
"""Live migrations as a table of their own, so that they are found without reading any plan."""

import json

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table, and fill it from the plans that were carried out."""
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    made = op.create_table(
        "migrations",
        sa.Column("number", number, autoincrement=True, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("run", number, nullable=False),
        *(
            sa.Column(name, sa.Text(), nullable=False)
            for name in ("instance", "source", "target", "policy")
        ),
        sa.Column("promise_s", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["run"], ["runs.number"], name="fk_migrations_run_runs"),
        sa.PrimaryKeyConstraint("number", name="pk_migrations"),
        sa.UniqueConstraint("id", name="uq_migrations_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_migrations_run", "migrations", ["run"])
    op.create_index("ix_migrations_instance", "migrations", ["instance"])
    _fill(made)


def _fill(made: sa.Table) -> None:
    """Add what was moved before there was this table; all of it was balanced."""
    connection = op.get_bind()
    runs = sa.text("SELECT number, plan_id FROM runs ORDER BY number")
    document = sa.text("SELECT document FROM plans WHERE id = :plan")
    for run, plan in connection.execute(runs).all():
        steps = json.loads(connection.scalar(document, {"plan": plan}))["steps"]
        rows = [_row(run, step["action"]) for step in steps if step["action"]["verb"] == "migrate"]
        if rows:
            connection.execute(sa.insert(made), rows)


def _row(run: int, action: dict[str, str]) -> dict[str, object]:
    kept = {name: action[name] for name in ("id", "instance", "source", "target")}
    return {**kept, "run": run, "policy": "balanced", "promise_s": 0.0}
