# SPDX-License-Identifier: Apache-2.0
"""The first tables: plans and their pools, runs and their journal, events, lease, tokens."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make all tables, those that others point at first."""
    _plans()
    _runs()
    _events()
    _controllers()
    _people()


def _plans() -> None:
    op.create_table(
        "snapshots",
        sa.Column("digest", sa.Text(), nullable=False),
        _time("taken_at"),
        sa.Column("packed", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_snapshots"),
    )
    op.create_table(
        "plans",
        _number("number", counts=True),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("based_on", sa.Text(), nullable=False),
        _whole("generation"),
        *map(_text, ("parent", "title", "actor")),
        _time("created_at"),
        _text("capabilities"),
        *map(_whole, ("steps", "rejections")),
        sa.Column("document", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["based_on"], ["snapshots.digest"], name="fk_plans_based_on_snapshots"
        ),
        sa.PrimaryKeyConstraint("number", name="pk_plans"),
        sa.UniqueConstraint("id", name="uq_plans_id"),
        sqlite_autoincrement=True,
    )


def _runs() -> None:
    op.create_table(
        "runs",
        _number("number", counts=True),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("plan_id", sa.Text(), nullable=False),
        _text("actor"),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        _time("started_at"),
        sa.Column("state", sa.Text(), nullable=False),
        _time("ended_at"),
        _text("text"),
        sa.ForeignKeyConstraint(["plan_id"], ["plans.id"], name="fk_runs_plan_id_plans"),
        sa.PrimaryKeyConstraint("number", name="pk_runs"),
        sa.UniqueConstraint("id", name="uq_runs_id"),
        sa.UniqueConstraint("plan_id", name="uq_runs_plan_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_runs_state", "runs", ["state"])
    op.create_table(
        "entries",
        _number("run"),
        sa.Column("action_id", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("phase", sa.Text(), nullable=False),
        *map(_time, ("started_at", "ended_at")),
        *map(_text, ("progress", "error")),
        sa.ForeignKeyConstraint(["run"], ["runs.number"], name="fk_entries_run_runs"),
        sa.PrimaryKeyConstraint("run", "action_id", name="pk_entries"),
        sqlite_with_rowid=False,
    )


def _events() -> None:
    op.create_table(
        "events",
        _number("number", counts=True),
        sa.Column("kind", sa.Text(), nullable=False),
        _time("at"),
        *map(_text, ("actor", "document")),
        sa.PrimaryKeyConstraint("number", name="pk_events"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "event_subjects",
        sa.Column("subject", sa.Text(), nullable=False),
        _number("event"),
        sa.ForeignKeyConstraint(
            ["event"], ["events.number"], name="fk_event_subjects_event_events"
        ),
        sa.PrimaryKeyConstraint("subject", "event", name="pk_event_subjects"),
        sqlite_with_rowid=False,
    )


def _controllers() -> None:
    op.create_table(
        "leases",
        sa.Column("name", sa.Text(), nullable=False),
        _text("holder"),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        _time("until"),
        sa.PrimaryKeyConstraint("name", name="pk_leases"),
    )
    op.create_table(
        "counters",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_counters"),
    )
    op.create_table(
        "answers",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("response", sa.Text(), nullable=True),
        _time("at"),
        sa.PrimaryKeyConstraint("key", name="pk_answers"),
    )


def _people() -> None:
    op.create_table(
        "tokens",
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("id", "name", "role", "digest")),
        *map(_time, ("created_at", "expires_at", "revoked_at", "last_used_at")),
        sa.PrimaryKeyConstraint("id", name="pk_tokens"),
        sa.UniqueConstraint("digest", name="uq_tokens_digest"),
    )
    op.create_table(
        "session_keys",
        _number("number", counts=True),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        _time("created_at"),
        sa.PrimaryKeyConstraint("number", name="pk_session_keys"),
        sqlite_autoincrement=True,
    )


def _number(name: str, *, counts: bool = False) -> sa.Column[int]:
    kind = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    return sa.Column(name, kind, autoincrement=counts, nullable=False)


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=False)


def _time(name: str) -> sa.Column[float]:
    return sa.Column(name, sa.Double(), nullable=False)


def _whole(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=False)
