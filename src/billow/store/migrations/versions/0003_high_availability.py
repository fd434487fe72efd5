# SPDX-License-Identifier: Apache-2.0
"""High availability: incidents and their steps, what controllers see, maintenance, alarms."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the tables."""
    _incidents()
    _steps()
    _views()
    _care()
    _alarms()


def _texts(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text(), nullable=False) for name in names]


def _times(*names: str) -> list[sa.Column[float]]:
    return [sa.Column(name, sa.Double(), nullable=False) for name in names]


def _wholes(*names: str) -> list[sa.Column[int]]:
    return [sa.Column(name, sa.BigInteger(), nullable=False) for name in names]


def _number() -> sa.Column[int]:
    return sa.Column("number", _NUMBER, autoincrement=True, nullable=False)


def _incidents() -> None:
    op.create_table(
        "incidents",
        _number(),
        *_texts("id", "host"),
        *_wholes("version"),
        *_texts("phase"),
        *_wholes("row"),
        *_times("opened_at", "closed_at"),
        *_texts("document"),
        sa.PrimaryKeyConstraint("number", name="pk_incidents"),
        sa.UniqueConstraint("id", name="uq_incidents_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_incidents_host", "incidents", ["host"])
    is_open = sa.text("phase <> 'closed'")
    op.create_index(
        "uq_incidents_open",
        "incidents",
        ["host"],
        unique=True,
        sqlite_where=is_open,
        postgresql_where=is_open,
    )


def _steps() -> None:
    op.create_table(
        "incident_steps",
        sa.Column("incident", _NUMBER, nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        *_times("at"),
        *_texts("actor"),
        *_wholes("fence"),
        sa.Column("packed", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("incident", "number", name="pk_incident_steps"),
        sa.ForeignKeyConstraint(
            ["incident"], ["incidents.number"], name="fk_incident_steps_incident_incidents"
        ),
    )


def _views() -> None:
    op.create_table(
        "views",
        *_texts("observer"),
        *_times("at"),
        *_texts("digest"),
        sa.Column("hosts", sa.LargeBinary(), nullable=False),
        sa.Column("packed", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("observer", name="pk_views"),
    )


def _care() -> None:
    op.create_table(
        "maintenances",
        _number(),
        *_texts("id", "reach", "name", "owner", "why"),
        *_times("since", "until", "ended_at"),
        *_texts("ended_by"),
        sa.PrimaryKeyConstraint("number", name="pk_maintenances"),
        sa.UniqueConstraint("id", name="uq_maintenances_id"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "drills",
        *_texts("host", "method"),
        sa.Column("ok", sa.Boolean(), nullable=False),
        *_times("at", "took_s"),
        *_texts("text"),
        sa.PrimaryKeyConstraint("host", "method", name="pk_drills"),
    )


def _alarms() -> None:
    op.create_table(
        "alarms",
        _number(),
        *_texts("key", "severity", "text", "host", "incident"),
        *_wholes("epoch"),
        *_times("at"),
        sa.PrimaryKeyConstraint("number", name="pk_alarms"),
        sa.UniqueConstraint("key", name="uq_alarms_key"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_alarms_at", "alarms", ["at"])
    op.create_table(
        "deliveries",
        sa.Column("alarm", _NUMBER, nullable=False),
        *_texts("channel"),
        *_wholes("tries"),
        *_times("next_at", "delivered_at"),
        *_texts("error"),
        sa.PrimaryKeyConstraint("alarm", "channel", name="pk_deliveries"),
        sa.ForeignKeyConstraint(["alarm"], ["alarms.number"], name="fk_deliveries_alarm_alarms"),
    )
