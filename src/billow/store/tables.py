# SPDX-License-Identifier: Apache-2.0
"""Every table of the store, for SQLite and PostgreSQL alike.

The migrations build them; a test checks that both agree. Numbers rise in the order of commits,
since there is one write transaction at a time (see `database`). Times are seconds since the epoch.
Columns named `document`, `data` and `error` hold JSON, written and read by `billow.model.codec`.
This module must not run a statement.
"""

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    text,
)

CONTROLLER: Final = "controller"
"""The one lease: whoever holds it carries plans out."""
GENERATION: Final = "generation"
"""The counter of pool changes seen."""

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_Number = BigInteger().with_variant(Integer(), "sqlite")  # only INTEGER counts up by itself there


def _text(name: str) -> Column[str]:
    return Column(name, Text, nullable=False, default="")


def _time(name: str) -> Column[float]:
    return Column(name, Double, nullable=False, default=0.0)


def _whole(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False, default=0)


def _number() -> Column[int]:
    return Column("number", _Number, primary_key=True, autoincrement=True)


# Pools that plans were made for, each once.
snapshots = Table(
    "snapshots",
    metadata,
    Column("digest", Text, primary_key=True),
    _time("taken_at"),
    Column("packed", LargeBinary, nullable=False),
)

plans = Table(
    "plans",
    metadata,
    _number(),
    Column("id", Text, nullable=False, unique=True),
    Column("based_on", Text, ForeignKey(snapshots.c.digest), nullable=False),
    _whole("generation"),
    _text("parent"),
    _text("title"),
    _text("actor"),
    _time("created_at"),
    _text("capabilities"),
    _whole("steps"),
    _whole("rejections"),
    Column("document", Text, nullable=False),
    sqlite_autoincrement=True,
)

runs = Table(
    "runs",
    metadata,
    _number(),
    Column("id", Text, nullable=False, unique=True),
    Column("plan_id", Text, ForeignKey(plans.c.id), nullable=False, unique=True),
    _text("actor"),
    Column("fence", BigInteger, nullable=False),
    _time("started_at"),
    Column("state", Text, nullable=False, index=True),
    _time("ended_at"),
    _text("text"),
    sqlite_autoincrement=True,
)

entries = Table(
    "entries",
    metadata,
    Column("run", _Number, ForeignKey(runs.c.number), primary_key=True),
    Column("action_id", Text, primary_key=True),
    Column("position", Integer, nullable=False),
    Column("phase", Text, nullable=False),
    _time("started_at"),
    _time("ended_at"),
    _text("progress"),
    _text("error"),
    sqlite_with_rowid=False,
)

# The steps of runs that move an instance; what became of them is in their entries.
migrations = Table(
    "migrations",
    metadata,
    _number(),
    Column("id", Text, nullable=False, unique=True),
    Column("run", _Number, ForeignKey(runs.c.number), nullable=False, index=True),
    Column("instance", Text, nullable=False, index=True),
    *map(_text, ("source", "target", "policy")),
    _time("promise_s"),
    sqlite_autoincrement=True,
)

events = Table(
    "events",
    metadata,
    _number(),
    Column("kind", Text, nullable=False),
    _time("at"),
    _text("actor"),
    _text("document"),
    sqlite_autoincrement=True,
)

event_subjects = Table(
    "event_subjects",
    metadata,
    Column("subject", Text, primary_key=True),
    Column("event", _Number, ForeignKey(events.c.number), primary_key=True),
    sqlite_with_rowid=False,
)

leases = Table(
    "leases",
    metadata,
    Column("name", Text, primary_key=True),
    _text("holder"),
    Column("fence", BigInteger, nullable=False),
    _time("until"),
)

counters = Table(
    "counters",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", BigInteger, nullable=False),
)

# What was answered to a request that bore an idempotency key; no response while it is under way.
answers = Table(
    "answers",
    metadata,
    Column("key", Text, primary_key=True),
    Column("fingerprint", Text, nullable=False),
    Column("response", Text),
    _time("at"),
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("digest", Text, nullable=False, unique=True),
    _time("created_at"),
    _time("expires_at"),
    _time("revoked_at"),
    _time("last_used_at"),
)

session_keys = Table(
    "session_keys",
    metadata,
    _number(),
    Column("secret", LargeBinary, nullable=False),
    _time("created_at"),
    sqlite_autoincrement=True,
)

# Failures of hosts; the document is the record that controllers change by compare-and-set.
incidents = Table(
    "incidents",
    metadata,
    _number(),
    Column("id", Text, nullable=False, unique=True),
    Column("host", Text, nullable=False, index=True),
    _whole("version"),
    _text("phase"),
    _whole("row"),
    _time("opened_at"),
    _time("closed_at"),
    Column("document", Text, nullable=False),
    sqlite_autoincrement=True,
)
_OPEN = text("phase <> 'closed'")
Index(
    "uq_incidents_open",  # one open incident per host
    incidents.c.host,
    unique=True,
    sqlite_where=_OPEN,
    postgresql_where=_OPEN,
)

incident_steps = Table(
    "incident_steps",
    metadata,
    Column("incident", _Number, ForeignKey(incidents.c.number), primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    _time("at"),
    _text("actor"),
    _whole("fence"),
    Column("packed", LargeBinary, nullable=False),
)

# What each controller sees of all hosts, as told last; `at` is the database's own clock.
views = Table(
    "views",
    metadata,
    Column("observer", Text, primary_key=True),
    _time("at"),
    _text("digest"),
    Column("hosts", LargeBinary, nullable=False),
    Column("packed", LargeBinary, nullable=False),
)

# While one is in force nothing is ended or started for the hosts that it names.
maintenances = Table(
    "maintenances",
    metadata,
    _number(),
    Column("id", Text, nullable=False, unique=True),
    *map(_text, ("reach", "name", "owner", "why")),
    *map(_time, ("since", "until", "ended_at")),
    _text("ended_by"),
    sqlite_autoincrement=True,
)

# The last rehearsal of each way to prove that a host is dead.
drills = Table(
    "drills",
    metadata,
    Column("host", Text, primary_key=True),
    Column("method", Text, primary_key=True),
    Column("ok", Boolean, nullable=False),
    _time("at"),
    _time("took_s"),
    _text("text"),
)

alarms = Table(
    "alarms",
    metadata,
    _number(),
    Column("key", Text, nullable=False, unique=True),
    *map(_text, ("severity", "text", "host", "incident")),
    _whole("epoch"),
    Column("at", Double, nullable=False, default=0.0, index=True),
    sqlite_autoincrement=True,
)

# How far an alarm is on its way through a channel; none before the first try.
deliveries = Table(
    "deliveries",
    metadata,
    Column("alarm", _Number, ForeignKey(alarms.c.number), primary_key=True),
    Column("channel", Text, primary_key=True),
    _whole("tries"),
    _time("next_at"),
    _time("delivered_at"),
    _text("error"),
)
